"""One call that fixes every random number of a run."""

from kerasdnn import backend

import keras


def seed_everything(seed, deterministic=False):
    """Seeds Python, NumPy, Keras and its backend.

    The same seed then gives the same weights on the same machine, with the same number of threads,
    versions and backend. Another number of threads may change the last bits.

    Args:
        seed: int in [0, 2**32 - 1].
        deterministic: bool, whether the backend may use deterministic kernels only, for the rest
            of the process. Slower; needed on a GPU, and on TensorFlow it switches XLA off. On JAX
            call it before the first computation. Default False.

    Raises:
        ValueError: a seed outside of the range.

    Example:
    >>> seed_everything(7)
    >>> first = float(keras.random.normal(()))
    >>> seed_everything(7)
    >>> float(keras.random.normal(())) == first
    True
    """
    if int(seed) != seed or not 0 <= seed < 2**32:
        raise ValueError(
            f"seed_everything expects a whole number in [0, 2**32 - 1]; received {seed}. "
            "Small numbers such as 0, 1, 2 are fine."
        )
    keras.utils.set_random_seed(int(seed))  # Python, NumPy, Keras, TensorFlow and Torch
    if deterministic:
        backend.current().enable_determinism()
