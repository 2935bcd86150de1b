"""`check_loss`: everything a loss must do to be compiled into anybody's model."""

import inspect
import json
import pathlib
import tempfile

from kerasdnn.testing import workers
from kerasdnn.testing.configs import rebuild, require_arguments
from kerasdnn.testing.probes import Offset, OffsetLoss
from kerasdnn.testing.report import Report, arrays_of, init_arguments, is_float, narrow

import keras
import numpy as np
from keras import ops, tree


def check_loss(
    cls,
    init_kwargs,
    y_true=None,
    y_pred=None,
    *,
    call_args=None,
    backends="installed",
    rtol=1e-4,
    atol=1e-5,
):
    """Checks that a loss works in anybody's model; for your own losses, too.

    In order: the config rebuilds the loss; the value is one finite float32 number; float16 inputs
    give the value of the same numbers in float32; reductions and `sample_weight` (where the loss
    has a value for each entry); the gradient is finite and reaches the predictions through a
    compiled model; save and reload in a new process without custom objects; equal values on
    TensorFlow, JAX and Torch.

    Args:
        cls: the loss class, at the top level of a module and registered for saving.
        init_kwargs: dict, or a function that returns one.
        y_true: array, the first argument of the call.
        y_pred: array of floats, the second argument of the call.
        call_args: tuple of the arguments, arrays in lists or tuples or None, for a loss of another
            call form; then `y_true` and `y_pred` stay away, and what needs them is skipped.
        backends: as in `check_layer`.
        rtol: float, relative tolerance between processes. Default 1e-4.
        atol: float, absolute tolerance between processes. Default 1e-5.

    Returns:
        Report: what was checked, and what was not and why.

    Raises:
        CheckError: an AssertionError that says what was expected and what came.
        TypeError: neither `call_args` nor both `y_true` and `y_pred`.

    Example:
    >>> from kerasdnn.testing import check_loss
    >>> y = np.ones((4, 3), "float32")
    >>> report = check_loss(keras.losses.MeanSquaredError, {}, y, y / 2, backends=())
    >>> "sample_weight" in report.done
    True
    """
    standard = call_args is None
    if standard and (y_true is None or y_pred is None):
        raise TypeError(
            "check_loss expects y_true and y_pred, or call_args; received neither in full. Pass "
            "two arrays, or the tuple of arguments that the loss is called with."
        )
    arguments = (y_true, y_pred) if standard else tuple(call_args)
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float32")
        check = _LossCheck(cls, init_kwargs, arguments)
        check.config()
        check.value()
        check.float16()
        if standard:
            check.reductions()
            check.compiled_gradient()
        else:
            check.report.skipped["sample_weight"] = "not of the form (y_true, y_pred)"
            check.gradient()
        check.processes(standard, backends, rtol, atol)
    finally:
        keras.config.set_dtype_policy(policy)
    return check.report


class _LossCheck:
    """The checks of one loss, each a method."""

    def __init__(self, cls, init_kwargs, arguments):
        self.cls = cls
        self.init_kwargs = init_kwargs
        self.arguments = narrow(arguments)
        self.report = Report(cls.__name__)

    def make(self, **changed):
        return self.cls(**{**init_arguments(self.init_kwargs), **changed})

    def number(self, loss, arguments):
        value = loss(*arguments)
        self.report.require(
            tuple(value.shape) == (), f"expected one number; received shape {tuple(value.shape)}."
        )
        dtype = keras.backend.standardize_dtype(value.dtype)
        self.report.require(dtype == "float32", f"expected a float32 number; received {dtype}.")
        return float(value)

    def config(self):
        given = init_arguments(self.init_kwargs)
        loss = self.cls(**given)
        require_arguments(self.report, loss, given)
        again = rebuild(self.report, loss)
        values = [self.number(instance, self.arguments) for instance in (loss, again)]
        self.report.require(
            np.isclose(*values),
            f"expected the loss rebuilt from its config to give {values[0]}; received {values[1]}.",
        )
        self.report.done.append("config")

    def value(self):
        value = self.number(self.make(), self.arguments)
        self.report.finite([np.asarray(value)], "in the value")
        self.report.done.append("value")

    def float16(self):
        # The same rounded numbers in both widths, so that only the arithmetic can differ.
        half = _cast(self.arguments, "float16")
        value = self.number(self.make(), half)
        expected = self.number(self.make(), _cast(half, "float32"))
        self.report.require(
            np.isfinite(value) and np.isclose(value, expected, rtol=1e-3, atol=1e-4),
            f"expected float16 inputs to give {expected:.6g}, the value in float32; received "
            f"{value:.6g}. Cast to float32 before exponentials and sums.",
        )
        self.report.done.append("float16")

    def reductions(self):
        parameters = inspect.signature(self.cls.__init__).parameters
        if "reduction" not in parameters:
            self.report.skipped["sample_weight"] = "__init__ takes no reduction"
            return
        entries = arrays_of(self.make(reduction=None)(*self.arguments))[0]
        if entries.ndim == 0:
            self.report.skipped["sample_weight"] = "the loss has no value for each entry"
            return
        weight = np.linspace(0, 3, entries.size, dtype="float32").reshape(entries.shape)
        for name, reduce in (("sum", np.sum), ("sum_over_batch_size", np.mean)):
            loss = self.make(reduction=name)
            pairs = (
                (loss(*self.arguments), reduce(entries), "the entries"),
                (loss(*self.arguments, weight), reduce(entries * weight), "the weighted entries"),
            )
            for got, want, what in pairs:
                self.report.require(
                    np.isclose(float(got), want, rtol=1e-4),
                    f"expected reduction {name!r} of {what} to be {want:.6g}; received "
                    f"{float(got):.6g}.",
                )
        self.report.done.append("sample_weight")

    def compiled_gradient(self):
        y_true, y_pred = self.arguments
        offset = Offset(y_pred.shape)
        model = keras.Sequential([keras.Input(batch_shape=y_pred.shape), offset])
        model.compile(keras.optimizers.SGD(1.0), self.make())
        model.fit(y_pred, y_true, batch_size=len(y_pred), verbose=0)
        self._require_gradient(arrays_of([offset.offset]))

    def gradient(self):
        layer = OffsetLoss(self.make(), self.arguments, is_float)
        inputs = keras.Input((1,))
        model = keras.Model(inputs, layer(inputs))
        model.compile(keras.optimizers.SGD(1.0))
        model.fit(np.zeros((1, 1), "float32"), verbose=0)
        self._require_gradient(arrays_of([o.offset for o in layer.offsets if o is not None]))

    def _require_gradient(self, steps):
        self.report.finite(steps, "in the gradient")
        self.report.require(
            any(np.any(step) for step in steps),
            "expected a gradient by the predictions; it is zero everywhere.",
        )
        self.report.done.append("gradient")

    def processes(self, standard, backends, rtol, atol):
        loss = self.make()
        expected = [np.asarray(self.number(loss, self.arguments), dtype="float32")]
        with tempfile.TemporaryDirectory() as folder:
            if standard:
                task, path = "compiled_loss", pathlib.Path(folder, "loss.keras")
                model = keras.Sequential(
                    [keras.Input(self.arguments[1].shape[1:]), keras.layers.Activation("linear")]
                )
                model.compile("sgd", loss)
                model.save(path)
            else:
                task, path = "loss", pathlib.Path(folder, "loss.json")
                path.write_text(json.dumps(keras.saving.serialize_keras_object(loss)))
            workers.compare(
                self.report,
                task,
                path,
                self.arguments,
                expected,
                classes=[self.cls],
                backends=backends,
                rtol=rtol,
                atol=atol,
            )


def _cast(arguments, dtype):
    """Casts the arrays of floats and leaves the others alone."""
    return tree.map_structure(lambda a: ops.cast(a, dtype) if is_float(a) else a, arguments)
