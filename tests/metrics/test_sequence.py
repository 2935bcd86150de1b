from kerasdnn.metrics import PhonemeErrorRate, WordErrorRate
from kerasdnn.metrics.sequence import edit_distance

import keras
import numpy as np
import pytest


def levenshtein(a, b):
    """The textbook recursion, cell by cell."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0], table[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (x != y)
            )
    return table[-1, -1]


def sequences(n, length, seed, symbols=4):
    random = np.random.default_rng(seed)
    ids = random.integers(1, symbols, (n, length))
    lengths = random.integers(0, length + 1, n)
    return ids * (np.arange(length) < lengths[:, None]), lengths


def test_agrees_with_the_textbook_recursion():
    x, x_lengths = sequences(200, 7, seed=0)
    y, y_lengths = sequences(200, 9, seed=1)
    distance, length = edit_distance(x, y)
    expected = [
        levenshtein(a[:m], b[:n]) for a, m, b, n in zip(x, x_lengths, y, y_lengths, strict=True)
    ]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(distance), expected)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(length), x_lengths)
    assert len(set(expected)) > 5


def test_rates_over_batches():
    x, x_lengths = sequences(64, 6, seed=2)
    y, y_lengths = sequences(64, 6, seed=3)
    y[:20], y_lengths[:20] = x[:20], x_lengths[:20]
    phonemes, words = PhonemeErrorRate(), WordErrorRate()
    for part in (slice(0, 10), slice(10, 64)):
        phonemes.update_state(x[part], y[part])
        words.update_state(x[part], y[part])
    errors = [levenshtein(a[:m], b[:n]) for a, m, b, n in zip(x, x_lengths, y, y_lengths)]
    assert float(phonemes.result()) == pytest.approx(sum(errors) / x_lengths.sum(), abs=1e-6)
    assert float(words.result()) == pytest.approx(np.mean(np.array(errors) > 0), abs=1e-6)
    phonemes.reset_state()
    assert float(phonemes.result()) == 0


def test_what_follows_the_end_does_not_count():
    rate = WordErrorRate(pad_id=9)
    rate.update_state([[0, 1, 9, 9]], [[0, 1, 9, 5]])
    assert float(rate.result()) == 0
    rate.update_state([[0, 1, 9, 9]], [[0, 1, 1, 9]], sample_weight=[3.0])
    assert float(rate.result()) == 0.75


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_counts_exactly_in_a_compiled_model(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    x, _ = sequences(600, 5, seed=4, symbols=3)
    y, _ = sequences(600, 5, seed=5, symbols=3)
    table = np.eye(3, dtype="float32")[x]  # logits whose argmax is x

    @keras.saving.register_keras_serializable(package="tests")
    class Argmax(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_pred), axis=(1, 2))

    @keras.saving.register_keras_serializable(package="tests")
    class Decoded(PhonemeErrorRate):
        def update_state(self, y_true, y_pred, sample_weight=None):
            super().update_state(y_true, keras.ops.argmax(y_pred, axis=-1), sample_weight)

    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(loss=Argmax(), metrics=[Decoded()])
    result = model.evaluate(table, y, batch_size=100, verbose=0, return_dict=True)
    direct = PhonemeErrorRate()
    direct.update_state(y, x)
    assert result["phoneme_error_rate"] == pytest.approx(float(direct.result()), abs=1e-6)


def test_config():
    rate = WordErrorRate(3, name="wer")
    copy = keras.metrics.deserialize(keras.metrics.serialize(rate))
    assert (copy.pad_id, copy.name) == (3, "wer")


@pytest.mark.parametrize("metric", [PhonemeErrorRate, WordErrorRate])
def test_refuses(metric):
    with pytest.raises(ValueError, match="argmax"):
        metric().update_state(np.zeros((2, 3)), np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="pad_id"):
        metric("0")
