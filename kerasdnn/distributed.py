"""Data-parallel training: several processes on JAX, several devices of one on TensorFlow.

The same file runs as one process on one device, on any backend.

```python
team = kerasdnn.distributed.join()      # kerasdnn launch -n 2 -- train.py
with team.scope():
    model = build()                     # compiled
history = team.fit(model, x, y, epochs=10, batch_size=128, resume_dir="state")
model = team.local(model)               # to predict and save with
if team.rank == 0:
    model.save("model.keras")
```

`batch_size` is that of all processes together: the training is the one that a single process does.
"""

import contextlib
import os
import tempfile
from pathlib import Path

from kerasdnn import backend
from kerasdnn.checkpoint import Checkpoints
from kerasdnn.data.ordered import Ordered
from kerasdnn.errors import InputError
from kerasdnn.launch import hold_lifeline
from kerasdnn.resume import exact_fit

import keras
import numpy as np

PLACE, ADDRESS = "KERASDNN_PROCESS", "KERASDNN_ADDRESS"  # "rank/count" and "host:port"
DEVICES = "KERASDNN_DEVICES"  # of one process
ATTEMPT = "KERASDNN_ATTEMPT"  # how often all were started again


def join():
    """Joins the processes that `kerasdnn launch` has started; returns a `Team`.

    To be called before anything is computed. A process that was started alone is a team of one, on
    any backend. On a cluster, set `KERASDNN_PROCESS` to "rank/count" and `KERASDNN_ADDRESS` to the
    host and port of rank 0 for each process. `KERASDNN_DEVICES` is the number of devices on which
    one process of TensorFlow trains at once.

    Raises:
        InputError: there are several processes and the backend is not JAX, or several devices and
            it is not TensorFlow.
    """
    rank, _, count = os.environ.get(PLACE, "0/1").partition("/")
    if not (rank.isdigit() and count.isdigit() and int(rank) < int(count)):
        raise InputError(
            f'{PLACE} expects "rank/count", as "0/2"; received "{rank}/{count}". Unset it for one '
            "process."
        )
    rank, count = int(rank), int(count)
    if os.environ.get(DEVICES, "1") != "1":
        return Team(devices=_devices(os.environ[DEVICES], count))
    if count > 1:
        if keras.backend.backend() != "jax":
            raise InputError(
                "Training by several processes expects KERAS_BACKEND=jax; received "
                f"{keras.backend.backend()}, which Keras 3 does not distribute."
            )
        if ADDRESS not in os.environ:
            raise InputError(f'{ADDRESS} expects "host:port" of rank 0; it is not set.')
        hold_lifeline()
        backend.current().join_processes(os.environ[ADDRESS], count, rank)
    return Team(rank, count)


def _devices(given, processes):
    if not given.isdigit() or int(given) < 1 or processes > 1:
        raise InputError(
            f"{DEVICES} expects a number of devices for one process; received {given} for "
            f"{processes}. Use either several processes or several devices."
        )
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            "Training on several devices of one process expects KERAS_BACKEND=tensorflow; received "
            f"{keras.backend.backend()}. On JAX use a process a device: kerasdnn launch -n."
        )
    return int(given)


class Team:
    """The processes, or the devices, of one training, seen from one process.

    Attributes:
        rank: int, the number of this process.
        count: int, how many there are.
        devices: int, on how many this one trains.
    """

    def __init__(self, rank=0, count=1, devices=1):
        self.rank, self.count, self.devices = rank, count, devices
        self.distribution = None
        if count > 1:
            self.distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
        elif devices > 1:
            self.distribution = backend.current().mirror_devices(devices)

    def __str__(self):
        kind = "processes" if self.count > 1 else "devices"
        return f"{self.parts} {kind}" if self.parts > 1 else "one process"

    @property
    def parts(self):
        """Into how many parts every batch is divided."""
        return self.count * self.devices

    @contextlib.contextmanager
    def scope(self, seed=0):
        """Makes variables that all processes share; the random numbers begin at `seed`."""
        keras.utils.set_random_seed(seed)  # else Keras would agree on a seed by a collective
        with self.distribution.scope() if self.distribution else contextlib.nullcontext():
            yield

    def fit(
        self,
        model,
        x,
        y=None,
        *,
        epochs,
        batch_size=32,
        seed=0,
        validation_data=None,
        resume_dir=None,
        **options,
    ):
        """Trains as `kerasdnn.saving.exact_fit` does, each process on its share of each batch.

        Rank 0 alone writes states to `resume_dir`, and gives the newest one to the others when the
        training is gone on with. Of a last batch that cannot be shared evenly, the rows that are
        over are left out.

        Args:
            model: compiled `keras.Model` that was built in `scope()`.
            x: array or nested arrays, the whole inputs in every process.
            y: array or nested arrays, the whole targets, or None.
            epochs: int.
            batch_size: int, of all processes together.
            seed: int, of the order of the data.
            validation_data: `(x, y)` or None.
            resume_dir: folder for the state of the training, or None.
            **options: further arguments of `exact_fit`.

        Returns:
            keras.callbacks.History, the same in every process.
        """
        if batch_size % self.parts:
            raise InputError(
                f"batch_size expects a multiple of the {self}; received {batch_size}. Each gets "
                "the same number of rows."
            )
        if not model.built:
            raise InputError(
                "Team.fit expects a model that is built, with a keras.Input; received one whose "
                "weights do not exist yet. Call model.build(...) in the scope."
            )
        share = {"rank": self.rank, "count": self.count, "batch_size": batch_size}
        data = _Share(x, y, seed=seed, **share)
        if validation_data is not None:
            validation_data = _Share(*validation_data, shuffle=False, **share)
        with tempfile.TemporaryDirectory() as own, self.scope(seed):
            if resume_dir is not None and self.count > 1:
                resume_dir = self._agree(resume_dir, own)
            if self.rank:
                options.update(say=lambda text: None, verbose=0)
            return exact_fit(
                model,
                data,
                epochs=epochs,
                seed=seed,
                validation_data=validation_data,
                resume_dir=resume_dir,
                **options,
            )

    def train(self, model, x, y=None, *, seed=0, **options):
        """Trains a model that was built outside of `scope()`, with all processes or devices.

        They train a copy, whose weights, statistics and optimizer state the model is then given:
        it stays one of this process alone, to predict, evaluate and save with.

        Args:
            model: compiled `keras.Model`, built.
            x: array, the whole inputs in every process.
            y: array, the whole targets, or None.
            seed: int.
            **options: further arguments of `fit`.

        Returns:
            keras.callbacks.History.
        """
        if self.distribution is None:
            return self.fit(model, x, y, seed=seed, **options)
        with self.scope(seed):
            copy = type(model).from_config(model.get_config())
            copy.compile_from_config(model.get_compile_config())
        copy.jit_compile, copy.run_eagerly = model.jit_compile, model.run_eagerly
        _assign(copy, model)
        history = self.fit(copy, x, y, seed=seed, **options)
        _assign(model, copy)
        return history

    def _agree(self, resume_dir, own):
        """Gives the newest whole state of rank 0 to all; returns where each finds its own."""
        files = {}
        if self.rank == 0:
            with Checkpoints(resume_dir) as states:
                state = states.newest()
            if state is not None:
                for path in Path(resume_dir).glob(f"state-{state.number:08d}.*"):
                    files[path.name] = path.read_bytes()
        for name, content in self.share(files).items():
            if self.rank:
                (Path(own) / name).write_bytes(content)
        return own if self.rank else resume_dir

    def share(self, files):
        """Returns what rank 0 gives as `files`, a dictionary from name to bytes."""
        if self.count == 1:
            return files
        heads = b"".join(f"{name}\t{len(data)}\n".encode() for name, data in files.items())
        heads = self._bytes(heads)
        body, found = self._bytes(b"".join(files.values())), {}
        for line in heads.decode().splitlines():
            name, _, length = line.partition("\t")
            found[name], body = body[: int(length)], body[int(length) :]
        return found

    def _bytes(self, data):
        send = backend.current().from_first_process
        length = int(send(np.array([len(data)], "int32"))[0])
        padded = np.frombuffer(data, "uint8") if self.rank == 0 else np.zeros(length, "uint8")
        return send(padded).astype("uint8").tobytes() if length else b""

    def local(self, model):
        """Returns the model as one of this process alone, to predict, evaluate and save with.

        A model that is shared by several processes cannot: each holds a part of every result, and
        saving it would wait for all.
        """
        if self.count == 1:
            return model
        fresh = type(model).from_config(model.get_config())
        fresh.set_weights([keras.ops.convert_to_numpy(v) for v in model.weights])
        return fresh


def _assign(model, other):
    """Gives a model the state of another one of the same kind."""
    for variable, value in zip(_state(model), _state(other), strict=True):
        variable.assign(keras.ops.convert_to_numpy(value))


def _state(model):
    model.optimizer.build(model.trainable_variables)
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    optimizers = {id(variable) for variable in own}
    return own + [v for v in model.optimizer.variables if id(v) not in optimizers]


class _Share(Ordered):
    """The rows of one process in each batch of all."""

    def __init__(self, *arrays, rank, count, **options):
        self.rank, self.count = rank, count
        super().__init__(*arrays, **options)
        if self.samples % self.batch_size < count and self.samples % self.batch_size:
            self.steps -= 1 if count > 1 else 0

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        each = len(rows) // self.count
        rows = rows[self.rank * each : (self.rank + 1) * each]
        return keras.tree.map_structure(lambda a: a[rows], self.parts)
