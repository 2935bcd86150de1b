"""Text as numbers: a vocabulary, and sequences of tokens as an integer array."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from kerasdnn.errors import InputError

import numpy as np

PAD, UNKNOWN = "[PAD]", "[UNK]"
PAD_ID, UNKNOWN_ID = 0, 1
# Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+(?:'(?:(?![{_UNSPACED}])\w)+)?|[^\w\s]")


@dataclass(frozen=True, eq=False)
class Encoded:
    """Sequences as integers, and what was lost on the way.

    Args:
        ids: int32 `(N, length)`, filled up with 0.
        tokens: int, how many tokens the sequences have.
        unknown: int, how many of them, up to the cut, are not in the vocabulary.
        cut: int, how many sequences were longer than `length`.
    """

    ids: Any
    tokens: int
    unknown: int
    cut: int

    def notes(self, what="texts", token="characters"):
        """Returns what was lost as sentences to print; none if nothing was.

        Args:
            what: the plural of what one sequence is.
            token: the plural of what one token is.
        """
        count, length = self.ids.shape
        notes = []
        if self.cut:
            notes.append(
                f"cut: {self.cut:,} of {count:,} {what} are longer than {length} {token}, "
                f"the rest of them is not read"
            )
        if self.unknown:
            notes.append(
                f"{UNKNOWN}: {self.unknown:,} of {self.tokens:,} {token} are not in the vocabulary"
            )
        return notes


def tokenize(text):
    """Divides a text into words; of scripts that put no spaces between words, into characters.

    Words are in lower case; every other sign that is not a space is a token of its own.

    Example:
    >>> tokenize("It's 很好, OK?")
    ["it's", '很', '好', ',', 'ok', '?']
    """
    return TOKEN.findall(text.lower())


class Vocabulary:
    """A list of tokens and their numbers; 0 is `[PAD]`, 1 is `[UNK]`, the others follow.

    Args:
        tokens: sequence of distinct `str`, without the two special ones.

    Example:
    >>> vocabulary = Vocabulary("abc")
    >>> encoded = vocabulary.encode(["cab", "abba", "dab"], length=3)
    >>> encoded.ids.tolist(), encoded.unknown, encoded.cut
    ([[4, 2, 3], [2, 3, 3], [1, 2, 3]], 1, 1)
    >>> vocabulary.decode(encoded.ids[0])
    ['c', 'a', 'b']
    """

    def __init__(self, tokens):
        self.tokens = (PAD, UNKNOWN, *tokens)
        self.numbers = {token: number for number, token in enumerate(self.tokens)}
        if len(self.numbers) < len(self.tokens):
            twice = next(token for token, n in Counter(self.tokens).items() if n > 1)
            raise InputError(
                f"A vocabulary expects every token once; received {twice!r} twice. "
                f"Leave out what is repeated, and {PAD} and {UNKNOWN}."
            )

    def __len__(self):
        return len(self.tokens)

    @classmethod
    def of(cls, sequences, *, min_count=1, most=None):
        """Makes the vocabulary of some sequences: the commonest token first, ties by the alphabet.

        Args:
            sequences: iterable of iterables of `str`; a `str` is a sequence of characters.
            min_count: int, rarer tokens are left out and become `[UNK]`.
            most: int, the most tokens to keep, or None.
        """
        counts = Counter(token for sequence in sequences for token in sequence)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls([token for token, count in ranked if count >= min_count][:most])

    @classmethod
    def restore(cls, tokens):
        """Makes the vocabulary whose `tokens`, the special ones included, were kept somewhere."""
        return cls(tokens[2:])

    def encode(self, sequences, length=None):
        """Turns sequences into an integer array.

        Args:
            sequences: sequence of iterables of `str`, N of them.
            length: int, sequences are cut or filled up to it; None for the longest of them.

        Returns:
            `Encoded`.
        """
        rows = [[self.numbers.get(token, UNKNOWN_ID) for token in one] for one in sequences]
        length = max(map(len, rows), default=0) if length is None else length
        ids = np.full((len(rows), length), PAD_ID, np.int32)
        for row, numbers in zip(ids, rows):
            numbers = numbers[:length]
            row[: len(numbers)] = numbers
        return Encoded(
            ids,
            tokens=sum(map(len, rows)),
            unknown=int((ids == UNKNOWN_ID).sum()),
            cut=sum(len(row) > length for row in rows),
        )

    def decode(self, ids):
        """Returns the tokens of one row of numbers, without the padding."""
        return [self.tokens[number] for number in ids if number != PAD_ID]


def encode_texts(dataset, longest, *, min_count=2, most=None):
    """Turns both parts of a text data set into numbers, with a vocabulary of the training part.

    Args:
        dataset: `Dataset` of texts.
        longest: int, tokens of a text that are read.
        min_count: int, rarer tokens are `[UNK]`. Defaults to 2.
        most: int, the most tokens of the vocabulary, or None.

    Returns:
        `Vocabulary`, int32 `(N_train, longest)`, int32 `(N_test, longest)`, and sentences to print.
    """
    parts = [[tokenize(text) for text in part] for part in (dataset.x_train, dataset.x_test)]
    vocabulary = Vocabulary.of(parts[0], min_count=min_count, most=most)
    both = vocabulary.encode([*parts[0], *parts[1]], longest)
    train, test = np.split(both.ids, [len(parts[0])])
    return vocabulary, train, test, both.notes("texts", "tokens")
