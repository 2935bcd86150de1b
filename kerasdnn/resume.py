"""Training that can be killed at any step and gone on with to the bit."""

import contextlib
import signal
import threading

from kerasdnn import training_state
from kerasdnn.callbacks.exact_resume import ExactResume
from kerasdnn.callbacks.stop_on_nan import StopOnNaN
from kerasdnn.data.ordered import Ordered, OrderedBatches
from kerasdnn.errors import InputError

import keras
import numpy as np

_OUT_OF_MEMORY = (
    "MemoryError",
    "ResourceExhausted",
    "RESOURCE_EXHAUSTED",
    "OutOfMemory",
    "can't allocate memory",
)


def exact_fit(
    model,
    x,
    y=None,
    *,
    epochs,
    batch_size=32,
    resume_dir=None,
    seed=0,
    validation_data=None,
    callbacks=(),
    verbose=0,
    every="epoch",
    keep=2,
    sample_weight=None,
    class_weight=None,
    shuffle=True,
    min_seconds=0.0,
    facts=None,
    say=None,
    **options,
):
    """Trains as `model.fit` does; killed at any moment and called again, it goes on exactly.

    The training that was interrupted and the one that was not end with the same weights, optimizer
    state, statistics, history and callbacks, equal to the bit where the backend is deterministic:
    the same machine, number of threads, versions and backend, on a GPU after
    `seed_everything(seed, deterministic=True)`. The order of the data is a function of `seed` and
    the epoch. Ctrl-C and SIGTERM finish the step, save and leave; a second one leaves at once.

    Args:
        model: compiled `keras.Model`.
        x: array or nested arrays, `keras.utils.PyDataset` (see `kerasdnn.data.OrderedBatches` for
            what is asked of it), or a `kerasdnn.data.Pipeline`.
        y: array or nested arrays, the targets; None if `x` holds them.
        epochs: int, the epoch to train up to; may be raised when a training is gone on with.
        batch_size: int, for arrays. Defaults to 32.
        resume_dir: str or path of a folder of its own for the state of this training; None trains
            without saving. Defaults to None.
        seed: int, of the order of the data. Defaults to 0.
        validation_data: as in `fit`. Defaults to None.
        callbacks: Keras callbacks. Their state is kept as `ExactResume` says.
        verbose: as in `fit`. Defaults to 0.
        every: "epoch", or after how many steps to save. Defaults to "epoch".
        keep: int, how many states to keep, 2 or more. Defaults to 2.
        sample_weight: array or None, for arrays. Defaults to None.
        class_weight: dict or None, as in `fit`. Defaults to None.
        shuffle: bool. Defaults to True.
        min_seconds: float, an epoch ends without saving when the last state is younger.
        facts: dict of more that must be the same for a training to be gone on with.
        say: function that is given a sentence to print. Defaults to the standard error stream.
        **options: `validation_freq`, `validation_steps`, `validation_batch_size` of `fit`.

    Returns:
        keras.callbacks.History of the whole training.

    Raises:
        InputError: the folder cannot be used, all its states are damaged, or they belong to
            another training (it is said what differs).

    Example:
    >>> import tempfile
    >>> x, y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> exact_fit(model, x, y, epochs=2, resume_dir=tempfile.mkdtemp()).epoch
    [0, 1]
    """
    data = _source(x, y, sample_weight, batch_size, seed, shuffle)
    history = keras.callbacks.History()
    kept = [*callbacks, history]
    resume = ExactResume(
        "" if resume_dir is None else resume_dir,
        every,
        keep=keep,
        data=data,
        callbacks=kept,
        min_seconds=min_seconds,
        facts=facts,
        say=say,
    )
    resume.in_exact_fit = True
    for callback in callbacks:
        if isinstance(callback, StopOnNaN) and callback.data is None:
            callback.data = data
    if hasattr(model, "check_data"):  # what the model would say to arrays in `fit`
        model.check_data(x, batch_size)
    calls = _OneTraining(
        [*kept, resume],
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=data.steps,
    )
    options.update(
        validation_data=validation_data,
        callbacks=calls,
        class_weight=class_weight,
        verbose=verbose,
        shuffle=False,
    )
    try:
        state = resume.open() if resume_dir is not None else None
        if state is not None or not model.built:
            _build(model, data)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        calls.set_model(model)
        if state is not None and state.meta.get("finished") and state.meta["epoch"] >= epochs:
            resume.restore()
            return history
        with _signals(resume):
            _fit(model, data, resume, epochs, calls, options)
        if resume_dir is not None:
            resume.save(max(epochs, resume.epoch), 0, finished=True)
    except _Stopped as stop:
        resume.say(
            f"{stop.name}: stopped before {resume.where(*stop.position)}"
            + (f", which is saved in {resume_dir}" if resume_dir is not None else "")
        )
        stop.leave()
        raise
    except Exception as error:
        _recover(model, resume)
        better = _explained(error, data)
        if better is None:
            raise
        raise better from error
    finally:
        resume.close()
    return history


def _source(x, y, sample_weight, batch_size, seed, shuffle):
    if isinstance(x, Ordered | OrderedBatches):
        return x
    on_tensorflow = keras.backend.backend() == "tensorflow"
    if isinstance(x, keras.utils.PyDataset):
        if not on_tensorflow:
            return OrderedBatches(x, seed=seed, shuffle=shuffle)
        from kerasdnn.data.pipeline import BatchPipeline

        return BatchPipeline(x, seed=seed, shuffle=shuffle)
    if not hasattr(x, "__array__") and hasattr(x, "element_spec"):
        raise InputError(
            "An exact resume needs data that can begin inside an epoch; a tf.data.Dataset cannot. "
            "Give arrays, a keras.utils.PyDataset or a kerasdnn.data.Pipeline."
        )
    options = {"batch_size": batch_size, "seed": seed, "shuffle": shuffle}
    if on_tensorflow:
        from kerasdnn.data.pipeline import Pipeline

        return Pipeline(x, y, sample_weight, **options)  # its threads gather batches ahead
    return Ordered(x, y, sample_weight, **options)


def _build(model, data):
    """Makes every variable of the model and of its metrics, as the first step would."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data[0])
    eager, model.run_eagerly = model.run_eagerly, True  # nothing is compiled for it
    model.test_function = None
    model.test_on_batch(x, y, sample_weight=sample_weight)
    model.run_eagerly, model.test_function = eager, None


def _fit(model, data, resume, epochs, calls, options):
    """Trains the rest of a broken epoch, then the others, as one training to the callbacks."""
    epoch, start = resume.epoch, resume.start
    if resume.state is not None and resume.state.meta["stop_training"]:
        epoch, start = epochs, 0
    if start:
        calls.kept, calls.first_step = [], start
        model.fit(data.rest(start), initial_epoch=epoch, epochs=epoch + 1, **options)
        epoch = epochs if model.stop_training else epoch + 1
        if epoch < epochs:  # the end of `fit` may have put averages in place of the weights
            for variable, value in zip(model.trainable_variables, calls.kept):
                variable.assign(value)
        calls.kept, calls.first_step = None, 0
    if epoch < epochs or not start:
        model.fit(data.rest(0), initial_epoch=min(epoch, epochs), epochs=epochs, **options)
    calls.finish()


class _OneTraining(keras.callbacks.CallbackList):
    """Callbacks that see several calls of `fit` as one training."""

    def __init__(self, callbacks, **params):
        super().__init__(callbacks, **params)
        self._begun, self._logs, self.kept = False, None, None
        self.first_step = 0  # where in the epoch the first batch of `fit` stands

    def on_train_begin(self, logs=None):
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch + self.first_step, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch + self.first_step, logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._logs = logs
        if self.kept is not None:
            weights = self._model.trainable_variables
            self.kept = [np.array(keras.ops.convert_to_numpy(v)) for v in weights]

    def on_train_end(self, logs=None):
        pass  # comes from `finish`

    def finish(self):
        super().on_train_end(self._logs)


class _Stopped(BaseException):
    """A signal has asked for the end; the state is saved."""

    def __init__(self, signum):
        super().__init__()
        self.signum = signum
        self.name = "Ctrl-C" if signum == signal.SIGINT else "SIGTERM"
        self.position = (0, 0)

    def leave(self):
        """Ends as the program would have ended without us."""
        if self.signum == signal.SIGINT:
            raise KeyboardInterrupt from None
        signal.raise_signal(self.signum)


@contextlib.contextmanager
def _signals(resume):
    """Lets Ctrl-C and SIGTERM wait for the end of the step; a second one does not wait."""
    if resume.states is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def give_back():
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)

    def stop(number, frame):
        give_back()
        resume.stop_reason = _Stopped(number)

    for number, handler in before.items():
        if handler not in (None, signal.SIG_IGN):
            signal.signal(number, stop)
    try:
        yield
    finally:
        give_back()


def _recover(model, resume):
    """Puts the last state back into a model that an error has left without weights.

    Keras on JAX takes the weights out of the model for a step, and an error of the data source in
    the first step of a `fit` loses them.
    """
    try:
        keras.ops.convert_to_numpy(next(iter(model.variables), 0.0))
    except Exception:
        state = resume.states.newest() if resume.states is not None else None
        if state is not None:
            training_state.restore(model, resume.callbacks, state.arrays, state.meta)


def _explained(error, data):
    """Returns an error that says more than the one that came, or None."""
    own = getattr(data, "error", None)  # the data set's own words, which TensorFlow buries
    text = f"{type(own or error).__name__} {own or error}"
    if not isinstance(error, InputError) and any(word in text for word in _OUT_OF_MEMORY):
        size = getattr(data, "batch_size", None)
        return InputError(
            f"The memory is too small for this training{f' with batches of {size}' if size else ''}"
            ". Halve the batch size; with gradient_accumulation_steps=2 in the optimizer the steps "
            "stay as large."
        )
    return None if own is error else own
