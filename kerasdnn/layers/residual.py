"""Residual blocks of convolutional networks, plain and bottleneck."""

from kerasdnn.layers.normalization import FusedBatchNormalization
from kerasdnn.layers.regularization import DropPath
from kerasdnn.layers.squeeze_excite import SqueezeExcite

import keras


@keras.saving.register_keras_serializable(package="kerasdnn")
class ResidualBlock(keras.layers.Layer):
    """Two convolutions with a shortcut around them, the building block of ResNets.

    `activation(branch(x) + shortcut(x))`, where the branch is convolution, normalization,
    activation, convolution, normalization (ResNet v1), or with `norm_first=True`
    `branch(x) + shortcut(x)` with normalization and activation before each convolution (v2; put one
    more of both behind the last block). The shortcut is the input, or where strides or channels
    change the shape a 1 x 1 convolution, in v1 with normalization.

    Args:
        filters: int, channels of both convolutions.
        strides: int, of the first convolution.
        kernel_size: int, of both convolutions.
        activation: name or function.
        norm_first: bool, False is ResNet v1, True is v2.
        squeeze_excite: int or None, the `ratio` of a `SqueezeExcite` at the end of the branch.
        drop_path: float in [0, 1), the share of samples whose branch is dropped in training.
        zero_init_last: bool, whether the branch starts at zero, so that the block starts as its
            shortcut: the last normalization's scale starts at 0, or the last kernel where no
            normalization follows it.
        use_batch_norm: bool, without it the convolutions have a bias.
        fused_batch_norm: bool, whether normalization is `FusedBatchNormalization`, faster on
            TensorFlow and Torch, instead of `keras.layers.BatchNormalization`.
        hidden_filters: int or None, channels of the first convolution, where they differ from
            `filters`, as after `pruning.prune_channels`.
        use_projection: bool, whether the shortcut has its 1 x 1 convolution also where the shape
            stays.
        use_shortcut: bool, False gives the plain network to compare with; `drop_path` and
            `zero_init_last`, which would then erase the signal, have no effect.
        kernel_initializer: name or initializer of all convolutions.

    Input shape: `(B, H, W, C)`.
    Output shape: `(B, ceil(H / strides), ceil(W / strides), filters)`.

    Raises:
        ValueError: if `filters` or `strides` is not a positive int, or another argument is one that
            the layer inside refuses.

    Example:
    >>> block = ResidualBlock(16, strides=2)
    >>> tuple(block(keras.ops.ones((2, 9, 8, 4))).shape)
    (2, 5, 4, 16)

    References:
        He et al. (2015), Deep Residual Learning for Image Recognition, arXiv:1512.03385
        He et al. (2016), Identity Mappings in Deep Residual Networks, arXiv:1603.05027
        Goyal et al. (2017), Accurate, Large Minibatch SGD, arXiv:1706.02677 (zero scale)
    """

    def __init__(
        self,
        filters,
        strides=1,
        *,
        kernel_size=3,
        activation="relu",
        norm_first=False,
        squeeze_excite=None,
        drop_path=0.0,
        zero_init_last=True,
        use_batch_norm=True,
        fused_batch_norm=False,
        use_shortcut=True,
        kernel_initializer="he_normal",
        hidden_filters=None,
        use_projection=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden_filters = hidden_filters
        self.use_projection = use_projection
        hidden = filters if hidden_filters is None else hidden_filters
        given = (("filters", filters), ("strides", strides), ("hidden_filters", hidden))
        for name, value in given:
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{type(self).__name__} expects {name} to be a positive int; received "
                    f"{value!r}. Pass one number (strides count for height and width alike)."
                )
        self.filters = filters
        self.strides = strides
        self.kernel_size = kernel_size
        self.activation = keras.activations.get(activation)
        self.norm_first = norm_first
        self.squeeze_excite = squeeze_excite
        self.drop_path = drop_path
        self.zero_init_last = zero_init_last
        self.use_batch_norm = use_batch_norm
        self.fused_batch_norm = fused_batch_norm
        self.use_shortcut = use_shortcut
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.input_spec = keras.layers.InputSpec(ndim=4)

        # The branch: convolution i goes with normalization i, which stands before or behind it.
        convolutions = self._make_convolutions()
        norms = [self._make_norm() for _ in convolutions]
        if zero_init_last and use_shortcut:
            if use_batch_norm and not norm_first:
                norms[-1] = self._make_norm(gamma_initializer="zeros")
            else:
                convolutions[-1].kernel_initializer = keras.initializers.Zeros()
        self.convolutions = convolutions
        self.normalizations = norms
        self.gate = self.branch_drop = self.projection = self.projection_norm = None
        if squeeze_excite is not None:
            self.gate = SqueezeExcite(squeeze_excite, dtype=self.dtype_policy)
        if drop_path and use_shortcut:
            self.branch_drop = DropPath(drop_path, dtype=self.dtype_policy)

    def _make_convolutions(self):
        """Returns the convolutions of the branch, in order; the first one has the strides."""
        return [
            self._make_convolution(
                self.hidden_filters or self.filters, self.kernel_size, strides=self.strides
            ),
            self._make_convolution(self.filters, self.kernel_size),
        ]

    def _make_convolution(self, filters, kernel_size, **kwargs):
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=not self.use_batch_norm,
            # One initializer object would give equal kernels to equal shapes.
            kernel_initializer=self.kernel_initializer.clone(),
            dtype=self.dtype_policy,
            **kwargs,
        )

    def _make_norm(self, **kwargs):
        if not self.use_batch_norm:
            return keras.layers.Identity(dtype=self.dtype_policy)
        if self.fused_batch_norm:
            return FusedBatchNormalization(dtype=self.dtype_policy, **kwargs)
        return keras.layers.BatchNormalization(dtype=self.dtype_policy, **kwargs)

    def build(self, input_shape):
        shape = input_shape
        for convolution, norm in zip(self.convolutions, self.normalizations, strict=True):
            if self.norm_first:
                norm.build(shape)
            convolution.build(shape)
            shape = convolution.compute_output_shape(shape)
            if not self.norm_first:
                norm.build(shape)
        if self.gate is not None:
            self.gate.build(shape)
        changed = self.strides != 1 or input_shape[-1] != shape[-1]
        if self.use_shortcut and (changed or self.use_projection):
            self.projection = self._make_convolution(shape[-1], 1, strides=self.strides)
            self.projection.build(input_shape)
            if not self.norm_first:
                self.projection_norm = self._make_norm()
                self.projection_norm.build(shape)

    def call(self, inputs, training=False):
        x = shortcut = inputs  # (B, H, W, C)
        last = len(self.convolutions) - 1
        for index, convolution in enumerate(self.convolutions):
            norm = self.normalizations[index]
            if self.norm_first:
                x = self.activation(norm(x, training=training))
                if index == 0 and self.projection is not None:
                    shortcut = x  # v2 projects what is normalized, and passes on what is not
                x = convolution(x)
            else:
                x = norm(convolution(x), training=training)
                x = x if index == last else self.activation(x)
        if self.gate is not None:
            x = self.gate(x)
        if self.use_shortcut:
            if self.branch_drop is not None:
                x = self.branch_drop(x, training=training)
            if self.projection is not None:
                shortcut = self.projection(shortcut)
            if self.projection_norm is not None:
                shortcut = self.projection_norm(shortcut, training=training)
            x = x + shortcut
        return x if self.norm_first else self.activation(x)

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape)
        for convolution in self.convolutions:
            shape = convolution.compute_output_shape(shape)
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
            "norm_first": self.norm_first,
            "squeeze_excite": self.squeeze_excite,
            "drop_path": self.drop_path,
            "zero_init_last": self.zero_init_last,
            "use_batch_norm": self.use_batch_norm,
            "fused_batch_norm": self.fused_batch_norm,
            "use_shortcut": self.use_shortcut,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "hidden_filters": self.hidden_filters,
            "use_projection": self.use_projection,
        }


@keras.saving.register_keras_serializable(package="kerasdnn")
class BottleneckBlock(ResidualBlock):
    """A residual block of three convolutions that narrows, convolves and widens again.

    1 x 1 to `filters` channels, `kernel_size` with the strides, 1 x 1 to `filters * expansion`
    channels, in the order of `ResidualBlock`, whose other arguments apply. With `groups` and
    `expansion=2` it is the block of ResNeXt.

    Args:
        filters: int, channels of the narrow part.
        strides: int, of the middle convolution.
        expansion: number, output channels for each of the narrow part.
        groups: int, groups of the middle convolution; it must divide `filters`.
        **kwargs: as for `ResidualBlock`, but for `hidden_filters`.

    Input shape: `(B, H, W, C)`.
    Output shape: `(B, ceil(H / strides), ceil(W / strides), filters * expansion)`.

    Raises:
        ValueError: as for `ResidualBlock`.

    Example:
    >>> block = BottleneckBlock(4, strides=2)
    >>> tuple(block(keras.ops.ones((2, 8, 8, 16))).shape)
    (2, 4, 4, 16)

    References:
        He et al. (2015), Deep Residual Learning for Image Recognition, arXiv:1512.03385
        Xie et al. (2016), Aggregated Residual Transformations, arXiv:1611.05431
    """

    def __init__(self, filters, strides=1, *, expansion=4, groups=1, **kwargs):
        self.expansion = expansion
        self.groups = groups
        super().__init__(filters, strides, **kwargs)

    def _make_convolutions(self):
        return [
            self._make_convolution(self.filters, 1),
            self._make_convolution(
                self.filters, self.kernel_size, strides=self.strides, groups=self.groups
            ),
            self._make_convolution(round(self.filters * self.expansion), 1),
        ]

    def get_config(self):
        return {**super().get_config(), "expansion": self.expansion, "groups": self.groups}
