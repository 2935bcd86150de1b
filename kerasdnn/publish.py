"""From a finished run to its result: table, result.json, and with --save the published folder."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kerasdnn import catalog, console, results
from kerasdnn.errors import InputError

import numpy as np

MODEL_LIMIT = 2 * 1024 * 1024  # bytes; models live in the repository
_RELOAD = """
import sys
import numpy as np
from kerasdnn.saving import load_model
model, inputs, outputs = sys.argv[1:]
np.save(outputs, load_model(model).predict(np.load(inputs, allow_pickle=False), verbose=0))
"""


def collect(run):
    """Returns the content of result.json."""
    from kerasdnn.runtime import environment

    import keras

    spec, dataset = run.spec, run.dataset
    by_role = {
        role: [r for r in run.rows.values() if r.role == role] for role in ("control", "technique")
    }
    (technique,) = by_role["technique"]
    control = results.mean(by_role["control"][0].values) if by_role["control"] else None
    value = results.mean(technique.values)
    gate = None if run.quick else spec.gates.get(dataset.name)
    facts = environment()
    return {
        "recipe": run.name,
        "metric": spec.metric,
        "value": value,
        "std": results.deviation(technique.values),
        "values": technique.values,
        "control": control,
        "target": {"value": spec.target[0], "source": spec.target[1]} if spec.target else None,
        "gate": gate.value if gate else None,
        "passed": _passes(value, control, gate, spec.higher_is_better) if gate else None,
        "rows": [row.summary() for row in run.rows.values()],
        "data": {
            "name": dataset.name,
            "source": dataset.source,
            "n_train": len(dataset.x_train),
            "n_test": len(dataset.x_test),
        },
        "seeds": run.seeds,
        "minutes": results.mean(technique.minutes),
        "minutes_all": round((time.perf_counter() - run.started) / 60, 2),
        "quick": run.quick,
        "backend": keras.backend.backend(),
        "settings": run.settings,
        "autotune": run.choices,
        **facts,
    }


def _passes(value, control, gate, higher_is_better):
    sign = 1 if higher_is_better else -1
    gained = control is None or sign * (value - control) >= gate.gain
    return bool(sign * (value - gate.value) >= 0 and gained)


def show_table(run):
    """Prints the table of the run, the published figure as its last row."""
    rows = list(run.result["rows"])
    target = run.result["target"]
    if target:
        rows.append({"name": f"published: {target['source']}", "value": target["value"]})
    console.print_table(rows, title=f"{run.name}: {run.spec.metric}", out=run.out)


def variant(run):
    """Returns the suffix of the result file: empty for the default data on the default backend."""
    name = run.result["data"]["name"]
    parts = []
    if name != run.spec.data:
        short = name.removeprefix(f"{run.spec.data}_") or name
        parts.append("".join(c if c.isalnum() or c in "-_" else "-" for c in Path(short).name))
    if run.result["backend"] != "tensorflow":
        parts.append(run.result["backend"])
    return "-".join(parts)


def published_folder(name):
    """Returns `saved_models/<name>`, beside the recipes in a checkout, else where the user is."""
    checkout = catalog.results_folder()
    parent = (
        checkout if checkout.name == "saved_models" and checkout.is_dir() else Path("saved_models")
    )
    return parent / name


def find_model(run):
    """Returns the path of the newest model of this recipe and data, or of the published one."""
    for folder in sorted((Path(run.args.out) / run.name).glob("*/"), reverse=True):
        result, model = folder / "result.json", folder / "model.keras"
        if not (result.is_file() and model.is_file()):
            continue
        if json.loads(result.read_text())["data"]["name"] == run.dataset.name:
            return model
    published = published_folder(run.name) / "model.keras"
    if run.dataset.name == run.spec.data and published.is_file():
        return published
    raise InputError(
        f"{run.name} answers with a model that it trained on {run.dataset.name}; there is none in "
        f"{run.args.out}. Train it first, with the same command without the question."
    )


def save(run, model, inputs):
    """Publishes the run: its result and, for the default variant, the model, figure and card."""
    folder = published_folder(run.name)
    folder.mkdir(parents=True, exist_ok=True)
    suffix = variant(run)
    if not suffix and model is not None:
        path = run.folder / "model.keras"
        if path.stat().st_size >= MODEL_LIMIT:
            run.say(
                f"model.keras is {path.stat().st_size:,} bytes, over {MODEL_LIMIT:,}: not published"
            )
        else:
            _check_reload(run, model, path, inputs)
            shutil.copyfile(path, folder / "model.keras")
    results.write_json(folder / (f"result-{suffix}.json" if suffix else "result.json"), run.result)
    if not suffix:
        shutil.copyfile(run.folder / "figure.png", folder / "figure.png")
        results.write_bytes(folder / "README.md", card(run).encode())
    run.say(f"published in {folder}")


def _check_reload(run, model, path, inputs):
    """Loads the saved model in a fresh process and demands the same predictions."""
    if inputs is None:
        return
    expected = model.predict(inputs, verbose=0)
    with tempfile.TemporaryDirectory() as scratch:
        given, got = Path(scratch) / "inputs.npy", Path(scratch) / "outputs.npy"
        np.save(given, inputs)
        command = [sys.executable, "-c", _RELOAD, str(path), str(given), str(got)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"The saved model does not load in a fresh process:\n{done.stderr}")
        difference = float(np.abs(np.load(got) - expected).max())
    if difference > 1e-4:
        raise RuntimeError(
            f"The reloaded model expects equal predictions; they differ by {difference:.2e}. "
            f"The model in {path} is not published."
        )
    run.say(f"reloaded in a fresh process: predictions equal within {difference:.1e}")


def card(run):
    """Returns the model card, a README.md for the published folder."""
    result, dataset = run.result, run.dataset
    entry = catalog.read_entry(run.path)
    machine = [f"{key} {value}" for key, value in result["machine"].items() if value is not None]
    lines = [
        f"# {run.name}",
        "",
        f"{entry.title}. Shows {entry.fields.get('Shows', '')}.",
        "",
        f"Made by `kerasdnn run {run.name} --seeds {len(run.seeds)} --save`; every number is from "
        "`result.json`.",
        "",
        f"| row | {result['metric']} | std | n | minutes |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = (console.number(row[key]) for key in ("value", "std", "n", "minutes"))
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    if result["target"]:
        lines.append(
            f"| published: {result['target']['source']} | {result['target']['value']} | | | |"
        )
    lines += [
        "",
        f"- Data: {dataset.name}, {result['data']['n_train']:,} / {result['data']['n_test']:,}; "
        f"licence of the data: {dataset.license}",
        f"- Paper: {entry.fields.get('Paper', '-')}",
        f"- Machine: {', '.join(machine)}",
        f"- Backend: {result['backend']}",
    ]
    if (published_folder(run.name) / "model.keras").is_file():
        lines += ["", "```python", "from kerasdnn.saving import load_model", ""]
        lines += [f'model = load_model("saved_models/{run.name}/model.keras")', "```"]
    return "\n".join(lines) + "\n"
