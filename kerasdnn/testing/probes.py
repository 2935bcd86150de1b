"""Small layers that look at a mask or a gradient from inside a model, on every backend."""

import keras
from keras import ops


class AttachMask(keras.layers.Layer):
    """Gives its input a mask, as an embedding with `mask_zero` would."""

    def __init__(self, mask):
        super().__init__(dtype="float32", autocast=False)
        self.supports_masking = True
        self.mask = mask

    def call(self, inputs):
        return ops.copy(inputs)

    def compute_mask(self, inputs, previous_mask=None):
        return ops.convert_to_tensor(self.mask)


class SeenMask(keras.layers.Layer):
    """Keeps the mask that reaches it in `seen`."""

    def __init__(self):
        super().__init__(autocast=False)
        self.supports_masking = True
        self.seen = None

    def call(self, inputs, mask=None):
        self.seen = mask
        return inputs


class Offset(keras.layers.Layer):
    """Adds a trainable weight that starts at zero to its input.

    After one step of plain gradient descent with rate 1 the weight is minus the gradient of the
    loss by the input.
    """

    def __init__(self, shape):
        super().__init__(dtype="float32", autocast=False)
        self.offset = self.add_weight(shape=shape, initializer="zeros", name="offset")

    def call(self, inputs):
        # Where the loss has no gradient, this one of zero keeps the optimizer from refusing.
        self.add_loss(0.0 * ops.sum(self.offset))
        return inputs + self.offset


class OffsetLoss(keras.layers.Layer):
    """Adds `loss` of fixed arguments, each float one shifted by an `Offset`, to its model."""

    def __init__(self, loss, arguments, is_float):
        super().__init__(dtype="float32", autocast=False)
        self.loss = loss
        self.arguments = arguments
        self.offsets = [
            Offset(leaf.shape) if is_float(leaf) else None for leaf in keras.tree.flatten(arguments)
        ]

    def call(self, inputs):
        leaves = keras.tree.flatten(self.arguments)
        shifted = [
            offset(ops.convert_to_tensor(leaf)) if offset is not None else leaf
            for leaf, offset in zip(leaves, self.offsets, strict=True)
        ]
        self.add_loss(self.loss(*keras.tree.pack_sequence_as(self.arguments, shifted)))
        return inputs
