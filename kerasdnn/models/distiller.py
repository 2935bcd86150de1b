"""Knowledge distillation: a small student learns from what a trained teacher says and sees."""

from kerasdnn.losses.distillation import AttentionMapKL, AttentionTransfer, SoftTargets
from kerasdnn.models.taps import Taps, ends_in_softmax

import keras
import numpy as np
from keras import ops

_KEYS = {"loss", "weight", "student_layer", "teacher_layer"}


@keras.saving.register_keras_serializable(package="kerasdnn")
class Distiller(keras.Model):
    """Trains a student on the labels and on its teacher.

    The loss is `label_weight * loss of compile + sum of weight * loss(teacher, student)`, plus
    the student's own penalties. Train with `compile` and `fit` as always, then keep
    `distiller.student`. Against `keras.distillation.Distiller`: evaluating leaves the student's
    statistics alone and it runs once a step, its regularizers and `sample_weight` count, a
    softmax is not taken twice, and a reloaded distiller trains on. The teacher is never trained
    and its `trainable` not touched.

    Args:
        student: a built functional or sequential `keras.Model`.
        teacher: the same, with the same inputs; already trained.
        losses: a loss of `(teacher, student)`, or a list of them. An entry is a
            `keras.losses.Loss` on the outputs, a loss of `keras.distillation`, or a dictionary
            with "loss", "weight" (1.0), "student_layer" and "teacher_layer": names of layers
            whose outputs, for `AttentionMapKL` whose attention weights, are compared. Default:
            `SoftTargets()`.
        label_weight: float, of the loss given to `compile`. Default 1.0.

    Features of unequal width are brought to the teacher's by a dense layer that is learned on the
    way, unless the loss does without, as `AttentionTransfer` and `AttentionMapKL` do.

    Input shape: that of the student. Output shape: that of the student.

    Raises:
        ValueError: models of different classes or inputs, unknown layers, or `SoftTargets` of
            logits on models that end in a softmax.

    Example:
    >>> def make(width):
    ...     return keras.Sequential([keras.Input((8,)),
    ...                              keras.layers.Dense(width, activation="relu", name="hidden"),
    ...                              keras.layers.Dense(3)])
    >>> from kerasdnn.losses import SoftTargets
    >>> distiller = Distiller(make(4), make(32), losses=SoftTargets(temperature=4.0))
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> distiller.compile("adam", loss, metrics=["accuracy"])
    >>> history = distiller.fit(np.ones((16, 8)), np.zeros(16), verbose=0)
    >>> distiller.student.output_shape
    (None, 3)

    References:
        Hinton, Vinyals, Dean (2015), Distilling the Knowledge in a Neural Network,
        arXiv:1503.02531
    """

    def __init__(self, student, teacher, losses=None, *, label_weight=1.0, **kwargs):
        super().__init__(**kwargs)
        for name, model in (("student", student), ("teacher", teacher)):
            if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
                raise ValueError(
                    f"Distiller expects {name} as a built functional or sequential keras.Model; "
                    f"received {type(model).__name__}. Start it with keras.Input."
                )
        self.student, self.teacher = student, teacher
        self.label_weight = float(label_weight)
        given = [SoftTargets()] if losses is None else losses
        given = list(given) if isinstance(given, list | tuple) else [given]
        # Not attributes that Keras tracks: their layers are those of the two models.
        self._plan = _Plan([_term(entry) for entry in given])
        self._plan.connect(student, teacher)
        self.projections = []
        for term in self._plan.terms:
            self.projections.append(self._projection(term))
        self.built = True

    def _projection(self, term):
        """Returns the layer that brings the student's features to the teacher's width, or None."""
        if not term.inside or isinstance(term.loss, AttentionTransfer | AttentionMapKL):
            return None
        student, teacher = self._plan.shapes(term)
        if student[-1] == teacher[-1]:
            return None
        layer = keras.layers.Dense(teacher[-1], use_bias=False, name=f"to_{term.teacher_layer}")
        layer.build(student)
        return layer

    def call(self, x, training=False):
        y_pred, self._plan.seen = self._plan.student(x, training=training)
        return y_pred

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        label, cached = _split(y)
        plan = self._plan
        if plan.seen is None:  # called without a call before
            _, plan.seen = plan.student(x, training=training)
        inside, plan.seen = plan.seen, None
        total = sum(self._penalties(), ops.zeros((), "float32"))
        if self.label_weight and self._compile_loss is not None:
            plan.hide_penalties = True
            hard = super().compute_loss(x, label, y_pred, sample_weight, training)
            plan.hide_penalties = False
            total = total + self.label_weight * hard
        if cached is None:
            taught = plan.teacher(x, training=False)
        else:
            taught = cached["output"], {k: cached["/".join(k)] for k in plan.teacher.wanted}
        for index, term in enumerate(plan.terms):
            target = taught[1][term.teacher_key] if term.inside else taught[0]
            value = inside[term.student_key] if term.inside else y_pred
            if self.projections[index] is not None:
                value = self.projections[index](value)
            total = total + term.weight * term(ops.stop_gradient(target), value, sample_weight)
        return total

    def _penalties(self):
        return [ops.cast(loss, "float32") for loss in self.losses]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, _split(y)[0], y_pred, sample_weight)

    def teach(self, x, y, batch_size=256):
        """Returns targets for `fit` with the teacher's answers in them, computed once.

        `fit(x, distiller.teach(x, y))` trains the same as `fit(x, y)`, without running the
        teacher in every step. For inputs that do not change from epoch to epoch only.
        """
        wanted = self._plan.teacher.wanted
        answers = self._plan.teacher.answers(x, batch_size)
        found = {"output": answers[0]}
        found |= {"/".join(k): a for k, a in zip(wanted, answers[1:], strict=True)}
        return {"label": np.asarray(y), "teacher": found}

    # The teacher is frozen for this model without a change to its own `trainable`.
    @property
    def trainable_weights(self):
        learned = [w for p in self.projections if p is not None for w in p.trainable_weights]
        return [*self.student.trainable_weights, *learned]

    @property
    def trainable_variables(self):
        return self.trainable_weights

    @property
    def non_trainable_variables(self):
        learned = {id(v) for v in self.trainable_weights}
        return [v for v in self.variables if id(v) not in learned]

    @property
    def losses(self):
        if self._plan.hide_penalties:
            return []
        # On JAX those of the call are handed over by Keras' trainer.
        return self._losses_override or self.student.losses

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "student": serialize(self.student),
            "teacher": serialize(self.teacher),
            "losses": [term.config() for term in self._plan.terms],
            "label_weight": self.label_weight,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)

        def load(entry):
            return keras.saving.deserialize_keras_object(entry, custom_objects=custom_objects)

        losses = [{**entry, "loss": load(entry["loss"])} for entry in config.pop("losses")]
        parts = {key: load(config.pop(key)) for key in ("student", "teacher")}
        return cls(**parts, losses=losses, **config)


def _split(y):
    """Returns labels and the teacher's answers, which `teach` puts beside them."""
    if isinstance(y, dict) and set(y) == {"label", "teacher"}:
        return y["label"], y["teacher"]
    return y, None


class _Plan:
    """What is compared with what."""

    def __init__(self, terms):
        self.terms, self.seen, self.hide_penalties = terms, None, False

    def connect(self, student, teacher):
        if [t.shape[1:] for t in student.inputs] != [t.shape[1:] for t in teacher.inputs]:
            raise ValueError(
                "Distiller expects student and teacher with the same inputs; received "
                f"{student.input_shape} and {teacher.input_shape}. Put the difference into a "
                "first layer."
            )
        for term in self.terms:
            if term.inside:
                continue
            if student.output_shape != teacher.output_shape:
                raise ValueError(
                    "Distiller expects student and teacher of the same classes; received outputs "
                    f"{student.output_shape} and {teacher.output_shape}. Compare layers inside "
                    "instead, with student_layer and teacher_layer."
                )
            logits = getattr(term.loss, "from_logits", True)
            soft = [m.name for m in (student, teacher) if ends_in_softmax(m)]
            if term.needs_logits and logits and soft:
                raise ValueError(
                    f"Distiller expects logits for {type(term.loss).__name__}; {soft[0]} ends in "
                    "a softmax. Use SoftTargets(from_logits=False) with softmax outputs, or leave "
                    "the softmax out."
                )
        self.student = Taps(student, [t.student_key for t in self.terms if t.inside])
        self.teacher = Taps(teacher, [t.teacher_key for t in self.terms if t.inside])

    def shapes(self, term):
        """Returns the shapes of what a term compares inside of student and teacher."""
        return self.student.shape(term.student_layer), self.teacher.shape(term.teacher_layer)


class _Term:
    """One loss of teacher and student."""

    def __init__(self, loss, weight=1.0, student_layer=None, teacher_layer=None):
        own = getattr(loss, "student_layer_name", None)  # keras.distillation.FeatureDistillation
        self.loss, self.weight = loss, float(weight)
        self.student_layer = student_layer or own
        self.teacher_layer = teacher_layer or getattr(loss, "teacher_layer_name", None)
        if (self.student_layer is None) != (self.teacher_layer is None):
            raise ValueError(
                "Distiller expects student_layer and teacher_layer together; received only "
                f"{self.student_layer or self.teacher_layer!r}. Name both, or neither for outputs."
            )
        self.inside = self.student_layer is not None
        self.of_keras = isinstance(loss, keras.distillation.DistillationLoss)
        self.needs_logits = isinstance(loss, SoftTargets | keras.distillation.LogitsDistillation)
        kind = "scores" if isinstance(loss, AttentionMapKL) else "output"
        self.student_key = (self.student_layer, kind)
        self.teacher_key = (self.teacher_layer, kind)

    def __call__(self, teacher, student, sample_weight):
        if self.of_keras:
            if sample_weight is not None:
                raise ValueError(
                    f"{type(self.loss).__name__} of keras.distillation takes no sample_weight. "
                    "Use kerasdnn.losses.SoftTargets, or a keras.losses.Loss on two layers."
                )
            return ops.cast(self.loss.compute_loss(teacher, student), "float32")
        teacher, student = (ops.cast(t, "float32") for t in (teacher, student))
        values = ops.cast(self.loss.call(teacher, student), "float32")  # (B, ...)
        values = ops.reshape(values, (ops.shape(student)[0], -1))
        values = ops.mean(values, axis=-1)  # (B,)
        if sample_weight is not None:
            values = values * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        return ops.mean(values)

    def config(self):
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "weight": self.weight,
            "student_layer": self.student_layer,
            "teacher_layer": self.teacher_layer,
        }


def _term(entry):
    if isinstance(entry, dict):
        unknown = set(entry) - _KEYS
        if unknown or "loss" not in entry:
            raise ValueError(
                f"Distiller expects an entry of losses with the keys {sorted(_KEYS)}; received "
                f"{sorted(entry)}. Only loss is needed."
            )
        return _Term(**entry)
    if not isinstance(entry, keras.losses.Loss | keras.distillation.DistillationLoss):
        raise ValueError(
            "Distiller expects losses as keras.losses.Loss, losses of keras.distillation or "
            f"dictionaries; received {entry!r}. Try kerasdnn.losses.SoftTargets()."
        )
    return _Term(entry)
