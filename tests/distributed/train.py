"""A training by one or several processes: `train.py FOLDER [rank epoch]`, where a rank dies."""

import json
import os
import signal
import sys
from pathlib import Path

from kerasdnn import distributed

import keras
import numpy as np

sys.modules.setdefault("tensorflow", None)  # Keras would import it, only to seed it
folder = Path(sys.argv[1])
random = np.random.default_rng(0)
x = random.normal(size=(100, 6)).astype("float32")
y = (x[:, :1] * 2 + x[:, 1:2] ** 2).astype("float32")

team = distributed.join()
with team.scope(seed=3):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1, seed=5),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")


class Dies(keras.callbacks.Callback):
    def get_state(self):
        pass

    def set_state(self, state):
        pass

    def on_epoch_begin(self, epoch, logs=None):
        with (folder / f"epochs-{team.rank}").open("a") as log:
            log.write(f"{epoch}\n")
        if sys.argv[2:] == [str(team.rank), str(epoch)] and os.environ["KERASDNN_ATTEMPT"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)


history = team.fit(
    model,
    x,
    y,
    epochs=4,
    batch_size=32,
    validation_data=(x[:40], y[:40]),
    resume_dir=folder / "state",
    callbacks=[Dies()],
)
model = team.local(model)
if team.rank == 0:
    np.savez(folder / "weights.npz", *model.get_weights())
    guess = model.predict(x, verbose=0).ravel().tolist()
    (folder / "result.json").write_text(json.dumps({**history.history, "guess": guess}))
    model.save(folder / "model.keras")
