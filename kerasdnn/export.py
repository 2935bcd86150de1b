"""Models for where they are deployed: ONNX, LiteRT, TensorFlow's SavedModel."""

import contextlib
import importlib.util
import io
import pathlib
import time
import warnings

from kerasdnn.errors import InputError
from kerasdnn.layers.convert import conversion_problem, unfuse_batch_norm

import keras
import numpy as np

# Name, suffix of the file ("" is a folder), what writes it, what runs it.
FORMATS = {
    "onnx": (".onnx", ("onnx", "tf2onnx"), "onnxruntime"),
    "litert": (".tflite", (), "ai_edge_litert"),
    "saved_model": ("", (), "tensorflow"),
}
TOLERANCE = 1e-4  # of the largest prediction, between Keras and the exported file


def export(model, path=None, *, format="onnx"):
    """Writes a model for deployment and checks that it predicts the same.

    The model is written in float32, with the batch size free. Layers that draw random numbers in
    training belong in front of the model, not into it: ONNX cannot hold them.

    Args:
        model: `keras.Model`.
        path: str or path to write to; its ending follows the format. Default: the model's name.
        format: "onnx", "litert" or "saved_model".

    Returns:
        dict: `path`, `bytes`, and `difference`: the largest one to Keras' predictions, in parts
        of the largest prediction, or None where nothing is installed to run the file.

    Raises:
        InputError: an unknown format, a package that is missing, another backend than TensorFlow,
            a model that the format cannot hold, or predictions that differ.
    """
    if format not in FORMATS:
        raise InputError(
            f"--format expects one of {', '.join(FORMATS)}; received {format!r}. onnx runs in most "
            "places."
        )
    suffix, writers, runner = FORMATS[format]
    missing = [name for name in writers if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"The format {format} needs {' and '.join(missing)}, which is not installed. Run "
            'pip install "kerasdnn[export]".'
        )
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Export expects Keras on TensorFlow; received {keras.backend.backend()}. Save the "
            "model, then run with KERAS_BACKEND=tensorflow kerasdnn export FILE.keras."
        )
    path = pathlib.Path(path or model.name)
    path = path if not suffix or path.suffix == suffix else path.with_name(path.name + suffix)
    model = _plain(model)
    _write(model, path, format)
    difference = None
    if importlib.util.find_spec(runner):
        difference = _difference(model, path, format)
        if not difference <= TOLERANCE:
            raise InputError(
                f"{path} predicts otherwise than Keras, by {difference:.1e} of the largest "
                f"prediction (allowed {TOLERANCE:g}). Do not use it; try another format."
            )
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return {
        "path": str(path),
        "bytes": sum(f.stat().st_size for f in files),
        "difference": difference,
    }


def _plain(model):
    """The model in float32, with Keras' own batch normalization where it can be exchanged."""
    from kerasdnn.inference import for_inference

    random = [
        layer.name
        for layer in model._flatten_layers()
        if type(layer).__name__.startswith("Random") or isinstance(layer, keras.layers.Pipeline)
    ]
    if random:
        raise InputError(
            f"Export expects a model without random augmentation; received {', '.join(random[:4])}"
            ". Export the network behind it."
        )
    model = for_inference(model)
    if conversion_problem(model) is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # inside composite layers the fused kernel stays
            model = unfuse_batch_norm(model)
    return model


def _write(model, path, format):
    path.parent.mkdir(parents=True, exist_ok=True)
    model(_as_given(example_inputs(model, 1)))  # the writers want a model that was called
    noise = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(noise),
            contextlib.redirect_stderr(noise),
            warnings.catch_warnings(),
            _gelu_by_erf(model),
        ):
            warnings.simplefilter("ignore")  # the converters' own, of their use of NumPy
            model.export(
                path, format="tf_saved_model" if format == "saved_model" else format, verbose=False
            )
    except Exception as error:  # the converters raise whatever they like
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"The model cannot be written as {format}: {first[:300]}. For LiteRT recurrent layers "
            "need unroll=True; saved_model holds everything."
        ) from error


@contextlib.contextmanager
def _gelu_by_erf(model):
    """Keras' GELU uses erfc, which ONNX does not have; this one is the same function."""
    layers = [
        layer
        for layer in model._flatten_layers()
        if getattr(layer, "activation", None) is keras.activations.gelu
    ]
    for layer in layers:
        layer.activation = _gelu
    try:
        yield
    finally:
        for layer in layers:
            layer.activation = keras.activations.gelu


def _gelu(x):
    return 0.5 * x * (1.0 + keras.ops.erf(x * 0.5**0.5))


def _difference(model, path, format):
    inputs = example_inputs(model, 3)
    expected = keras.tree.flatten(model.predict_on_batch(_as_given(inputs)))
    found = runner(path, format)(inputs)
    largest = max(float(np.abs(a).max()) for a in expected)
    pairs = _paired(expected, found)
    return max(float(np.abs(a - b).max()) for a, b in pairs) / max(largest, 1e-12)


def _paired(expected, found):
    """Outputs by shape: the formats may order them otherwise."""
    found, pairs = list(found), []
    for array in expected:
        fits = [
            (float(np.abs(array - b).max()), i)
            for i, b in enumerate(found)
            if b.shape == array.shape
        ]
        if not fits:
            shapes = [b.shape for b in found]
            raise InputError(
                f"The exported model should return {array.shape}; it returns {shapes}. Do not use "
                "it; try another format."
            )
        pairs.append((array, found.pop(min(fits)[1])))
    return pairs


def example_inputs(model, batch_size, seed=0):
    """Returns random inputs for a model, a list of arrays, in the order of `model.inputs`."""
    random, arrays = np.random.default_rng(seed), []
    for tensor in model.inputs:
        shape = (batch_size, *(n or 8 for n in tensor.shape[1:]))
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if "int" in dtype:
            arrays.append(random.integers(0, 2, shape).astype(dtype))
        else:
            arrays.append(random.normal(size=shape).astype(dtype))
    return arrays


def _as_given(inputs):
    return inputs[0] if len(inputs) == 1 else inputs


def runner(path, format="onnx"):
    """Returns a function from a list of arrays to the list of outputs of an exported file."""
    if format == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        entries = session.get_inputs()
        return lambda inputs: session.run(
            None,
            {entries[i].name: a for i, a in _placed(inputs, [e.shape for e in entries])},
        )
    if format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        return lambda inputs: _run_litert(Interpreter(str(path)), inputs)
    served = keras.layers.TFSMLayer(str(path), call_endpoint="serve", dtype="float32")
    return lambda inputs: [
        keras.ops.convert_to_numpy(out) for out in keras.tree.flatten(served(_as_given(inputs)))
    ]


def _placed(arrays, shapes):
    """Pairs `(index, array)`: the formats may order the inputs otherwise, so by shape."""
    free = list(range(len(shapes)))
    pairs = []
    for array in arrays:
        fits = [
            i
            for i in free
            if len(shapes[i]) == array.ndim
            and all(
                not isinstance(want, int | np.integer) or want in (-1, have)
                for want, have in zip(shapes[i][1:], array.shape[1:], strict=True)
            )
        ]
        pairs.append(((fits or free)[0], array))
        free.remove(pairs[-1][0])
    return pairs


def _run_litert(interpreter, inputs):
    """Sample by sample, as on a device: not every graph can be resized to another batch."""
    interpreter.allocate_tensors()
    entries = interpreter.get_input_details()
    placed = _placed(inputs, [entry["shape"] for entry in entries])
    results = []
    for sample in range(len(inputs[0])):
        for i, array in placed:
            one = array[sample : sample + 1].astype(entries[i]["dtype"])
            interpreter.set_tensor(entries[i]["index"], one)
        interpreter.invoke()
        details = interpreter.get_output_details()
        results.append([np.array(interpreter.get_tensor(e["index"])) for e in details])
    return [np.concatenate(outputs) for outputs in zip(*results, strict=True)]


def onnx_milliseconds(models, batch_size, folder, *, rounds=7):
    """Returns the milliseconds of a prediction of each model in ONNX Runtime.

    Medians of alternating rounds, the first one not counted.
    """
    runs, inputs = [], None
    for number, model in enumerate(models):
        written = export(model, pathlib.Path(folder) / f"{number}.onnx", format="onnx")
        runs.append(runner(written["path"]))
        inputs = example_inputs(model, batch_size)
    repeat = max(1, 64 // batch_size)  # one sample takes too short a time to be measured alone
    times = [[] for _ in models]
    for number in range(rounds + 1):
        for run, found in zip(runs, times, strict=True):
            begin = time.perf_counter()
            for _ in range(repeat):
                run(inputs)
            if number:
                found.append(1000 * (time.perf_counter() - begin) / repeat)
    return [float(np.median(found)) for found in times]
