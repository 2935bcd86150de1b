"""Fair timing: candidates take turns in one run, and every claim is a ratio between them.

Machines drift, above all shared ones, so an absolute time says little. Each candidate here is asked
in turn, round after round; a ratio is taken within a round, and its median over the rounds counts.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from kerasdnn import catalog, console, results
from kerasdnn.errors import InputError

READY_SECONDS = 900  # a candidate may compile that long before its first turn


def folder():
    """Returns the folder that holds the benchmark scripts."""
    return catalog.benchmarks_folder()


def run(name=None, flags=()):
    """Runs one benchmark, or all of them one after the other; returns the highest exit code."""
    known = catalog.benchmark_names()
    if name is not None and name not in known:
        raise InputError(f"There is no benchmark '{name}'. There are: {', '.join(known)}.")
    worst = 0
    for each in [name] if name else known:
        command = [sys.executable, str(folder() / f"{each}.py"), *flags]
        worst = max(worst, subprocess.run(command).returncode)
    return worst


def parser(description, rounds=5, seconds=2.0):
    """Returns the parser of the flags that all benchmarks share."""
    made = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    made.add_argument("--rounds", type=int, default=rounds, help="turns of each candidate")
    made.add_argument("--seconds", type=float, default=seconds, help="length of a turn")
    made.add_argument("--json", metavar="DIR", help="where results go (default: beside the script)")
    made.add_argument("--worker", metavar="NAME", help=argparse.SUPPRESS)
    return made


def repeat(work, seconds):
    """Calls `work() -> units done` until the time is up; returns units per second."""
    done, begin = 0, time.perf_counter()
    while True:
        done += work()
        elapsed = time.perf_counter() - begin
        if elapsed >= seconds:
            return done / elapsed


class SkippedError(Exception):
    """A candidate that cannot run here, and why."""


class Process:
    """A candidate in a process of its own, asleep while others have their turn.

    The script is called again with `--worker NAME` and must answer with `serve`.
    """

    def __init__(self, script, name, env=None):
        self.name = name
        self.child = subprocess.Popen(
            [sys.executable, str(script), "--worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **(env or {})},
        )
        answer = self._answer()
        if "skip" in answer:
            self.close()
            raise SkippedError(answer["skip"])
        self.facts = answer
        self._sleep()

    def _answer(self):
        for line in self.child.stdout:  # frameworks may print of their own
            if line.startswith("BENCH "):
                return json.loads(line.removeprefix("BENCH "))
        return {"skip": f"the process ended with code {self.child.wait()}"}

    def _sleep(self):
        # Thread pools spin while they wait for work, which would slow the others down.
        self.child.send_signal(signal.SIGSTOP)

    def turn(self, seconds):
        """Returns the units per second of one turn."""
        self.child.send_signal(signal.SIGCONT)
        self.child.stdin.write(f"{seconds}\n")
        self.child.stdin.flush()
        answer = self._answer()
        if "skip" in answer:
            raise SkippedError(answer["skip"])
        self._sleep()
        return answer["rate"]

    def close(self):
        """Ends the process."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()


class Local:
    """A candidate in this process: `work()` does some units and returns how many."""

    def __init__(self, work, facts=None):
        self.work, self.facts = work, facts or {}
        work()  # compiles
        work()

    def turn(self, seconds):
        """Returns the units per second of one turn."""
        return repeat(self.work, seconds)

    def close(self):
        """Nothing to end."""


def serve(make):
    """Answers `Process` from inside the worker.

    Args:
        make: function that prepares the candidate and returns `(work, facts)`: `work()` does some
            units and returns how many, `facts` is a dict for the table. It may raise `ImportError`
            or `SkippedError`.
    """
    try:
        work, facts = make()
        work()  # compiles
        work()
    except (ImportError, SkippedError) as error:
        print("BENCH " + json.dumps({"skip": str(error) or type(error).__name__}), flush=True)
        return 0
    print("BENCH " + json.dumps(facts), flush=True)
    for line in sys.stdin:
        print("BENCH " + json.dumps({"rate": repeat(work, float(line))}), flush=True)
    return 0


def interleave(candidates, *, rounds, seconds, say=print):
    """Lets candidates take turns.

    Args:
        candidates: dict from name to a function that makes an object with `turn(seconds)`,
            and `close()`; it may raise `SkippedError`.
        rounds: int.
        seconds: float, length of a turn.
        say: function that prints progress.

    Returns:
        `(rates, facts, skipped)`: dict from name to the list of units per second, one a round; dict
        from name to the facts of the candidate; dict from name to the reason.
    """
    running, rates, skipped = {}, {}, {}
    try:
        for name, start in candidates.items():
            try:
                running[name] = start()
                rates[name] = []
                say(f"ready: {name}")
            except SkippedError as reason:
                skipped[name] = str(reason)
                say(f"skipped: {name}: {reason}")
        for number in range(rounds):
            order = list(running)
            order = order[number % len(order) :] + order[: number % len(order)] if order else []
            for name in order:
                rates[name].append(running[name].turn(seconds))
            say(f"round {number + 1}/{rounds}")
        facts = {name: getattr(each, "facts", {}) for name, each in running.items()}
    finally:
        for each in running.values():
            each.close()
    return rates, facts, skipped


def ratio_rows(rates, facts, skipped, reference, unit="images/s"):
    """Returns table rows: median, smallest, largest, and the median ratio to the reference."""
    rows = []
    for name, values in rates.items():
        ratios = [a / b for a, b in zip(values, rates.get(reference, ()))]
        rows.append(
            {
                "candidate": name,
                unit: round(statistics.median(values), 1),
                "min": round(min(values), 1),
                "max": round(max(values), 1),
                "ratio": round(statistics.median(ratios), 3) if ratios else None,
                **facts.get(name, {}),
            }
        )
    rows += [{"candidate": name, "note": f"skipped: {why}"} for name, why in skipped.items()]
    return rows


def publish(name, tables, args, extra=None):
    """Prints the tables, writes `<name>.json` and a figure of the ratios.

    Args:
        name: of the benchmark.
        tables: dict from a title to rows (dictionaries).
        args: the parsed flags; `args.json` names the folder.
        extra: dict of further entries of the JSON.
    """
    from kerasdnn.runtime import environment

    for title, rows in tables.items():
        console.print_table(rows, title=title)
    target = Path(args.json) if args.json else folder() / "results"
    target.mkdir(parents=True, exist_ok=True)
    content = {"benchmark": name, "tables": tables, **(extra or {}), **environment()}
    results.write_json(target / f"{name}.json", content)
    _figure(target / f"{name}.png", tables)
    print(f"written: {target / name}.json and .png")


def _figure(path, tables):
    import io

    from matplotlib.figure import Figure

    shown = {t: [r for r in rows if r.get("ratio") is not None] for t, rows in tables.items()}
    shown = {title: rows for title, rows in shown.items() if rows}
    if not shown:
        return
    height = sum(len(rows) for rows in shown.values()) * 0.32 + 0.9 * len(shown)
    figure = Figure(figsize=(8, max(height, 2.5)), layout="constrained")
    heights = [len(rows) + 1.5 for rows in shown.values()]
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (title, rows) in zip(axes, shown.items()):
        axis.barh([row["candidate"] for row in rows], [row["ratio"] for row in rows], height=0.7)
        axis.invert_yaxis()
        axis.axvline(1.0, color="tab:red", linestyle="--", linewidth=1)
        axis.set_title(title, fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3, axis="x")
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    results.write_bytes(path, data.getvalue())
