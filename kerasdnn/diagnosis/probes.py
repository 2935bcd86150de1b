"""Experiments on one batch: they tell a wrong rate, loss or label from a slow training."""

import dataclasses
import math

from kerasdnn import backend
from kerasdnn.diagnosis.facts import BatchFacts
from kerasdnn.diagnosis.skill import guess_loss, model_skill
from kerasdnn.diagnosis.training import State, Trainer, clock, scale_rate

import keras
import numpy as np

RATE_FACTORS = (0.1, 1.0, 10.0)
OVERFIT_ROWS, OVERFIT_STEPS = 32, 150
DOUBLED_ROWS = 4  # rows whose loss is also taken twice


def probe(model, rows, program, watch, labels, facts, *, deadline):
    """Returns the `BatchFacts` of a model that has not been trained; leaves it as it was."""
    batch = BatchFacts()
    state = State.of(model)
    _forward(batch, model, rows, labels, facts)
    _by_layer(batch, watch)
    if batch.loss is None or not math.isfinite(batch.loss) or clock() > deadline:
        return batch
    try:
        _rates(batch, model, rows, program, state, deadline)
        _overfit(batch, model, rows, program, state, labels, facts, deadline)
    finally:
        state.restore()
    return batch


def batch_loss(model, rows, training=False):
    """Returns the loss of rows without an update, penalties included."""
    loss, _ = backend.current().loss_gradients(
        model, rows.x, rows.y, rows.weight, training=training
    )
    return loss


def _forward(batch, model, rows, labels, facts):
    sample = rows.sample(256)
    outputs = keras.tree.flatten(_call(model, sample.x))
    output = np.asarray(outputs[0], "float64")
    if output.size and np.all(np.isfinite(output)):
        batch.output_low, batch.output_high = float(output.min()), float(output.max())
        batch.output_std = float(output.std(axis=0).mean())
        if output.ndim > 1 and output.shape[-1] > 1:
            sums = output.sum(-1)
            batch.row_sum = (float(sums.min()), float(sums.max()))
            sums = output.sum(0)
            batch.column_sum = (float(sums.min()), float(sums.max()))
    batch.penalty = float(sum(float(keras.ops.convert_to_numpy(p)) for p in model.losses))
    batch.loss = batch_loss(model, sample) - batch.penalty
    _loss_structure(batch, model, sample, output)
    if len(labels) == 1 and facts.losses and facts.losses[0] is not None:
        y = np.asarray(keras.tree.flatten(rows.y)[0])
        batch.expected_loss = guess_loss(labels[0].kind, y, facts.losses[0].name)


def _call(model, x):
    outputs = model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)


def _loss_structure(batch, model, sample, output):
    """Is the loss a mean over rows, and does a row's output depend on its row alone?"""
    few = sample.take(slice(0, DOUBLED_ROWS))
    if len(few) < 2 or few.weight is not None or few.y is None:
        return
    base = batch_loss(model, few) - batch.penalty
    twice = few.take(np.concatenate([np.arange(len(few))] * 2))
    scale = abs(base) if abs(base) > 1e-9 else 1.0
    batch.duplicated_ratio = (batch_loss(model, twice) - batch.penalty) / scale
    if len(keras.tree.flatten(sample.y)) == 1:
        mixed = keras.tree.map_structure(lambda a: np.roll(a, 1, axis=0), sample.y)
        swapped = batch_loss(model, dataclasses.replace(sample, y=mixed)) - batch.penalty
        batch.permuted_change = abs(swapped - batch.loss) / max(abs(batch.loss), 1e-9)
    if len(output) >= len(few) and np.all(np.isfinite(output)):
        alone = np.asarray(keras.tree.flatten(_call(model, few.take(slice(0, 1)).x))[0], "float64")
        spread = float(np.abs(output).max()) or 1.0
        batch.batch_dependent = float(np.abs(alone[0] - output[0]).max() / spread)


def _by_layer(batch, watch):
    for name, facts in watch.activations().items():
        batch.layers.append(name)
        batch.activation_std[name] = facts.get("std")
        batch.activation_row_std[name] = facts.get("row_std")
        batch.dead_share[name] = facts.get("dead")
        batch.saturated_share[name] = facts.get("saturated")
    _, batch.gradient_norm, batch.weight_norm = watch.gradients()


def _rates(batch, model, rows, program, state, deadline):
    """Takes one step at a tenth, once and ten times the rate, each from the same weights."""
    some = rows.sample(max(2, min(rows.batch_size, len(rows))))
    before = batch_loss(model, some)
    batch.step_loss = {"0": before}
    for factor in RATE_FACTORS:
        if clock() > deadline:
            return
        state.restore()
        if factor != 1.0 and not scale_rate(model, factor):
            continue
        Trainer(model, some, program).run(1, deadline, max_steps=1)
        batch.step_loss[str(factor)] = batch_loss(model, some)
    state.restore()


def _overfit(batch, model, rows, program, state, labels, facts, deadline):
    """Repeats the step on one small batch: what cannot be learned here never will be."""
    few = rows.sample(OVERFIT_ROWS, seed=1)
    state.restore()
    trainer = Trainer(model, few, program.replace(fit={"callbacks": None, "steps_per_epoch": None}))
    trainer.run(OVERFIT_STEPS, deadline, max_steps=OVERFIT_STEPS)
    batch.overfit_loss = trainer.trace.step_loss
    if trainer.trace.stopped != "nan":
        batch.overfit_skill = model_skill(model, few, labels, facts)
    state.restore()
