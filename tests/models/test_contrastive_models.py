from kerasdnn.models import MoCo, SimCLR
from kerasdnn.saving import load_model
from kerasdnn.testing import check_model

import keras
import numpy as np
import pytest
from keras import layers, ops

X = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1)).astype("float32")


def encoder(l2=0.01):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(l2)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
        ]
    )


def augmenter():
    return keras.Sequential([layers.RandomFlip(seed=0), layers.RandomTranslation(0.2, 0.2, seed=0)])


def simclr():
    model = SimCLR(encoder(), augmenter(), temperature=0.2)
    model.compile(keras.optimizers.Adam(0.01))
    return model


def moco():
    projector = keras.Sequential([keras.Input((4,)), layers.Dense(6)])
    model = MoCo(encoder(), augmenter(), projector=projector, queue_size=32, momentum=0.9)
    model.compile(keras.optimizers.Adam(0.01))
    return model


@pytest.mark.parametrize("make_model", [simclr, moco])
def test_harness(make_model):
    check_model(make_model, X)


def weights(model):
    return [np.array(ops.convert_to_numpy(w)) for w in model.weights]


@pytest.mark.parametrize("make_model", [simclr, moco])
def test_reloaded_model_goes_on_as_if_it_had_not_stopped(make_model, tmp_path):
    model = make_model()
    model.fit(X, batch_size=8, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    for one, other in zip(weights(model), weights(again), strict=True):
        np.testing.assert_array_equal(one, other)
    # Keras does not save seeds; with them copied, the next step is the same to the bit.
    for one, other in zip(model.non_trainable_variables, again.non_trainable_variables):
        other.assign(one)
    for trained in (model, again):
        trained.fit(X[:8], batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(weights(model), weights(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_evaluation_changes_nothing():
    model = moco()
    model.fit(X, batch_size=8, verbose=0)
    before = weights(model)
    model.evaluate(X, batch_size=8, verbose=0)
    for one, other in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_queue_keeps_the_last_keys_first_in_first_out():
    model = moco()
    model.fit(X[:8], batch_size=8, verbose=0)
    queue = ops.convert_to_numpy(model.queue)
    assert int(ops.convert_to_numpy(model.filled)) == 8
    np.testing.assert_allclose(np.linalg.norm(queue[:8], axis=1), 1, rtol=1e-5)
    assert np.linalg.norm(queue[8:], axis=1).max() < 0.9  # random ones of the start
    first = queue[:8].copy()
    model.fit(X[8:], batch_size=8, verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(model.queue)[8:16], first)


def test_momentum_copy_follows_the_encoder():
    model = moco()
    key, query = model.key_encoder.weights[0], model.encoder.weights[0]
    np.testing.assert_array_equal(ops.convert_to_numpy(key), ops.convert_to_numpy(query))
    model.fit(X, batch_size=8, verbose=0)  # the copy has seen the encoder before its second step
    start = np.array(ops.convert_to_numpy(key))
    target = np.array(ops.convert_to_numpy(query))
    model.fit(X[:8], batch_size=8, verbose=0)
    expected = 0.9 * start + 0.1 * target
    np.testing.assert_allclose(ops.convert_to_numpy(key), expected, rtol=1e-4, atol=1e-6)
    assert not model.key_encoder.trainable_weights


def test_regularizers_of_the_encoder_count():
    losses = []
    for l2 in (0.0, 1000.0):
        model = SimCLR(encoder(l2), augmenter())
        model.encoder.layers[1].kernel.assign(np.full((3, 3, 1, 4), 0.5))
        model.compile("sgd")
        losses.append(model.evaluate(X, verbose=0))
    assert losses[1] - losses[0] == pytest.approx(1000 * 36 * 0.25, rel=0.01)


def test_a_loss_of_your_own():
    model = SimCLR(encoder(), augmenter(), loss=keras.losses.CosineSimilarity())
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(X, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    config = model.get_config()
    assert type(SimCLR.from_config(config).view_loss) is keras.losses.CosineSimilarity


def test_bad_data_are_refused_before_the_first_step():
    for model in (simclr(), moco()):
        before = weights(model)
        with pytest.raises(ValueError, match=r"leave a batch of one|whole batches"):
            model.fit(X, batch_size=5)
        with pytest.raises(ValueError, match="finite inputs; received 1 values"):
            model.fit(X + nan_at_one_place())
        with pytest.raises(ValueError, match="values from 0 to 1"):
            model.fit(X / 255)
        with pytest.raises(ValueError, match=r"inputs \(N, 8, 8, 1\), .* \(16, 8, 8\)"):
            model.fit(X[..., 0])
        for one, other in zip(before, weights(model), strict=True):
            np.testing.assert_array_equal(one, other)


def nan_at_one_place():
    values = np.zeros_like(X)
    values[2, 3, 4, 0] = np.nan
    return values


def test_bad_arguments():
    with pytest.raises(ValueError, match="queue_size=32 and batch_size=12"):
        moco().fit(X, batch_size=12)
    with pytest.raises(ValueError, match=r"momentum in \[0, 1\); received 1.0"):
        MoCo(encoder(), augmenter(), momentum=1.0)
    with pytest.raises(ValueError, match="positive whole number; received 0"):
        MoCo(encoder(), augmenter(), queue_size=0)
    with pytest.raises(ValueError, match="temperature above 0; received 0"):
        SimCLR(encoder(), augmenter(), temperature=0)
    with pytest.raises(ValueError, match="augmenter to be a Keras layer"):
        SimCLR(encoder(), None)
    with pytest.raises(ValueError, match="encoder to be a built"):
        SimCLR(keras.Sequential([layers.Dense(3)]), augmenter())
    with pytest.raises(ValueError, match=r"features \(B, D\); received one with output"):
        SimCLR(keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3)]), augmenter())
