"""Lottery tickets: sparse networks that train better than the dense one they were found in."""

from dataclasses import dataclass, field

from kerasdnn.pruning import masks as pruning

import numpy as np
from keras import ops


@dataclass
class Ticket:
    """What `find_ticket` returns.

    Its methods put the one model into another state and return it, ready to train: compiled, with
    masks in force and an optimizer that has not made a step.

    Attributes:
        model: the compiled model, at the ticket's weights from before training.
        masks: list of bool arrays, one a kernel.
        weights: list of arrays, the weights from before training, not masked.
        sparsity: float, the share of zeros in the kernels.
        history: list of `(sparsity, what train returned)`, one entry a round.
    """

    model: object
    masks: list
    weights: list
    sparsity: float
    history: list
    ignored: tuple = ()
    fresh_optimizer: list = field(default_factory=list, repr=False)

    def rewind(self):
        """Returns the model as it was found: initial weights under the ticket's masks."""
        return self._start(self.weights, self.masks)

    def random(self, seed=0):
        """Returns the control: initial weights, as sparse in each kernel, but chosen blindly."""
        generator = np.random.default_rng(seed)
        return self._start(
            self.weights,
            [generator.permutation(m.ravel()).reshape(m.shape) for m in self.masks],
        )

    def reinitialize(self, weights):
        """Returns the other control: the ticket's masks on other initial weights.

        Args:
            weights: list of arrays as of `model.get_weights()`, for instance of a new `build()`.
        """
        return self._start(weights, self.masks)

    def _start(self, weights, masks):
        self.model.set_weights(weights)
        for variable, value in zip(
            self.model.optimizer.variables, self.fresh_optimizer, strict=True
        ):
            variable.assign(value)
        pruning.apply_masks(self.model, masks, self.ignored)
        return self.model


def find_ticket(build, train, *, sparsity=0.92, rounds=12, scope="layer", ignored=(), rewind=None):
    """Finds a lottery ticket by iterative magnitude pruning with rewinding.

    Each round trains the network from its initial weights, masks the smallest of the trained
    ones, and goes back to the initial weights. Round r of R leaves `(1 - sparsity)^(r / R)` of
    the weights. The network is compiled once and serves all rounds.

    Args:
        build: function without arguments that returns a fresh compiled model.
        train: function that trains the model it is given with `fit`, from the first step to the
            last, and may return a number for the history. It must not compile the model.
        sparsity: float in (0, 1), the share of zeros in the ticket's kernels.
        rounds: int, trainings; more and smaller prunings find better tickets.
        scope: "layer" prunes each kernel by the same share, "global" the smallest of all.
        ignored: layers to leave whole, as for `callbacks.PruneToSparsity`.
        rewind: None, or a function that trains the model a few steps: the weights it leaves are
            the ones to go back to, which larger networks need.

    Returns:
        Ticket: train `ticket.model`, and as controls `ticket.random()` and
        `ticket.reinitialize(weights)`.

    Raises:
        ValueError: an argument out of range, or a `train` that compiles the model.

    Example:
    >>> def build():
    ...     model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    ...     model.compile("adam", "mse")
    ...     return model
    >>> def train(model):
    ...     model.fit(np.ones((8, 8)), np.ones((8, 4)), verbose=0)
    >>> ticket = find_ticket(build, train, sparsity=0.75, rounds=2)
    >>> [float(sparsity) for sparsity, _ in ticket.history], float(ticket.sparsity)
    ([0.0, 0.5], 0.75)

    References:
        Frankle, Carbin (2019), The Lottery Ticket Hypothesis, arXiv:1803.03635
        Frankle et al. (2020), Linear Mode Connectivity and the Lottery Ticket Hypothesis,
        arXiv:1912.05671 (rewinding to a later step)
    """
    if not 0 < sparsity < 1:
        raise ValueError(
            f"find_ticket expects sparsity in (0, 1); received {sparsity}. 0.92 leaves 8 % of "
            "the weights."
        )
    if rounds < 1 or scope not in ("layer", "global"):
        raise ValueError(
            'find_ticket expects rounds of at least 1 and scope "layer" or "global"; received '
            f"{rounds} and {scope!r}. Try rounds=12."
        )
    model = build()
    if not model.compiled:
        raise ValueError(
            "find_ticket expects build() to return a compiled model; received one that is not. "
            "Call model.compile in build."
        )
    if rewind is not None:
        rewind(model)
    ticket = _dense_ticket(model, tuple(ignored))
    for number in range(1, rounds + 1):
        optimizer = ticket.rewind().optimizer
        value = train(model)
        if model.optimizer is not optimizer:
            raise ValueError(
                "find_ticket expects train to keep the optimizer and its masks; it compiled the "
                "model anew. Let build compile the model, and train only call fit."
            )
        kernels = pruning.prunable_weights(model, ticket.ignored)
        trained = [item.value() for item in kernels]
        ticket.history.append((ticket.sparsity, value))
        share = 1 - (1 - sparsity) ** (number / rounds)
        ticket.masks = pruning.magnitude_masks(trained, share, scope=scope, alive=ticket.masks)
        ticket.sparsity = 1 - sum(m.sum() for m in ticket.masks) / sum(m.size for m in trained)
    ticket.rewind()
    return ticket


def _dense_ticket(model, ignored):
    """The model as it is, with all masks open and the optimizer before its first step."""
    items = pruning.prunable_weights(model, ignored)
    pruning.masked_optimizer(model, install=True)
    return Ticket(
        model=model,
        masks=[np.ones(tuple(item.variable.shape), "bool") for item in items],
        weights=model.get_weights(),
        sparsity=0.0,
        history=[],
        ignored=ignored,
        # Through NumPy, as copies: the variables themselves change.
        fresh_optimizer=[np.array(ops.convert_to_numpy(v)) for v in model.optimizer.variables],
    )
