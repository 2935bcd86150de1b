"""Reads the facts out of a compiled model, without running it."""

import math

from kerasdnn.diagnosis.compiled import metric_names, read_losses, read_optimizer
from kerasdnn.diagnosis.facts import LayerFacts, ModelFacts, OutputFacts

import keras
import numpy as np

NORMALIZATIONS = (
    "BatchNormalization",
    "FusedBatchNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "UnitNormalization",
    "RMSNormalization",
    "Normalization",
)
# Layers whose output is a linear function of their input; with weights or without.
LINEAR_WEIGHTS = ("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2D")
LINEAR_WEIGHTS += ("SeparableConv1D", "SeparableConv2D", "Conv1DTranspose", "Conv2DTranspose")
PASSIVE = ("InputLayer", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise")
PASSIVE += ("GaussianDropout", "AlphaDropout", "Flatten", "Reshape", "Permute", "RepeatVector")
PASSIVE += ("ActivityRegularization", "Rescaling", "Identity", "ZeroPadding2D", "Cropping2D")
PASSIVE += ("AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "UpSampling2D")
PASSIVE += ("GlobalAveragePooling2D", "Add", "Average", "Concatenate", *NORMALIZATIONS)
PASSIVE += ("GetItem", "Squeeze", "ExpandDims", "Transpose")
DROPOUTS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "AlphaDropout", "GaussianDropout")
RECURRENT = ("LSTM", "GRU", "SimpleRNN")
ACTIVATION_LAYERS = {
    "Softmax": "softmax",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ELU": "elu",
    # functions of keras.ops in a functional model
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Exp": "exponential",
    "Gelu": "gelu",
    "Silu": "silu",
    "LogSoftmax": "log_softmax",
}
MAX_NESTING = 8


def read_model(model, *, batch_size=None, epochs=None, rows=None, program=None):
    """Returns the `ModelFacts` of a compiled and built model."""
    steps = None
    if rows and batch_size and epochs:
        steps = epochs * math.ceil(rows / batch_size)
    layers = [_layer_facts(layer) for layer in flat_layers(model)]
    for index, layer in enumerate(layers):
        layer.index = index
    _channel_axes(layers, flat_layers(model))
    kind = model_kind(model)
    outputs = _outputs(model, kind)
    losses = read_losses(model, len(outputs))
    fit = program.fit if program is not None else {}
    validation = None
    if program is not None:
        split = "split" if program.option("validation_split") else None
        validation = "data" if program.validation_data is not None else split
    weights = [w for w in model.trainable_weights]
    own_loss = type(model).compute_loss is not keras.Model.compute_loss
    return ModelFacts(
        kind=kind,
        layers=layers,
        outputs=outputs,
        losses=losses,
        optimizer=read_optimizer(model.optimizer, steps),
        metrics=metric_names(model),
        parameters=int(sum(np.prod(w.shape) for w in model.weights)),
        trainable_parameters=int(sum(np.prod(w.shape) for w in weights)),
        straight=kind == "sequential" or _straight(model),
        batch_size=batch_size,
        epochs=epochs,
        rows=rows,
        shuffle=bool(program.option("shuffle")) if program is not None else True,
        validation=validation,
        weighted=fit.get("class_weight") is not None or fit.get("sample_weight") is not None,
        stopping=_stopping(fit.get("callbacks")),
        own_loss=own_loss or any(loss is not None and not loss.known for loss in losses),
        own_step=type(model).train_step is not keras.Model.train_step,
    )


def _stopping(callbacks):
    """Returns monitor, mode and patience of the callbacks that end a training."""
    found = keras.tree.flatten(callbacks or [])
    found = [c for c in found if isinstance(c, keras.callbacks.EarlyStopping)]
    return [{"monitor": c.monitor, "mode": c.mode, "patience": c.patience} for c in found]


def model_kind(model):
    """Returns "sequential", "functional" or "subclass"."""
    if isinstance(model, keras.Sequential):
        return "sequential"
    # A subclass made of its own layers has no symbolic outputs.
    return "functional" if getattr(model, "outputs", None) else "subclass"


def flat_layers(model, depth=0):
    """Returns the layers in order, nested models taken apart."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer.layers and depth < MAX_NESTING:
            found += flat_layers(layer, depth + 1)
        elif isinstance(layer, keras.layers.Wrapper) and type(layer).__name__ == "TimeDistributed":
            found.append(layer.layer)
        else:
            found.append(layer)
    return found


def activation_name(activation):
    """Returns the name of an activation function; "unknown" for one that Keras does not have."""
    if activation is None:
        return "linear"
    if isinstance(activation, keras.layers.Layer):
        return activation_of_layer(activation) or "unknown"
    name = getattr(activation, "__name__", type(activation).__name__)
    return name if hasattr(keras.activations, name) else "unknown"


def activation_of_layer(layer):
    """Returns the name of the activation of a layer, None if it has no such thing."""
    kind = type(layer).__name__
    if kind in ACTIVATION_LAYERS:
        return ACTIVATION_LAYERS[kind]
    if hasattr(layer, "activation"):
        return activation_name(layer.activation)
    return None


def main_kernel(layer):
    """Returns the variable that a layer multiplies its input with, or None."""
    for name in ("kernel", "_kernel", "depthwise_kernel", "embeddings"):
        value = getattr(layer, name, None)
        if value is not None and hasattr(value, "shape"):
            return value
    cell = getattr(layer, "cell", None)
    return getattr(cell, "kernel", None)


def fans(shape):
    """Returns fan-in and fan-out of a kernel, as Keras' initializers count them."""
    if len(shape) < 2:
        return int(np.prod(shape)), int(np.prod(shape))
    field = int(np.prod(shape[:-2]))
    return field * shape[-2], field * shape[-1]


def _layer_facts(layer):
    kind = type(layer).__name__
    facts = LayerFacts(
        name=layer.name,
        kind=kind,
        activation=activation_of_layer(layer),
        trainable=bool(layer.trainable),
        parameters=int(sum(np.prod(w.shape) for w in layer.weights)),
    )
    rate = getattr(layer, "rate", None)
    if kind in DROPOUTS and isinstance(rate, int | float):
        facts.dropout = float(rate)
    if kind in NORMALIZATIONS:
        facts.axis = getattr(layer, "axis", None)
        facts.momentum = getattr(layer, "momentum", None)
        facts.rank = getattr(getattr(layer, "input_spec", None), "ndim", None)
    kernel = main_kernel(layer)
    if kernel is not None and kind not in NORMALIZATIONS:
        values = np.asarray(keras.ops.convert_to_numpy(kernel), "float64")
        fan_in, fan_out = fans(kernel.shape)
        facts.kernel, facts.inputs, facts.units = kernel.path, fan_in, int(kernel.shape[-1])
        facts.kernel_std, facts.kernel_mean = float(values.std()), float(values.mean())
        usual = (math.sqrt(2 / max(fan_in + fan_out, 1)), math.sqrt(2 / max(fan_in, 1)))
        facts.kernel_expected_std = min(max(facts.kernel_std, usual[0]), usual[1])
        bias = getattr(layer, "bias", None)
        if bias is not None and hasattr(bias, "shape"):
            facts.bias_std = float(np.std(keras.ops.convert_to_numpy(bias)))
        regularizer = getattr(layer, "kernel_regularizer", None)
        facts.l1 = float(getattr(regularizer, "l1", 0.0) or 0.0)
        facts.l2 = float(getattr(regularizer, "l2", 0.0) or 0.0)
    return facts


def _channel_axes(facts, layers):
    """Notes beside each normalization where the convolution before it has its channels."""
    axis = None
    for fact, layer in zip(facts, layers, strict=True):
        if fact.kind in NORMALIZATIONS:
            fact.channel_axis = axis
        elif hasattr(layer, "data_format") and "Conv" in fact.kind:
            axis = -1 if layer.data_format == "channels_last" else 1
        elif fact.kind in ("Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Dense"):
            axis = None


def _producer(tensor):
    history = getattr(tensor, "_keras_history", None)
    return None if history is None else history[0]


def _chain(model, output, depth=0):
    """Yields the layers from an output backwards, as long as each has one input."""
    tensor = output
    for _ in range(64):
        operation = _producer(tensor)
        if operation is None or type(operation).__name__ == "InputLayer":
            return
        if isinstance(operation, keras.Model) and operation.outputs and depth < MAX_NESTING:
            yield from _chain(operation, operation.outputs[0], depth + 1)
        else:
            yield operation
        inputs = keras.tree.flatten(operation.input) if _single(operation) else []
        if len(inputs) != 1:
            return
        tensor = inputs[0]


def _inside(operation):
    """Returns the layer within a wrapper such as `TimeDistributed`, or the layer itself."""
    inner = getattr(operation, "layer", None) or getattr(operation, "forward_layer", None)
    return inner if isinstance(inner, keras.layers.Layer) else operation


def _single(operation):
    try:
        return len(keras.tree.flatten(operation.input)) == 1
    except (AttributeError, ValueError):  # shared by several calls
        return False


def _outputs(model, kind):
    if kind == "subclass":
        return [_guess_output(model)]
    names = list(getattr(model, "output_names", None) or ["output"])
    tensors = keras.tree.flatten(model.outputs)
    facts = []
    for name, tensor in zip(names, tensors, strict=False):
        shape = tuple(tensor.shape[1:])
        fact = OutputFacts(name, shape, "linear", "", units=shape[-1] if shape else None)
        found = None
        for operation in _chain(model, tensor):
            operation = _inside(operation)
            label = type(operation).__name__
            if label in NORMALIZATIONS and found is None:
                fact.activation, found = "unknown", "normalized"  # shares no more
                continue
            if label in DROPOUTS and fact.dropout_after is None and fact.head is None:
                fact.dropout_after = operation.name
                continue
            activation = activation_of_layer(operation)
            if activation is not None and activation != "linear" and found is None:
                found = activation
                fact.activation, fact.layer = activation, operation.name
                axis = getattr(operation, "axis", -1)
                if activation == "softmax" and isinstance(axis, int):
                    fact.softmax_axis_size = tuple(tensor.shape)[axis]
                    fact.softmax_axis = axis if axis < 0 else axis - len(tensor.shape)
            if main_kernel(operation) is not None and label not in NORMALIZATIONS:
                fact.head = operation.name
                fact.layer = fact.layer or operation.name
                fact.head_activation = activation
                break
            if activation is None and label not in PASSIVE and found is None:
                fact.activation, fact.layer = "unknown", operation.name
                break
        if fact.head is None:
            fact.dropout_after = None
        facts.append(fact)
    return facts


def _guess_output(model):
    """Of a subclass only its last layer with an activation can be told."""
    layers = flat_layers(model)
    for layer in reversed(layers):
        if main_kernel(layer) is not None:
            activation = activation_of_layer(layer) or "unknown"
            kernel = main_kernel(layer)
            return OutputFacts(
                "output",
                (),
                activation if activation != "linear" else "unknown",
                layer.name,
                head=layer.name,
                units=int(kernel.shape[-1]),
            )
    return OutputFacts("output", (), "unknown", "")


def _straight(model):
    for layer in model.layers:
        if not _single(layer) and type(layer).__name__ != "InputLayer":
            return False
    # A subclass made of models has neither.
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    return len(inputs or ()) == 1 and len(outputs or ()) == 1
