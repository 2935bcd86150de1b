"""What every optimizer around another optimizer needs."""

import keras


class OptimizerWrapper(keras.optimizers.Optimizer):
    """Passes on to `inner_optimizer` all that a model, a callback or a file asks of an optimizer.

    A subclass overrides `apply_inner`, which is given the list of gradients and their variables.
    Its own state is optimizer variables (`add_variable` in `build`), so the JAX trainer carries it.
    It stands inside a `LossScaleOptimizer`, where Keras also puts it by itself, never around one,
    because there gradients are scaled.
    """

    def __init__(self, inner_optimizer, *, name):
        super().__init__(learning_rate=0.0, name=name)
        inner_optimizer = keras.optimizers.get(inner_optimizer)
        if isinstance(inner_optimizer, keras.optimizers.LossScaleOptimizer):
            kind = type(self).__name__
            raise ValueError(
                f"{kind} expects an optimizer without loss scaling; received a LossScaleOptimizer. "
                f"Put it around: LossScaleOptimizer({kind}(...))."
            )
        self.inner_optimizer = inner_optimizer

    def build(self, variables):
        if self.built:
            return
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        trainable_variables = list(trainable_variables)
        if not self.built:
            self.build(trainable_variables)
        self.apply_inner(list(grads), trainable_variables)
        self._iterations.assign_add(1)

    def apply_inner(self, grads, variables):
        """Takes one step of the optimizer inside."""
        self.inner_optimizer.apply(grads, variables)

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

    @property
    def loss_scale_factor(self):
        # Keras' constructor sets it before there is an optimizer inside.
        return getattr(getattr(self, "inner_optimizer", None), "loss_scale_factor", None)

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        if hasattr(self, "inner_optimizer"):
            self.inner_optimizer.loss_scale_factor = value

    def scale_loss(self, loss):
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

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


def leaf_optimizers(optimizer):
    """Returns the optimizers that update weights: those inside wrappers and `MultiOptimizer`."""
    inside = getattr(optimizer, "optimizers", None)
    if inside is None:
        inner = getattr(optimizer, "inner_optimizer", None)
        inside = None if inner is None else [inner]
    if inside is None:
        return [optimizer]
    return [leaf for child in inside for leaf in leaf_optimizers(child)]
