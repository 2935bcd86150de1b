"""Saves a training so that it can be gone on with to the bit."""

import sys
import time

from kerasdnn import backend, training_state
from kerasdnn.checkpoint import Checkpoints
from kerasdnn.errors import InputError

import keras


class ExactResume(keras.callbacks.Callback):
    """Saves all that a training consists of, and restores it, so that nothing is lost or repeated.

    A state holds the weights, batch-norm statistics, queues and momentum encoders, the states of
    all random number generators (dropout, augmentation, Python, NumPy, backend), the optimizer with
    its step, moments, average and loss scale, the history, and the other `callbacks`. What
    `keras.callbacks.BackupAndRestore` leaves out: random generators, callbacks, the position in
    the epoch. See `kerasdnn.checkpoint.Checkpoints` for the files.

    In `model.fit` it goes on at the beginning of the epoch that was interrupted, exactly if the
    order of the data is a function of the epoch: `shuffle=False` in `fit`, and for another order
    in every epoch `kerasdnn.data.Ordered` as data (give it here too). `kerasdnn.saving.exact_fit`
    does all of it, and can also go on in the middle of an epoch, with `every` a number of steps.

    Args:
        directory: str or path of a folder of its own for this training.
        every: "epoch", or after how many steps to save; a number needs `exact_fit`. Defaults to
            "epoch".
        keep: int, how many states to keep, 2 or more. Defaults to 2.
        data: `kerasdnn.data.Ordered`, `OrderedBatches` or `Pipeline`, the data of the training, or
            None. Defaults to None.
        callbacks: the other callbacks of the training, whose state is kept: that of
            `get_state()`, to be given to `set_state(state)`, or else plain attributes.
        min_seconds: float, an epoch ends without saving when the last state is younger than this.
            Defaults to 0.0.
        facts: dict of more that must be the same for a training to be gone on with.
        say: function that is given a sentence to print. Defaults to the standard error stream.

    Raises:
        InputError: the folder cannot be used, all its states are damaged, or they belong to
            another model, other data, other versions (it is said which).

    Example:
    >>> import tempfile
    >>> import numpy as np
    >>> x, y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> folder = tempfile.mkdtemp()
    >>> _ = model.fit(x, y, epochs=2, verbose=0, shuffle=False, callbacks=[ExactResume(folder)])
    >>> again = keras.models.clone_model(model)
    >>> again.compile("adam", "mse")
    >>> on = again.fit(x, y, epochs=4, verbose=0, shuffle=False, callbacks=[ExactResume(folder)])
    >>> on.epoch  # the first two epochs are not repeated
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        directory,
        every="epoch",
        *,
        keep=2,
        data=None,
        callbacks=(),
        min_seconds=0.0,
        facts=None,
        say=None,
    ):
        super().__init__()
        if every != "epoch" and (isinstance(every, bool) or int(every) != every or every < 1):
            raise ValueError(
                f'ExactResume expects every="epoch" or a number of steps; received {every!r}. '
                "Give for example every=100."
            )
        self.directory, self.every, self.keep = directory, every, keep
        self.data, self.given, self.callbacks = data, list(callbacks), list(callbacks)
        self.min_seconds, self.more_facts = min_seconds, dict(facts or {})
        self.say = say or (lambda text: print(text, file=sys.stderr))
        self.in_exact_fit = False
        self.stop_reason = None  # set by a signal: save and leave at the next step
        self.states, self.state, self._facts = None, None, None
        self.epoch, self.start = 0, 0
        self._drawn = None

    def open(self):
        """Locks the folder and reads its newest state, if there is one; returns it or None."""
        if self.states is None:
            self.states = Checkpoints(self.directory, self.keep, self.say)
        if self.data is not None and "data" not in self.more_facts:
            self.more_facts["data"] = self.data.facts()  # now: it looks at the first batch
        self.state = self.states.newest()
        if self.state is not None:
            self.epoch, self.start = self.state.meta["epoch"], self.state.meta["batch"]
        return self.state

    def close(self):
        """Gives the folder free."""
        if self.states is not None:
            self.states.close()
        self.states = None

    def on_train_begin(self, logs=None):
        model = self.model
        if self.in_exact_fit and self.states is None:
            return
        if not self.in_exact_fit:
            if self.every != "epoch":
                raise ValueError(
                    f"ExactResume(every={self.every}) can begin inside an epoch only in "
                    'kerasdnn.saving.exact_fit. Use that, or every="epoch".'
                )
            self.callbacks = [c for c in self.given if c is not self]
            if self.model.history not in self.callbacks:
                self.callbacks.append(self.model.history)
            self.open()
            if self.start:
                raise InputError(
                    f"The state in {self.directory} stands in the middle of an epoch, where `fit` "
                    "cannot begin. Go on with kerasdnn.saving.exact_fit."
                )
        if model.built and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self.saved_at = time.monotonic()
        if self.state is None:
            if model.built:  # an error in the first step can leave a model on JAX without weights
                self.save(self.epoch, 0)
            return
        self.restore()
        if not self.in_exact_fit:
            stopped = self.state.meta["stop_training"]
            # As keras.callbacks.BackupAndRestore does it.
            model._initial_epoch = self.params["epochs"] if stopped else self.epoch
        self.say(f"going on with {self.where(self.epoch, self.start)} of {self.directory}")

    def restore(self):
        """Puts back the state that `open` has read.

        Raises:
            InputError: it belongs to another training, and what differs.
        """
        model, state = self.model, self.state
        found = training_state.difference(state.meta["facts"], self.facts(model))
        if found:
            raise InputError(
                f"The state in {self.directory} belongs to another training: {found[0]} was "
                f"{found[1]} and is {found[2]}. Train as before, or use another folder."
            )
        training_state.restore(model, self.callbacks, state.arrays, state.meta)

    def facts(self, model):
        """Returns what must be the same for a training to be gone on with."""
        built = len(model.variables)
        if self._facts is None or self._facts[0] != built:
            own = training_state.facts(model, self.callbacks)
            self._facts = built, training_state.plain({**self.more_facts, **own})
        return self._facts[1]

    def _restore_callbacks(self):
        """Again, for those that come after this one and have just begun anew, as History does."""
        if self.state is not None and not self.in_exact_fit:
            training_state.restore_callbacks(self.callbacks, self.state.arrays, self.state.meta)

    def on_epoch_begin(self, epoch, logs=None):
        self._restore_callbacks()
        if not self.in_exact_fit and epoch > self.epoch:
            self._save_epoch(epoch)  # here, because History comes after this callback
        if self.data is not None:
            self.data.begin(epoch)
        resumed = self.state is not None and epoch == self.epoch and self.start
        self.saved_step = self.start if resumed else 0
        if resumed:
            training_state.restore_metrics(self.model, self.state.arrays, self.state.meta)
        self.epoch, self.state, self.start = epoch, None, 0
        self._drawn = backend.current().get_rng_state()

    def on_train_batch_begin(self, batch, logs=None):
        if self._drawn is not None:
            # Torch's data loader draws when it begins, which a resumed epoch does once more.
            backend.current().set_rng_state(self._drawn)
            self._drawn = None
        # The state after the step before. Not in on_train_batch_end: a callback that has it makes
        # JAX and Torch wait for the end of every step.
        due = self.every != "epoch" and batch // self.every > self.saved_step // self.every
        if self.stop_reason is not None:
            self.save(self.epoch, batch)
            self.stop_reason.position = (self.epoch, batch)
            raise self.stop_reason
        if due:
            self.save(self.epoch, batch)
            self.saved_step = batch

    def on_epoch_end(self, epoch, logs=None):
        if self.in_exact_fit:
            self._save_epoch(epoch + 1)
            if self.stop_reason is not None:
                self.stop_reason.position = (self.epoch, 0)
                raise self.stop_reason

    def on_train_end(self, logs=None):
        if not self.in_exact_fit:
            self._restore_callbacks()
            if self.state is None:  # else there was nothing left to train
                self.save(self.epoch + 1, 0)
            self.model._initial_epoch = None
            self.close()

    def _save_epoch(self, epoch):
        self.epoch = epoch
        if self.states is None:
            return
        asked = self.stop_reason is not None or self.model.stop_training
        if asked or time.monotonic() - self.saved_at >= self.min_seconds:
            self.save(epoch, 0)

    def save(self, epoch, batch, **more):
        """Saves the state before step `batch` of `epoch`; says so when it cannot."""
        if self.states is None:
            return False
        arrays = {}
        model = self.model
        meta = training_state.capture(model, self.callbacks, arrays)
        meta.update(epoch=epoch, batch=batch, facts=self.facts(model), **more)
        try:
            self.states.save(arrays, meta)
        except OSError as error:
            self.say(
                f"the state at {self.where(epoch, batch)} could not be saved "
                f"({(error.strerror or str(error)).lower()}); the one before is still there"
            )
            return False
        self.saved_at = time.monotonic()
        return True

    @staticmethod
    def where(epoch, batch):
        """Returns the words for a position in a training."""
        return f"epoch {epoch + 1}, step {batch + 1}" if batch else f"epoch {epoch + 1}"
