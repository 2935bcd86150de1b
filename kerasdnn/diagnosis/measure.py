"""Statistics of labels and inputs."""

import collections

from kerasdnn.diagnosis.facts import InputFacts, LabelFacts
from kerasdnn.diagnosis.rules.heads import NUMBERS, SPARSE
from kerasdnn.diagnosis.structure import NORMALIZATIONS, flat_layers, main_kernel

import keras
import numpy as np

MANY_CLASSES = 1000  # integers with more distinct values than this are not classes
HIGHEST_PIXEL = 256
SAMPLE = 512  # rows that are pushed through the layers before the first one with weights
NOT_SCALED_THROUGH = ("Embedding", "StringLookup", "IntegerLookup", "Hashing", "TextVectorization")


def read_labels(y, validation=None):
    """Returns the `LabelFacts` of each target array; `validation` are the held-out ones."""
    arrays = keras.tree.flatten(y) if y is not None else []
    held = keras.tree.flatten(validation) if validation is not None else [None] * len(arrays)
    if len(held) != len(arrays):
        held = [None] * len(arrays)
    return [_labels(a, b) for a, b in zip(arrays, held, strict=True)]


def _labels(y, held):
    y = np.asarray(y)
    facts = LabelFacts("none", tuple(y.shape[1:]), str(y.dtype), len(y))
    if not len(y) or y.dtype.kind not in "biuf":
        return facts
    values = y.astype("float64")
    finite = np.isfinite(values)
    facts.not_finite = float(1 - finite.mean())
    flat = values[finite]
    if not len(flat):
        return facts
    facts.low, facts.high = float(flat.min()), float(flat.max())
    facts.mean, facts.std = float(flat.mean()), float(flat.std())
    facts.integer = bool(np.all(flat == np.round(flat)))
    facts.below_zero = float((flat < -1e-6).mean())
    facts.above_one = float((flat > 1 + 1e-6).mean())
    facts.outside_unit = float((np.abs(flat) > 1 + 1e-6).mean())
    facts.constant = facts.low == facts.high
    distinct = np.unique(flat)
    facts.distinct = len(distinct)
    facts.truncated_classes = len(np.unique(np.trunc(distinct)))
    facts.kind = label_kind(values, facts)
    _classes(facts, values, held)
    return facts


def label_kind(values, facts):
    """Names what an array of targets looks like, from its values alone."""
    width = values.shape[-1] if values.ndim > 1 else 1
    if values.ndim > 1 and width > 1:
        sums = np.nansum(values.reshape(-1, width), axis=-1)
        facts.row_sum = (float(sums.min()), float(sums.max()))
        if facts.low >= 0 and facts.high <= 1 and facts.integer:
            return "onehot" if sums.min() == sums.max() == 1 else "multihot"
        if facts.low >= 0 and np.allclose(sums, 1, atol=1e-3):
            return "distribution"
        return "real"
    if facts.integer and facts.low >= 0 and facts.high <= 1:
        return "binary"
    if facts.integer and facts.distinct == 2 and facts.low == -1 and facts.high == 1:
        return "signed"
    if facts.integer and facts.low >= 0 and facts.distinct <= MANY_CLASSES:
        span = facts.high - facts.low + 1
        dense = facts.distinct >= 0.5 * span or facts.distinct < 0.2 * len(values)
        return "classes" if dense else "real"
    return "real"


def settle_kinds(labels, model):
    """Decides by the loss what whole numbers are: classes, or numbers that happen to be whole."""
    for index, label in enumerate(labels):
        loss = model.losses[index] if index < len(model.losses) else None
        if loss is None:
            continue
        out = model.outputs[index] if index < len(model.outputs) else None
        one = out is None or (out.units or 1) == 1
        if label.kind == "classes" and one and (loss.name in NUMBERS or not loss.known):
            label.kind = "real"
        if label.kind == "real" and label.integer and label.low >= 0 and loss.name in SPARSE:
            label.kind = "classes"


def class_ids(y, kind):
    """Returns the class of each row, or None where rows have no class."""
    if kind in ("binary", "classes", "signed"):
        return np.asarray(y).reshape(len(y), -1)[:, 0]
    if kind == "onehot" and np.ndim(y) == 2:
        return np.argmax(y, axis=-1)
    return None


def _classes(facts, values, held):
    ids = class_ids(values, facts.kind)
    if (
        ids is None
        or (values.ndim > 2)
        or (values.ndim == 2 and facts.kind != "onehot" and values.shape[1] > 1)
    ):
        return
    names, counts = np.unique(ids, return_counts=True)
    facts.counts = {int(name): int(count) for name, count in zip(names, counts, strict=True)}
    changes = int((np.diff(ids) != 0).sum())
    # Shuffled labels change about n (1 - sum p^2) times, sorted ones C - 1 times.
    facts.sorted = len(names) > 1 and len(ids) >= 5 * len(names) and changes < 2 * len(names)
    if held is not None and len(held):
        facts.validation_rows = len(held)
        seen = np.unique(class_ids(np.asarray(held, "float64"), facts.kind))
        facts.validation_classes = [int(c) for c in seen]
        facts.unseen = [int(c) for c in seen if c not in set(names)]
        held_ids = class_ids(np.asarray(held, "float64"), facts.kind)
        both = np.union1d(names, seen)
        shares = [np.array([(a == c).mean() for c in both]) for a in (ids, held_ids)]
        facts.validation_shift = float(np.abs(shares[0] - shares[1]).sum() / 2)


def read_inputs(model, rows, validation=None):
    """Returns the `InputFacts` of each input array."""
    arrays = keras.tree.flatten(rows.x)
    names = list(getattr(model, "input_names", None) or [])
    facts = []
    for index, array in enumerate(arrays):
        name = names[index] if index < len(names) else f"input {index}"
        facts.append(_input(np.asarray(array), name))
    if model is None or not facts or any(f.not_finite for f in facts):
        return facts
    if len(arrays) == 1:
        received, by, judged = received_inputs(model, rows)
        _received(facts[0], received, by, judged)
        if validation is not None and len(validation) and facts[0].received_rms:
            held = np.asarray(keras.tree.flatten(validation.x)[0])
            if held.dtype.kind in "biuf":
                train = np.sqrt(np.mean(np.square(arrays[0].astype("float64")))) or 1.0
                facts[0].validation_ratio = float(
                    np.sqrt(np.mean(np.square(held.astype("float64")))) / train
                )
    else:
        for fact, array in zip(facts, arrays, strict=True):
            _received(fact, np.asarray(array)[:SAMPLE], None, array.dtype.kind == "f")
    return facts


def _input(x, name):
    facts = InputFacts(name, tuple(x.shape[1:]), str(x.dtype), len(x))
    if x.dtype.kind not in "biuf" or not x.size:
        return facts
    finite = np.isfinite(x) if x.dtype.kind == "f" else np.ones(x.shape, bool)
    facts.not_finite = float(1 - finite.mean())
    if finite.any():
        facts.low, facts.high = float(x[finite].min()), float(x[finite].max())
    table = x.reshape(len(x), -1)
    facts.constant = float((table.max(0) == table.min(0)).mean())
    facts.ids = _look_like_ids(table, facts)
    keys = collections.Counter(row.tobytes() for row in table[:2000])
    facts.duplicates = 1 - len(keys) / len(table[:2000])
    return facts


def _look_like_ids(table, facts):
    """Whole numbers of one range in all columns, beyond those of pixels, and no trend in a row."""
    if table.shape[1] < 8 or facts.low < 0 or facts.high < HIGHEST_PIXEL or len(facts.shape) != 1:
        return False
    table = table[:2000].astype("float64")
    whole = np.array_equal(table, np.round(table))
    if not whole or np.median(table.max(axis=0)) < 0.5 * facts.high or facts.low > 0.1 * facts.high:
        return False
    left, right = table[:, :-1].ravel(), table[:, 1:].ravel()
    if min(left.std(), right.std()) == 0:
        return False
    return bool(abs(np.corrcoef(left, right)[0, 1]) < 0.3)


def received_inputs(model, rows):
    """Returns what the first layer with a kernel receives, its name, and whether scale matters."""
    sample = rows.sample(SAMPLE)
    value = keras.tree.flatten(sample.x)[0]
    layers = flat_layers(model)
    passed, by = [], None
    for layer in layers:
        kind = type(layer).__name__
        if kind in NOT_SCALED_THROUGH:
            return value, layer.name, False
        if kind in NORMALIZATIONS and kind != "Normalization":
            return value, layer.name, False
        if main_kernel(layer) is not None:
            by = layer.name
            break
        if kind != "InputLayer":
            passed.append(layer)
    if np.asarray(value).dtype.kind not in "biuf":
        return value, by, False
    value = np.asarray(value, "float32")
    for layer in passed:
        try:
            value = keras.ops.convert_to_numpy(layer(value, training=False))
        except TypeError:
            value = keras.ops.convert_to_numpy(layer(value))
        except Exception:  # a layer that needs more than its first input: judge what goes in
            break
    # Integers in front of an unknown layer may be ids.
    return np.asarray(value, "float64"), by, by is not None


def _received(facts, value, by, judged):
    facts.received_by, facts.judged = by, judged and np.asarray(value).dtype.kind in "biuf"
    if not facts.judged or not value.size:
        return
    value = np.asarray(value, "float64")
    table = value.reshape(len(value), -1)
    facts.received_rms = float(np.sqrt(np.mean(table**2)))
    facts.received_mean = float(table.mean())
    facts.received_std = float(table.std())
    facts.received_norm = float(np.median(np.linalg.norm(table, axis=1)))
    features = value.reshape(-1, value.shape[-1]) if value.ndim > 1 else value[:, None]
    if value.ndim > 2 and value.shape[-1] == 1:
        features = table
    deviations = features.std(axis=0)
    deviations = deviations[deviations > 1e-12]
    if len(deviations):
        facts.feature_std_low = float(deviations.min())
        facts.feature_std_high = float(deviations.max())
