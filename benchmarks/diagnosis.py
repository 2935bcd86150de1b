"""How often the doctor is right: published faulty programs, synthetic faults, healthy controls.

    python benchmarks/diagnosis.py --seeds 3 --repair
    python scripts/diagnosis_table.py

Every run is written to benchmarks/results/diagnosis.json as soon as it is done; the same command
goes on where it was stopped, as long as the rules are the same. `scripts/diagnosis_table.py` makes
the page of the docs from that file. Prints, by family and by kind of fault: how often the first
finding is an accepted one ("diagnosed"), one of the first three ("in first 3"), how many warnings
are accepted ("precision"), how many healthy programs get a warning ("false alarms"), and with
--repair how often the remedy is verified by training. Other diagnosers see the same histories:
`pip install sk-autod runmedic`.
"""

import argparse
import collections
import hashlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _comparators, programs
from kerasdnn.console import print_table
from kerasdnn.diagnosis import diagnose, repair
from kerasdnn.diagnosis.judgement import LEARNED
from kerasdnn.runtime import environment

import keras
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "diagnosis.json"
MENDED = (0.1, LEARNED)  # a remedy is verified by so much gain in skill, or by reaching so much


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--family", nargs="*", default=[], help='real, synthetic, healthy, forum, "forum, healthy"'
    )
    parser.add_argument("--only", nargs="*", default=[], help="names of cases")
    parser.add_argument("--repair", action="store_true", help="also apply and verify remedies")
    parser.add_argument("--seconds", type=float, default=30.0, help="budget of one diagnosis")
    parser.add_argument("--missing", action="store_true", help="keep results of earlier rules")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file with all runs")
    args = parser.parse_args(argv)
    cases = [
        c for c in programs.load(*args.family).values() if not args.only or c.name in args.only
    ]
    runs, rules = {} if args.fresh else known(args.out), digest()
    for seed in range(args.seeds):
        for case in cases:
            done = runs.get((case.name, seed), {})
            same = bool(done) if args.missing else done.get("rules") == rules
            if same and ("mended" in done or not (args.repair and case.expect)):
                continue
            keras.backend.clear_session()
            keras.utils.set_random_seed(seed)
            runs[case.name, seed] = {**one(case, seed, args), "rules": rules}
            show(runs[case.name, seed])
            write(args.out, runs)
    tables = all_tables(list(runs.values()))
    for title, table in tables.items():
        print_table(table, title=title)
    return 0


def digest():
    """Returns a name for the state of the doctor's source: other rules, other results."""
    found = hashlib.sha256()
    for path in sorted((ROOT / "kerasdnn" / "diagnosis").rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def known(path):
    """Returns the runs of earlier calls by case and seed."""
    if not path.exists():
        return {}
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return {(run["case"], run["seed"]): run for run in runs}


def write(path, runs):
    """Writes all runs, with the machine that they were made on."""
    facts = environment()
    machine = {key: facts["machine"][key] for key in ("cpu", "cores")}
    versions = {key: facts["versions"][key] for key in ("keras", facts["backend"])}
    data = {"backend": facts["backend"], "machine": machine, "versions": versions}
    data["runs"] = [runs[key] for key in sorted(runs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def all_tables(runs):
    """Returns the tables of figures by title."""
    return {"by family": by_family(runs), "comparators": others(runs), "by fault": by_fault(runs)}


def one(case, seed, args):
    """Diagnoses one program with one seed; returns a row of plain values."""
    made = case.make(seed)
    began = time.process_time()
    early = diagnose(made, passes=("structure",))
    structure_seconds = early.passes[0]["seconds"]
    report = diagnose(made, seconds=args.seconds)
    run = {
        "case": case.name,
        "family": case.family,
        "seed": seed,
        "expect": sorted(case.expect),
        "first": [finding.id for finding in report.findings[:3]],
        "warnings": [finding.id for finding in report.warnings],
        "accepted_warnings": sum(f.id in case.expect | case.also for f in report.warnings),
        "stage": report.top.stage if report.top else None,
        "structure_first": early.top.id if early.top else None,
        "structure_seconds": structure_seconds,
        "seconds": time.process_time() - began,
        "skill": report.evidence.run.skill if report.evidence.run else None,
        "notes": report.notes,
    }
    run["sk-autod"] = _comparators.sk_autod(report)
    run["runmedic"] = _comparators.runmedic(report)
    run["Keras"] = _comparators.keras_warnings(made) if hasattr(made.x, "__array__") else []
    if args.repair and case.expect:
        result = repair(made, report, seconds=2 * args.seconds)
        run["before"], run["after"] = result.before.score, result.after.score
        run["applied"] = [step["id"] for step in result.applied]
        gain = result.after.score - result.before.score
        run["mended"] = bool(result.applied) and (
            (gain >= MENDED[0] and result.after.score >= 0.5) or result.after.score >= MENDED[1]
        )
    return run


def show(run):
    """Prints the line of one run."""
    expect = run["expect"]
    right = run["first"][:1] and run["first"][0] in expect if expect else not run["warnings"]
    mended = {True: "mended", False: "not mended", None: ""}[run.get("mended")]
    first = run["first"][0] if run["first"] else "no finding"
    line = f"{'ok' if right else '--':>3} {run['case']:<22} {first:<24} {run['seconds']:6.1f} s  "
    line += f"{mended} warnings {' '.join(run['warnings'])}"
    if not right and expect:
        line += f" | expected {' '.join(expect)}"
    print(line, flush=True)


def share(values):
    """Returns the mean of booleans as a share, or None."""
    values = [bool(value) for value in values if value is not None]
    return float(np.mean(values)) if values else None


def by_family(runs):
    """Returns a row of figures for each family of programs."""
    rows = []
    for family, part in _groups(runs, "family").items():
        row = {"programs": family, "runs": len(part)}
        if not any(run["expect"] for run in part):
            row["false alarms"] = share(run["warnings"] for run in part)
        else:
            row.update(_figures(part))
        row["structure pass, s (median)"] = float(np.median([r["structure_seconds"] for r in part]))
        row["all passes, CPU s (median)"] = float(np.median([r["seconds"] for r in part]))
        rows.append(row)
    return rows


def _figures(part):
    warned = sum(len(run["warnings"]) for run in part)
    accepted = sum(run["accepted_warnings"] for run in part)
    return {
        "detected": share(run["warnings"] for run in part),
        "diagnosed": share(run["first"][:1] and run["first"][0] in run["expect"] for run in part),
        "in first 3": share(set(run["first"]) & set(run["expect"]) for run in part),
        "by structure alone": share(run["structure_first"] in run["expect"] for run in part),
        "precision": accepted / warned if warned else None,
        "remedy verified": share(run.get("mended") for run in part),
    }


def others(runs):
    """Returns what other diagnosers reach on the same histories."""
    rows = []
    for name in ("sk-autod", "runmedic", "Keras"):
        part = [run for run in runs if run[name] is not None]
        if not part:
            rows.append({"diagnoser": name, "note": "not installed"})
            continue
        faulty = [run for run in part if run["expect"]]
        healthy = [run for run in part if not run["expect"]]
        rows.append(
            {
                "diagnoser": name,
                "detected": share(run[name] for run in faulty),
                "diagnosed": share(
                    run[name] and set(run[name][0]) & set(run["expect"]) for run in faulty
                ),
                "false alarms": share(run[name] for run in healthy),
            }
        )
    return rows


def by_fault(runs):
    """Returns the figures by the first accepted id of the cases."""
    rows = []
    for run in runs:
        run["fault"] = run["expect"][0] if run["expect"] else None
    for fault, part in sorted(_groups([r for r in runs if r["fault"]], "fault").items()):
        rows.append({"fault": fault, "runs": len(part), **_figures(part)})
    return rows


def _groups(runs, key):
    groups = collections.defaultdict(list)
    for run in runs:
        groups[run[key]].append(run)
    return groups


if __name__ == "__main__":
    sys.exit(main())
