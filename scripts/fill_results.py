"""Fills the READMEs' numbers, their picture and the recipes' "Expect" lines from the results.

python scripts/fill_results.py            writes
python scripts/fill_results.py --check    exit 1 and the names of the files that differ
"""

import argparse
import re
import sys
from pathlib import Path

from kerasdnn import catalog
from kerasdnn.results import write_bytes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from picture import svg  # noqa: E402
from readme_blocks import blocks, variants  # noqa: E402

PICTURE = "docs/assets/results.svg"
BLOCK = "<!-- {}: filled by scripts/fill_results.py -->", "<!-- /{} -->"
BEGIN, END = (mark.format("results") for mark in BLOCK)
EXPECT = re.compile(r"^Expect    .*\n(?:          .*\n)*", re.MULTILINE)
PENDING = "not measured yet"
READMES = {"README.md": "en", "README.zh-CN.md": "zh"}
HEADS = {
    "en": ("recipe", "shows", "metric", "got", "control", "published", "minutes", "gate"),
    "zh": ("示例", "内容", "指标", "结果", "对照", "公开结果", "分钟", "达标"),
}
METRICS = {  # in Chinese; one that is missing keeps its own name
    "test_accuracy": "测试准确率",
    "linear_accuracy": "线性探测准确率",
    "nested_cv_accuracy": "准确率（嵌套交叉验证）",
    "word_error_rate": "词错误率",
    "frechet_distance": "Fréchet 距离",
    "psnr_db": "PSNR（dB）",
    "share_of_gap_closed": "弥补的差距",
    "repaired": "修复率",
}


def spread(result, language="en"):
    """Returns "0.9412 ± 0.0008 (3 seeds)", or without the spread for one seed."""
    seeds = len(result["values"])
    deviation = f" ± {result['std']:.4f}" if result["std"] is not None else ""
    count = f"（{seeds} 次）" if language == "zh" else f" ({seeds} seed{'s' if seeds > 1 else ''})"
    return f"{result['value']:.4f}{deviation}{count}"


def expect(entry):
    """Returns the "Expect" field of one recipe, a line for each committed result."""
    lines = []
    for variant in ["", *variants(entry)]:
        result = entry.result(variant)
        if result is None:
            continue
        where = "" if not variant else f"{variant}: "
        control = f"; control {result['control']:.4f}" if result["control"] is not None else ""
        lines.append(f"{where}{spread(result)}, {result['minutes']:.1f} min a run{control}")
    return "".join(
        f"{'Expect' if i == 0 else '':10}{line}\n" for i, line in enumerate(lines or [PENDING])
    )


def shown(entry, language):
    """Returns what a recipe shows: its concept, in Chinese the title of the page about it."""
    if language == "en":
        return entry.fields.get("Concept", "")
    for path in sorted((ROOT / "docs").glob("**/*.zh.md")):
        page = path.read_text(encoding="utf-8")
        names = re.search(r"^recipes: \[(.*)\]$", page, re.MULTILINE)
        if names and entry.name in names[1].split(", "):
            title = re.search(r"^# (.*)$", page, re.MULTILINE)[1]
            return f"[{title}]({path.relative_to(ROOT).as_posix()})"
    return entry.fields.get("Concept", "")


def table(language="en"):
    """Returns a README's results table."""
    heads = HEADS[language]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for entry in catalog.entries():
        for variant in ["", *variants(entry)]:
            result = entry.result(variant)
            if result is None:
                continue
            label = f"[{entry.topic}/{entry.name}](recipes/{entry.topic}/{entry.name}.py)"
            label += f" ({variant})" if variant else ""
            metric = result["metric"]
            metric = METRICS.get(metric, metric) if language == "zh" else metric
            published = (result.get("target") or {}).get("value", "") if not variant else ""
            cells = [
                label,
                shown(entry, language),
                metric.replace("_", " "),
                spread(result, language),
                "" if result["control"] is None else f"{result['control']:.4f}",
                str(published),
                f"{result['minutes']:.1f}",
                {True: "✓", False: "✗", None: ""}[result["passed"]],
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def filled():
    """Yields the path and the wanted content of every file that carries results."""
    for entry in catalog.entries():
        text = entry.path.read_text(encoding="utf-8")
        yield entry.path, EXPECT.sub(lambda match, e=entry: expect(e), text, count=1)
    for name, language in READMES.items():
        path = ROOT / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            for block, content in {"results": table(language), **blocks(language)}.items():
                text = replaced(text, block, content)
            yield path, text
    results = [result for entry in catalog.entries() if (result := entry.result())]
    yield ROOT / PICTURE, svg(results)


def replaced(text, block, content):
    """Returns a page with the content between the marks of a block exchanged, where it has them."""
    begin, end = (mark.format(block) for mark in BLOCK)
    if begin not in text:
        return text
    head, rest = text.split(begin)
    return f"{head}{begin}\n{content}\n{end}{rest.split(end)[1]}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    stale = [(p, text) for p, text in filled() if _content(p) != text]
    for path, text in stale:
        if args.check:
            print(f"{path.relative_to(ROOT)} differs from the results; run scripts/fill_results.py")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, text.encode())
            print(f"filled {path.relative_to(ROOT)}")
    return int(args.check and bool(stale))


def _content(path):
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
