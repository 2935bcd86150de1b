"""Which changes are worth a trial on this evidence, the most telling first."""

import functools

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.structure import LINEAR_WEIGHTS, PASSIVE

SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "softsign", "softmax")


def wanted_trials(evidence, trials, epochs, steps):
    """Yields names and functions that run them."""
    run, seen = functools.partial, evidence
    inputs = seen.inputs[0] if seen.inputs else None
    label = seen.labels[0] if seen.labels else None
    x = inputs is not None and unscaled_x(inputs)
    y = label is not None and label.kind == "real" and unscaled_y(label)
    if x:
        yield "scaled x", run(trials.scaled, epochs, steps, x=True)
    if y:
        yield "scaled y", run(trials.scaled, epochs, steps, y=True)
    if x and y:
        yield "scaled x and y", run(trials.scaled, epochs, steps, x=True, y=True)
    rebuilt = run(trials.rebuilt, epochs=epochs, steps=steps)
    linear = linear_stack(seen.model)  # what the structure makes one suspect comes first
    if linear:
        change = {"kind": "activation", "layers": [la.index for la in linear], "activation": "relu"}
        yield "curved", run(rebuilt, change)
    if bottleneck(seen.model):
        yield "wider", run(rebuilt, {"kind": "widen", "factor": 8})
    yield "rate x10", run(trials.rate, 10.0, epochs, steps)
    yield "rate /10", run(trials.rate, 0.1, epochs, steps)
    if odd_kernels(seen.model):
        yield "fresh kernels", run(trials.fresh_kernels, epochs, steps)
    if run_ended_by_callback(seen):
        yield "no stopping", run(trials.unstopped, seen.model.epochs or epochs)
    layers = seen.model.layers
    if any((layer.dropout or 0) >= 0.3 for layer in layers):
        yield "no dropout", run(rebuilt, {"kind": "dropout", "rate": 0.0})
    noisy = augmentations(seen.model)
    if noisy:
        change = {"kind": "remove", "layers": [layer.index for layer in noisy]}
        yield "no augmentation", run(rebuilt, change)
    optimizer = seen.model.optimizer
    if optimizer is not None and min(optimizer.clip.values(), default=1.0) < 0.5:
        yield "usual clipping", run(rebuilt, {"kind": "clip", "norm": 1.0})
    if any(layer.l1 or layer.l2 for layer in layers):
        yield "no penalty", run(rebuilt, {"kind": "penalty", "factor": 0.0})
    hidden = hidden_layers(seen.model)
    curved = [la.index for la in hidden if la.activation in SATURATING and not recurrent(la)]
    if curved:
        change = {"kind": "activation", "layers": curved, "activation": "relu"}
        yield "relu", run(rebuilt, change)
    base = seen.trials["base"]
    higher, lower = judgement.gain(seen, "rate x10"), judgement.gain(seen, "rate /10")
    slow = (lower or 0.0) < judgement.DECISIVE  # not where a lower rate is what it needs
    if slow and higher is not None and (higher > 0.05 or (base["skill"] or 0.0) <= 0.05):
        yield "rate x100", run(trials.rate, 100.0, epochs, steps)
    further = judgement.gain(seen, "rate x100")
    if further is not None and further < 0.1 and max(seen.run.moved, default=1.0) < 0.02:
        yield "rate x1000", run(trials.rate, 1000.0, epochs, steps)
    if base["nan"] or (lower is not None and lower > 0.05):
        yield "rate /100", run(trials.rate, 0.01, epochs, steps)
    if seen.run.finished and more_may_help(seen):
        yield "epochs x4", run(trials.rate, 1.0, 4 * epochs, None)
    widths = [layer.units for layer in hidden if layer.kernel and layer.units]
    narrow = "wider" not in seen.trials and min(widths, default=99) <= 16
    if narrow and judgement.best_gain(seen) < 0.1:
        yield "wider", run(rebuilt, {"kind": "widen", "factor": 8})


def more_may_help(evidence):
    """Whether the training was short, is still getting better, or nothing else has mended it."""
    run = evidence.run
    steps = (run.epochs_planned or 1) * (run.steps_per_epoch or 1)
    falling = judgement.still_falling(judgement.loss_pieces(run)) > 0.0
    return steps < 300 or falling or judgement.best_gain(evidence) < judgement.HELPS


def run_ended_by_callback(evidence):
    """Whether a callback of the program ended the training before its last epoch."""
    return evidence.run.reason == "callback" and not evidence.run.finished


def augmentations(model):
    """Returns the facts of the layers that change their input at random in training."""
    return [
        layer
        for layer in model.layers
        if layer.kind == "GaussianNoise" or layer.kind.startswith("Random")
    ]


def unscaled_x(inputs):
    """Whether the inputs are far enough from unit scale to be worth a trial."""
    if not inputs.judged or inputs.received_rms is None:
        return False
    low, high = inputs.feature_std_low or 0.0, inputs.feature_std_high or 0.0
    shifted = abs(inputs.received_mean) > 3 * (inputs.received_std or 1e-12)
    uneven = low > 0 and high / low > 30
    return inputs.received_rms > 3 or inputs.received_rms < 0.2 or shifted or uneven


def unscaled_y(label):
    """Whether targets of a regression are far from unit scale."""
    return label.std > 5 or label.std < 0.02 or abs(label.mean) > 5 * max(label.std, 1e-12)


def bottleneck(model):
    """Whether a hidden layer has so few units that little of a row can pass."""
    widths = [layer.units for layer in hidden_layers(model) if layer.kernel and layer.units]
    units = max((out.units or 1 for out in model.outputs), default=1)
    return bool(widths) and (min(widths) <= 2 or 8 * min(widths) <= units)


def hidden_layers(model):
    """Returns the facts of the layers before the last one with a kernel."""
    last = max((i for i, la in enumerate(model.layers) if la.kernel), default=0)
    return model.layers[:last]


def linear_stack(model):
    """Returns the hidden layers with weights if nothing curved stands between any of them."""
    hidden = hidden_layers(model)
    stacked = [layer for layer in hidden if layer.kind in LINEAR_WEIGHTS and layer.kernel]
    if model.kind == "subclass" or not all(_is_linear(layer) for layer in hidden):
        return []
    return stacked


def _is_linear(layer):
    if layer.kind in PASSIVE:
        return True
    if layer.kind in LINEAR_WEIGHTS or layer.kind == "Activation":
        return layer.activation in (None, "linear")
    return False


def recurrent(layer):
    """Whether saturating activations belong to this kind of layer."""
    return layer.kind in ("LSTM", "GRU", "SimpleRNN", "Bidirectional", "RNN", "ConvLSTM2D")


def one_sided(layer):
    """Whether the weights of a layer have mostly one sign, which initializers do not give."""
    return (layer.inputs or 0) >= 2 and abs(layer.kernel_mean) > layer.kernel_std > 0


def odd_kernels(model):
    """Whether a kernel of the model is far from what He's or Glorot's initializers give."""
    for layer in model.layers:
        if layer.kernel is None or layer.kind == "Embedding" or not layer.kernel_expected_std:
            continue
        ratio = layer.kernel_std / layer.kernel_expected_std
        if ratio > 2.2 or ratio < 0.35 or one_sided(layer):
            return True
    return False
