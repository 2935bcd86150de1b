"""Layers that Keras 3 lacks, as ordinary `keras.layers.Layer` classes for every backend."""

from kerasdnn.layers.activation import SwiGLU, Swish
from kerasdnn.layers.attention import AttentionPooling
from kerasdnn.layers.augmentation import RandomApply, RandomResizedCrop, TwoViews
from kerasdnn.layers.convert import fuse_batch_norm, unfuse_batch_norm
from kerasdnn.layers.decoder import TransformerDecoderBlock
from kerasdnn.layers.minibatch import MinibatchStdDev
from kerasdnn.layers.normalization import FusedBatchNormalization
from kerasdnn.layers.patches import PatchEmbedding
from kerasdnn.layers.positional import (
    LearnedPositionEmbedding,
    RotaryEmbedding,
    SinePositionEncoding,
)
from kerasdnn.layers.regularization import DropPath, LayerScale
from kerasdnn.layers.residual import BottleneckBlock, ResidualBlock
from kerasdnn.layers.signals import RandomDrift, RandomRoll
from kerasdnn.layers.squeeze_excite import SqueezeExcite
from kerasdnn.layers.tokens import TokenEmbedding
from kerasdnn.layers.transformer import TransformerEncoderBlock

__all__ = [
    "AttentionPooling",
    "BottleneckBlock",
    "DropPath",
    "FusedBatchNormalization",
    "LayerScale",
    "LearnedPositionEmbedding",
    "MinibatchStdDev",
    "PatchEmbedding",
    "RandomApply",
    "RandomDrift",
    "RandomResizedCrop",
    "RandomRoll",
    "ResidualBlock",
    "RotaryEmbedding",
    "SinePositionEncoding",
    "SqueezeExcite",
    "SwiGLU",
    "Swish",
    "TokenEmbedding",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "TwoViews",
    "fuse_batch_norm",
    "unfuse_batch_norm",
]
