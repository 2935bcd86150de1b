"""Layers and losses with one defect each, for the tests of the harness to find."""

import keras
import numpy as np
from keras import ops

register = keras.saving.register_keras_serializable(package="tests")


@register
class Scale(keras.layers.Layer):
    """Sound: multiplies by one weight. The others break one thing of it."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.supports_masking = True

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, inputs):
        return inputs * self.scale * self.factor

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@register
class ForgetsArgument(Scale):
    def get_config(self):
        return keras.layers.Layer.get_config(self)


@register
class ReturnsDefault(Scale):
    def get_config(self):
        return {**super().get_config(), "factor": 1.0}


@register
class ConfigOfArrays(Scale):
    def get_config(self):
        return {**super().get_config(), "factor": object()}


@register
class WrongShape(Scale):
    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 7)


@register
class WrongDtype(Scale):
    def call(self, inputs):
        return ops.cast(super().call(inputs), "int32")


@register
class DropsMask(Scale):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(factor, **kwargs)
        self.supports_masking = False


@register
class InvertsMask(Scale):
    def compute_mask(self, inputs, previous_mask=None):
        return None if previous_mask is None else ops.logical_not(previous_mask)


@register
class OverflowsInHalf(Scale):
    def call(self, inputs):
        return ops.sqrt(ops.square(super().call(inputs) * 1000.0)) / 1000.0


@register
class AlwaysFloat32(Scale):
    def call(self, inputs):
        return ops.cast(super().call(inputs), "float32")


@register
class ForgetsInnerPolicy(Scale):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(factor, **kwargs)
        self.inner = keras.layers.Activation("relu")  # without dtype=self.dtype_policy

    def call(self, inputs):
        return self.inner(super().call(inputs))


@register
class NoGradient(Scale):
    def call(self, inputs):
        return ops.stop_gradient(super().call(inputs))


@register
class InfiniteGradient(Scale):
    def call(self, inputs):
        # The value is finite, the slope of the root at zero is not.
        return super().call(inputs) + ops.sqrt(self.scale - self.scale)


@register
class LosesState(Scale):
    def build(self, input_shape):
        super().build(input_shape)
        # Drawn anew in every process, and not a weight, so not in the file.
        self.offset = float(np.random.SeedSequence().entropy % 1000)

    def call(self, inputs):
        return super().call(inputs) + self.offset


@register
class DependsOnBackend(Scale):
    def call(self, inputs):
        return super().call(inputs) + len(keras.backend.backend())


class Unregistered(Scale):
    pass


@register
class Squared(keras.losses.Loss):
    """Sound: squared error. The others break one thing of it."""

    def __init__(self, factor=1.0, *, reduction="sum_over_batch_size", name="squared"):
        super().__init__(name=name, reduction=reduction)
        self.factor = factor

    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred), axis=-1) * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@register
class LossForgetsArgument(Squared):
    def get_config(self):
        return keras.losses.Loss.get_config(self)


@register
class LossOfManyNumbers(Squared):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return self.call(*map(ops.convert_to_tensor, (y_true, y_pred)))


@register
class LossInHalf(Squared):
    def __call__(self, y_true, y_pred, sample_weight=None):
        width = keras.backend.standardize_dtype(y_pred.dtype)  # Keras' own would cast first
        y_true, y_pred = ops.cast(y_true, width), ops.cast(y_pred, width)
        total = ops.sum(ops.square((y_true - y_pred) * 100)) / 10000
        return ops.cast(total, "float32")


@register
class LossWithoutWeights(Squared):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return super().__call__(y_true, y_pred)


@register
class LossWithoutGradient(Squared):
    def call(self, y_true, y_pred):
        return super().call(y_true, ops.stop_gradient(y_pred))


@register
class LossWithInfiniteGradient(Squared):
    def call(self, y_true, y_pred):
        return ops.sqrt(ops.sum(ops.square(y_true - y_true + y_pred - y_pred), axis=-1))


@register
class PairDistance(keras.losses.Loss):
    """Sound, of another call form: two lists of maps."""

    def __init__(self, name="pair_distance"):
        super().__init__(name=name)

    def __call__(self, first, second, extra=None):
        return sum(
            ops.mean(ops.square(ops.cast(a, "float32") - ops.cast(b, "float32")))
            for a, b in zip(first, second, strict=True)
        )

    def get_config(self):
        return {"name": self.name}


def small_model():
    model = keras.Sequential([keras.Input((3,)), Scale(2.0), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


def frozen_model():
    model = small_model()
    model.layers[-1].trainable = False
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def diverging_model():
    model = small_model()
    model.compile(keras.optimizers.SGD(float("inf")), "mse")
    return model


def forgetful_model():
    model = keras.Sequential([keras.Input((3,)), LosesState(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model
