"""Tuning with several processes: a chief and its workers, one of which may be killed.

Shows     the same search by one worker and by two, and by two of which one is killed with kill -9;
          on one machine here, and below how it is started on several
Concept   AutoML by several processes
Paper     Golovin et al. (2017), Google Vizier: A Service for Black-Box Optimization
Data      digits, 1,438 / 359 images of 8 x 8 pixels
Expect    not measured yet
Target    none: what is shown is that no trial is lost, and the minutes
Run       python recipes/automl/distributed_tuning.py          --quick: under 30 s
Change    `build`, TRIALS, WORKERS

On several machines with one shared folder, `search` is started once on each: on the first with
`kerasdnn launch -n 2 --host 10.0.0.1 --port 7000 --insecure -- FILE.py:search`, on the others, once
a worker, with KERASTUNER_TUNER_ID=worker7 KERASTUNER_ORACLE_IP=10.0.0.1 KERASTUNER_ORACLE_PORT=7000
in the environment and a line that calls `search()`. The port has no password: use it only on a
private network.
"""

import json
import os
import signal
import sys
from pathlib import Path

from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.recipe import Gate, Trial, recipe
from kerasdnn.tuning import EarlyEnding, NoRepeatBayesian, run_workers

import keras
import keras_tuner
import numpy as np
from keras import layers

# --- Settings -------------------------------------------------------------------------------------
WORKERS = 2  # processes that train; the chief only decides
TRIALS = 16  # of each search
EPOCHS = 25  # of a trial that is not ended early, and of the final training
QUICK = {"trials": 1, "epochs": 2, "workers": 1}
BATCH = 64  # images a step
VALIDATION = 0.25  # share of the training images that trials are judged by
DEADLINE = 900  # seconds after which a search ends with the trials it has
DEFAULTS = {"width": 8, "blocks": 1, "dropout": 0.25, "rate": 1e-3}
GATES = {"digits": Gate(0.975)}
JOB = "DISTRIBUTED_TUNING"  # the variable that tells each process where its task is written


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(8, 8, 1), classes=10):
    """Returns the compiled network, pixels to logits."""
    width, blocks, dropout, rate = DEFAULTS.values()
    if hp is not None:
        width = hp.Int("width", 8, 32, step=8)
        blocks = hp.Int("blocks", 1, 3)
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.125, default=dropout)
        rate = hp.Float("rate", 3e-4, 3e-2, sampling="log", default=rate)
    inputs = keras.Input(input_shape)  # (B, 8, 8, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for block in range(blocks):  # 4, 2, 1 pixels
        x = layers.Conv2D(width * 2**block, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(padding="same")(x)
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    logits = layers.Dense(classes, dtype="float32")(x)  # (B, 10)
    model = keras.Model(inputs, logits, name="digits")
    loss = SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


# --- Search: runs in the chief and in each worker ------------------------------------------------
class Tuner(EarlyEnding, NoRepeatBayesian):
    """Ends hopeless trials early; one worker may have to kill itself at its third trial."""

    def on_trial_begin(self, trial):
        super().on_trial_begin(trial)
        kill = Path(self.directory) / "kill"
        if kill.is_file() and int(trial.trial_id) >= 2:
            kill.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def search():
    """Searches as one of several processes; the task is in the file that JOB names."""
    job = json.loads(Path(os.environ[JOB]).read_text())
    with np.load(job["data"]) as data:
        x, y = data["x"], data["y"]
    declared = keras_tuner.HyperParameters()
    build(declared)
    tuner = Tuner(
        build,
        "val_accuracy",
        hyperparameters=declared,
        max_trials=job["trials"],
        doctor=job["trials"] > 1,
        seed=job["seed"],
        directory=job["directory"],
        project_name="search",
    )
    held_out = round(len(x) * VALIDATION)
    tuner.search(
        x[held_out:],
        y[held_out:],
        validation_data=(x[:held_out], y[:held_out]),
        epochs=job["epochs"],
        batch_size=BATCH,
        verbose=0,
    )
    return tuner


def run_search(dataset, run, seed, name, workers, *, kill=False):
    """Returns the trials of a search by so many workers, the best first."""
    folder = (run.folder / "search" / f"{name}-{seed}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if kill:
        (folder / "kill").touch()
    np.savez(folder / "data.npz", x=dataset.x_train, y=dataset.y_train)
    job = {"data": str(folder / "data.npz"), "directory": str(folder), "seed": seed}
    job["trials"] = QUICK["trials"] if run.quick else TRIALS
    job["epochs"] = QUICK["epochs"] if run.quick else EPOCHS
    (folder / "job.json").write_text(json.dumps(job))
    os.environ[JOB] = str(folder / "job.json")
    with (folder / "output.txt").open("w") as out:
        return run_workers(search, workers=workers, deadline=DEADLINE, out=out)


# --- Train and evaluate --------------------------------------------------------------------------
def train(dataset, run, row=None):
    """Trains one network with the hyper-parameters of a row of the table of trials."""
    hp = None
    if row is not None:
        hp = keras_tuner.HyperParameters()
        hp.values = {name: row[name] for name in DEFAULTS}
    model = build(hp, dataset.x_train.shape[1:], len(dataset.class_names))
    epochs = QUICK["epochs"] if run.quick else EPOCHS
    options = {"batch_size": BATCH, "epochs": epochs, "label": run.current}
    return model, run.fit(model, dataset.x_train, dataset.y_train, **options)


def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="digits", gates=GATES)
def main(run):
    dataset = run.load(task="image", image_size=(8, 8), quick_limit=300)
    workers = QUICK["workers"] if run.quick else WORKERS

    def by_default(seed):
        model, history = train(dataset, run)
        return Trial(evaluate(model, dataset), model, history)

    def searched(name, workers, **options):
        def once(seed):
            trials = run_search(dataset, run, seed, name, workers, **options)
            model, history = train(dataset, run, trials[0])
            done = sum(row["status"] == "COMPLETED" for row in trials)
            return Trial(evaluate(model, dataset), model, history, {"completed": done})

        return once

    run.row("default hyper-parameters", by_default, role="control")
    team = f"chief and {workers} worker{'s' if workers > 1 else ''}"
    run.row(team, searched("all", workers), role="technique")
    if not run.quick:
        run.row("chief and 1 worker", searched("one", 1), seeds=run.seeds[:1])
        killed = searched("killed", workers, kill=True)
        run.row(f"{workers} workers, one killed", killed, seeds=run.seeds[:1])
    run.finish(save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
