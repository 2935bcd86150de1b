"""The paragraphs of the READMEs that hold numbers, each from the committed JSON files.

scripts/fill_results.py writes them between `<!-- NAME: filled by scripts/fill_results.py -->` and
`<!-- /NAME -->`.
"""

import json
import statistics

from kerasdnn import catalog

TEXTS = {
    "cpu": {
        "en": "{runs}Of the {count} results above, all made on {cores} cores of a CPU ({cpu}), "
        "half took {median:.1f} minutes a training or less; the longest, `{longest}`, {most:.1f}.",
        "zh": "{runs}上表中的 {count} 个结果都在 CPU（{cpu}）的 {cores} 个核上测得，"
        "半数每次训练不超过 {median:.1f} 分钟；最长的是 `{longest}`，{most:.1f} 分钟。",
    },
    "run": {
        "en": "{value:.4f} with {images:,} images, after {control:.1f} minutes for the control and "
        "{minutes:.1f} for the technique",
        "zh": "用 {images:,} 张图像训练，对照 {control:.1f} 分钟，数据增强 {minutes:.1f} 分钟，"
        "准确率 {value:.4f}",
    },
    "gpu": {
        "en": "Not measured: no result on a GPU is committed yet, so no number here speaks of one.",
        "zh": "尚未测量：目前没有提交任何 GPU 上的结果，本页所有数字都与 GPU 无关。",
    },
    "tuning": {
        "en": "To come within 99 % of the best score of three recorded search spaces, {seeds} "
        "seeds each, `NoRepeatBayesian` needs {ours:.1f} trials on average, Keras Tuner's "
        "`BayesianOptimization` {theirs:.1f}, random search {random:.1f} (medians {ours_half:.1f}, "
        "{theirs_half:.1f}, {random_half:.1f}).",
        "zh": "在三个事先记录好的搜索空间上（各 {seeds} 个种子），要达到最好成绩的 99 %，"
        "`NoRepeatBayesian` 平均需要 {ours:.1f} 次试验，Keras Tuner 的 `BayesianOptimization` "
        "{theirs:.1f} 次，随机搜索 {random:.1f} 次（中位数 {ours_half:.1f}、{theirs_half:.1f}、"
        "{random_half:.1f}）。",
    },
    "step": {
        "en": "A training step of a residual CNN (465,000 parameters) is {ours:.2f} times as fast "
        "as with Keras' defaults, and {torch_ratio:.2f} times as fast as with the fastest of plain "
        "PyTorch's settings ({torch}).",
        "zh": "残差 CNN（46.5 万参数）的一步训练，速度是 Keras 默认设置的 {ours:.2f} 倍，"
        "是原生 PyTorch 最快设置（{torch}）的 {torch_ratio:.2f} 倍。",
    },
    "sprint": {
        "en": "`fast_cnn` reaches the test accuracy {accuracy} of Keras' plain convnet on "
        "Fashion-MNIST {ratio:.1f} times as fast as that one's 15 epochs, with {cpu:.1f} times "
        "less processor time.",
        "zh": "在 Fashion-MNIST 上，`fast_cnn` 达到 Keras 普通卷积网络的测试准确率 {accuracy}，"
        "速度是后者 15 个轮次的 {ratio:.1f} 倍，处理器时间是其 1/{cpu:.1f}。",
    },
    "diagnosis": {
        "en": "The doctor's first finding is an accepted cause in {right} of {faulty} published "
        "faulty programs, and {alarms} of {healthy} healthy ones get a warning; its rules were "
        "written with these programs in view. Warnings of Keras' own callbacks find {keras}.",
        "zh": "{faulty} 个公开的错误程序中，诊断的第一条结论属于公认原因的有 {right} 个；"
        "{healthy} 个正常程序中有 {alarms} 个被误报；规则编写时参考过这些程序。"
        "Keras 自带回调的警告能发现 {keras} 个。",
    },
}


def blocks(language):
    """Returns the text of each block by its name."""
    results = [
        (f"{entry.name} ({variant})" if variant else entry.name, entry.result(variant))
        for entry in catalog.entries()
        for variant in ["", *variants(entry)]
    ]
    results = [(name, result) for name, result in results if result is not None]
    return {
        "cpu": cpu(results, language),
        "gpu": gpu(results, language),
        "compared": "\n".join(f"- {text(language)}" for text in (step, sprint, tuning, diagnosis)),
    }


def variants(entry):
    """Returns the names of the further results of a recipe: "bundled", "jax"..."""
    files = (catalog.results_folder() / entry.name).glob("result-*.json")
    return sorted(path.stem.removeprefix("result-") for path in files)


def cpu(results, language):
    """Returns what the recipes take on a CPU."""
    here = [(name, r) for name, r in results if not r["machine"].get("accelerator")]
    if not here:
        return ""
    longest, most = max(here, key=lambda pair: pair[1]["minutes"])
    cores = sorted({r["machine"]["cores"] for _, r in here})
    return TEXTS["cpu"][language].format(
        runs=main_job(dict(here), language),
        cores=f"{cores[0]}–{cores[-1]}" if len(cores) > 1 else cores[0],
        count=len(here),
        cpu=", ".join(sorted({r["machine"]["cpu"] for _, r in here})),
        median=statistics.median(r["minutes"] for _, r in here),
        longest=longest,
        most=most["minutes"],
    )


def main_job(results, language):
    """Returns what `make run` takes, with the bundled images and with all of them."""
    runs = []
    for name in ("cnn_augmentation (bundled)", "cnn_augmentation"):
        if name in results:
            result = results[name]
            control = next(row["minutes"] for row in result["rows"] if "without" in row["name"])
            numbers = {key: result[key] for key in ("value", "minutes")}
            numbers |= {"images": result["data"]["n_train"], "control": control}
            runs.append(TEXTS["run"][language].format(**numbers))
    if not runs:
        return ""
    return {
        "en": f"`make run` reaches {', and '.join(runs)}. ",
        "zh": f"`make run`：{'；'.join(runs)}。",
    }[language]


def gpu(results, language):
    """Returns a table of the results on accelerators, or that there is none."""
    there = [(name, r) for name, r in results if r["machine"].get("accelerator")]
    if not there:
        return TEXTS["gpu"][language]
    heads = {"en": "| recipe | device | got | minutes |", "zh": "| 示例 | 设备 | 结果 | 分钟 |"}
    lines = [heads[language], "|---|---|---|---|"]
    for name, r in there:
        device = r["machine"]["accelerator"]
        lines.append(f"| {name} | {device} | {r['value']:.4f} | {r['minutes']:.1f} |")
    return "\n".join(lines)


def step(language):
    """Returns how fast a training step is beside Keras' defaults and plain PyTorch."""
    tables = _benchmark("train_step")["tables"]
    rows = next(rows for title, rows in tables.items() if title.startswith("cnn"))
    ratios = {row["candidate"]: row["ratio"] for row in rows if row.get("ratio")}
    ours = ratios["kerasdnn (tensorflow)"]
    plain = {name: ratio for name, ratio in ratios.items() if name.startswith("PyTorch ")}
    torch = max(plain, key=plain.get)
    return TEXTS["step"][language].format(
        ours=ours, torch=torch.removeprefix("PyTorch "), torch_ratio=ours / plain[torch]
    )


def sprint(language):
    """Returns how much sooner the fast network is as good as the plain one."""
    ((title, rows),) = _benchmark("time_to_accuracy")["tables"].items()
    best = max(rows, key=lambda row: row["ratio"] or 0)
    return TEXTS["sprint"][language].format(
        accuracy=title.split()[-1], ratio=best["ratio"], cpu=best["CPU ratio"]
    )


def tuning(language):
    """Returns how many trials a search needs, beside Keras Tuner."""
    content = _benchmark("tuning")
    rows = {row["candidate"]: row for row in content["tables"]["all spaces"]}
    names = {"ours": "NoRepeatBayesian", "theirs": "BayesianOptimization", "random": "RandomSearch"}
    numbers = {key: rows[name]["mean"] for key, name in names.items()}
    numbers |= {f"{key}_half": rows[name]["trials, median"] for key, name in names.items()}
    return TEXTS["tuning"][language].format(seeds=content["seeds"], **numbers)


def diagnosis(language):
    """Returns how often the doctor is right, and how often it raises a false alarm."""
    runs = _benchmark("diagnosis")["runs"]
    faulty = [run for run in runs if run["family"] == "real"]
    healthy = [run for run in runs if run["family"] == "healthy"]
    return TEXTS["diagnosis"][language].format(
        right=sum(run["first"][:1] != [] and run["first"][0] in run["expect"] for run in faulty),
        faulty=len(faulty),
        alarms=sum(bool(run["warnings"]) for run in healthy),
        healthy=len(healthy),
        keras=sum(bool(run["Keras"]) for run in faulty),
    )


def _benchmark(name):
    path = catalog.benchmarks_folder() / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))
