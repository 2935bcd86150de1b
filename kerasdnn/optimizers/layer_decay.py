"""Smaller steps for earlier layers, to fine-tune a pretrained network."""

from kerasdnn.optimizers.wrapper import OptimizerWrapper, leaf_optimizers

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class LayerDecay(OptimizerWrapper):
    """Scales each variable's step; what `layer_decay` returns.

    `w <- w + scale * (step(w) - w)`, which for every optimizer is the same as a learning rate
    multiplied by `scale` (of decoupled weight decay, too, as it is proportional to the rate).
    One learning rate, one schedule and one iteration count remain, so that callbacks work.

    Args:
        inner_optimizer: `keras.optimizers.Optimizer`, or its name.
        scales: list of floats in (0, 1], one for each trainable variable of the model, in order.
        name: str.

    Raises:
        ValueError: a scale out of range, another number of variables than scales, or an optimizer
            that averages weights (`use_ema`), whose averages would be of steps not taken.

    Example:
    >>> optimizer = LayerDecay("sgd", [0.5, 1.0])

    References:
        Clark et al. (2020), ELECTRA, arXiv:2003.10555
    """

    def __init__(self, inner_optimizer, scales, *, name="layer_decay"):
        super().__init__(inner_optimizer, name=name)
        self.scales = [float(scale) for scale in scales]
        if not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(
                f"LayerDecay expects scales in (0, 1]; received {self.scales}. "
                "Freeze a layer that should not move: layer.trainable = False."
            )
        if any(leaf.use_ema for leaf in leaf_optimizers(self.inner_optimizer)):
            raise ValueError(
                "LayerDecay expects an optimizer without use_ema; received one with it. "
                "Use callbacks.ModelEMA, which also averages batch-norm statistics."
            )

    def build(self, variables):
        if len(variables) != len(self.scales):
            raise ValueError(
                f"LayerDecay expects the {len(self.scales)} trainable variables it was made for; "
                f"received {len(variables)}. Freeze layers first, then call layer_decay, then "
                "compile."
            )
        super().build(variables)

    def apply_inner(self, grads, variables):
        scales = [self.scales[self._get_variable_index(v)] for v in variables]
        before = [
            None if scale == 1 else ops.copy(ops.convert_to_tensor(v))
            for v, scale in zip(variables, scales, strict=True)
        ]
        super().apply_inner(grads, variables)
        for variable, old, scale in zip(variables, before, scales, strict=True):
            if old is not None:
                variable.assign(old + scale * (ops.convert_to_tensor(variable) - old))

    def get_config(self):
        return {**super().get_config(), "scales": self.scales}


def layer_decay(model, optimizer, rate=0.75):
    """Returns an optimizer that takes smaller steps in earlier layers.

    The last layer with weights has the full learning rate, each layer before it `rate` times that
    of the next. Layers inside nested models count one by one, a composite layer (a Transformer
    block) counts once, and a layer that has vectors only, such as a normalization, shares the
    rate of the layer before it. The first layers of a pretrained network hold what is common to
    all tasks; they need to change least.

    Args:
        model: a built functional or sequential `keras.Model`, layers already frozen as wanted.
        optimizer: `keras.optimizers.Optimizer`, or its name; not a `LossScaleOptimizer`.
        rate: float in (0, 1]. Default 0.75, as for a ViT of 12 blocks; 1 changes nothing.

    Returns:
        LayerDecay: pass it to `model.compile`. Its `scales` are in the order of
        `model.trainable_variables`. It is saved and loaded with the model.

    Raises:
        ValueError: a rate out of range, or a model without trainable weights.

    Example:
    >>> layers = [keras.Input((2,)), *(keras.layers.Dense(2) for _ in range(3))]
    >>> optimizer = layer_decay(keras.Sequential(layers), keras.optimizers.Adam(), 0.5)
    >>> optimizer.scales    # kernel and bias of each layer
    [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]

    References:
        Clark et al. (2020), ELECTRA, arXiv:2003.10555
        Bao et al. (2021), BEiT, arXiv:2106.08254
    """
    if not 0 < rate <= 1:
        raise ValueError(
            f"layer_decay expects a rate in (0, 1]; received {rate}. Usual are 0.65 to 0.9."
        )
    if not model.built or not model.trainable_variables:
        raise ValueError(
            f"layer_decay expects a model with trainable weights; '{model.name}' has none"
            f"{'' if model.built else ' yet. Call it on one batch first'}."
        )
    depths = _depths(model)
    last = max(depths[id(v)] for v in model.trainable_variables)
    scales = [rate ** (last - depths[id(v)]) for v in model.trainable_variables]
    return LayerDecay(optimizer, scales)


def _depths(model):
    """Maps the id of each weight to its depth: the number of layers with kernels before it."""
    depths, depth = {}, -1
    for layer in _layers_in_order(model):
        weights = [w for w in layer.weights if id(w) not in depths]  # a shared layer counts once
        if any(len(w.shape) > 1 for w in weights) or (weights and depth < 0):
            depth += 1
        depths.update({id(w): depth for w in weights})
    # What belongs to no layer (a class token of a subclassed model) goes with the first one.
    return {**{id(w): 0 for w in model.weights}, **depths}


def _layers_in_order(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers_in_order(layer)
        else:
            yield layer
