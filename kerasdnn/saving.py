"""The one loader of saved models, which looks into the file before Keras does; `exact_fit`."""

import importlib
import importlib.util
import io
import json
import math
import pathlib
import tempfile
import zipfile
import zlib

from kerasdnn.errors import InputError
from kerasdnn.resume import exact_fit

import h5py
import keras

__all__ = ["MAX_BYTES", "exact_fit", "import_registered", "load_model"]

MAX_BYTES = 2 * 1024**3
_REQUIRED = ("metadata.json", "config.json", "model.weights.h5")
# Where kerasdnn registers classes for saving.
_REGISTERING = ("layers", "losses", "metrics", "models", "optimizers")
# They run code or read files that a model file names.
_FORBIDDEN = frozenset(
    {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__"}
)
# Data that Keras writes as if it were a class.
_VALUES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
)
# The parts of Keras whose objects a model consists of; not `utils`, `callbacks`, `backend`, ...
_KERAS_PARTS = frozenset(
    {"activations", "constraints", "distillation", "dtype_policies", "initializers", "layers"}
    | {"losses", "metrics", "models", "ops", "optimizers", "quantizers", "random"}
    | {"regularizers", "trainers"}
)


def load_model(path, *, compile=True, max_bytes=MAX_BYTES):
    """Loads a `.keras` file after checking what is in it.

    Nothing in the file is run: objects are those of Keras and those that are registered with
    `keras.saving.register_keras_serializable`, which kerasdnn's own are. `Lambda` layers, layers
    that wrap another program (`TFSMLayer`, `TorchModuleWrapper`, ...), unknown classes, damaged or
    oversized archives, and weights that point outside of the file are refused. Files that were
    saved on one backend load on the others.

    Args:
        path: str or path of a `.keras` file.
        compile: bool, whether to restore the optimizer, the loss and the metrics. Default True.
        max_bytes: int, what the members of the archive, and the weights in it, may unpack to.
            Default 2 GiB.

    Returns:
        keras.Model, compiled when it was saved so.

    Raises:
        InputError: the file is missing, damaged, larger than allowed, or holds what is refused.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> model.save(f"{folder}/model.keras")
    >>> load_model(f"{folder}/model.keras").count_params()
    3
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise InputError(
            f"Expected a file that ends in .keras; received {path}"
            f"{'' if path.exists() else ', which does not exist'}. Save with model.save('….keras')."
        )
    import_registered()
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path, max_bytes)
            damaged = archive.testzip()
            if damaged:
                raise InputError(f"{path} is damaged in {damaged}. Fetch or save it again.")
            config = json.loads(archive.read("config.json"))
            foreign = _name_optimizer_of_keras(config)
            _check_config(config, path)
            _check_weights(archive.read("model.weights.h5"), path, max_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError, json.JSONDecodeError, OSError) as error:
        raise InputError(
            f"{path} is not a whole .keras archive ({error}). Fetch or save it again."
        ) from error
    try:
        with tempfile.TemporaryDirectory() as folder:
            if foreign:
                path = _with_config(path, config, pathlib.Path(folder, path.name))
            return keras.saving.load_model(path, compile=compile, safe_mode=True)
    except (ValueError, TypeError, KeyError) as error:
        first = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(
            f"The model in {path.name} cannot be rebuilt: {first}. Save it again with this "
            "version of Keras, or import what it needs."
        ) from error


def import_registered():
    """Imports every part of kerasdnn that registers classes, so that saved names lead to them."""
    for name in _REGISTERING:
        if importlib.util.find_spec(f"kerasdnn.{name}"):
            importlib.import_module(f"kerasdnn.{name}")


def _name_optimizer_of_keras(node):
    """Names Keras' optimizer in place of the Torch backend's own; returns whether it was there.

    Keras on Torch saves the class of a private module of its Torch backend, which no other
    backend can use; by its public name each backend finds its own.
    """
    if isinstance(node, list):
        return any([_name_optimizer_of_keras(entry) for entry in node])
    if not isinstance(node, dict):
        return False
    module = str(node.get("module"))
    found = module.startswith("keras.") and ".backend.torch.optimizers." in module
    if found:
        node.update(module="keras.optimizers", registered_name=None)
    # Lists, not generators: every entry must be visited.
    return any([_name_optimizer_of_keras(value) for value in node.values()]) or found


def _with_config(path, config, copy):
    """Copies an archive with another configuration in it."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        for member in source.infolist():
            data = source.read(member)
            target.writestr(
                member, json.dumps(config) if member.filename == "config.json" else data
            )
    return copy


def _check_members(archive, path, max_bytes):
    members = archive.infolist()
    names = [member.filename for member in members]
    strange = [
        name
        for name in names
        if name not in _REQUIRED
        and not (name.startswith("assets/") and ".." not in name.split("/") and "\\" not in name)
    ]
    if strange or len(set(names)) < len(names) or not set(_REQUIRED) <= set(names):
        raise InputError(
            f"Expected {', '.join(_REQUIRED)} and assets/ in {path}, each once; received "
            f"{', '.join(sorted(names)[:8])}. Save the model again with model.save."
        )
    total = sum(member.file_size for member in members)
    _check_size(total, path, max_bytes, "unpacks to")


def _check_size(size, path, max_bytes, what):
    if size > max_bytes:
        raise InputError(
            f"{path} {what} {size:,} bytes, more than the {max_bytes:,} allowed. If you trust it, "
            "pass a larger max_bytes."
        )


def _check_config(node, path):
    """Walks the whole configuration, also where no layer should be."""
    if isinstance(node, list):
        for entry in node:
            _check_config(entry, path)
    if not isinstance(node, dict):
        return
    for value in node.values():
        _check_config(value, path)
    name = node.get("class_name")
    if not isinstance(name, str) or name in _VALUES:
        return
    if name in _FORBIDDEN or str(node.get("registered_name")).rpartition(">")[2] in _FORBIDDEN:
        raise InputError(
            f"{path} holds a {name}, which can run code from the file, so it is not loaded. "
            "Rebuild the model with registered layers."
        )
    if not _is_known(node, name):
        if name == "function":
            name = f"the function {node.get('config')}"
        raise InputError(
            f"{path} needs {name} of module {node.get('module')} (registered as "
            f"{node.get('registered_name')}), which is not known here. Import the module that "
            "registers it with keras.saving.register_keras_serializable, then load again."
        )


def _is_known(node, name):
    if name == "function" and isinstance(node.get("config"), str):
        name = node["config"]
    for key in (node.get("registered_name"), name):
        if isinstance(key, str) and keras.saving.get_registered_object(key) is not None:
            return True
    module = node.get("module")
    if module == "builtins":  # a function by its name, looked up in keras.losses and the like
        parts = (keras.activations, keras.losses, keras.metrics)
        return node.get("class_name") == "function" and any(hasattr(p, name) for p in parts)
    parts = str(module).split(".")
    if parts[:2] == ["keras", "src"]:
        parts = ["keras", *parts[2:]]
    return parts == ["keras"] or (parts[0] == "keras" and parts[1] in _KERAS_PARTS)


def _check_weights(data, path, max_bytes):
    """Refuses links and declared sizes that Keras would follow."""
    with h5py.File(io.BytesIO(data), "r") as file:
        total, seen, groups = 0, set(), [file]
        while groups:
            group = groups.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise InputError(f"{path} links weights to another place. Save it again.")
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in seen:  # a second name of the same object, perhaps a circle
                    continue
                seen.add(address)
                if isinstance(item, h5py.Group):
                    groups.append(item)
                elif not isinstance(item, h5py.Dataset) or item.dtype.hasobject:
                    raise InputError(f"{path} holds no plain numbers in {name}. Save it again.")
                elif item.external or item.is_virtual:
                    raise InputError(f"{path} keeps weights in another file. Save it again.")
                else:
                    total += math.prod(item.shape) * item.dtype.itemsize
        _check_size(total, path, max_bytes, "declares weights of")
