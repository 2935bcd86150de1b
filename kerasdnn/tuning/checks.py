"""What is looked at before a search begins, so that nothing is trained or overwritten in vain."""

import hashlib
import json

from kerasdnn import results
from kerasdnn.errors import InputError
from kerasdnn.tuning import space

import keras
import keras_tuner


def objective_of(subject, wanted, batch_size):
    """Returns the objective, after a look at what one batch of the default model reports."""
    model = subject.build(keras_tuner.HyperParameters())
    if not isinstance(model, keras.Model) or not model.compiled:
        raise InputError(
            "tune expects a function that returns a compiled keras.Model; received "
            f"{type(model).__name__}{' that is not compiled' if hasattr(model, 'layers') else ''}. "
            "Call model.compile(...) in it."
        )
    few = (keras.tree.map_structure(lambda a: a[:batch_size], part) for part in subject.fit)
    eager, model.run_eagerly = model.run_eagerly, True  # nothing is compiled for it
    names = list(model.evaluate(*few, batch_size=batch_size, verbose=0, return_dict=True))
    model.run_eagerly = eager
    names += [f"val_{name}" for name in names]
    if wanted is None:
        wanted = "val_accuracy" if "val_accuracy" in names else "val_loss"
    name = getattr(wanted, "name", wanted)
    if name not in names:
        raise InputError(
            f"tune expects an objective that the training reports; received '{name}'. There are "
            f"{', '.join(names)}."
        )
    try:
        return keras_tuner.Objective(name, wanted.direction) if name is not wanted else _named(name)
    except ValueError as error:
        raise InputError(
            f"tune cannot tell whether '{name}' is to be small or large; give "
            f"keras_tuner.Objective('{name}', 'min') or 'max'."
        ) from error


def _named(name):
    return keras_tuner.Oracle(objective=name).objective


def declared_space(subject):
    """Returns the hyper-parameters that the default model asks for."""
    hyperparameters = keras_tuner.HyperParameters()
    subject.build(hyperparameters)
    if not space.tunable(hyperparameters):
        raise InputError(
            f"tune expects a search space; '{subject.name}' asks its hyper-parameters for nothing. "
            "Call hp.Int, hp.Float, hp.Choice or hp.Boolean in it."
        )
    return hyperparameters


def claim(folder, subject, hyperparameters, settings):
    """Makes the folder, or makes sure that it holds this very search."""
    rows = [len(keras.tree.flatten(part[0])[0]) for part in (subject.fit, subject.validation)]
    declared = sorted((hp.name, json.dumps(hp.get_config())) for hp in hyperparameters.space)
    content = json.loads(json.dumps({"rows": rows, "space": declared, "settings": settings}))
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path = folder / "search.json"
    if path.is_file():
        try:
            saved = json.loads(path.read_text())
        except ValueError:
            saved = {}
        if saved.get("sha256") != digest:
            differs = [key for key in content if saved.get(key) != content[key]]
            raise InputError(
                f"The folder {folder} holds another search: its {' and '.join(differs)} differ. "
                "Give another directory=, or remove that one."
            )
        check_state(folder)
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(
            f"The folder {folder} holds something else. Give another directory=, or remove it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    results.write_json(path, {**content, "sha256": digest})


def check_state(folder):
    """Reads what a search that is gone on with will read."""
    for path in (*folder.glob("*.json"), *folder.glob("trial_*/trial.json")):
        try:
            json.loads(path.read_text())
        except ValueError:
            raise InputError(
                f"The state of the search in {path} is damaged. Give another directory=, or remove "
                "that one."
            ) from None
