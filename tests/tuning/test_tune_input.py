"""What `tune` says to what it cannot use: one sentence, and nothing is overwritten."""

from kerasdnn.errors import InputError
from kerasdnn.tuning import tune

import keras
import numpy as np
import pytest

keras_tuner = pytest.importorskip("keras_tuner")

X, Y = np.zeros((40, 2), "float32"), np.zeros((40, 1), "float32")


def model_of(hp, rates=(0.1, 0.2), loss="mse"):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    rate = hp.Choice("rate", list(rates)) if rates else 0.1
    model.compile(keras.optimizers.SGD(rate), loss, run_eagerly=True)
    return model


def refused(build, folder, x=X, y=Y, **options):
    with pytest.raises(InputError) as caught:
        tune(build, x, y, **{"epochs": 1, "directory": folder, "final": False, **options})
    sentence = str(caught.value)
    assert len(sentence) < 300
    assert "\n" not in sentence
    return sentence


def test_an_empty_space(tmp_path):
    said = refused(lambda hp: model_of(hp, rates=()), tmp_path)
    assert "expects a search space" in said
    assert not any(tmp_path.iterdir())


def test_an_objective_that_does_not_exist(tmp_path):
    said = refused(model_of, tmp_path, objective="val_f1")
    assert "'val_f1'" in said
    assert "val_loss" in said
    assert not any(tmp_path.iterdir())


def test_an_objective_that_is_never_a_number(tmp_path):
    x = np.full_like(X, np.nan)
    assert "not a number" in refused(model_of, tmp_path, x=x)


def test_a_model_that_is_not_compiled(tmp_path):
    said = refused(
        lambda hp: keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), tmp_path
    )
    assert "not compiled" in said


def test_the_folder_of_another_search(tmp_path):
    folder = tmp_path / "model_of"
    tune(model_of, X, Y, trials=1, epochs=1, directory=tmp_path, final=False)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "settings differ" in refused(model_of, tmp_path, epochs=2)
    assert "rows differ" in refused(model_of, tmp_path, x=X[:30], y=Y[:30])
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "model_of").mkdir()
    (tmp_path / "model_of" / "notes.txt").write_text("mine")
    assert "something else" in refused(model_of, tmp_path)
    assert [path.name for path in (tmp_path / "model_of").iterdir()] == ["notes.txt"]


def test_a_damaged_state(tmp_path):
    tune(model_of, X, Y, trials=1, epochs=1, directory=tmp_path, final=False)
    path = tmp_path / "model_of" / "oracle.json"
    path.write_text(path.read_text()[:50])
    assert "oracle.json is damaged" in refused(model_of, tmp_path)
    assert path.stat().st_size == 50


@pytest.mark.parametrize(
    ("recipe", "words"),
    [("mlpp", "Did you mean 'mlp'"), ("gan", "learns in another way"), (None, "name of a recipe")],
)
def test_recipes_that_cannot_be_tuned(recipe, words, tmp_path):
    with pytest.raises(InputError, match=words):
        tune(recipe, directory=tmp_path)


def test_a_recipe_by_its_name(tmp_path):
    found = tune(
        "basics/mlp", data="digits", limit=300, trials=2, epochs=1, directory=tmp_path, say=str
    )
    assert {"learning_rate", "dropout", "depth"} <= set(found.values)
    assert 0 < found.test["accuracy"] <= 1
