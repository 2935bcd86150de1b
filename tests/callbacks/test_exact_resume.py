"""A training that was killed anywhere and gone on with equals the undisturbed one to the bit."""

from kerasdnn.callbacks import ExactResume, TrainingDoctor
from kerasdnn.errors import InputError
from kerasdnn.resume import exact_fit

import keras
import numpy as np
import pytest

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = X.sum(1, keepdims=True)
STEPS = 5  # an epoch, the last batch is smaller


class Killed(BaseException):
    """Stands for kill -9, which `tests/faults` does for real."""


class KillAt(keras.callbacks.Callback):
    """Raises before a step of this process; has no state of the training."""

    def __init__(self, step=None):
        super().__init__()
        self.step, self.seen = step, 0

    def get_state(self):
        return None

    def set_state(self, state):
        pass

    def on_train_batch_begin(self, batch, logs=None):
        if self.seen == self.step:
            raise Killed
        self.seen += 1


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        return X[index * 9 : index * 9 + 9], Y[index * 9 : index * 9 + 9]


def build(**adam):
    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Dense(5, activation="relu"),
        keras.layers.Dropout(0.4),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(keras.optimizers.Adam(0.05, **adam), "mse", metrics=["mae"])
    return model


def others():
    return [
        keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=10.0),
        keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True),
    ]


def state(model):
    return [
        np.asarray(keras.ops.convert_to_numpy(v))
        for v in [*model.variables, *model.optimizer.variables]
    ]


def same(model, expected):
    return all(np.array_equal(a, b) for a, b in zip(state(model), expected, strict=True))


def train(model, folder=None, kill=None, every="epoch", data=(X, Y), epochs=3, **options):
    at = KillAt(kill)
    try:
        history = exact_fit(
            model,
            *data,
            epochs=epochs,
            batch_size=9,
            seed=4,
            resume_dir=folder,
            every=every,
            validation_data=(X, Y),
            callbacks=[*others(), at],
            say=lambda text: None,
            **options,
        )
    except Killed:
        return None, at.seen
    return history, at.seen


def test_killed_at_any_step_and_gone_on_with(tmp_path):
    expected = build()
    history, _ = train(expected)
    for kill, every, saved in ((3, 2, 2), (9, "epoch", 5), (14, 4, 10)):
        folder = tmp_path / f"{kill}-{every}"
        assert train(build(), folder, kill, every) == (None, kill)
        model = build()
        again, seen = train(model, folder, every=every)
        assert same(model, state(expected)), (kill, every)
        assert again.history == history.history
        assert again.epoch == [0, 1, 2]
        assert seen == 3 * STEPS - saved, (kill, every)  # nothing more is repeated


def test_average_of_the_weights_survives(tmp_path):
    expected = build(use_ema=True)
    history, _ = train(expected)
    train(build(use_ema=True), tmp_path, kill=7, every=1)
    model = build(use_ema=True)
    again, seen = train(model, tmp_path, every=1)
    assert same(model, state(expected))
    assert (again.history, seen) == (history.history, 9)


class WithNoise(keras.Model):
    """Has a part that gets its input layer in the first step, as augmentations do."""

    def __init__(self):
        super().__init__()
        self.noise = keras.Sequential([keras.layers.GaussianNoise(0.1, seed=3)])
        self.head = keras.layers.Dense(1)
        self.head.build((None, 6))
        self.built = True

    def call(self, x, training=None):
        return self.head(self.noise(x, training=training))


def test_a_part_that_is_built_in_the_first_step(tmp_path):
    models = []
    for folder, kill in ((tmp_path / "a", None), (tmp_path / "b", 7), (tmp_path / "b", None)):
        keras.utils.set_random_seed(1)
        models.append(WithNoise())
        models[-1].compile("sgd", "mse")
        train(models[-1], folder, kill, every=1)
    assert same(models[2], state(models[0]))


def test_data_set_of_the_user(tmp_path):
    expected = build()
    train(expected, data=(Batches(),))
    train(build(), tmp_path, kill=7, every=1, data=(Batches(),))
    model = build()
    train(model, tmp_path, every=1, data=(Batches(),))
    assert same(model, state(expected))


def test_the_doctor_keeps_what_it_saw(tmp_path):
    doctors = [TrainingDoctor() for _ in range(3)]

    def fit(doctor, folder, kill=None):
        model, watch = build(), [doctor, KillAt(kill)]
        options = {"epochs": 3, "batch_size": 9, "seed": 4, "say": lambda text: None}
        exact_fit(model, X, Y, resume_dir=folder, callbacks=watch, **options)
        return model

    expected = fit(doctors[0], tmp_path / "whole")
    with pytest.raises(Killed):
        fit(doctors[1], tmp_path / "killed", kill=12)
    assert same(fit(doctors[2], tmp_path / "killed"), state(expected))
    assert doctors[2].epochs_seen == 3
    assert [row["step"] for row in doctors[2].rows] == [row["step"] for row in doctors[0].rows]
    assert [f.id for f in doctors[2].report.findings] == [f.id for f in doctors[0].report.findings]


def test_a_finished_training_is_not_repeated(tmp_path):
    expected = build()
    history, _ = train(expected, tmp_path)
    model = build()
    again, seen = train(model, tmp_path)
    assert seen == 0
    assert same(model, state(expected))
    assert (again.history, again.epoch) == (history.history, history.epoch)


def test_stopped_early_stays_stopped(tmp_path):
    def stop():
        return keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)

    expected = build()
    exact_fit(expected, X, Y, epochs=9, resume_dir=tmp_path / "a", callbacks=[stop()])
    # Killed between the end of the epoch and that of the training.
    model = build()
    history = exact_fit(model, X, Y, epochs=9, resume_dir=tmp_path / "b", callbacks=[stop()])
    assert history.epoch == [0, 1]
    for path in (tmp_path / "b").glob("state-00000003.*"):
        path.unlink()
    model = build()
    history = exact_fit(
        model, X, Y, epochs=9, resume_dir=tmp_path / "b", callbacks=[stop()], say=lambda text: None
    )
    assert history.epoch == [0, 1]
    assert same(model, state(expected))


def test_the_order_is_another_in_every_epoch_and_seed():
    models = []
    for seed in (1, 1, 2):
        models.append(build())
        exact_fit(models[-1], X, Y, epochs=1, seed=seed, batch_size=9)
    assert same(models[0], state(models[1]))
    assert not same(models[0], state(models[2]))


def test_other_data_model_or_settings_are_refused_by_name(tmp_path):
    train(build(), tmp_path, kill=7)
    for change, sentence in (
        ({"data": (X + 1, Y)}, "data.content was .* and is"),
        ({"shuffle": False}, "data.shuffle was True and is False"),
        ({"facts": {"recipe": "mine"}}, "recipe was None and is mine"),
    ):
        with pytest.raises(InputError, match=f"belongs to another training: {sentence}"):
            train(build(), tmp_path, **change)
    for model, sentence in (
        (build(beta_1=0.5), "optimizer.config.beta_1 was 0.9 and is 0.5"),
        (keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)]), "layers was 4 of them"),
    ):
        if not model.compiled:
            model.compile("adam", "mse")
        with pytest.raises(InputError, match=sentence):
            train(model, tmp_path)


def test_plain_fit_goes_on_at_the_epoch(tmp_path):
    def fit(model, folder, kill=None):
        stop = others()
        resume = ExactResume(folder, callbacks=stop, say=lambda text: None)
        options = {"validation_data": (X, Y), "shuffle": False, "verbose": 0, "batch_size": 9}
        return model.fit(X, Y, epochs=3, callbacks=[*stop, KillAt(kill), resume], **options)

    expected = build()
    history = fit(expected, tmp_path / "a")
    with pytest.raises(Killed):
        fit(build(), tmp_path / "b", kill=7)
    model = build()
    again = fit(model, tmp_path / "b")
    assert same(model, state(expected))
    assert (again.history, again.epoch) == (history.history, [0, 1, 2])
    with pytest.raises(ValueError, match="only in kerasdnn"):
        build().fit(X, Y, verbose=0, callbacks=[ExactResume(tmp_path / "c", every=3)])


def test_one_callback_in_two_trainings(tmp_path):
    expected = build()
    options = {"shuffle": False, "verbose": 0, "batch_size": 9}
    alone = ExactResume(tmp_path / "a", say=lambda text: None)
    history = expected.fit(X, Y, epochs=3, callbacks=[alone], **options)
    model, resume = build(), ExactResume(tmp_path / "b", say=lambda text: None)
    for epochs in (2, 3):
        again = model.fit(X, Y, epochs=epochs, callbacks=[resume], **options)
    assert same(model, state(expected))
    assert again.history == history.history


@pytest.mark.parametrize("every", [0, 1.5, True])
def test_every_is_a_number_of_steps(tmp_path, every):
    with pytest.raises(ValueError, match="or a number of steps; received"):
        ExactResume(tmp_path, every)
