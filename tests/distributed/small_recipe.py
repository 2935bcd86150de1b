"""Small network on digits.

Shows     the same numbers, by however many processes or devices it is trained
Concept   for a test
Data      digits, 200 / 100
Expect    not measured yet
"""

import os
import signal
import sys

from kerasdnn.recipe import Trial, recipe

import keras
import numpy as np


def build():
    """Returns a compiled network whose first weights are the same on every backend."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Dense(16, "tanh")(x)
    model = keras.Model(inputs, keras.layers.Dense(10, "softmax")(x))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.1, w.shape) for w in model.get_weights()])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


@recipe(metric="test_accuracy", data="digits", gates={})
def main(run):
    dataset = run.load(quick_limit=200)

    def trained(seed):
        die = run.current == "second" and os.environ.get("SMALL_RECIPE_DIES") == "1"
        if (
            die
            and os.environ["KERASDNN_ATTEMPT"] == "0"
            and os.environ["KERASDNN_PROCESS"] == "1/2"
        ):
            os.kill(os.getpid(), signal.SIGKILL)
        x, y = dataset.x_train, dataset.y_train
        model = run.fastest(build, x, y, batch_size=50)
        history = run.fit(model, x, y, epochs=2, batch_size=50, label=run.current)
        guess = model.predict(dataset.x_test, verbose=0)
        columns = {"first_guess": float(guess[0, 0])}
        return Trial(np.mean(guess.argmax(-1) == dataset.y_test), model, history, columns)

    run.row("first", trained, role="control")
    run.row("second", trained, role="technique")
    run.finish()


if __name__ == "__main__":
    sys.exit(main())
