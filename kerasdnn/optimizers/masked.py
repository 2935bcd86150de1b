"""An optimizer that keeps chosen weights at zero."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class Masked(keras.optimizers.Optimizer):
    """Keeps pruned weights at exactly zero, whatever the optimizer inside does.

    One step is `w <- mask * step(w, mask * gradient)`: momentum, weight decay and averaging of
    the optimizer inside cannot bring a pruned weight back, and pruned weights take no part in
    gradient clipping. The masks are optimizer variables, so a model that is saved and loaded goes
    on training sparse. `callbacks.PruneToSparsity` puts this optimizer in place by itself, and
    `pruning.strip` takes it away.

    Args:
        inner_optimizer: `keras.optimizers.Optimizer`, or its name.
        name: str.

    Raises:
        TypeError: the optimizer inside is not one of Keras.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> optimizer = Masked(keras.optimizers.AdamW(0.1))
    >>> model.compile(optimizer, "mse")
    >>> optimizer.build(model.trainable_variables)
    >>> optimizer.set_mask(model.trainable_variables[0], np.array([[True], [False]]))
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    >>> float(model.get_weights()[0][1, 0])
    0.0
    """

    def __init__(self, inner_optimizer, *, name="masked"):
        super().__init__(learning_rate=0.0, name=name)
        inner_optimizer = keras.optimizers.get(inner_optimizer)
        if not isinstance(inner_optimizer, keras.optimizers.Optimizer):
            raise TypeError(
                "Masked expects a Keras optimizer or its name; received "
                f"{type(inner_optimizer).__name__}. Write Masked(keras.optimizers.Adam())."
            )
        self.inner_optimizer = inner_optimizer

    def build(self, variables):
        if self.built:
            return
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        # Vectors (biases, scales) are never pruned; they cost nothing.
        self._masks = [
            self.add_variable(v.shape, initializer="ones", dtype="bool", name=f"mask_{i}")
            if len(v.shape) > 1
            else None
            for i, v in enumerate(variables)
        ]
        super().build(variables)

    def mask(self, variable):
        """Returns the mask of a weight, a bool variable, or None for vectors."""
        return self._masks[self._get_variable_index(variable)]

    def set_mask(self, variable, mask):
        """Sets the mask of a weight, true where it lives, and zeroes the rest of it."""
        if tuple(np.shape(mask)) != tuple(variable.shape):
            raise ValueError(
                f"Expected a mask of shape {tuple(variable.shape)} for {variable.path}; received "
                f"{tuple(np.shape(mask))}. Take the masks from a model of the same shape."
            )
        self.mask(variable).assign(np.asarray(mask, "bool"))
        variable.assign(np.where(mask, ops.convert_to_numpy(variable), 0))

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        trainable_variables = list(trainable_variables)
        if not self.built:
            self.build(trainable_variables)
        grads = [
            g if g is None else self._masked(g, v)
            for g, v in zip(grads, trainable_variables, strict=True)
        ]
        self.inner_optimizer.apply(grads, trainable_variables)
        self._zero(trainable_variables)
        self._iterations.assign_add(1)

    def _masked(self, value, variable):
        mask = self.mask(variable)
        if mask is None:
            return value
        value = ops.convert_to_tensor(value)
        return ops.where(ops.convert_to_tensor(mask), value, ops.zeros_like(value))

    def _zero(self, variables):
        for variable in variables:
            if self.mask(variable) is not None:
                variable.assign(self._masked(variable, variable))

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)  # averages of the weights
        self._zero(var_list)
        for variable in var_list:
            if self.mask(variable) is None:
                # On JAX weight and average would be one buffer, which the next fit gives away.
                variable.assign(ops.copy(ops.convert_to_tensor(variable)))

    @property
    def variables(self):
        return self._variables + self.inner_optimizer.variables

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    def scale_loss(self, loss):
        return self.inner_optimizer.scale_loss(loss)

    def get_config(self):
        return {
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        inner = keras.saving.deserialize_keras_object(
            config.pop("inner_optimizer"), custom_objects=custom_objects
        )
        return cls(inner, **config)
