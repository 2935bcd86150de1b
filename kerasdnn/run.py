"""One run of a recipe: its flags, its folder, its trainings, its table."""

import hashlib
import json
import re
import shutil
import time
from pathlib import Path

from kerasdnn import console, results
from kerasdnn.errors import InputError
from kerasdnn.inference import for_inference
from kerasdnn.results import Trial

SECONDS_TO_LOSE = 5.0  # a training that is killed loses the epochs since the last save, and these


class Run:
    """One run of a recipe: its flags, its folder, its table.

    Attributes:
        quick: whether `--quick` was given.
        seeds: list of the seeds to run.
        folder: `pathlib.Path` of `<out>/<recipe>/<time>/`.
        result: the content of result.json after `finish()`, None before.
    """

    def __init__(self, name, path, spec, args, constants, team=None):
        if args.seeds < 1:
            raise InputError(
                f"--seeds expects at least 1; received {args.seeds}. Leave it out for 1."
            )
        self.name, self.path, self.spec, self.args = name, path, spec, args
        self.quick, self.seeds = args.quick, list(range(args.seeds))
        self.started, self.result, self.dataset = time.perf_counter(), None, None
        self.rows, self.histories, self.model = {}, {}, None
        self.left, self.current, self.choices = False, None, {}
        self.setting, self.compiled = None, {}
        self.seed, self.fits = None, 0  # of the trial that runs now
        self.settings = {k: v for k, v in constants.items() if k.isupper() and _plain(v)}
        self.out = console.console()
        self.team = team  # of several processes or devices, or None
        self.folder, self.progress = self._open_folder()
        if team is not None:
            from kerasdnn.recipe_team import agreed

            self.progress = agreed(team, self.progress)

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
            for folder in reversed(results.run_folders(Path(self.args.out) / self.name)):
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
        path = folder / "setting.json"
        if path.is_file():
            from kerasdnn.runtime.choice import Setting

            self.setting = Setting(**json.loads(path.read_text()))
        self.say(f"--resume: going on with {folder}, {len(progress)} trainings done")
        return folder, progress

    def say(self, text):
        """Prints one line of prose."""
        self.out.print(text, markup=False, soft_wrap=True)

    def where(self):
        """Returns the sentence that tells where the files of a stopped run are."""
        return (
            f"{len(self.progress)} finished trainings and the state of the others are in "
            f"{self.folder}; the same command with --resume goes on from there."
        )

    def discard_if_empty(self):
        """Removes the folder of a run that was refused before anything was trained."""
        if not self.progress and not self.rows:
            shutil.rmtree(self.folder, ignore_errors=True)

    def load(self, *, quick_limit=2000, task=None, **options):
        """Loads the data named by `--data`, prints their source, and returns the `Dataset`.

        Args:
            quick_limit: number of training samples under `--quick`.
            task: "image", "text", "signal" or "pairs", what the recipe can use; None for any.
            **options: further arguments of `kerasdnn.data.load`.
        """
        from kerasdnn import data

        limit = quick_limit if self.quick else None
        self.dataset = data.load(self.args.data, limit=limit, **options)
        if task is not None and self.dataset.task != task:
            raise InputError(
                f"{self.name} expects data of the task '{task}'; {self.dataset.name} is of the "
                f"task '{self.dataset.task}'. See the tasks with: kerasdnn data list"
            )
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

    def fastest(self, build, x, y, *, batch_size, once=False, reuse=None):
        """Returns a compiled model that trains the fastest safe way on this machine.

        What `kerasdnn.runtime.autotune` chooses is printed and kept in result.json. With `--quick`
        and `--no-autotune` nothing is measured: float32 and, on TensorFlow without a GPU, oneDNN's
        kernels rather than XLA's, which are slower on a CPU.

        Args:
            build: function without arguments that returns a fresh compiled model.
            x: array `(N, ...)` or nested arrays, the inputs of the training.
            y: array or nested arrays, the targets.
            batch_size: int, that of the training.
            once: bool, whether the first call decides for all, so that the rows of a table differ
                in what they compare and not in their precision. Defaults to False.
            reuse: str, names models that differ in their first weights only. A further one trains
                in the earlier one, with its own first weights: where layers are many and small,
                compiling takes longer than training. Defaults to None, each model its own.
        """
        if reuse in self.compiled:
            model, start = self.compiled[reuse]
            first = zip(_own_variables(model), _own_variables(build()), strict=True)
            for variable, value in (*first, *start):
                variable.assign(value)
            return model
        model = self._fastest(build, x, y, batch_size, once)
        if reuse is not None:
            import keras

            model.optimizer.build(model.trainable_variables)
            values = [keras.ops.convert_to_numpy(v).copy() for v in model.optimizer.variables]
            start = list(zip(model.optimizer.variables, values, strict=True))
            self.compiled[reuse] = model, start
        return model

    @property
    def jit_compile(self):
        """The value for `compile` where nothing is timed: on a CPU oneDNN is faster than XLA."""
        from kerasdnn import backend

        xla_is_a_choice = True in backend.current().JIT_CHOICES
        return False if xla_is_a_choice and not backend.current().has_gpu() else "auto"

    def _fastest(self, build, x, y, batch_size, once):
        from kerasdnn.runtime import autotune

        if self.quick or self.args.no_autotune:
            model = build()
            if not self.jit_compile:
                model.jit_compile = False
            return model
        if once and self.setting is not None:
            return self.setting.make(build)
        choice = autotune(build, x, y, batch_size=batch_size)
        if self.setting is None:  # a run that goes on must not choose again
            results.write_json(self.folder / "setting.json", vars(choice.setting))
        self.setting = choice.setting
        if self.current not in self.choices:
            self.say(f"autotune: {choice.setting}, {choice.speedup:.2f} x the default")
            self.choices[self.current] = {
                "precision": choice.precision,
                "jit_compile": choice.jit_compile,
                "fused_batch_norm": choice.fused_batch_norm,
                "speedup": round(choice.speedup, 3),
            }
        return choice.build()

    def fit(self, model, x, y=None, *, label, callbacks=(), **options):
        """Trains `model` as `model.fit` does, with one line an epoch; returns the history.

        The state of the training is kept in the run's folder until its row is done, so that a run
        that was stopped or killed goes on with `--resume` where it was, to the bit.

        Args:
            model: compiled `keras.Model`.
            x: the inputs: arrays, a `keras.utils.PyDataset` or a `kerasdnn.data.Pipeline`.
            y: the targets: arrays, or None.
            label: heading of the epoch lines.
            callbacks: further Keras callbacks.
            **options: further arguments of `kerasdnn.saving.exact_fit`.

        Returns:
            dict of lists, one number an epoch.
        """
        from kerasdnn.recipe_team import trainer
        from kerasdnn.resume import exact_fit

        self.fits += 1
        doctors = self._doctors()
        looks = [*callbacks, *doctors]
        train = trainer(self.team, model, x, looks, options, self.say) or exact_fit
        history = train(
            model,
            x,
            y,
            callbacks=[*looks, console.epoch_lines(label)],
            resume_dir=self._states() / f"fit-{self.fits}",
            min_seconds=SECONDS_TO_LOSE,
            facts={"recipe": hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]},
            say=self.say,
            **{"seed": self.seed or 0, **options},
        ).history
        for doctor in doctors:
            self.say(str(doctor.report))
            name = f"diagnosis-{self._label()}-{self.fits}.html"
            doctor.report.to_html(self.folder / name)
            self.say(f"diagnosis in {self.folder / name}")
        return history

    def _doctors(self):
        """With `--diagnose`, the callback that looks at a training, in a list."""
        if not self.args.diagnose:
            return []
        from kerasdnn.callbacks import TrainingDoctor

        return [TrainingDoctor()]

    def _states(self):
        """The folder of the states of the trainings of one row and seed."""
        return self.folder / "resume" / self._label()

    def _label(self):
        """The row and seed under way, as a file name."""
        name = re.sub(r"[^\w.-]+", "-", self.current or "run")
        return f"{name}-{self.seed}"

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
        self.current = name
        for seed in self.seeds if seeds is None else seeds:
            key = f"{name}/{seed}"
            if key not in self.progress:
                self.seed, self.fits = seed, 0
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
                shutil.rmtree(self._states(), ignore_errors=True)
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
            for_inference(done.model).save(self.folder / "model.keras")

    def trained_model(self):
        """Returns the technique's model of the first seed, or None if it kept none."""
        path = self.folder / "model.keras"
        if self.model is None and path.is_file():
            from kerasdnn.saving import load_model

            self.model = load_model(path)
        return self.model

    def saved_model(self):
        """Returns the model to answer with: of the newest run on these data, or the published one.

        Raises:
            InputError: if nothing was trained on these data yet.
        """
        from kerasdnn import publish
        from kerasdnn.saving import load_model

        path = publish.find_model(self)
        self.say(f"model {path}")
        return load_model(path)

    def leave(self):
        """Ends a story that only answered something, as with a recipe's own `--predict`."""
        self.left = True
        self.discard_if_empty()

    def finish(self, *, examples=None, save_inputs=None, panels=()):
        """Prints the table, writes the files, and with `--save` the model and its card.

        Args:
            examples: a function of the trained model that returns images `(N, H, W, C)` and titles
                for the figure.
            save_inputs: a batch of inputs on which the reloaded model must predict the same.
            panels: functions of a matplotlib axis that draw further panels of the figure.
        """
        from kerasdnn import figure, publish

        self.result = publish.collect(self)
        publish.show_table(self)
        results.write_history(self.folder / "history.csv", self.histories)
        shutil.rmtree(self.folder / "resume", ignore_errors=True)
        model = self.trained_model()
        shown = examples(model) if examples is not None and model is not None else None
        figure.draw(self.folder / "figure.png", self.result, self.histories, shown, panels)
        if self.args.save:
            publish.save(self, model, save_inputs)
        results.write_json(self.folder / "result.json", self.result)
        self.say(f"files in {self.folder}")
        self.say(results.result_line(self.result))


def _own_variables(model):
    """Returns weights, statistics and seeds."""
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


def _plain(value):
    """Whether a constant of the recipe can be written to JSON."""
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_plain(item) for item in value.values())
    return value is None or isinstance(value, bool | int | float | str)
