"""How much a training has learned: 1 perfect, 0 no better than a constant guess."""

import keras
import numpy as np


def predictions(model, x, batch_size=256):
    """Returns what the model puts out for arrays, in inference mode."""
    return model.predict(x, batch_size=batch_size, verbose=0)


def skill(prediction, y, kind, *, logits=False):
    """Returns the skill of predictions `(N, ...)` on targets of a `LabelFacts.kind`, or None.

    Classes: the better of accuracy beyond the largest class and mean recall beyond chance.
    Numbers: R squared of all targets together.
    """
    prediction = np.asarray(prediction, "float64")
    y = np.asarray(y)
    if not np.all(np.isfinite(prediction)):
        return 0.0
    if kind == "real":
        return _r_squared(prediction, y)
    if kind == "multihot":
        return _multi_label(prediction, y, logits) if prediction.shape == y.shape else None
    guess, truth = _as_classes(prediction, y, kind, logits)
    if guess is None:
        return None
    return _classification(guess, truth)


def _r_squared(prediction, y):
    y = y.astype("float64").reshape(len(y), -1)
    prediction = prediction.reshape(len(prediction), -1)
    if prediction.shape[1] != y.shape[1]:
        return None
    variance = float(y.var(axis=0).sum())
    if variance < 1e-12:
        return None
    return 1 - float(((prediction - y) ** 2).mean(axis=0).sum()) / variance


def _multi_label(prediction, y, logits):
    y = y.reshape(len(y), -1)
    guess = prediction.reshape(len(y), -1) > (0.0 if logits else 0.5)
    share = y.mean(axis=0)
    base = np.minimum(share, 1 - share)
    keep = base > 0
    if not keep.any():
        return None
    wrong = (guess != (y > 0.5)).mean(axis=0)
    return float(1 - wrong[keep].sum() / base[keep].sum())


def _as_classes(prediction, y, kind, logits):
    if kind in ("onehot", "distribution"):
        if prediction.shape[-1] != y.shape[-1]:
            return None, None
        return prediction.argmax(-1).ravel(), y.argmax(-1).ravel()
    truth = y.reshape(-1)
    if prediction.shape[-1] > 1 and prediction.size == truth.size * prediction.shape[-1]:
        return prediction.argmax(-1).ravel(), truth
    if prediction.size != truth.size:
        return None, None
    flat = prediction.ravel()
    if kind == "binary":
        return (flat > (0.0 if logits else 0.5)).astype(int), truth
    if kind == "signed":
        return np.where(flat > 0, 1, -1), truth
    return np.round(flat), truth  # class numbers as a regression


def _classification(guess, truth):
    names, counts = np.unique(truth, return_counts=True)
    if len(names) < 2:
        return None
    majority = counts.max() / counts.sum()
    accuracy = float((guess == truth).mean())
    recall = np.mean([(guess[truth == name] == name).mean() for name in names])
    chance = 1 / len(names)
    return float(max((accuracy - majority) / (1 - majority), (recall - chance) / (1 - chance)))


def guess_loss(kind, y, loss):
    """Returns the loss of the best constant guess, or None where it is not known."""
    y = np.asarray(y, "float64")
    if loss in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        if kind == "onehot":
            share = y.reshape(-1, y.shape[-1]).mean(axis=0)
        elif kind in ("classes", "binary"):
            share = np.unique(y, return_counts=True)[1] / y.size
        else:
            return None
        share = share[share > 0]
        return float(-(share * np.log(share)).sum())
    if loss == "binary_crossentropy" and kind in ("binary", "multihot", "onehot"):
        share = np.clip(y.reshape(len(y), -1).mean(axis=0), 1e-7, 1 - 1e-7)
        return float(np.mean(-(share * np.log(share) + (1 - share) * np.log(1 - share))))
    if loss == "mean_squared_error":
        return float(y.reshape(len(y), -1).var(axis=0).mean())
    if loss == "mean_absolute_error":
        table = y.reshape(len(y), -1)
        return float(np.abs(table - np.median(table, axis=0)).mean())
    return None


def model_skill(model, rows, labels, facts):
    """Returns the mean skill of a model on rows over its outputs, or None where none is known."""
    targets = keras.tree.flatten(rows.y) if rows.y is not None else []
    if not targets or not len(rows):
        return None
    outputs = keras.tree.flatten(predictions(model, rows.x))
    if len(outputs) != len(targets):
        return None
    values = []
    for index, (output, target, label) in enumerate(zip(outputs, targets, labels, strict=True)):
        loss = facts.losses[index] if index < len(facts.losses) else None
        logits = bool(loss and loss.from_logits) or (loss is not None and "hinge" in loss.name)
        value = skill(output, target, label.kind, logits=logits)
        if value is not None:
            values.append(value)
    return float(np.mean(values)) if values else None
