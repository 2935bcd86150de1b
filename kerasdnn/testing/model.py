"""`check_model`: everything a compiled model must do to be trained, kept and reloaded."""

import pathlib
import tempfile

from kerasdnn.testing import workers
from kerasdnn.testing.report import Report, arrays_of

import keras
import numpy as np


def check_model(
    make_model,
    x,
    y=None,
    *,
    precisions=("float32", "mixed_float16", "mixed_bfloat16"),
    backends="installed",
    rtol=1e-4,
    atol=1e-5,
):
    """Checks that a model trains, predicts and survives saving; for your own models, too.

    Under each precision policy: one `fit` step with a finite loss that changes the weights,
    `evaluate`, `predict`, save, and reload in a new process without custom objects with the same
    outputs. In the first precision also on the other backends.

    Args:
        make_model: function without arguments that returns a fresh compiled model. Classes of
            your own must be at the top level of its module and registered for saving.
        x: array, or arrays in a list or dictionary, as `fit` takes them. One batch.
        y: targets as `fit` takes them. Default None: the model needs none.
        precisions: dtype policies to try, in order.
        backends: as in `check_layer`.
        rtol: float, relative tolerance between processes. Default 1e-4; in half precision 100
            times of it.
        atol: float, absolute tolerance between processes. Default 1e-5; in half precision 1000
            times of it.

    Returns:
        Report: what was checked, and what was not and why.

    Raises:
        CheckError: an AssertionError that says what was expected and what came.

    Example:
    >>> from kerasdnn.testing import check_model
    >>> def make_model():
    ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> x = np.ones((4, 3), "float32")
    >>> report = check_model(make_model, x, x[:, :1], precisions=["float32"], backends=())
    >>> report.done
    ['float32 fit', 'float32 evaluate', 'float32 predict', 'reload']
    """
    report = Report(getattr(make_model, "__name__", "model"))
    policy = keras.config.dtype_policy()
    try:
        for index, precision in enumerate(precisions):
            keras.config.set_dtype_policy(precision)
            _check_precision(
                report,
                make_model,
                x,
                y,
                precision,
                backends=() if index else backends,
                rtol=rtol if precision == "float32" else 100 * rtol,
                atol=atol if precision == "float32" else 1000 * atol,
            )
    finally:
        keras.config.set_dtype_policy(policy)
    return report


def _check_precision(report, make_model, x, y, precision, *, backends, rtol, atol):
    model = make_model()
    batch = len(keras.tree.flatten(x)[0])
    model(keras.tree.map_structure(keras.ops.convert_to_tensor, x))  # builds the weights
    before = arrays_of(model.trainable_weights)
    history = model.fit(x, y, batch_size=batch, verbose=0).history
    report.finite([np.asarray(v) for v in history.values()], f"in the logs of fit in {precision}")
    after = arrays_of(model.trainable_weights)
    report.finite(after, f"in the weights after one step in {precision}")
    # The first steps in float16 only lower the loss scale, so nothing need move there.
    moved = any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    report.require(
        moved or precision == "mixed_float16",
        f"expected one fit step in {precision} to change a weight; none changed.",
    )
    report.done.append(f"{precision} fit")
    logs = model.evaluate(x, y, batch_size=batch, verbose=0, return_dict=True)
    report.finite([np.asarray(v) for v in logs.values()], f"in the logs of evaluate in {precision}")
    report.done.append(f"{precision} evaluate")
    report.finite(
        arrays_of(model.predict(x, batch_size=batch, verbose=0)),
        f"in the predictions in {precision}",
    )
    report.done.append(f"{precision} predict")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        model.save(path)
        workers.compare(
            report,
            "predict",
            path,
            x,
            arrays_of(model(x, training=False)),
            classes=[make_model, type(model)],
            backends=backends,
            rtol=rtol,
            atol=atol,
        )
