"""Writes what benchmarks/diagnosis.py measured to docs/diagnosis.md and draws its figure.

python scripts/diagnosis_table.py
"""

import collections
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.diagnosis import RESULTS, all_tables  # noqa: E402
from kerasdnn.console import number  # noqa: E402

PAGE, FIGURE = ROOT / "docs" / "diagnosis.md", RESULTS.with_suffix(".png")
BEGIN, END = "<!-- table: filled by scripts/diagnosis_table.py -->", "<!-- end of the table -->"
NAMES = {
    "real": "published faulty programs",
    "synthetic": "synthetic faults",
    "healthy": "healthy programs",
    "forum": "held-out faulty programs",
    "forum, healthy": "held-out healthy programs",
}
# What others reach, on their own sets of programs; from their papers and raw logs.
ANCHORS = (
    ("diagnosed", "DEFault, 52 real programs", 0.63),
    ("diagnosed", "four tools together, 109 real programs", 0.61),
    ("diagnosed", "DeepFD, 52 real programs", 0.52),
    ("precision", "GPT-4 with the source, 22 programs", 0.457),
    ("false alarms", "DeepDiagnosis", 0.362),
    ("false alarms", "DeepLocalize", 0.715),
    ("false alarms", "UMLAUT", 0.91),
    ("remedy verified", "AutoTrainer, 495 models of its own", 0.973),
)


def markdown(rows):
    """Returns a table in Markdown; cells without a value stay empty."""
    if not rows:
        return "nothing"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = [number(row.get(column), 3) for column in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def wrong(runs):
    """Returns the programs whose first finding is not an accepted one, and the false alarms."""
    rows = []
    for run in runs:
        first = run["first"][0] if run["first"] else "nothing"
        if run["expect"] and first not in run["expect"]:
            expected = ", ".join(run["expect"])
            rows.append({"program": run["case"], "first finding": first, "accepted": expected})
        elif not run["expect"] and run["warnings"]:
            text = ", ".join(run["warnings"])
            rows.append({"program": run["case"], "first finding": text, "accepted": "no warning"})
    return rows


def page(data):
    """Returns what stands between the marks."""
    runs = data["runs"]
    tables = all_tables(runs)
    family = [{**row, "programs": NAMES[row["programs"]]} for row in tables["by family"]]
    seeds = collections.Counter(run["case"] for run in runs)
    states = {run["rules"] for run in runs}
    lines = [markdown(family), "", "What others reach, each on its own programs:", ""]
    anchors = [{"figure": what, "system": who, "value": value} for what, who, value in ANCHORS]
    lines += [markdown(anchors), "", "Other diagnosers on the same histories:", ""]
    lines += [markdown(tables["comparators"]), "", "By the first accepted cause:", ""]
    lines += [markdown(tables["by fault"]), "", "All that went wrong:", "", markdown(wrong(runs))]
    count = sorted(set(seeds.values()))
    times = " to ".join(str(n) for n in count[:: max(len(count) - 1, 1)])
    text = f"{len(seeds)} programs, {times} seed(s) each, {len(runs)} diagnoses; "
    text += f"Keras {data['versions']['keras']} on {data['backend']}, {data['machine']['cpu']}, "
    text += f"{data['machine']['cores']} cores."
    if len(states) > 1:
        text += f" The rules changed on the way: {len(states)} states of them were measured."
    cut = sum(any("no time" in note for note in run.get("notes", [])) for run in runs)
    text += f" In {cut} of them the budget left no time for one of the trials or more."
    return "\n".join([*lines, "", text])


def draw(data):
    """Draws diagnosed, precision and false alarms beside the best known."""
    import matplotlib.pyplot as plt

    rows = {row["programs"]: row for row in all_tables(data["runs"])["by family"]}
    bars = []
    for family in ("real", "synthetic", "forum"):
        for what in ("diagnosed", "precision"):
            if rows.get(family, {}).get(what) is not None:
                bars.append((f"{what}: {NAMES[family]}", rows[family][what], True))
    for family in ("healthy", "forum, healthy"):
        if rows.get(family, {}).get("false alarms") is not None:
            bars.append((f"false alarms: {NAMES[family]}", rows[family]["false alarms"], True))
    bars += [(f"{what}: {who}", value, False) for what, who, value in ANCHORS]
    bars.sort(key=lambda bar: bar[0].split(":")[0], reverse=True)
    _, axis = plt.subplots(figsize=(8, 0.35 * len(bars) + 1), layout="constrained")
    colours = ["tab:blue" if ours else "tab:gray" for _, _, ours in bars]
    drawn = axis.barh([name for name, _, _ in bars], [value for _, value, _ in bars], color=colours)
    axis.bar_label(drawn, fmt="%.2f", padding=3)
    axis.set_xlim(0, 1.1)
    axis.set_title("kerasdnn (blue) and published systems on their own programs (gray)")
    plt.savefig(FIGURE, dpi=120)
    plt.close()


def main():
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(f"{head}{BEGIN}\n{page(data)}\n{END}{tail}", encoding="utf-8")
    draw(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
