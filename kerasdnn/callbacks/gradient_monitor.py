"""Gradients, updates and activations by layer, from a live `fit`."""

import math
import time

from kerasdnn.callbacks.activations import Activations, leaves
from kerasdnn.callbacks.monitor_files import CSVFile, EventFile
from kerasdnn.callbacks.observed_steps import ObservedSteps
from kerasdnn.optimizers.observed import by_layer

import keras
import numpy as np

GRADIENTS = ("gradient_norm", "weight_norm", "update_ratio", "clip_rate")
ACTIVATIONS = ("dead", "saturated", "std")
OBSERVED_AN_EPOCH = 4  # steps, by default
LOSSES_AN_EPOCH = 20  # points of the loss curve within an epoch
MOST_BATCHES, MOST_BYTES = 32, 2**26  # of training data that is kept to put the probe together
TIME_SHARE = 0.01  # of the training that reading activations may take, by default


class GradientMonitor(keras.callbacks.Callback):
    """Records by layer the gradient norm, the update-to-weight ratio, dead and saturated units.

    Gradients and updates come from `optimizers.Observed`, which stands in the compiled step at
    some steps only; dead and saturated shares from a fixed probe batch, read between epochs. The
    training is the same to the bit with this callback and without, and from the second epoch on
    takes at most 3 % longer by default. Works in `fit` with arrays, `tf.data`, generators,
    `PyDataset` and Torch loaders, on all backends, also with a `train_step` of your own.

    Args:
        every: int, observe the gradients at every so many steps, or "auto" for four times an epoch.
            In the first epoch also steps 0, 1, 2, 4, 8, ... Default "auto".
        probe: inputs of the probe batch. Default None: the first `probe_size` rows that are trained
            on.
        probe_size: int, rows of the probe. Default 256.
        csv: path of a CSV file to write, or None.
        tensorboard: folder of an event file to write, or None.

    Attributes:
        rows: list of dictionaries: "step", "time" in epochs, and "layers", a dictionary from layer
            name to "gradient_norm", "weight_norm", "update_ratio", "clip_rate", "dead",
            "saturated" and "std" of the outputs, as far as they were read at that step.
        step_loss: list of pairs: time in epochs, mean loss since the point before.
        notes: sentences about what could not be seen.

    Raises:
        ValueError: `every` is neither "auto" nor an int from 1.

    Example:
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, "relu", name="hidden"), keras.layers.Dense(1)]
    ... )
    >>> model.compile("sgd", "mse")
    >>> monitor = GradientMonitor(every=2)
    >>> x = np.random.default_rng(0).normal(size=(64, 4))
    >>> history = model.fit(x, x[:, 0], batch_size=8, verbose=0, callbacks=[monitor])
    >>> [row["step"] for row in monitor.rows]
    [0, 1, 2, 4, 6]
    >>> sorted(monitor.rows[0]["layers"]["hidden"])[:3]
    ['clip_rate', 'dead', 'gradient_norm']
    """

    _KEPT = ("rows", "step_loss", "notes", "observed_steps", "epochs_seen", "_next", "_probe")

    def __init__(self, *, every="auto", probe=None, probe_size=256, csv=None, tensorboard=None):
        super().__init__()
        if every != "auto" and (not isinstance(every, int) or every < 1):
            raise ValueError(
                f"GradientMonitor expects every to be 'auto' or an int from 1; received {every!r}. "
                "Leave it out for four observations an epoch."
            )
        self.every, self.probe, self.probe_size = every, probe, probe_size
        self.files = [CSVFile(csv)] if csv is not None else []
        self.files += [EventFile(tensorboard)] if tensorboard is not None else []
        self._steps = None

    # --- what Keras calls ---
    def set_model(self, model):
        if self._steps is not None:
            self._steps.remove()  # of a `fit` that an error ended
        super().set_model(model)
        self.rows, self.step_loss, self.notes = [], [], []
        self.observed_steps, self.epochs_seen, self.seconds = 0, 0, 0.0
        self._batches, self._sampled = [], False
        self._probe = self.probe
        self._pending, self._losses = [], []
        self._next, self._aligned = 0, (1, 0)
        self._activations = self._initial = self.output = self._first_output = None
        self._names = {}
        self._steps = ObservedSteps(
            model,
            due=self._due,
            wants_batch=self._wants_batch,
            on_batch=self._on_batch,
            on_step=self._on_step,
        )

    def on_train_begin(self, logs=None):
        self._began = time.perf_counter()
        self._steps.install()
        self._start()
        self.seconds += time.perf_counter() - self._began

    def on_epoch_begin(self, epoch, logs=None):
        self._steps.install()  # if another callback made the train function anew
        self._epoch, self._first = epoch, self._steps.calls
        self._next_loss = self._first
        if self.epochs_seen == 0:
            self._first_epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        began = time.perf_counter()
        self.epochs_seen += 1
        rows = self._flush()
        if rows and self._affordable():
            self._read(rows[-1])
        self._write(rows)
        self.seconds += time.perf_counter() - began

    def on_train_end(self, logs=None):
        began = time.perf_counter()
        self._steps.remove()
        if self.rows and not _has_activations(self.rows[-1]):
            self._read(self.rows[-1])
            self._write(self.rows[-1:])
        self._finish()
        self._batches = []
        self.seconds += time.perf_counter() - began

    # --- a training that is gone on with (ExactResume) ---
    def get_state(self):
        """Returns what was seen so far; what an unfinished epoch holds is seen again, or not."""
        kept = {name: getattr(self, name) for name in self._KEPT}
        return {**kept, "calls": self._steps.calls if self._steps is not None else 0}

    def set_state(self, state):
        """Takes back what `get_state` returned."""
        state = dict(state)
        self._steps.calls = state.pop("calls")
        vars(self).update(state)

    # --- steps ---
    def _start(self):
        """Looks at the model that is about to be trained."""
        model = self.model
        # A subclass may have no weights before its first step; to call it here would make them.
        if all(layer.built for layer in model._flatten_layers()):
            self._look()
        for file in self.files:
            file.start((*GRADIENTS, *ACTIVATIONS))
        bottom = model.optimizer
        while getattr(bottom, "inner_optimizer", None) is not None:
            bottom = bottom.inner_optimizer
        accumulated = getattr(bottom, "gradient_accumulation_steps", None) or 1
        if accumulated > 1:  # only the last micro-batch moves the weights
            done = int(keras.ops.convert_to_numpy(bottom._iterations))
            self._aligned = accumulated, done
        if self._probe is not None:
            self._probe_is(self._probe)
        self._sampled = not self._rows_wanted()

    def _look(self):
        """Looks at the layers of a model that has its weights."""
        self._activations = Activations(self.model)
        self._names = layer_names(leaves(self.model))

    def _interval(self):
        if self.every != "auto":
            return self.every
        steps = self.params.get("steps") or (self._first if self.epochs_seen else 0) or 200
        return max(10, -(-steps // OBSERVED_AN_EPOCH))

    def _due(self, step):
        if step < self._next:
            return False
        accumulated, done = self._aligned
        if accumulated > 1 and (done + step + 1) % accumulated:
            return False
        interval = self._interval()
        later = (step // interval + 1) * interval
        dense = 2 * step if step else 1
        self._next = min(later, dense) if self.epochs_seen == 0 else later
        return True

    def _rows_wanted(self):
        """Rows of training data to keep from the first epoch."""
        return 0 if self.probe is not None else self.probe_size

    def _wants_batch(self, step):
        return not self._sampled

    def _on_batch(self, step, batch, values):
        began = time.perf_counter()
        try:
            self._keep(step, batch, values)
        except Exception as error:  # data that cannot be read are trained on all the same
            self.notes.append(f"batches were not seen: {type(error).__name__}: {error}"[:200])
            self._batches, self._sampled = [], True
        self.seconds += time.perf_counter() - began

    def _keep(self, step, batch, values):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        self._batches.append(keras.tree.map_structure(_as_array, (x, y, weight)))
        if step == 0:
            self._initial = self._try_read(self._batches[0][0], values)
            self._first_output = self.output
        size = sum(a.nbytes for a in keras.tree.flatten(self._batches) if a is not None)
        full = len(self._batches) == MOST_BATCHES or size > MOST_BYTES
        if full or sum(map(_rows, self._batches)) >= self._rows_wanted():
            self._sample()

    def _sample(self):
        """Puts the batches seen so far together."""
        self._sampled = True
        if self._probe is None and self._batches:
            self._probe_is(joined([part[0] for part in self._batches]))

    def _probe_is(self, x):
        self._probe = keras.tree.map_structure(lambda a: np.asarray(a)[: self.probe_size], x)

    def _on_step(self, step, logs, measured):
        if step >= self._next_loss and isinstance(logs, dict) and "loss" in logs:
            loss = logs["loss"]
            if keras.backend.backend() != "jax":  # there it would wait for the step
                loss = _number(loss)
            self._losses.append((step, loss))
            steps = self.params.get("steps") or 0
            self._next_loss = step + max(1, steps // LOSSES_AN_EPOCH)
        if measured is not None:
            self._pending.append((step, measured))

    # --- epochs ---
    def _flush(self):
        """Turns what the steps of an epoch left into rows, and into the loss curve."""
        count = max(1, self._steps.calls - self._first)
        if self._activations is None:
            self._look()

        def at(step):
            return self._epoch + (step - self._first + 1) / count

        rows = [self._row(step, at(step), measured) for step, measured in self._pending]
        rows = [row for row in rows if row["layers"]]
        if self.epochs_seen == 1 and rows and self._initial:
            self._merge(rows[0], self._initial)
            self._initial = None
        if self.epochs_seen == 1 and self._pending and not rows:
            self.notes.append(
                "gradients were not seen: the training step does not use the optimizers of the "
                "model"
            )
        elif self.epochs_seen == 1 and not self._pending and keras.backend.backend() == "torch":
            self.notes.append("gradients were not seen: the step is compiled by torch.compile")
        self._curve(at)
        self.observed_steps += len(self._pending)
        self._pending, self._losses = [], []
        self._sample()
        self.rows += rows
        return rows

    def _row(self, step, at, measured):
        layers = {}
        for observed, norms, counts, steps in measured:
            steps = int(keras.ops.convert_to_numpy(steps))
            if not steps:
                continue
            norms, counts = (keras.ops.convert_to_numpy(a) for a in (norms, counts))
            statistics = observed.named(norms, counts, steps)
            variables = observed._trainable_variables
            names = [self._names.get(id(v), v.path.rpartition("/")[0]) for v in variables]
            kernel = {n for n, v in zip(names, variables) if len(v.shape) > 1}
            table = by_layer(statistics, names)
            for index, name in enumerate(table["layer"]):
                if name in kernel:
                    layers[name] = {key: float(table[key][index]) for key in GRADIENTS}
        return {"step": step, "time": at, "layers": layers}

    def _curve(self, at):
        """Takes the mean loss between two points out of the running means that Keras logs."""
        running = type(self.model).train_step is keras.Model.train_step
        before, total = self._first, 0.0
        for step, value in self._losses:
            value, seen = _number(value), step + 1 - self._first
            loss = value
            if running and step + 1 > before:
                loss = (value * seen - total) / (step + 1 - before)
            before, total = step + 1, value * seen
            self.step_loss.append((at(step), loss))

    # --- activations ---
    def _affordable(self):
        """Whether reading the probe again stays within the share of time that it may take."""
        if self.epochs_seen <= 1:
            return True
        elapsed = time.perf_counter() - self._began
        if not hasattr(self, "_reading"):
            return True  # the first reading of a training that goes on
        return self._reading + self._last_reading <= TIME_SHARE * elapsed

    def _read(self, row):
        if self._probe is None:
            return
        began = time.perf_counter()
        found = self._try_read(self._probe)
        if found:
            self._merge(row, found)
        self._last_reading = time.perf_counter() - began
        # The first reading pays for what Keras and the backend set up once.
        self._reading = self._reading + self._last_reading if hasattr(self, "_reading") else 0.0

    def _try_read(self, x, values=()):
        if self._activations is None:
            return None
        try:
            found, self.output = self._activations.read(x, values)
        except Exception as error:  # of the user's model, which trains all the same
            note = f"activations were not seen: the model on a probe batch raises {error}"
            self.notes.append(note.splitlines()[0][:200])
            self._activations.layers = []
            return None
        return found

    def _merge(self, row, found):
        for layer in self._activations.layers:
            facts = found.get(layer.name)
            if facts:
                name = self._names.get(id(layer), layer.name)
                numbers = {key: facts[key] for key in ACTIVATIONS}
                row["layers"].setdefault(name, {}).update(numbers)

    def _write(self, rows):
        for file in self.files:
            if rows:
                file.add(rows)

    def _finish(self):
        """Is called when the training has ended, before the batches are forgotten."""


def layer_names(layers):
    """Returns the name of each layer and of the layer of each variable, by identity."""
    names = {}
    plain = [layer.name for layer in layers]
    for layer in layers:
        name = layer.name if plain.count(layer.name) == 1 else layer.path
        names[id(layer)] = name
        names.update((id(v), name) for v in layer.variables)
    return names


def joined(parts):
    """Returns nested arrays one behind the other."""
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def _as_array(leaf):
    return None if leaf is None else np.array(keras.ops.convert_to_numpy(leaf))


def _rows(batch):
    return len(keras.tree.flatten(batch[0])[0])


def _number(value):
    value = float(keras.ops.convert_to_numpy(value))
    return value if math.isfinite(value) else math.nan


def _has_activations(row):
    return any("std" in numbers for numbers in row["layers"].values())
