"""Any image or text classification set of tensorflow-datasets: finding and downloading it."""

import contextlib
import difflib
import importlib.util
import logging
import os
import re
import sys
import warnings
from pathlib import Path

from kerasdnn.data.network import unreachable
from kerasdnn.data.prepare import prepare, time_limit
from kerasdnn.errors import InputError

NAME = re.compile(r"[a-z]\w*(/[\w.\-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)


def load(name, *, seed=0, image_size=None):
    """Loads a data set by its name in tensorflow-datasets, downloading it if need be.

    The test part is the split `test`, else `validation`, else a stratified fifth of `train`
    chosen by `seed`. Prepared data are looked for in `$TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Raises:
        InputError: if the set is unknown, is neither images nor texts with one label, or cannot
            be downloaded.
    """
    builder = _ready(name)
    _leave_accelerator()
    from kerasdnn.data.tfds_read import read

    return read(builder, name, seed=seed, image_size=image_size)


def fetch(name):
    """Downloads a data set and returns a sentence that says where it is."""
    return f"{name} is prepared in {_ready(name).data_dir}"


def data_dir():
    """Returns the folder that tensorflow-datasets keeps its data in."""
    chosen = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def _ready(name):
    """Returns the builder of a data set that lies prepared on the disk."""
    builder = builder_of(name, data_dir())
    with _quiet_log():
        if builder.is_prepared():
            return builder
    problem = unreachable(list(builder.url_infos or ()))  # None: it registers no addresses
    if problem:
        raise InputError(
            f"{name} has to be downloaded into {data_dir()}; {problem}. Connect to the network, "
            f"or choose data that come along: kerasdnn data list"
        )
    prepare(name, data_dir(), seconds=time_limit(3600))
    return builder_of(name, data_dir())


def builder_of(name, folder):
    """Returns the builder of tensorflow-datasets for a data set.

    Raises:
        InputError: if there is none of that name, configuration and version.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"A data set of tensorflow-datasets is named like tfds:mnist, tfds:glue/sst2 or "
            f"tfds:mnist:3.0.1; received 'tfds:{name}'. Correct the name."
        )
    tfds = _package()
    try:
        with _quiet_log():
            return tfds.builder(name, data_dir=str(folder))
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(name, known, n=3)
        names = " or ".join(f"tfds:{one}" for one in close)
        raise InputError(
            f"The name after 'tfds:' should be one of tensorflow-datasets; it has no '{name}'. "
            + (f"Did you mean {names}?" if close else "See its catalog for the names.")
        ) from error
    except (ValueError, AssertionError, OSError) as error:
        raise InputError(
            f"tensorflow-datasets should find the configuration and version of '{name}'; it "
            f"answers: {_cause(error)}. Correct the name."
        ) from error


def _cause(error):
    # The first line repeats the arguments; what is wrong stands after them.
    return (
        str(error).strip().splitlines()[0].rpartition('}": ')[2].split(". ")[0].rstrip(" .:")[:300]
    )


def _package():
    try:
        if importlib.util.find_spec("tensorflow") is None:  # it is slow to import, and only to read
            raise ModuleNotFoundError(name="tensorflow")
        with warnings.catch_warnings():
            # Deprecations inside its dependencies, none of them ours to answer.
            warnings.simplefilter("ignore", DeprecationWarning)
            import tensorflow_datasets as tfds
    except ImportError as error:
        raise InputError(
            f"Data sets of tensorflow-datasets need tensorflow and tensorflow-datasets; "
            f"{error.name} is not installed. Run: pip install tensorflow tensorflow-datasets"
        ) from error
    return tfds


@contextlib.contextmanager
def _quiet_log():
    """Holds back warnings about data that are merely not there yet."""
    log = logging.getLogger("absl")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _leave_accelerator():
    """Keeps TensorFlow, which only decodes here, off an accelerator that another backend needs."""
    if _keras_backend() != "tensorflow":
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # it was in use before; what it holds it holds
            tf.config.set_visible_devices([], "GPU")


def _keras_backend():
    if "keras" in sys.modules:
        return sys.modules["keras"].backend.backend()
    return os.environ.get("KERAS_BACKEND", "tensorflow")
