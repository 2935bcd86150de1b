"""Gradient clipping relative to the size of the weights."""

from kerasdnn.optimizers.wrapper import OptimizerWrapper

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class AdaptiveClip(OptimizerWrapper):
    """Clips the gradient of each unit to a share of the norm of its weights (AGC).

    `g <- g * min(1, clip_factor * max(|w|, epsilon) / |g|)`, with the norms of each unit: of each
    index of the last axis of a kernel, and of a whole vector (bias, scale). Unlike `clipnorm`,
    the threshold needs no tuning to the layer: it bounds how far a step may turn its weights.
    Norms are float32. The last linear layer is better left out (`exclude`), as in the paper.

    Args:
        inner_optimizer: `keras.optimizers.Optimizer`, or its name.
        clip_factor: float above 0, the largest |g| / |w|. The paper uses 0.01 for batches of 4096
            and up to 0.16 for small ones. Default 0.01.
        epsilon: float above 0, the smallest |w| assumed, so that weights that start at zero can
            grow. Default 1e-3.
        exclude: sequence of str; a variable whose path has one of them as a part (a layer's name,
            for instance) is not clipped.
        name: str.

    Raises:
        ValueError: an argument out of its range, or a `LossScaleOptimizer` inside.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="head")])
    >>> model.compile(AdaptiveClip("sgd", 0.1, exclude=["head"]), "mse")
    >>> model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0).epoch
    [0]

    References:
        Brock et al. (2021), High-Performance Large-Scale Image Recognition Without Normalization,
        arXiv:2102.06171
    """

    def __init__(
        self,
        inner_optimizer,
        clip_factor=0.01,
        *,
        epsilon=1e-3,
        exclude=(),
        name="adaptive_clip",
    ):
        super().__init__(inner_optimizer, name=name)
        for argument, value in (("clip_factor", clip_factor), ("epsilon", epsilon)):
            if not value > 0:
                raise ValueError(
                    f"AdaptiveClip expects {argument} above 0; received {value}. "
                    "Usual are clip_factor 0.01 to 0.16 and epsilon 0.001."
                )
        if isinstance(exclude, str):
            raise ValueError(
                f"AdaptiveClip expects exclude as a list of names; received {exclude!r}. "
                f"Write exclude=[{exclude!r}]."
            )
        self.clip_factor = float(clip_factor)
        self.epsilon = float(epsilon)
        self.exclude = tuple(exclude)

    def build(self, variables):
        if self.built:
            return
        paths = [variable.path.split("/") for variable in variables]
        unknown = [name for name in self.exclude if not any(name in path for path in paths)]
        if unknown:
            raise ValueError(
                f"AdaptiveClip expects names of the model in exclude; received {unknown}. "
                "See [v.path for v in model.trainable_variables]."
            )
        super().build(variables)

    def apply_inner(self, grads, variables):
        super().apply_inner(
            [self._clip(g, v) for g, v in zip(grads, variables, strict=True)], variables
        )

    def _clip(self, gradient, variable):
        if gradient is None or set(self.exclude) & set(variable.path.split("/")):
            return gradient
        gradient = ops.convert_to_tensor(gradient)  # on TensorFlow an embedding's is sparse
        # A fixed loss scale of the optimizer inside is still in the gradient.
        scale = self.inner_optimizer.loss_scale_factor or 1.0
        norm = _unit_norm(gradient) / scale
        limit = self.clip_factor * ops.maximum(_unit_norm(variable), self.epsilon)
        # Not g * limit / |g|: a unit within its limit keeps its gradient to the bit.
        factor = ops.minimum(limit / ops.maximum(norm, 1e-12), 1.0)
        return gradient * ops.cast(factor, gradient.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "clip_factor": self.clip_factor,
            "epsilon": self.epsilon,
            "exclude": list(self.exclude),
        }


def _unit_norm(x):
    """The norm of each unit, float32, in a shape that multiplies `x`."""
    x = ops.cast(ops.convert_to_tensor(x), "float32")
    axes = tuple(range(len(x.shape) - 1)) or None
    return ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True))
