"""A lottery ticket in an MLP on MNIST-1D.

Shows     that a sparse network hidden in a dense one, trained alone from the same initial weights,
          beats the dense one; the same number of weights chosen blindly does not
Concept   pruning
Paper     Frankle, Carbin (2019), arXiv:1803.03635; Greydanus (2020), arXiv:2011.14439
Data      mnist1d, 4,000 / 1,000
Expect    0.7410 ± 0.0142 (3 seeds), 2.9 min a run; control 0.6487
Target    0.7525, MNIST-1D notebook "lottery tickets", mean of 2 tickets at 92 % sparsity
Run       python recipes/compression/lottery_ticket.py          --quick: under 30 s
Change    SPARSITY, ROUNDS, HIDDEN
"""

import sys

from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.pruning import find_ticket
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings: the published ones, but for fewer and larger prunings -----------------------------
HIDDEN = 500  # units of both hidden layers
SPARSITY = 0.92  # share of zeros in each kernel of the ticket
ROUNDS = 14  # trainings on the way to it; each prunes a sixth of what is left
EPOCHS = 38  # passes over the training signals, 1,500 steps
BATCH = 100  # signals a step
RATE = 2e-2  # Adam's learning rate
QUICK_HIDDEN, QUICK_ROUNDS, QUICK_EPOCHS = 100, 3, 4
GATES = {"mnist1d": Gate(0.72, gain=0.06)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(40, 1), classes=10, hidden=HIDDEN):
    """Returns the network, signal to logits: two hidden layers, the second one residual."""
    if hp is not None:
        hidden = hp.Int("hidden", 100, 500, step=100)

    def dense(x, units, **options):
        """A dense layer that begins as the published one: uniform up to 1 / sqrt(fan-in)."""
        limit = x.shape[-1] ** -0.5
        kernel = keras.initializers.RandomUniform(-limit, limit)
        bias = keras.initializers.RandomUniform(-limit, limit)
        return layers.Dense(units, kernel_initializer=kernel, bias_initializer=bias, **options)(x)

    inputs = keras.Input(input_shape)  # (B, 40, 1)
    x = layers.Flatten()(inputs)
    x = dense(x, hidden, activation="relu", name="first")
    x = x + dense(x, hidden, activation="relu", name="second")  # (B, hidden)
    logits = dense(x, classes, dtype="float32", name="logits")  # (B, 10)
    return keras.Model(inputs, logits, name="mlp")


# --- Train ---------------------------------------------------------------------------------------
def trainer(dataset, run):
    """Returns two functions: one makes a compiled model, the other trains it and tests it."""
    hidden = QUICK_HIDDEN if run.quick else HIDDEN
    x, y = dataset.x_train, dataset.y_train

    def compiled():
        model = build(None, x.shape[1:], len(dataset.class_names), hidden)
        model.compile(
            keras.optimizers.Adam(RATE),
            SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    def fit(model, label=None):
        options = {"batch_size": BATCH, "epochs": QUICK_EPOCHS if run.quick else EPOCHS}
        if label is None:  # one of the many trainings on the way to a ticket
            model.fit(x, y, verbose=0, **options)
            return evaluate(model, dataset)
        return run.fit(model, x, y, label=label, **options)

    return lambda: run.fastest(compiled, x, y, batch_size=BATCH), fit


def train(dataset, run, *, use_technique=True):
    """Trains the dense network, or finds a ticket in it; returns it and the function that fits."""
    make, fit = trainer(dataset, run)
    if not use_technique:
        return make(), fit
    rounds = QUICK_ROUNDS if run.quick else ROUNDS
    return find_ticket(make, fit, sparsity=SPARSITY, rounds=rounds, scope="layer"), fit


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(
    metric="test_accuracy",
    data="mnist1d",
    gates=GATES,
    target=(0.7525, "MNIST-1D notebook, mean of 2 tickets at 92 % sparsity (dense 0.659)"),
)
def main(run):
    dataset = run.load()
    tickets, paths = {}, {}

    def ticket_of(seed):
        if seed not in tickets:
            tickets.clear()  # one compiled network at a time
            tickets[seed] = train(dataset, run)
            run.say(f"ticket of seed {seed}: {tickets[seed][0].sparsity:.3f} of the weights zero")
            paths[seed] = tickets[seed][0].history
        return tickets[seed]

    def dense(seed):
        model, fit = train(dataset, run, use_technique=False)
        history = fit(model, "dense")
        return Trial(evaluate(model, dataset), model, history, columns={"sparsity": 0.0})

    def sparse(label, start):
        def once(seed):
            ticket, fit = ticket_of(seed)
            model = start(ticket, seed)
            history = fit(model, label)
            columns = {"sparsity": float(ticket.sparsity)}
            return Trial(evaluate(model, dataset), model, history, columns=columns)

        return once

    def new_weights(ticket, seed):
        keras.utils.set_random_seed(1000 + seed)
        return ticket.reinitialize(trainer(dataset, run)[0]().get_weights())

    def path_panel(axis):
        for seed, path in paths.items():
            axis.plot(*zip(*path), marker=".", label=f"seed {seed}")
        axis.set(xlabel="share of zeros", ylabel="test accuracy", title="on the way to the ticket")
        axis.legend()

    run.row("dense", dense, role="control")
    run.row("ticket", sparse("ticket", lambda ticket, _: ticket.rewind()), role="technique")
    run.row("ticket, new weights", sparse("new weights", new_weights))
    run.row("random mask", sparse("random mask", lambda ticket, seed: ticket.random(seed)))
    run.finish(save_inputs=dataset.x_test[:256], panels=[path_panel] if paths else ())


if __name__ == "__main__":
    sys.exit(main())
