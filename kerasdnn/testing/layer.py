"""`check_layer`: everything a layer must do to be used in anybody's model."""

import pathlib
import tempfile
import warnings

from kerasdnn.testing import workers
from kerasdnn.testing.configs import rebuild, require_arguments
from kerasdnn.testing.precision import require_precision
from kerasdnn.testing.probes import AttachMask, SeenMask
from kerasdnn.testing.report import Report, arrays_of, init_arguments, is_float, narrow
from kerasdnn.testing.shapes import Unanswerable, computed_shapes, dtypes_of, names, shape_list

import keras
import numpy as np
from keras import tree


def check_layer(
    cls,
    init_kwargs,
    x,
    *,
    call_kwargs=None,
    expected_output_shape=None,
    expected_weights=None,
    supports_masking=None,
    precisions=("float32", "mixed_float16", "mixed_bfloat16"),
    backends="installed",
    rtol=1e-4,
    atol=1e-5,
):
    """Checks that a layer works in anybody's model; for your own layers, too.

    In order: `get_config` mirrors `__init__`, is JSON and rebuilds the layer; weight counts;
    `compute_output_shape`, eager and symbolic shapes and dtypes agree; the mask; one `fit` step in
    a functional model; each precision policy; save and reload in a new process without custom
    objects; equal inference outputs on TensorFlow, JAX and Torch.

    Args:
        cls: the layer class, at the top level of a module and registered for saving.
        init_kwargs: dict, or a function that returns one. Use a function when the arguments hold
            layers or other Keras objects, which must not be shared between instances.
        x: array, or a tuple of the positional inputs of `call`, each an array or a list of them.
            The first axis is the batch. 64 bits become 32, as everywhere in Keras.
        call_kwargs: dict of further plain arguments of `call`. Default none.
        expected_output_shape: tuple with the batch size of `x`, or the structure of tuples that
            the layer returns. Default: not compared.
        expected_weights: `(trainable, non_trainable, seed_generators)` counts. Default: not
            compared.
        supports_masking: True when the mask of the first input must come out unchanged, False
            when it must not come out. Default None: not checked.
        precisions: dtype policies to try.
        backends: `"installed"`, or a sequence of `"tensorflow"`, `"jax"`, `"torch"` to compare
            with. With `KERASDNN_TEST_BACKENDS=none` in the environment there are none.
        rtol: float, relative tolerance between processes. Default 1e-4.
        atol: float, absolute tolerance between processes. Default 1e-5.

    Returns:
        Report: what was checked, and what was not and why.

    Raises:
        CheckError: an AssertionError that says what was expected and what came.

    Example:
    >>> from kerasdnn.testing import check_layer
    >>> x = np.ones((2, 3), "float32")
    >>> report = check_layer(keras.layers.Dense, {"units": 4}, x, backends=())
    >>> "reload" in report.done
    True
    """
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float32")
        check = _LayerCheck(cls, init_kwargs, x, call_kwargs or {})
        check.config()
        check.shapes(expected_output_shape)
        check.weights(expected_weights)
        check.mask(supports_masking)
        check.fit()
        check.precision(precisions)
        check.processes(backends, rtol, atol)
    finally:
        keras.config.set_dtype_policy(policy)
    return check.report


class _LayerCheck:
    """The checks of one layer, each a method."""

    def __init__(self, cls, init_kwargs, x, call_kwargs):
        self.cls = cls
        self.init_kwargs = init_kwargs
        self.x = narrow(x if isinstance(x, tuple) else (x,))
        self.call_kwargs = call_kwargs
        self.report = Report(cls.__name__)

    def make(self):
        return self.cls(**init_arguments(self.init_kwargs))

    def call(self, layer):
        return layer(*tree.map_structure(keras.ops.convert_to_tensor, self.x), **self.call_kwargs)

    def model(self, layer):
        """A functional model with a free batch size around the layer."""
        inputs = tree.map_structure(lambda a: keras.Input(a.shape[1:], dtype=a.dtype), self.x)
        outputs = layer(*inputs, **self.call_kwargs)
        flat = tree.flatten(inputs)
        return keras.Model(flat[0] if len(flat) == 1 else flat, outputs)

    def config(self):
        given = init_arguments(self.init_kwargs)
        layer = self.cls(**given)
        require_arguments(self.report, layer, given)
        rebuild(self.report, layer)
        self.report.done.append("config")

    def shapes(self, expected):
        report, layer = self.report, self.make()
        eager = self.call(layer)
        symbolic_layer = self.make()
        symbolic = self.model(symbolic_layer).output
        eager_shapes = [tuple(leaf.shape) for leaf in tree.flatten(eager)]
        if expected is not None:
            wanted = shape_list(expected)
            report.require(
                eager_shapes == wanted,
                f"expected output shape {names(wanted)}; received {names(eager_shapes)}.",
            )
        free = [(None, *shape[1:]) for shape in eager_shapes]
        symbolic_shapes = [tuple(leaf.shape) for leaf in tree.flatten(symbolic)]
        report.require(
            symbolic_shapes == free,
            f"expected the symbolic output shape {names(free)} of the eager call; received "
            f"{names(symbolic_shapes)}.",
        )
        dtypes = [dtypes_of(eager), dtypes_of(symbolic)]
        report.require(
            dtypes[0] == dtypes[1],
            f"expected the symbolic output dtype {names(dtypes[0])} of the eager call; received "
            f"{names(dtypes[1])}.",
        )
        self._computed_shape(layer, eager_shapes, batch=self.batch)
        self._computed_shape(symbolic_layer, free, batch=None)
        counts = [len(layer.weights), len(symbolic_layer.weights)]
        report.require(
            counts[0] == counts[1],
            f"expected the symbolic call to build the {counts[0]} weights of the eager call; "
            f"received {counts[1]}.",
        )
        report.done.append("shapes")

    @property
    def batch(self):
        return tree.flatten(self.x)[0].shape[0]

    @property
    def flat_x(self):
        """The inputs as `model` takes them."""
        flat = tree.flatten(self.x)
        return flat[0] if len(flat) == 1 else flat

    def _computed_shape(self, layer, shapes, batch):
        try:
            computed = computed_shapes(layer, self.x, self.call_kwargs, batch)
        except Unanswerable as reason:
            self.report.skipped["compute_output_shape"] = str(reason)
            return
        self.report.require(
            computed == shapes,
            f"expected compute_output_shape to return {names(shapes)}, the shape of the call; "
            f"received {names(computed)}.",
        )

    def weights(self, expected):
        if expected is None:
            return
        layer = self.make()
        self.call(layer)
        # `variables` are the weights and the state of each seed generator.
        counts = (
            len(layer.trainable_weights),
            len(layer.non_trainable_weights),
            len(layer.variables) - len(layer.weights),
        )
        self.report.require(
            counts == tuple(expected),
            "expected (trainable, non-trainable, seed generators) to be "
            f"{tuple(expected)}; received {counts}.",
        )
        self.report.done.append("weights")

    def mask(self, supports_masking):
        if supports_masking is None:
            return
        first, *others = self.x
        sample = tree.flatten(first)[0]
        mask = np.ones(sample.shape[: min(2, sample.ndim - 1)], dtype="bool")
        mask[..., -1] = False  # the last step, or the last sample, is padding
        layer, seen = self.make(), SeenMask()
        masked = tree.map_structure(AttachMask(mask), first)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of a dropped mask; the check says it
            outputs = layer(masked, *others, **self.call_kwargs)
        seen(tree.flatten(outputs)[0])
        if supports_masking:
            self.report.require(
                seen.seen is not None, "expected the mask of the input to come out; none came."
            )
            self.report.require(
                np.array_equal(keras.ops.convert_to_numpy(seen.seen), mask),
                "expected the mask of the input to come out unchanged; another one came.",
            )
        else:
            self.report.require(
                seen.seen is None, "expected that no mask comes out; one of the input came."
            )
        self.report.done.append("mask")

    def fit(self):
        layer = self.make()
        inner = self.model(layer)
        floats = [leaf for leaf in tree.flatten(inner.output) if is_float(leaf)]
        self.report.require(floats, "expected at least one output of floats to train on; none.")
        # A dense head makes a loss out of every output and has weights where the layer has none.
        heads = [keras.layers.Dense(1)(keras.layers.Flatten()(leaf)) for leaf in floats]
        head = heads[0] if len(heads) == 1 else keras.layers.Concatenate()(heads)
        model = keras.Model(inner.input, head)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        before = arrays_of(layer.trainable_weights)
        target = np.ones((self.batch, len(heads)), "float32")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Gradients do not exist")  # checked below
            history = model.fit(self.flat_x, target, batch_size=self.batch, verbose=0)
        self.report.finite([np.asarray(history.history["loss"])], "in the loss of one fit step")
        after = arrays_of(layer.trainable_weights)
        self.report.finite(arrays_of(layer.weights), "in the weights after one fit step")
        moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        self.report.require(
            any(moved) or not moved,
            "expected one fit step to change a trainable weight; none changed, so no gradient "
            "reaches them.",
        )
        self.report.done.append("fit")

    def precision(self, precisions):
        reference = self.make()
        expected = arrays_of(self.call(reference))
        for policy in precisions:
            keras.config.set_dtype_policy(policy)
            layer = self.make()
            self.call(layer)  # builds
            keras.config.set_dtype_policy("float32")
            # As in a new process: the policy must travel in the config, to inner layers as well.
            again = self.cls.from_config(layer.get_config())
            self.call(again)
            for instance, where in (
                (layer, f"under {policy}"),
                (again, f"of the layer rebuilt from its config of {policy}"),
            ):
                instance.set_weights(reference.get_weights())
                require_precision(self.report, self.call(instance), expected, policy, where)
        self.report.done.append("precision")

    def processes(self, backends, rtol, atol):
        model = self.model(self.make())
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "layer.keras")
            model.save(path)
            workers.compare(
                self.report,
                "predict",
                path,
                self.flat_x,
                arrays_of(model(self.flat_x, training=False)),
                classes=[self.cls],
                backends=backends,
                rtol=rtol,
                atol=atol,
            )
