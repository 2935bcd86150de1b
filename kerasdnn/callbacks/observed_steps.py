"""The train function of a model, some calls of which go through `Observed` optimizers."""

import contextlib

from kerasdnn import backend
from kerasdnn.optimizers import Observed

import keras
import numpy as np
from keras import ops


class ObservedSteps:
    """Stands in the place of `model.train_function` during a `fit`.

    Most calls go straight to the function that was there. At the calls that `due` asks for, the
    optimizers of the model are wrapped in `Observed`, and unwrapped again right after: a step that
    nobody looks at costs nothing, and callbacks and checkpoints only ever see the model's own
    optimizer. Batch hooks are not used, because they make JAX and Torch wait for every step.

    Args:
        model: the model that is being fitted.
        due: function of the number of the step (from 0) that says whether to observe it.
        wants_batch: function of that number that says whether to hand over its batch.
        on_batch: called with number, batch and the values of the model's variables, before the
            step, where `wants_batch`.
        on_step: called after each step with its number, its logs, and what `Observed` measured at
            the steps that are due, else None.
    """

    def __init__(self, model, *, due, wants_batch, on_batch, on_step):
        self.model, self.due, self.wants_batch = model, due, wants_batch
        self.on_batch, self.on_step = on_batch, on_step
        self.calls = 0
        self.plain = self.observed = None
        self.optimizers = {}
        self.on_jax = keras.backend.backend() == "jax"

    def install(self):
        """Takes the place of the model's train function; again, if something else has taken it."""
        model = self.model
        if model.train_function is self:
            return
        model.make_train_function()
        self.plain, self.observed = model.train_function, None
        model.train_function = self
        self.optimizers = {name: Observed(value) for name, value in _optimizers(model).items()}
        for name, observed in self.optimizers.items():
            if observed.inner_optimizer.built:
                known = observed.inner_optimizer._trainable_variables
                observed.build(known if name != "optimizer" else model.trainable_variables)

    def remove(self):
        """Gives the place back."""
        if self.model.train_function is self:
            self.model.train_function = self.plain

    def __call__(self, *arguments):
        step = self.calls
        self.calls += 1
        if self.wants_batch(step):
            batch, arguments = backend.current().peek_batch(
                arguments, self.model.steps_per_execution
            )
            if batch is not None:
                self.on_batch(step, batch, self._values(arguments))
        if self.due(step) and self.optimizers and not _torch_compiled(self.model):
            result, measured = self._observe(arguments)
        else:
            result, measured = self.plain(*arguments), None
        self.on_step(step, result[0] if self.on_jax else result, measured)
        return result

    def _observe(self, arguments):
        with self._wrapped():
            if self.observed is None:
                self.observed = self._make()
            if self.on_jax:
                result = self._observe_on_jax(*arguments)
            else:
                result = self.observed(*arguments)
        return result, [
            (observed, _kept(observed.norms), _kept(observed.counts), _kept(observed._iterations))
            for observed in self.optimizers.values()
            if observed.built
        ]

    def _make(self):
        """Returns a train function that is traced with the wrapped optimizers."""
        model = self.model
        if keras.backend.backend() == "torch":
            return self.plain  # nothing is traced
        try:
            model.train_function = None
            model.make_train_function(force=True)
            return model.train_function
        finally:
            model.train_function = self

    def _observe_on_jax(self, state, iterator):
        """Adds the variables of `Observed` to the state that JAX's step takes and gives back."""
        observed = self.optimizers["optimizer"]
        place = {id(v): i for i, v in enumerate(observed.inner_optimizer.variables)}
        theirs = list(state[2])
        own = [v for v in observed.variables if id(v) not in place]
        longer = [theirs[place[id(v)]] if id(v) in place else v.value for v in observed.variables]
        logs, state = self.observed((state[0], state[1], longer, state[3]), iterator)
        for variable, value in zip(observed.variables, state[2], strict=True):
            if id(variable) in place:
                theirs[place[id(variable)]] = value
        new = dict(zip((id(v) for v in observed.variables), state[2]))
        for variable in own:
            variable.assign(new[id(variable)])
        return logs, (state[0], state[1], theirs, state[3])

    @contextlib.contextmanager
    def _wrapped(self):
        before = {name: observed.inner_optimizer for name, observed in self.optimizers.items()}
        try:
            for name, observed in self.optimizers.items():
                setattr(self.model, name, observed)
            yield
        finally:
            for name, optimizer in before.items():
                setattr(self.model, name, optimizer)

    def _values(self, arguments):
        """Returns pairs of variable and value where the variables are empty during `fit`."""
        if not self.on_jax:
            return []
        state, model = arguments[0], self.model
        pairs = zip(model.trainable_variables, state[0], strict=True)
        return [*pairs, *zip(model.non_trainable_variables, state[1], strict=True)]


def _optimizers(model):
    """Returns the optimizers of a model by attribute: the compiled one, and a GAN's own."""
    found = {"optimizer": model.optimizer} if model.optimizer is not None else {}
    if keras.backend.backend() == "jax":
        return found  # a step on JAX is handed the variables of the compiled one only
    for name, value in vars(model).items():
        known = any(value is optimizer for optimizer in found.values())
        if isinstance(value, keras.optimizers.Optimizer) and not known:
            found[name] = value
    return found


def _torch_compiled(model):
    # torch.compile takes minutes to compile a second step, and an uncompiled one rounds otherwise.
    return keras.backend.backend() == "torch" and bool(model.jit_compile)


def _kept(variable):
    """Returns the value of a variable that the next step may overwrite; does not wait on JAX."""
    if keras.backend.backend() == "jax":
        return ops.copy(variable.value)
    return np.array(ops.convert_to_numpy(variable))
