"""Reads the training to diagnose out of a user's own file."""

import importlib.util
import sys
import traceback
from pathlib import Path

from kerasdnn.diagnosis.program import Program
from kerasdnn.errors import InputError

NAMES = ("program", "build")  # looked for when the command names none


def read_program(target, **fit):
    """Returns the `Program` that `FILE.py:NAME` describes.

    Args:
        target: path of a Python file, and behind a colon the name of the function that builds the
            model, or of a `Program`; without a name `program` or `build`.
        **fit: arguments of `fit` that count for more than those of the file; None are left out.

    Raises:
        InputError: in one sentence, what is missing or wrong.
    """
    path, name = _split(target)
    module = _load(path)
    if name is None:
        name = next((n for n in NAMES if hasattr(module, n)), NAMES[-1])
    made = getattr(module, name, None)
    if made is None:
        there = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise InputError(
            f"{path} has no '{name}'; it has {', '.join(there[:8]) or 'no function'}. "
            "Write a function that returns a compiled model: kerasdnn diagnose FILE.py:build"
        )
    program = made if isinstance(made, Program) else _from_function(made, module, path, name)
    given = {key: value for key, value in fit.items() if value is not None}
    return program.replace(fit=given) if given else program


def _split(target):
    path, colon, name = str(target).rpartition(":")
    if not colon or not path.endswith(".py"):
        path, name = str(target), None
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"diagnose expects FILE.py:build; there is no file {path}. Give the path of the file "
            "that defines the model."
        )
    return path, name or None


def _load(path):
    spec = importlib.util.spec_from_file_location(f"kerasdnn_user_{path.stem}", path)
    if spec is None:
        raise InputError(f"diagnose expects a Python file; {path} is none. Name FILE.py:build.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # classes look their module up by name
    sys.path.insert(0, str(path.resolve().parent))  # it may import its neighbours
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"{path} {_raises(error, path)}") from error
    finally:
        sys.path.pop(0)
    return module


def _from_function(made, module, path, name):
    if not callable(made):
        raise InputError(
            f"{path}:{name} must be a function or a Program; it is a {type(made).__name__}. "
            "Write a function that returns a compiled model."
        )
    first = _called(made, path, name)
    if isinstance(first, Program):
        return first
    fit = dict(getattr(module, "fit", None) or getattr(module, "FIT", None) or {})
    if isinstance(first, tuple):
        if len(first) not in (3, 5):
            raise InputError(
                f"{path}:{name} returns {len(first)} things; expected the model, x and y, and "
                "perhaps x_validation and y_validation."
            )
        return _program(lambda: made()[0], first[1:], fit)
    data = getattr(module, "data", None)
    if not callable(data):
        raise InputError(
            f"{path}:{name} returns a model only, and the file has no function 'data'. "
            "Write one that returns (x, y)."
        )
    arrays = _called(data, path, "data")
    if not isinstance(arrays, tuple):
        arrays = (arrays, None)  # a data set that yields both
    if len(arrays) not in (2, 4):
        raise InputError(
            f"{path}:data returns {len(arrays)} things; expected (x, y), or (x, y, x_validation, "
            "y_validation)."
        )
    return _program(made, arrays, fit)


def _program(build, arrays, fit):
    x, y, *held = arrays
    return Program(build, x, y, fit=fit, validation_data=tuple(held) or None)


def _called(function, path, name):
    try:
        return function()
    except Exception as error:
        raise InputError(f"{path}:{name} {_raises(error, path)}") from error


def _raises(error, path):
    """Says which error, and in which line of the user's file."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == path or Path(frame.filename) == path.resolve()
    ]
    line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
    text = (str(error).strip().splitlines() or [""])[0][:200]
    return f"raises {type(error).__name__}: {text}" + (f" (line {line})" if line else "")
