"""Judgements that several rules share: has it learned, is it still learning, is it noise?"""

import math

import numpy as np

LEARNED = 0.8  # skill from which a training is well
HALF_WAY = 0.5  # skill from which a training works, if not well
NEARLY_GONE = 0.15  # of the loss of a constant guess
FEW = 20  # rows
HELPS, DECISIVE = 0.1, 0.25  # gain in skill that counts, and that counts for one that works


def learned(evidence):
    """Whether the training was seen to work."""
    run = evidence.run
    if run is None or run.nan is not None:
        return False
    if run.skill is not None:
        return run.skill >= LEARNED
    return False


def unwell(evidence):
    """Whether the training was seen to end badly."""
    run = evidence.run
    if run is None:
        return False
    if run.nan is not None:
        return True
    if run.skill is not None and _measured_by_skill(evidence.model):
        return run.skill < LEARNED
    return len(run.loss) > 1 and not improved(run.loss)


def _measured_by_skill(model):
    """Whether what the loss wants is what skill measures; of a user's own loss nobody knows."""
    if model is None:
        return True
    return not model.own_loss and all(
        loss is not None and loss.known and loss.name != "cosine_similarity"
        for loss in model.losses
    )


def improved(loss, share=0.02):
    """Whether a curve ends lower than it began by more than a share of its beginning."""
    if len(loss) < 2 or not all(map(math.isfinite, loss)):
        return False
    return loss[0] - min(loss[1:]) > share * max(abs(loss[0]), 1e-12)


def still_falling(loss, floor=0.0):
    """Returns the share of the loss that its last quarter still took off, 0 if it is only noise.

    Args:
        loss: list over epochs, or over pieces of an epoch.
        floor: a value that the loss cannot go below.
    """
    loss = [v for v in loss if v is not None and math.isfinite(v)]
    if len(loss) < 4:
        return 0.0
    loss = np.asarray(smoothed(loss))
    quarter = max(2, len(loss) // 4)
    tail = loss[-quarter - 1 :]
    drop = float(tail[0] - tail[-1])
    noise = float(np.std(np.diff(tail))) * math.sqrt(len(tail))
    if drop <= max(noise, 0.0):
        return 0.0
    return drop / max(abs(float(tail[0]) - floor), 1e-12)


def smoothed(values, pieces=40):
    """Returns the means of at most `pieces` consecutive pieces of a list."""
    if len(values) <= pieces:
        return list(values)
    return [float(np.mean(part)) for part in np.array_split(np.asarray(values, float), pieces)]


def loss_pieces(run, pieces=20):
    """Returns the training loss over time, by epochs, or within the epochs where these are few."""
    if len(run.loss) >= 8:
        return list(run.loss)
    return smoothed(run.step_loss, pieces)


def swings(loss):
    """Returns the share of the changes that go up, weighted by size: 0 falling, 0.5 no trend."""
    steps = np.diff([v for v in loss if v is not None and math.isfinite(v)])
    total = float(np.abs(steps).sum())
    return float(steps[steps > 0].sum()) / total if total else 0.0


def gain(evidence, name):
    """Returns how much more skill a trial reached than the training as it is; None if unknown.

    Where rows were held out, what is learned must hold on them too: faster learning by heart is no
    remedy.
    """
    base, trial = evidence.trials.get("base"), evidence.trials.get(name)
    if base is None or trial is None or trial["nan"] or trial["skill"] is None:
        return None
    gains = [_above_zero(trial["skill"]) - _above_zero(base["skill"])]
    if trial.get("val_skill") is not None:
        gains.append(_above_zero(trial["val_skill"]) - _above_zero(base.get("val_skill")))
    return min(gains)


def _above_zero(skill):
    # Below zero a skill says "worse than a constant", and how much worse says nothing.
    return max(skill, 0.0) if skill is not None else 0.0


def severity(evidence, gain):
    """Returns how much a change matters that brings so much skill.

    A training that works half-way is not faulty because another would do a little better.
    """
    base = evidence.trials.get("base") or {}
    before = max(base.get("skill") or 0.0, 0.0)
    if _trained(evidence) or (_few(evidence) and before + (gain or 0.0) < LEARNED):
        return "info"
    needed = DECISIVE if before >= HALF_WAY else HELPS
    return "warning" if gain is not None and gain >= needed else "info"


def _trained(evidence):
    """Whether the loss of the training is nearly gone, if inference lags behind with its means."""
    run, batch = evidence.run, evidence.batch
    expected = batch.expected_loss if batch is not None else None
    if evidence.model is None or run is None or not run.loss or not expected:
        return False
    normed = any("BatchNormalization" in layer.kind for layer in evidence.model.layers)
    return normed and run.loss[-1] < NEARLY_GONE * expected


def _few(evidence):
    """Whether so few rows were trained on that one of them more or less makes a gain."""
    return bool(evidence.labels) and evidence.labels[0].rows < FEW


def best_gain(evidence):
    """Returns the largest gain of all trials, 0 without any."""
    gains = [gain(evidence, name) for name in evidence.trials if name != "base"]
    return max((g for g in gains if g is not None), default=0.0)
