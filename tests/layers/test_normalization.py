"""FusedBatchNormalization against Keras' own, and the conversion of models both ways."""

from kerasdnn.layers.convert import conversion_problem, fuse_batch_norm, unfuse_batch_norm
from kerasdnn.layers.normalization import FusedBatchNormalization
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

HAS_KERNEL = keras.backend.backend() != "jax"
# Share of the largest value: what the class docstring promises.
ROUNDING = {"float32": 1e-5, "mixed_bfloat16": 2**-7, "mixed_float16": 2**-10}
REDUCED = {"float32": 1e-5, "mixed_bfloat16": 1e-2, "mixed_float16": 2e-3}
needs_kernel = pytest.mark.skipif(not HAS_KERNEL, reason="JAX fuses by itself")


def images(shape=(6, 5, 4, 3), seed=0):
    return np.random.default_rng(seed).normal(2.0, 3.0, shape).astype("float32")


def pair(**config):
    """Keras' layer and ours with the same, non-trivial weights."""
    layers = [cls(**config) for cls in (keras.layers.BatchNormalization, FusedBatchNormalization)]
    rng = np.random.default_rng(1)
    for layer in layers:
        layer.build((None, 5, 4, 3))
    values = [rng.uniform(0.5, 2.0, weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(values)
    return layers


def assert_close(ours, theirs, tolerance):
    ours, theirs = (
        keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")) for v in (ours, theirs)
    )
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def gradients(layer, x, upstream):
    """Gradients of sum(layer(x) * upstream) by x and by the trainable weights, as one update.

    SGD with rate 1 subtracts the gradient, on every backend: x is a weight here.
    """

    class Source(keras.layers.Layer):
        def build(self, shape):
            self.x = self.add_weight(shape=x.shape, initializer="zeros", autocast=False)
            self.x.assign(x)

        def call(self, inputs):
            return keras.ops.cast(self.x, self.compute_dtype) + 0 * inputs

    source = Source()
    inputs = keras.Input(batch_shape=(6, 1, 1, 1))
    outputs = layer(source(inputs))
    model = keras.Model(inputs, keras.layers.Activation("linear", dtype="float32")(outputs))
    model.compile(
        keras.optimizers.SGD(1.0),
        loss=lambda y_true, y_pred: keras.ops.sum(y_pred * y_true),
        auto_scale_loss=False,
        run_eagerly=True,
    )
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.train_on_batch(np.zeros((6, 1, 1, 1), "float32"), upstream)
    after = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    return [b - a for a, b in zip(after, before, strict=True)]


def test_the_layer_harness():
    check_layer(
        FusedBatchNormalization,
        {"momentum": 0.8},
        images(),
        expected_output_shape=(6, 5, 4, 3),
        expected_weights=(2, 2, 0),
    )


@pytest.mark.parametrize("policy", ROUNDING)
@pytest.mark.parametrize("training", [True, False])
def test_values_and_statistics_are_those_of_keras(policy, training):
    theirs, ours = pair(momentum=0.7, dtype=policy)
    assert ours.is_fused == HAS_KERNEL
    x = keras.ops.cast(images(), theirs.compute_dtype)
    expected, got = theirs(x, training=training), ours(x, training=training)
    assert keras.backend.standardize_dtype(got.dtype) == theirs.compute_dtype
    assert_close(got, expected, ROUNDING[policy])
    for mine, keras_own in zip(ours.weights, theirs.weights, strict=True):
        assert_close(mine, keras_own, 1e-5)


@needs_kernel
@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (1, 1, 1, 3)])
def test_the_moving_variance_is_the_biased_one(shape):
    # With two values a channel the kernels' own variance is twice as large, with one undefined.
    _, layer = pair(momentum=0.0)
    x = images(shape)
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_variance, x.var((0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.moving_mean, x.mean((0, 1, 2)), rtol=1e-6)


@pytest.mark.parametrize("policy", ROUNDING)
@pytest.mark.parametrize("trainable", [True, False])
def test_gradients_are_those_of_keras(policy, trainable):
    theirs, ours = pair(dtype=policy)
    theirs.trainable = ours.trainable = trainable
    upstream = np.random.default_rng(2).normal(size=(6, 5, 4, 3)).astype("float32")
    # Away from zero mean, so that a missing term of the gradient shows.
    expected, got = (gradients(layer, images(), upstream) for layer in (theirs, ours))
    assert len(got) == (3 if trainable else 1)
    for index, (mine, keras_own) in enumerate(zip(got, expected, strict=True)):
        assert np.abs(keras_own).max() > 0.1
        assert_close(mine, keras_own, (REDUCED if index else ROUNDING)[policy])


def test_a_frozen_layer_is_in_inference_mode_and_keeps_its_statistics():
    theirs, ours = pair()
    theirs.trainable = ours.trainable = False
    before = ours.get_weights()
    assert_close(ours(images(), training=True), theirs(images(), training=True), 1e-5)
    for new, old in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_mask_takes_the_path_of_keras():
    theirs, ours = pair(momentum=0.0)
    mask = np.ones((6, 5, 4), bool)
    mask[:, :2] = False
    x = images()
    x[:, :2] = 1e3  # would ruin the statistics if it counted
    assert_close(ours(x, training=True, mask=mask), theirs(x, training=True, mask=mask), 1e-5)
    assert_close(ours.moving_mean, theirs.moving_mean, 1e-6)
    assert np.abs(keras.ops.convert_to_numpy(ours.moving_mean)).max() < 10


@pytest.mark.parametrize(
    ("config", "shape", "reason"),
    [
        ({"scale": False}, (4, 5, 5, 3), "scale=True"),
        ({"center": False}, (4, 5, 5, 3), "center=True"),
        ({"axis": 1}, (4, 5, 5, 3), "axis=1"),
        ({"epsilon": 1e-6}, (4, 5, 5, 3), "epsilon"),
        ({"dtype": "float64"}, (4, 5, 5, 3), "float64"),
        ({"renorm": True}, (4, 5, 5, 3), "renorm"),
        ({}, (4, 3), "rank 4"),
        ({}, (4, 5, 3), "rank 4"),
    ],
)
@needs_kernel
def test_what_the_kernel_cannot_do_falls_back_to_keras(config, shape, reason):
    theirs, ours = keras.layers.BatchNormalization(**config), FusedBatchNormalization(**config)
    x = images(shape)
    assert_close(ours(x, training=True), theirs(x, training=True), 1e-6)
    assert not ours.is_fused
    assert reason in ours.fallback_reason


def test_saved_and_loaded_it_predicts_the_same(tmp_path):
    model = keras.Sequential([keras.Input((5, 4, 3)), FusedBatchNormalization(name="bn")])
    model.layers[0].set_weights(pair()[1].get_weights())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is FusedBatchNormalization
    assert_close(loaded(images()), model(images()), 1e-7)


def network(batch_norm=keras.layers.BatchNormalization):
    inner = keras.Sequential(
        [keras.Input((4, 4, 4)), batch_norm(name="inner_bn"), keras.layers.ReLU()], name="inner"
    )
    inputs = keras.Input((4, 4, 3))
    h = keras.layers.Normalization(mean=0.5, variance=2.0)(inputs)
    h = batch_norm(name="bn")(keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(h))
    h = inner(inner(h))  # shared: one layer, called twice
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(h))
    return keras.Model(inputs, outputs, name="network")


def squared(y_true, y_pred):
    return keras.ops.mean((y_true - y_pred) ** 2)


def trained_network():
    model = network()
    model.get_layer("bn").momentum = 0.5
    model.compile(keras.optimizers.Adam(0.01), loss=squared, metrics=["mae"])
    x, y = images((8, 4, 4, 3)), np.zeros((8, 2), "float32")
    model.train_on_batch(x, y)
    return model, x, y


def test_fuse_and_unfuse_keep_predictions_order_and_training():
    model, x, y = trained_network()
    fused = fuse_batch_norm(model)
    back = unfuse_batch_norm(fused)
    for copy, cls in ((fused, FusedBatchNormalization), (back, keras.layers.BatchNormalization)):
        assert type(copy.get_layer("bn")) is cls
        assert type(copy.get_layer("inner").get_layer("inner_bn")) is cls
        assert copy.get_layer("bn").momentum == 0.5
        assert [v.path for v in copy.trainable_variables] == [
            v.path for v in model.trainable_variables
        ]
        assert_close(copy(x), model(x), 1e-5)
        assert int(copy.optimizer.iterations) == int(model.optimizer.iterations) == 1
    # Training goes on from the same optimizer state, and the copies share nothing with the model.
    losses = [m.train_on_batch(x, y)[0] for m in (model, fused, back)]
    np.testing.assert_allclose(losses[1:], losses[0], rtol=1e-4)
    again = [m.train_on_batch(x, y)[0] for m in (model, fused, back)]
    np.testing.assert_allclose(again[1:], again[0], rtol=1e-4)


def test_fuse_keeps_the_policy_and_the_frozen_parts():
    keras.config.set_dtype_policy("mixed_float16")
    model = network()
    model.get_layer("inner").trainable = False
    model.compile("sgd", "mse")
    keras.config.set_dtype_policy("float32")
    fused = fuse_batch_norm(model)
    assert fused.dtype_policy.name == "mixed_float16"
    assert type(fused.optimizer) is type(model.optimizer)  # scales the loss
    assert not fused.get_layer("inner").trainable
    assert len(fused.trainable_variables) == len(model.trainable_variables)


def test_fuse_leaves_the_original_and_an_uncompiled_model_alone():
    model = network()
    fused = fuse_batch_norm(model)
    assert not fused.compiled
    assert type(model.get_layer("bn")) is keras.layers.BatchNormalization
    model.compile("sgd", "mse")
    fuse_batch_norm(model)
    assert model.compiled


def test_a_subclass_of_batch_normalization_stays_what_it_is():
    class Own(keras.layers.BatchNormalization):
        pass

    fused = fuse_batch_norm(keras.Sequential([keras.Input((4, 4, 3)), Own()]))
    assert type(fused.layers[0]) is Own


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    class OwnFunctional(keras.Model):
        def __init__(self):
            inputs = keras.Input((4,))
            super().__init__(inputs, keras.layers.Dense(1)(inputs))

    for model in (Own(), OwnFunctional()):
        with pytest.raises(TypeError, match="sequential or functional model; Own"):
            fuse_batch_norm(model)
        assert conversion_problem(model)


def test_batch_normalization_inside_a_composite_layer_is_told():
    class Block(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.bn = keras.layers.BatchNormalization()

        def build(self, shape):
            self.bn.build(shape)

        def call(self, inputs, training=None):
            return self.bn(inputs, training=training)

    model = keras.Sequential([keras.Input((4, 4, 3)), Block()])
    with pytest.warns(UserWarning, match="left 1 BatchNormalization inside composite"):
        fuse_batch_norm(model)


def test_compile_arguments_that_cannot_be_copied_are_told():
    def unregistered(y_true, y_pred):
        return keras.ops.mean(y_pred)

    model = network()
    model.compile("sgd", "mse", metrics=[unregistered])
    with pytest.warns(UserWarning, match="could not copy the compile arguments"):
        assert not fuse_batch_norm(model).compiled
