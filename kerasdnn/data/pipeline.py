"""The same order as `Ordered` and `OrderedBatches`, prefetched by tf.data's own threads."""

from kerasdnn.data.ordered import Ordered, OrderedBatches

import keras
import numpy as np
import tensorflow as tf

WORKERS, AHEAD = 2, 4  # threads that gather batches; batches that may wait to be used
SEEN = 2  # batches that tell which axes vary, as in Keras


class Pipeline(Ordered):
    """Arrays as a tf.data pipeline whose order is a function of (seed, epoch).

    Batches are gathered, augmented and prefetched while the step before is computed. Like
    `Ordered` it begins anywhere in an epoch; `tf.data`'s own `shuffle` cannot.

    Args:
        x: array `(N, ...)` or nested arrays, the inputs.
        y: array `(N, ...)`, nested arrays or None, the targets.
        sample_weight: array `(N,)`, nested arrays or None.
        batch_size: int. Defaults to 32.
        seed: int. Defaults to 0.
        shuffle: bool, False for the order of the arrays in every epoch. Defaults to True.
        augment: function of a batch `(x, y, ...)` and `seed`, an int32 tensor `(2,)` that is
            another one for every batch of every epoch, to be used in `tf.random.stateless_*` and
            `tf.image.stateless_*`; returns the batch to train on. Defaults to None.

    Example:
    >>> import numpy as np
    >>> data = Pipeline(np.arange(6.0), np.arange(6.0), batch_size=4, seed=1)
    >>> data.begin(epoch=0)
    >>> [len(x) for x, y in data.rest(0)]
    [4, 2]
    """

    def __init__(self, x, y=None, sample_weight=None, *, augment=None, **options):
        self._order = None
        super().__init__(x, y, sample_weight, **options)
        self.augment = augment
        self._order = tf.Variable(self.order, dtype="int64", trainable=False)
        self._epoch = tf.Variable(0, dtype="int64", trainable=False)
        # tf.data takes a list for a tensor.
        self._tensors = keras.tree.lists_to_tuples(
            keras.tree.map_structure(tf.convert_to_tensor, self.parts)
        )

    def begin(self, epoch):
        """Puts the samples in the order of `epoch`."""
        super().begin(epoch)
        if self._order is not None:
            self._order.assign(self.order)
            self._epoch.assign(epoch)

    def rest(self, start):
        """Returns a `tf.data.Dataset` without the first `start` batches of every epoch."""
        steps = tf.data.Dataset.range(start, self.steps)
        data = steps.map(self._batch, num_parallel_calls=WORKERS, deterministic=True)
        return _ahead(data)

    def _batch(self, step):
        first = step * self.batch_size
        indices = self._order[first : tf.minimum(first + self.batch_size, self.samples)]
        # One static shape for the whole training, whatever the start, so that it compiles the same.
        indices.set_shape([None if self.samples % self.batch_size else self.batch_size])
        batch = keras.tree.map_structure(lambda t: tf.gather(t, indices), self._tensors)
        if self.augment is None:
            return batch
        seed = tf.stack([self.seed + self._epoch * 7919, self._epoch * self.steps + step])
        return self.augment(*batch, seed=tf.cast(seed % 2**31, tf.int32))


class BatchPipeline(OrderedBatches):
    """The batches of a `PyDataset`, made while the step before is computed.

    As `OrderedBatches`, which says what it asks of the data set.

    Example:
    >>> import keras, numpy as np
    >>> class Squares(keras.utils.PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, index):
    ...         return np.full((3, 1), index**2, "float32"), np.zeros(3)
    >>> data = BatchPipeline(Squares(), shuffle=False)
    >>> data.begin(epoch=0)
    >>> [int(x[0, 0]) for x, y in data.rest(0)]
    [0, 1]
    """

    def rest(self, start):
        """Returns a `tf.data.Dataset` without the first `start` batches of every epoch."""
        rest = super().rest(start)
        seen = [_batch(self[index]) for index in range(min(SEEN, self.steps))]
        if rest.workers > 1 or not all(hasattr(a, "shape") for a in keras.tree.flatten(seen)):
            return rest  # Keras' own threads or processes; None in place of an array

        def batches():
            rest.on_epoch_begin()
            for index in range(len(rest)):
                batch = _batch(rest[index])
                if index == len(rest) - 1:
                    rest.on_epoch_end()
                yield batch

        data = tf.data.Dataset.from_generator(
            batches, output_signature=tf.nest.map_structure(_spec, *seen)
        )
        return _ahead(data.apply(tf.data.experimental.assert_cardinality(len(rest))))


def _ahead(data):
    """Returns the data set with a few batches made ahead, at fixed numbers of threads."""
    options = tf.data.Options()
    # The order may be a variable: it is read anew, not copied into the graph.
    options.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.IGNORE
    # The end of an epoch would wait for the tuner's thread, which sleeps for up to a minute.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return data.with_options(options).prefetch(AHEAD)


def _batch(batch):
    """Returns a batch as Keras takes it: nested tuples and dictionaries of arrays."""
    batch = keras.tree.lists_to_tuples(batch)  # tf.data takes a list for a tensor
    return batch if isinstance(batch, tuple | dict) else (batch,)


def _spec(*arrays):
    """Returns the shape and type of arrays of several batches; what differs is left open."""
    shapes = [np.shape(a) for a in arrays]
    same = [sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True)]
    return tf.TensorSpec([None, *same[1:]], tf.as_dtype(arrays[0].dtype))
