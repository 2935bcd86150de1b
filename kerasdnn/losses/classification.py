"""Cross-entropy for integer labels, with label smoothing."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class SparseCategoricalCrossentropy(keras.losses.Loss):
    """Cross-entropy between integer labels and predictions, with label smoothing.

    Keras' loss of this name has no smoothing, and its `CategoricalCrossentropy` wants one-hot
    labels; this one equals the latter on the one-hot form of the labels. It computes in float32
    whatever the dtype policy. To leave entries out, pass a mask or a sample weight of 0.

    Args:
        from_logits: bool, whether predictions are logits. Default False: probabilities.
        label_smoothing: float in [0, 1]; the true class gets `1 - label_smoothing` plus its part
            of `label_smoothing`, which is spread evenly over all classes. Default 0.
        axis: int, the axis of the classes in the predictions. Default -1.
        reduction: as in `keras.losses.Loss`. Default `"sum_over_batch_size"`.
        name: str.

    Input shape: labels `(B, ...)` or `(B, ..., 1)`, predictions `(B, ..., C)`.
    Output shape: a scalar, or `(B, ...)` without reduction.

    Raises:
        ValueError: `label_smoothing` outside [0, 1], or labels whose shape is not that of the
            predictions without their class axis.

    Example:
    >>> loss = SparseCategoricalCrossentropy(label_smoothing=0.1)
    >>> round(float(loss(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))), 3)
    0.254

    References:
        Szegedy et al. (2016), Rethinking the Inception Architecture for Computer Vision,
        arXiv:1512.00567
    """

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        *,
        axis=-1,
        reduction="sum_over_batch_size",
        name="sparse_categorical_crossentropy",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                "SparseCategoricalCrossentropy expects label_smoothing in [0, 1]; received "
                f"{label_smoothing}. 0.1 is the usual value."
            )
        self.from_logits = bool(from_logits)
        self.label_smoothing = float(label_smoothing)
        self.axis = axis

    def call(self, y_true, y_pred):
        labels = ops.cast(self._labels(y_true, y_pred), "int32")  # (B, ...)
        if not self.label_smoothing:
            return ops.sparse_categorical_crossentropy(
                labels, y_pred, from_logits=self.from_logits, axis=self.axis
            )
        # Smoothed here: Keras' own smoothing counts the classes on the last axis, whatever `axis`.
        classes = y_pred.shape[self.axis]
        one_hot = ops.one_hot(labels, classes, axis=self.axis, dtype="float32")
        target = one_hot * (1 - self.label_smoothing) + self.label_smoothing / classes
        return ops.categorical_crossentropy(
            target, y_pred, from_logits=self.from_logits, axis=self.axis
        )

    def _labels(self, y_true, y_pred):
        """The labels without a trailing axis of one, or an error that names both shapes."""
        rank = len(y_pred.shape)
        if len(y_true.shape) == rank and y_true.shape[self.axis] == 1:
            y_true = ops.squeeze(y_true, axis=self.axis)
        expected = list(y_pred.shape)
        del expected[self.axis]
        known = len(y_true.shape) == len(expected) and all(
            want == got or want is None or got is None
            for want, got in zip(expected, y_true.shape, strict=True)
        )
        if not known:
            raise ValueError(
                "SparseCategoricalCrossentropy expects integer labels of shape "
                f"{tuple(expected)}; received {tuple(y_true.shape)} for predictions "
                f"{tuple(y_pred.shape)}. For one-hot labels use "
                "keras.losses.CategoricalCrossentropy."
            )
        return y_true

    def get_config(self):
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "axis": self.axis,
        }
