"""From the curve of a learning-rate sweep to a learning rate."""

import numpy as np


def valley(rates, losses):
    """The middle of the longest stretch over which the loss falls.

    The stretch is the longest decreasing subsequence: noise may interrupt it.
    """
    lengths = np.ones(len(losses), int)  # of the longest decreasing subsequence that ends here
    for i in range(1, len(losses)):
        higher = losses[:i] > losses[i]
        if higher.any():
            lengths[i] = lengths[:i][higher].max() + 1
    end = int(lengths.argmax())
    return rates[max(end - int(lengths[end]) // 2, 0)]


def slide(rates, losses, *, width=15, threshold=0.005):
    """Where a window of `width` points, coming from the right, first has equal slopes at its ends.

    To the right of that point the loss bends, as it diverges; its left edge is still safe.
    """
    slopes = np.gradient(losses)
    left = max(len(losses) - 1 - width, 0)
    while left > 0 and abs(slopes[left + width] - slopes[left]) > threshold:
        left -= 1
    return rates[left]


def minimum(rates, losses):
    """A tenth of the rate with the lowest loss: at that rate itself training barely holds."""
    return rates[int(np.argmin(losses))] / 10


def steep(rates, losses):
    """Where the loss falls most steeply over the logarithm of the rate."""
    slopes = np.diff(losses) / np.diff(np.log(rates))
    return rates[int(np.argmin(slopes))]


RULES = {"valley": valley, "slide": slide, "minimum": minimum, "steep": steep}
