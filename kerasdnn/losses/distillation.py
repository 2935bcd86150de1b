"""Losses by which a student learns from a teacher. The teacher comes first, as `y_true`."""

import keras
from keras import ops

_SMALLEST = 1e-7


@keras.saving.register_keras_serializable(package="kerasdnn")
class SoftTargets(keras.losses.Loss):
    """The teacher's whole distribution over the classes, softened by a temperature.

    `T^2 KL(softmax(t / T) || softmax(s / T))`, with logits t of the teacher and s of the student.
    The factor keeps the gradient's size as T grows, so that the weight between this loss and the
    one of the labels need not change.

    Args:
        temperature: float above 0; large ones show which wrong classes the teacher thinks close.
        from_logits: bool, whether both models return logits. False: probabilities, whose
            logarithms are then taken for the logits.
        reduction: as in `keras.losses.Loss`.
        name: str.

    Input shape: teacher and student `(B, ..., C)`. Output shape: a scalar, or `(B, ...)` without
    reduction.

    Raises:
        ValueError: a temperature that is not above 0, or other numbers of classes.

    Example:
    >>> loss = SoftTargets(temperature=2.0)
    >>> z = np.array([[1.0, 2.0, 3.0]])
    >>> float(loss(z, z)), round(float(loss(z, -z)), 3)
    (0.0, 1.281)

    References:
        Hinton, Vinyals, Dean (2015), Distilling the Knowledge in a Neural Network,
        arXiv:1503.02531
    """

    def __init__(
        self,
        temperature=4.0,
        from_logits=True,
        *,
        reduction="sum_over_batch_size",
        name="soft_targets",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if not temperature > 0:
            raise ValueError(
                f"SoftTargets expects a temperature above 0; received {temperature}. 2 to 20 is "
                "usual."
            )
        self.temperature = float(temperature)
        self.from_logits = bool(from_logits)

    def call(self, y_true, y_pred):
        if y_true.shape[-1] != y_pred.shape[-1]:
            raise ValueError(
                f"SoftTargets expects teacher and student of the same classes; received "
                f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}. Train both on the same labels."
            )
        teacher, student = (ops.cast(z, "float32") for z in (y_true, y_pred))
        if not self.from_logits:
            teacher, student = (ops.log(ops.maximum(p, _SMALLEST)) for p in (teacher, student))
        teacher = ops.log_softmax(teacher / self.temperature, axis=-1)
        student = ops.log_softmax(student / self.temperature, axis=-1)
        divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
        return self.temperature**2 * divergence

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "from_logits": self.from_logits,
        }


@keras.saving.register_keras_serializable(package="kerasdnn")
class AttentionTransfer(keras.losses.Loss):
    """Where the teacher's feature maps are strong, the student's should be.

    With the map `q = sum over channels of |f|^power`, flattened and of length 1, the loss is
    `sum over places of (q_student - q_teacher)^2`. The number of channels may differ, the grid
    may not.

    Args:
        power: float, the exponent; large ones look at the strongest places only.
        reduction: as in `keras.losses.Loss`.
        name: str.

    Input shape: teacher and student `(B, ..., C)`, the same but for C. Output shape: a scalar, or
    `(B,)` without reduction.

    Raises:
        ValueError: grids that differ, or features without a grid.

    Example:
    >>> features = np.random.default_rng(0).normal(size=(2, 4, 4, 8))
    >>> loss = AttentionTransfer()
    >>> [round(float(loss(features, f)), 3) for f in (3 * features, features[..., :1])]
    [0.0, 0.602]

    References:
        Zagoruyko, Komodakis (2017), Paying More Attention to Attention, arXiv:1612.03928
    """

    def __init__(self, power=2.0, *, reduction="sum_over_batch_size", name="attention_transfer"):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.power = float(power)

    def call(self, y_true, y_pred):
        if y_true.shape[1:-1] != y_pred.shape[1:-1] or len(y_true.shape) < 3:
            raise ValueError(
                "AttentionTransfer expects feature maps (B, ..., C) on the same grid; received "
                f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}. Choose layers of equal "
                "resolution."
            )
        return ops.sum(ops.square(self._map(y_pred) - self._map(y_true)), axis=-1)

    def _map(self, features):
        magnitude = ops.abs(ops.cast(features, "float32"))
        places = ops.sum(ops.power(magnitude + _SMALLEST, self.power), axis=-1)  # (B, ...)
        places = ops.reshape(places, (ops.shape(places)[0], -1))
        return places / ops.sqrt(ops.sum(ops.square(places), axis=-1, keepdims=True) + 1e-12)

    def get_config(self):
        return {**super().get_config(), "power": self.power}


@keras.saving.register_keras_serializable(package="kerasdnn")
class AttentionMapKL(keras.losses.Loss):
    """The student's tokens should attend where the teacher's do.

    `KL(teacher || student)` of the attention weights, which are distributions over the source
    tokens: averaged over target tokens. The heads of each are averaged first, so their numbers
    may differ.

    Args:
        reduction: as in `keras.losses.Loss`.
        name: str.

    Input shape: teacher and student `(B, H, T, S)`, the same but for H, as `MultiHeadAttention`
    and the Transformer blocks return them with `return_attention_scores=True`. Output shape: a
    scalar, or `(B,)` without reduction.

    Raises:
        ValueError: maps of another rank or of other lengths.

    Example:
    >>> uniform = np.full((1, 2, 3, 4), 0.25)
    >>> first = np.zeros((1, 1, 3, 4)); first[..., 0] = 1
    >>> loss = AttentionMapKL()
    >>> float(loss(uniform, uniform[:, :1])), round(float(loss(first, uniform)), 3)
    (0.0, 1.386)

    References:
        Jiao et al. (2020), TinyBERT, arXiv:1909.10351
        Wang et al. (2020), MiniLM, arXiv:2002.10957 (the divergence)
    """

    def __init__(self, *, reduction="sum_over_batch_size", name="attention_map_kl"):
        super().__init__(name=name, reduction=reduction, dtype="float32")

    def call(self, y_true, y_pred):
        if len(y_true.shape) != 4 or len(y_pred.shape) != 4 or y_true.shape[2:] != y_pred.shape[2:]:
            raise ValueError(
                "AttentionMapKL expects attention weights (B, H, T, S) of equal lengths; received "
                f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}. Give both models the same "
                "tokens."
            )
        teacher, student = (
            ops.maximum(ops.mean(ops.cast(a, "float32"), axis=1), _SMALLEST)
            for a in (y_true, y_pred)
        )  # (B, T, S)
        divergence = ops.sum(teacher * (ops.log(teacher) - ops.log(student)), axis=-1)
        return ops.mean(divergence, axis=-1)
