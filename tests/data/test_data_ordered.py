"""The order of samples is a function of seed and epoch, wherever a training begins."""

from kerasdnn.data import LengthBatches, Ordered, OrderedBatches
from kerasdnn.data.ordered import checksum, order
from kerasdnn.errors import InputError

import keras
import numpy as np
import pytest

X, Y = np.arange(10), np.arange(10.0) * 2


def batches(data, count):
    return [tuple(np.asarray(a).tolist() for a in data[i]) for i in range(count)]


def test_every_sample_once_and_another_order_in_every_epoch():
    data = Ordered(X, Y, batch_size=4, seed=3)
    seen = []
    for epoch in (0, 1):
        data.begin(epoch)
        seen.append([x for part, _ in batches(data, 3) for x in part])
        assert sorted(seen[-1]) == X.tolist()
    assert seen[0] != seen[1]
    assert seen[1] == order(10, 3, 1).tolist()


def test_targets_and_weights_stay_with_their_samples():
    data = Ordered({"a": X}, Y, X + 1, batch_size=4)
    x, y, weight = data[1]
    np.testing.assert_array_equal(x["a"] * 2, y)
    np.testing.assert_array_equal(x["a"] + 1, weight)
    assert y.dtype == "float32"  # as Keras trains on float64


def test_the_rest_of_an_epoch_is_its_end():
    data = Ordered(X, Y, batch_size=4, seed=1)
    data.begin(5)
    assert len(data.rest(1)) == 2
    assert batches(data.rest(1), 2) == batches(data, 3)[1:]
    assert len(data.rest(0)) == 3


def test_without_shuffling():
    data = Ordered(X, Y, batch_size=5, shuffle=False)
    assert data[1][0].tolist() == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "arrays", [(X, Y[:9]), (X[:0], Y[:0]), (np.array(3), Y)], ids=["unequal", "empty", "scalar"]
)
def test_arrays_that_do_not_fit(arrays):
    with pytest.raises(InputError, match="Expected arrays of one length above 0"):
        Ordered(*arrays)


class Own(keras.utils.PyDataset):
    """A data set of the user, with an epoch of its own when it is told so."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 3:
            raise OSError("no such photograph")
        return (np.full(2, index),)


def test_batches_of_the_user_in_an_order_of_ours():
    data = OrderedBatches(Own(), seed=2)
    data.begin(1)
    assert data.order.tolist() == order(4, 2, 1).tolist()
    broken = data.order.tolist().index(3)
    found = [data[i][0][0] for i in range(4) if i != broken]
    assert found == [i for i in data.order if i != 3]
    with pytest.raises(OSError, match="no such photograph") as raised:
        data[broken]
    assert data.error is raised.value


def test_a_data_set_without_an_end():
    class Endless(Own):
        num_batches = None

    with pytest.raises(InputError, match="needs a data set with an end"):
        OrderedBatches(Endless())


def test_batches_by_length_begin_anywhere():
    x = np.tri(20, 8, dtype="int32")[:, :8]
    lengths = np.minimum(np.arange(1, 21), 8)
    options = {"buckets": (4, 8), "batch_size": 4, "seed": 1}
    first = LengthBatches(x, lengths, lengths, **options)
    for _ in range(2):
        first.on_epoch_end()
    again = LengthBatches(x, lengths, lengths, **options)
    again.begin(2)
    assert [rows.tolist() for _, rows in first.batches] == [r.tolist() for _, r in again.batches]
    assert again.epoch == 2


def test_the_checksum_sees_every_row_and_the_shape():
    x = np.zeros((50, 3))
    changed = x.copy()
    changed[49, 2] = 1e-9
    texts = np.array(["a", "b"], object)
    sums = [checksum([a]) for a in (x, changed, x.reshape(3, 50), x.astype("float32"), texts)]
    assert len(set(sums)) == 5
    assert checksum([x]) == checksum([x.copy()])
    assert checksum([x.T]) == checksum([np.ascontiguousarray(x.T)])


def test_pipeline_is_ordered_the_same():
    pytest.importorskip("tensorflow")
    from kerasdnn.data import Pipeline

    plain = Ordered(X, {"y": Y}, batch_size=4, seed=7)
    data = Pipeline(X, {"y": Y}, batch_size=4, seed=7)
    for epoch in (0, 3):
        plain.begin(epoch)
        data.begin(epoch)
        for start in (0, 1):
            parts = list(data.rest(start))
            assert len(parts) == int(data.rest(start).cardinality()) == 3 - start
            for index, (x, y) in enumerate(parts):
                np.testing.assert_array_equal(x, plain[index + start][0])
                np.testing.assert_array_equal(y["y"], plain[index + start][1]["y"])
    # One shape for all of them, so that a training compiles the same wherever it begins.
    assert data.rest(0).element_spec == data.rest(2).element_spec


def test_batches_are_made_ahead_and_stay_the_same():
    pytest.importorskip("tensorflow")
    from kerasdnn.data import BatchPipeline

    lengths = np.arange(1, 31) % 6 + 1
    x = (np.arange(6) < lengths[:, None]).astype("int32") * np.arange(30)[:, None]

    def batches():
        return LengthBatches(x, Y[:1].repeat(30), lengths, buckets=(3, 6), batch_size=4, seed=1)

    plain = OrderedBatches(batches(), shuffle=False)
    data = BatchPipeline(batches(), shuffle=False)
    for epoch in (0, 2):
        plain.begin(epoch)
        data.begin(epoch)
        for start in (0, 3):
            parts = list(data.rest(start))
            assert len(parts) == int(data.rest(start).cardinality()) == len(plain) - start
            for index, part in enumerate(parts):
                for got, expected in zip(part, plain[index + start], strict=True):
                    np.testing.assert_array_equal(got, expected)
    assert data.rest(0).element_spec[0].shape.as_list() == [None, None]
    assert data.rest(0).options().autotune.enabled is False


def test_hooks_of_a_data_set_are_called_once_an_epoch():
    pytest.importorskip("tensorflow")
    from kerasdnn.data import BatchPipeline

    class Counting(keras.utils.PyDataset):
        def __init__(self, targets=Y[:2], **kwargs):
            super().__init__(**kwargs)
            self.calls, self.targets = [], targets

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return X[:2], self.targets

        def on_epoch_begin(self):
            self.calls.append("begin")

        def on_epoch_end(self):
            self.calls.append("end")

    own = Counting()
    rest = BatchPipeline(own).rest(0)
    for _ in range(2):
        assert len(list(rest)) == 3
    assert own.calls == ["begin", "end"] * 2
    # What tf.data cannot take, or Keras makes ahead itself, is left to Keras.
    assert isinstance(BatchPipeline(Counting(targets=None)).rest(0), keras.utils.PyDataset)
    assert isinstance(BatchPipeline(Counting(workers=2)).rest(0), keras.utils.PyDataset)


def test_an_epoch_of_a_pipeline_does_not_wait_for_the_autotuner():
    pytest.importorskip("tensorflow")
    from kerasdnn.data import Pipeline

    # Its thread sleeps between its rounds, and the end of an iterator waits for it.
    assert Pipeline(X, Y, batch_size=4).rest(0).options().autotune.enabled is False


def test_pipeline_augments_by_seed_epoch_and_batch():
    tf = pytest.importorskip("tensorflow")
    from kerasdnn.data import Pipeline

    def noise(x, y, seed):
        return x + tf.random.stateless_normal(tf.shape(x), seed), y

    data = Pipeline(np.zeros((6, 2), "float32"), Y[:6], batch_size=2, augment=noise)

    def epoch(number, start=0):
        data.begin(number)
        return [x.numpy() for x, _ in data.rest(start)]

    first = epoch(0)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], epoch(1)[0])
    np.testing.assert_array_equal(epoch(0, start=1), first[1:])
