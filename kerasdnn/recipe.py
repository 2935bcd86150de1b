"""The frame of a recipe: flags, header, table, files, exit code. All else stands in the recipe.

```python
@recipe(metric="test_accuracy", data="fashion_mnist", gates={"fashion_mnist": Gate(0.94)})
def main(run):
    dataset = run.load()
    run.row("no augmentation", lambda seed: ..., role="control")
    run.row("augmentation", lambda seed: ..., role="technique")
    run.finish()

if __name__ == "__main__":
    sys.exit(main())
```
"""

import argparse
import functools
import inspect
import json
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasdnn import catalog, console, results
from kerasdnn.errors import InputError

EXIT_INPUT, EXIT_INTERRUPT, EXIT_TERMINATED = 2, 130, 143


@dataclass(frozen=True)
class Gate:
    """The value below which a recipe fails, and by how much it must beat its control."""

    value: float
    gain: float = 0.0


@dataclass
class Trial:
    """What one training gives back: its number and, if wanted, model, history, more cells."""

    value: float
    model: Any = None
    history: dict = field(default_factory=dict)
    columns: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """What a recipe declares of itself in the decorator."""

    metric: str
    data: str
    gates: dict
    target: tuple | None
    higher_is_better: bool


class Terminated(BaseException):
    """SIGTERM arrived."""


def recipe(*, metric, data, gates, target=None, higher_is_better=True):
    """Turns `main(run)` into `main(argv=None) -> int` with the flags that all recipes share.

    Args:
        metric: name of the number, as in "test_accuracy".
        data: name of the default data set.
        gates: dictionary from data-set name to `Gate`; data that are not named have no gate.
        target: published value and its source, or None.
        higher_is_better: False for errors and distances.
    """
    spec = Spec(metric, data, gates, target, higher_is_better)

    def decorate(story):
        path = Path(inspect.getfile(story))

        @functools.wraps(story)
        def main(argv=None):
            return _guarded(story, path, spec, argv)

        main.spec = spec
        return main

    return decorate


def arguments(name, description, data):
    """Returns the parser of the flags that all recipes share."""
    parser = argparse.ArgumentParser(
        prog=f"{name}.py", description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="under 30 s: few real data, few epochs, no gate")
    add("--seeds", type=int, default=1, metavar="N", help="repeat with seeds 0 to N-1 (default 1)")
    add("--data", default=data, metavar="NAME_OR_PATH", help=f"data set or folder (default {data})")
    add("--out", default="runs", metavar="DIR", help="parent of the result files (default runs)")
    add("--save", action="store_true", help="also write saved_models/<recipe>/ and check a reload")
    add("--resume", action="store_true", help="go on with the newest unfinished run in --out")
    return parser


def _guarded(story, path, spec, argv):
    """Runs a recipe's story; turns bad input and signals into a sentence and an exit code."""
    name = path.stem
    args = arguments(name, story.__globals__.get("__doc__"), spec.data).parse_args(argv)
    run = None

    def terminate(signum, frame):
        raise Terminated

    in_main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, terminate) if in_main else None
    try:
        run = Run(name, path, spec, args, story.__globals__)
        story(run)
        if run.result is None:
            raise RuntimeError(f"The recipe '{name}' ended without run.finish(); call it last.")
        return 0 if run.result["passed"] in (True, None) else 1
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        if run is not None:
            run.discard_if_empty()
        return EXIT_INPUT
    except (KeyboardInterrupt, Terminated) as stop:
        interrupt = isinstance(stop, KeyboardInterrupt)
        reason = "Ctrl-C" if interrupt else "SIGTERM"
        print(f"\n{name}: stopped by {reason}. {run.where() if run else ''}", file=sys.stderr)
        return EXIT_INTERRUPT if interrupt else EXIT_TERMINATED
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, previous)


class Run:
    """One run of a recipe: its flags, its folder, its table.

    Attributes:
        quick: whether `--quick` was given.
        seeds: list of the seeds to run.
        folder: `pathlib.Path` of `<out>/<recipe>/<time>/`.
        result: the content of result.json after `finish()`, None before.
    """

    def __init__(self, name, path, spec, args, constants):
        if args.seeds < 1:
            raise InputError(
                f"--seeds expects at least 1; received {args.seeds}. Leave it out for 1."
            )
        self.name, self.path, self.spec, self.args = name, path, spec, args
        self.quick, self.seeds = args.quick, list(range(args.seeds))
        self.started, self.result, self.dataset = time.perf_counter(), None, None
        self.rows, self.histories, self.model = {}, {}, None
        self.settings = {k: v for k, v in constants.items() if k.isupper() and _plain(v)}
        self.out = console.console()
        self.folder, self.progress = self._open_folder()

    def _open_folder(self):
        """Makes a new folder, or with `--resume` opens the newest one that has no result yet."""
        config = {
            "data": self.args.data,
            "quick": self.quick,
            "seeds": len(self.seeds),
            "settings": self.settings,
        }
        config = json.loads(json.dumps(config))
        if self.args.resume:
            for folder in sorted((Path(self.args.out) / self.name).glob("*/"), reverse=True):
                saved = folder / "config.json"
                if saved.is_file() and not (folder / "result.json").exists():
                    return self._reopen(folder, json.loads(saved.read_text()), config)
            self.say(
                f"--resume: no unfinished run of {self.name} in {self.args.out}; starting anew"
            )
        folder = results.new_folder(self.args.out, self.name, time.strftime("%Y%m%d-%H%M%S"))
        results.write_json(folder / "config.json", config)
        shutil.copyfile(self.path, folder / "source.py")
        return folder, {}

    def _reopen(self, folder, saved, config):
        """Returns the folder and finished trainings of an earlier run with the same settings."""
        different = [key for key in config if saved.get(key) != config[key]]
        if different:
            raise InputError(
                f"--resume expects the settings of the unfinished run {folder}; its "
                f"{' and '.join(different)} differ. Leave out --resume, or use the same settings."
            )
        path = folder / "progress.json"
        progress = json.loads(path.read_text()) if path.is_file() else {}
        self.say(f"--resume: going on with {folder}, {len(progress)} trainings done")
        return folder, progress

    def say(self, text):
        """Prints one line of prose."""
        self.out.print(text, markup=False, soft_wrap=True)

    def where(self):
        """Returns the sentence that tells where the files of a stopped run are."""
        return (
            f"{len(self.progress)} finished trainings are in {self.folder}; "
            "the same command with --resume goes on from there."
        )

    def discard_if_empty(self):
        """Removes the folder of a run that was refused before anything was trained."""
        if not self.progress and not self.rows:
            shutil.rmtree(self.folder, ignore_errors=True)

    def load(self, *, quick_limit=2000, **options):
        """Loads the data named by `--data`, prints their source, and returns the `Dataset`.

        Args:
            quick_limit: number of training samples under `--quick`.
            **options: further arguments of `kerasdnn.data.load`.
        """
        from kerasdnn import data

        limit = quick_limit if self.quick else None
        self.dataset = data.load(self.args.data, limit=limit, **options)
        self._header()
        return self.dataset

    def _header(self):
        import keras

        dataset = self.dataset
        self.say(f"{self.name} | keras {keras.__version__} on {keras.backend.backend()}")
        self.say(f"data {dataset.name}: {len(dataset.x_train):,} / {len(dataset.x_test):,}")
        self.say(f"source {dataset.source}")
        for note in dataset.notes:
            self.say(f"note: {note}")

    @property
    def jit_compile(self):
        """What to pass to `compile`: XLA where it is the fast way.

        On a CPU, TensorFlow's oneDNN kernels are faster than what XLA makes of the same step.
        """
        import keras

        return False if keras.backend.backend() == "tensorflow" else "auto"

    def callbacks(self, label):
        """Returns the callbacks of one `fit`: an epoch line with a progress bar on a terminal."""
        return [console.epoch_lines(label)]

    def row(self, name, trial, *, role="row", seeds=None):
        """Runs `trial(seed) -> Trial` for every seed and adds a row to the table.

        Args:
            name: the row's name in the table.
            trial: a function of the seed that trains, evaluates and returns a `Trial`.
            role: "control", "technique" (the number that the recipe reports) or "row".
            seeds: fewer seeds, for rows that do not vary; default all.

        Returns:
            The mean over the seeds.
        """
        from kerasdnn.runtime import seed_everything

        import keras

        row = self.rows[name] = results.Row(name, role)
        for seed in self.seeds if seeds is None else seeds:
            key = f"{name}/{seed}"
            if key not in self.progress:
                keras.backend.clear_session()
                seed_everything(seed)
                begin = time.perf_counter()
                done = trial(seed)
                if not isinstance(done, Trial):
                    done = Trial(float(done))
                minutes = (time.perf_counter() - begin) / 60
                self._keep(row, seed, done)
                self.progress[key] = {
                    "value": float(done.value),
                    "minutes": minutes,
                    "columns": done.columns,
                    "history": {k: [float(v) for v in vs] for k, vs in done.history.items()},
                }
                results.write_json(self.folder / "progress.json", self.progress)
            saved = self.progress[key]
            row.seeds.append(seed)
            row.values.append(saved["value"])
            row.minutes.append(saved["minutes"])
            row.columns.append(saved["columns"])
            self.histories[name, seed] = saved["history"]
            self.say(f"{name}, seed {seed}: {self.spec.metric} {saved['value']:.4f}")
        return results.mean(row.values)

    def _keep(self, row, seed, done):
        """Writes the weights of the technique's model; keeps the model of the first seed."""
        if row.role != "technique" or done.model is None:
            return
        results.write_weights(self.folder / f"weights-seed{seed}.npz", done.model)
        if seed == self.seeds[0]:
            _without_optimizer(done.model).save(self.folder / "model.keras")

    def trained_model(self):
        """Returns the technique's model of the first seed, or None if it kept none."""
        path = self.folder / "model.keras"
        if self.model is None and path.is_file():
            from kerasdnn.saving import load_model

            self.model = load_model(path)
        return self.model

    def finish(self, *, examples=None, save_inputs=None):
        """Prints the table, writes the files, and with `--save` the model and its card.

        Args:
            examples: a function of the trained model that returns images `(N, H, W, C)` and titles
                for the figure.
            save_inputs: a batch of inputs on which the reloaded model must predict the same.
        """
        from kerasdnn import figure, publish

        self.result = publish.collect(self)
        publish.show_table(self)
        results.write_history(self.folder / "history.csv", self.histories)
        model = self.trained_model()
        shown = examples(model) if examples is not None and model is not None else None
        figure.draw(self.folder / "figure.png", self.result, self.histories, shown)
        if self.args.save:
            publish.save(self, model, save_inputs)
        results.write_json(self.folder / "result.json", self.result)
        self.say(f"files in {self.folder}")
        self.say(results.result_line(self.result))


def _without_optimizer(model):
    """Returns the model as it is used to predict; optimizer state would triple the file."""
    own = type(model).__module__.startswith("kerasdnn.")
    if own or getattr(model, "optimizer", None) is None:
        return model  # a model class of our own also knows how to go on training
    fresh = type(model).from_config(model.get_config())  # cloning would compile it again
    fresh.set_weights(model.get_weights())
    return fresh


def _plain(value):
    """Whether a constant of the recipe can be written to JSON."""
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_plain(item) for item in value.values())
    return value is None or isinstance(value, bool | int | float | str)


__all__ = ["Gate", "Run", "Trial", "catalog", "recipe"]
