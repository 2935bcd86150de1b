from kerasdnn.callbacks import CollapseMeter, ImageGrid, KNNProbe, LinearProbe
from kerasdnn.callbacks.samples import grid
from kerasdnn.models import SimCLR

import keras
import numpy as np
import pytest
from keras import layers

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 6)).astype("float32")
Y = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 0)
PARTS = (X[:200], Y[:200], X[200:], Y[200:])


def linear_encoder(kernel):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(kernel.shape[1], use_bias=False)])
    model.layers[0].kernel.assign(kernel)
    return model


def test_probes_see_what_the_features_keep():
    keeps = linear_encoder(np.eye(6, dtype="float32")[:, :2])
    loses = linear_encoder(np.eye(6, dtype="float32")[:, 2:])
    for probe in (LinearProbe(*PARTS), KNNProbe(*PARTS, k=5)):
        assert probe.measure(keeps) > 0.9
        assert probe.measure(loses) < 0.5


def test_nearest_neighbours_against_a_loop():
    probe = KNNProbe(*PARTS, k=3, temperature=0.5)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    right = 0
    for z, y in zip(unit[200:], Y[200:]):
        votes = np.zeros(4)
        cosines = unit[:200] @ z
        for i in np.argsort(-cosines)[:3]:
            votes[Y[i]] += np.exp(cosines[i] / 0.5)
        right += votes.argmax() == y
    assert probe.measure(lambda x: x) == pytest.approx(right / 100)


def test_linear_probe_does_not_mind_scale_or_dead_features():
    probe = LinearProbe(*PARTS)
    plain = probe.measure(lambda x: x)
    scaled = probe.measure(lambda x: np.concatenate([1e4 * x, 7 * np.ones_like(x)], axis=1) + 3)
    assert scaled == pytest.approx(plain, abs=0.01)


def test_feature_maps_are_averaged():
    maps = np.stack([X - 1, X + 1], axis=1)[:, :, None, :]  # (N, 2, 1, 6)
    probe = KNNProbe(maps[:200], Y[:200], maps[200:], Y[200:], k=5)
    flat = KNNProbe(*PARTS, k=5)
    assert probe.measure(lambda x: x) == pytest.approx(flat.measure(lambda x: x))


def test_numbers_stand_in_the_history_and_training_is_the_same():
    histories = []
    for callbacks in ([], [LinearProbe(*PARTS, every=2), KNNProbe(*PARTS), CollapseMeter(X[:50])]):
        keras.utils.set_random_seed(0)
        model = SimCLR(
            linear_encoder(np.eye(6, dtype="float32")), layers.GaussianNoise(0.3, seed=0)
        )
        model.compile("sgd")
        fit = model.fit(X, batch_size=100, epochs=3, verbose=0, callbacks=callbacks, shuffle=False)
        histories.append(fit.history)
    assert len(histories[1]["linear_accuracy"]) == 2  # epochs 2 and 3
    assert len(histories[1]["knn_accuracy"]) == 3
    assert set(histories[1]) > {"loss", "embedding_std", "effective_rank"}
    np.testing.assert_array_equal(histories[0]["loss"], histories[1]["loss"])


def test_collapse_without_negatives_is_seen_and_the_healthy_one_is_not(capsys):
    """The effect: the same training with its negatives taken out of the loss."""
    meters = []
    for loss in (None, keras.losses.CosineSimilarity()):
        keras.utils.set_random_seed(0)
        hidden = layers.Dense(32, activation="relu")
        encoder = keras.Sequential([keras.Input((6,)), hidden])
        model = SimCLR(encoder, layers.GaussianNoise(0.3, seed=0), temperature=0.2, loss=loss)
        model.compile(keras.optimizers.Adam(0.01))
        meters.append(CollapseMeter(X[:100], every=20))
        model.fit(X, batch_size=100, epochs=40, verbose=0, callbacks=[meters[-1]])
    healthy, collapsed = meters
    assert not healthy.collapsed
    assert collapsed.collapsed
    assert healthy.rank > 3
    assert "CollapseMeter: collapsed" in capsys.readouterr().out


def test_meter_against_closed_forms():
    everywhere = CollapseMeter(X).update(RANDOM.normal(size=(5000, 32)))
    assert everywhere.std == pytest.approx(1.0, abs=0.02)
    assert everywhere.rank == pytest.approx(32, abs=1)
    plane = RANDOM.normal(size=(500, 2)) @ RANDOM.normal(size=(2, 32))
    assert CollapseMeter(X).update(plane).rank < 2.01


def test_grid_places_images_row_by_row():
    images = np.linspace(-1, 1, 6)[:, None, None, None] * np.ones((1, 2, 3, 1))
    pixels = grid(images, 2, 3)
    assert pixels.shape == (4, 9, 1)
    assert pixels[0, 0, 0] == 0
    assert pixels[0, 3, 0] == 51
    assert pixels[2, 0, 0] == 153
    assert pixels[3, 8, 0] == 255


def test_image_grid_writes_a_file_an_epoch(tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    callback = ImageGrid(tmp_path / "a", lambda: np.zeros((4, 5, 5, 3)), rows=2, columns=2, every=2)
    model.fit(X[:8], Y[:8], epochs=3, verbose=0, callbacks=[callback])
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == [
        "epoch-0002.png",
        "epoch-0003.png",
    ]


def test_bad_input():
    with pytest.raises(ValueError, match="received 200 training samples and 100 labels"):
        LinearProbe(X[:200], Y[:100], X[200:], Y[200:])
    with pytest.raises(ValueError, match="a test set apart from the training set"):
        KNNProbe(X, Y, X, Y)
    with pytest.raises(ValueError, match="at least two classes"):
        KNNProbe(X[:200], 0 * Y[:200], X[200:], Y[200:])
    with pytest.raises(ValueError, match="k of 1 or more"):
        KNNProbe(*PARTS, k=0)
    with pytest.raises(ValueError, match="l2 above 0; received 0"):
        LinearProbe(*PARTS, l2=0)
    with pytest.raises(ValueError, match=r"threshold in \(0, 1\)"):
        CollapseMeter(X, threshold=1.0)
    with pytest.raises(ValueError, match="at least 2 samples"):
        CollapseMeter(X[:1])
    with pytest.raises(ValueError, match="at least 64 images"):
        grid(np.zeros((4, 5, 5, 1)), 8, 8)
