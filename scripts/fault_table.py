"""Kills, damages and deceives; writes what came of it to docs/faults.json and docs/faults.md.

python scripts/fault_table.py [--kills 56] [--only kills,damage,hostile,cost]
"""

import argparse
import json
import pathlib
import random
import runpy
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kerasdnn.errors import InputError  # noqa: E402
from kerasdnn.runtime import environment  # noqa: E402
from tests.faults import harness, workloads  # noqa: E402
from tests.faults.hostile import HOSTILE  # noqa: E402
from tests.test_checkpoint import damage, newest, two_states  # noqa: E402

PARTS = ("kills", "damage", "hostile", "cost")
BEGIN, END = "<!-- table: filled by scripts/fault_table.py -->", "<!-- end of the table -->"
MEMORY = "/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None


def kills(trainer, wanted, rows):
    """Kills every kind of training until there are `wanted` kills; yields the rows so far."""
    for seed in range(100):
        for name in workloads.WORKLOADS:
            if sum(row["kills"] for row in rows.values()) >= wanted:
                return
            with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
                found = harness.kill_and_resume(trainer, folder, name, 8, seed + 1)
            row = rows.setdefault(name, {"kills": 0, "wrong": [], "most steps lost": {}})
            row["kills"] += len(found["events"])
            row["wrong"] += found["wrong"]
            every = str(found.get("every"))
            lost = max(found.get("lost", ()), default=0)
            row["most steps lost"][every] = max(lost, row["most steps lost"].get(every, 0))
            print(name, seed, len(found["events"]), "kills", found["wrong"] or "equal", flush=True)
            yield


def damaged(count=600):
    """Damages states in every way; returns how often, and how often one was taken for good."""
    rng, taken = random.Random(0), 0
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        two_states(pathlib.Path(folder))
        for number in range(count):
            path = pathlib.Path(folder, f"state-00000001.{('npz', 'json')[number % 2]}")
            whole = path.read_bytes()
            path.write_bytes(damage(whole, rng))
            try:
                state, _ = newest(pathlib.Path(folder))
                taken += state is None or state.number != 0
            except InputError:
                taken += 1
            path.write_bytes(whole)
    return {"damaged": count, "taken for good, or the one before not used": taken}


def hostile(trainer):
    """Loads every hostile file; returns a row for each."""
    rows = {}
    for name in HOSTILE:
        with tempfile.TemporaryDirectory() as folder:
            status, result, memory = trainer.send(folder, hostile=name)
        result = result or {"sentence": None, "executed": None}
        rows[name] = {**result, "exit": status, "peak memory MB": round(memory / 1000)}
        rows[name]["sentence"] = (result["sentence"] or "").replace(str(folder), "…")
    return rows


def cost(rounds=1, steps=200):
    """Trains the CNN recipe's network and times every save and the steps between.

    Whole trainings with and without saving differ by less than two of the same kind do here, so
    the time of the saves is set against the time of the steps of the same training.
    """
    from kerasdnn import data
    from kerasdnn.callbacks import ExactResume
    from kerasdnn.resume import exact_fit

    import keras
    import numpy as np

    recipe = runpy.run_path(str(ROOT / "recipes" / "vision" / "cnn_augmentation.py"))
    batch = recipe["BATCH"]
    dataset = data.load("fashion_mnist", limit=steps * batch, seed=0)
    saves, begun, between = [], [], []
    save = ExactResume.save

    def timed(self, *args, **more):
        begin = time.perf_counter()
        done = save(self, *args, **more)
        saves.append(time.perf_counter() - begin)
        return done

    class Epochs(keras.callbacks.Callback):
        """Collects the seconds of each epoch but the first, which compiles, without its saves."""

        def get_state(self):
            return None

        def set_state(self, state):
            pass

        def on_epoch_begin(self, epoch, logs=None):
            begun[:] = time.perf_counter(), sum(saves)

        def on_epoch_end(self, epoch, logs=None):
            if epoch:
                between.append(time.perf_counter() - begun[0] - sum(saves) + begun[1])

    ExactResume.save = timed
    try:
        for _ in range(rounds):
            keras.utils.clear_session()
            model = recipe["build"]()
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile("adam", loss, jit_compile=False)
            with tempfile.TemporaryDirectory() as folder:
                options = {"resume_dir": folder, "every": 100, "callbacks": [Epochs()]}
                exact_fit(
                    model, dataset.x_train, dataset.y_train, batch_size=batch, epochs=3, **options
                )
    finally:
        ExactResume.save = save
    once, step = float(np.median(saves)), float(np.median(between)) / steps
    whole = 60_000 // batch
    return {
        "parameters": recipe["build"]().count_params(),
        f'every="epoch", of {whole} steps / without saving': round(1 + once / (whole * step), 4),
        "every=100 / without saving": round(1 + once / (100 * step), 4),
        "seconds a save": round(once, 3),
        "seconds a step": round(step, 4),
        "saves": len(saves),
    }


def table(found):
    """Returns the Markdown of what was found."""
    lines = ["| what | result |", "|---|---|"]
    if "kills" in found:
        for name, row in found["kills"].items():
            lost = ", ".join(
                f"{n} (saved every {'epoch' if e == 'epoch' else e + ' steps'})"
                for e, n in sorted(row["most steps lost"].items())
            )
            verdict = "; ".join(row["wrong"]) or "equal to the bit"
            lines.append(f"| {name}: {row['kills']} kills | {verdict}; most steps redone: {lost} |")
    if "damage" in found:
        count, taken = found["damage"].values()
        lines.append(f"| {count} damaged states | {taken} taken for good |")
    if "hostile" in found:
        rows = found["hostile"].values()
        good = sum(bool(r["sentence"]) and not r["executed"] and not r["exit"] for r in rows)
        peak = max(row["peak memory MB"] for row in rows)
        lines.append(f"| {len(rows)} hostile files | {good} refused, peak memory {peak} MB |")
    if "cost" in found:
        for key, value in found["cost"].items():
            if "/" in key:
                lines.append(f"| time of an epoch, {key} | {value} x |")
    machine = found.get("machine", {})
    lines += ["", f"{machine.get('cpu')}, {machine.get('cores')} cores, {found.get('versions')}."]
    return "\n".join(lines)


def write(found):
    """Writes both files, also what is there of an unfinished run."""
    facts = environment()
    found["machine"] = {key: facts["machine"][key] for key in ("cpu", "cores")}
    versions = facts["versions"]
    found["versions"] = ", ".join(f"{k} {versions[k]}" for k in ("keras", facts["backend"]))
    (ROOT / "docs" / "faults.json").write_text(json.dumps(found, indent=2) + "\n")
    page = ROOT / "docs" / "faults.md"
    head, rest = page.read_text().split(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{table(found)}\n{END}{rest.split(END)[1]}")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=56)
    parser.add_argument("--only", default=",".join(PARTS))
    args = parser.parse_args(argv)
    parts = args.only.split(",")
    path = ROOT / "docs" / "faults.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    if "damage" in parts:
        found["damage"] = damaged()
        write(found)
    trainer = harness.Trainer() if {"hostile", "kills"} & set(parts) else None
    try:
        if "hostile" in parts:
            found["hostile"] = hostile(trainer)
            write(found)
        if "kills" in parts:
            found["kills"] = {}
            for _ in kills(trainer, args.kills, found["kills"]):
                write(found)
    finally:
        if trainer is not None:
            trainer.close()
    if "cost" in parts:
        found["cost"] = cost()
    write(found)
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
