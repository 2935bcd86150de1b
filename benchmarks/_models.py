"""The three models of the timings, in Keras and in plain PyTorch, with equal layers and sizes."""

import numpy as np

CNN_BATCH, LSTM_BATCH, TRANSFORMER_BATCH = 256, 64, 32
WORDS, LSTM_LENGTH, TRANSFORMER_LENGTH = 5000, 60, 128
WIDTH, HEADS = 128, 4
BATCHES = 6  # of data, used in turn


def data(name):
    """Returns the arrays of a few batches."""
    random = np.random.default_rng(0)
    if name == "cnn":
        n = CNN_BATCH * BATCHES
        return random.normal(size=(n, 28, 28, 1)).astype("float32"), random.integers(0, 10, n)
    batch, length = {
        "lstm": (LSTM_BATCH, LSTM_LENGTH),
        "transformer": (TRANSFORMER_BATCH, TRANSFORMER_LENGTH),
    }[name]
    n = batch * BATCHES
    return random.integers(1, WORDS, (n, length)).astype("int32"), random.integers(0, 2, n)


def batch_size(name):
    """Returns the batch size of a model."""
    return {"cnn": CNN_BATCH, "lstm": LSTM_BATCH, "transformer": TRANSFORMER_BATCH}[name]


def feed(x, y, size):
    """Returns what a Keras candidate trains on: the arrays in their order, as arguments of `fit`.

    On TensorFlow all go through kerasdnn's pipeline: the end of Keras' own waits for tf.data's
    tuner, for up to as long as the training took, which would hide the step.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return {"x": x, "y": y, "batch_size": size, "shuffle": False}
    from kerasdnn.data import Pipeline

    return {"x": Pipeline(x, y, batch_size=size, shuffle=False).rest(0), "shuffle": False}


def keras_model(name, ours):
    """Returns a compiled model from Keras' own layers, or with those of kerasdnn."""
    import keras

    model = {"cnn": _keras_cnn, "lstm": _keras_lstm, "transformer": _keras_transformer}[name](ours)
    model.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def _keras_cnn(ours, width=32):
    from kerasdnn.layers import FusedBatchNormalization

    import keras
    from keras import layers

    norm = FusedBatchNormalization if ours else layers.BatchNormalization

    def block(x, filters, pool=False):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(x) if pool else x
        return layers.Activation("relu")(norm()(x))

    inputs = keras.Input((28, 28, 1))
    x = block(inputs, width, pool=True)
    x = block(x, 2 * width)
    x = layers.Add()([x, block(block(x, 2 * width), 2 * width)])
    x = block(x, 4 * width, pool=True)
    x = layers.Add()([x, block(block(x, 4 * width), 4 * width)])
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, dtype="float32")(x))


def _keras_lstm(ours):
    import keras
    from keras import layers

    del ours  # Keras' own layer in both: what differs is how it is run
    inputs = keras.Input((LSTM_LENGTH,), dtype="int32")
    x = layers.Embedding(WORDS, WIDTH)(inputs)
    x = layers.LSTM(WIDTH, return_sequences=True)(x)
    x = layers.LSTM(WIDTH)(x)
    return keras.Model(inputs, layers.Dense(2, dtype="float32")(x))


def _keras_transformer(ours):
    from kerasdnn.layers import TransformerEncoderBlock

    import keras
    from keras import layers

    inputs = keras.Input((TRANSFORMER_LENGTH,), dtype="int32")
    x = layers.Embedding(WORDS, WIDTH)(inputs)
    for _ in range(4):
        if ours:
            x = TransformerEncoderBlock(HEADS, 4 * WIDTH)(x)
            continue
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, activation="gelu")(y))
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(2, dtype="float32")(x))


def torch_model(name):
    """Returns the same network as a plain `torch.nn.Module`."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before, after, pool=False):
            super().__init__()
            self.convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
            self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
            self.norm = nn.BatchNorm2d(after)

        def forward(self, x):
            return nn.functional.relu(self.norm(self.pool(self.convolution(x))))

    class Convolutional(nn.Module):
        def __init__(self, width=32):
            super().__init__()
            w2, w4 = 2 * width, 4 * width
            self.head = nn.Sequential(Block(1, width, True), Block(width, w2))
            self.first = nn.Sequential(Block(w2, w2), Block(w2, w2))
            self.down = Block(w2, w4, True)
            self.second = nn.Sequential(Block(w4, w4), Block(w4, w4))
            self.dense = nn.Linear(w4, 10)

        def forward(self, x):
            x = self.head(x)
            x = self.down(x + self.first(x))
            return self.dense((x + self.second(x)).amax((2, 3)))

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(WORDS, WIDTH)
            self.lstm = nn.LSTM(WIDTH, WIDTH, num_layers=2, batch_first=True)
            self.dense = nn.Linear(WIDTH, 2)

        def forward(self, x):
            return self.dense(self.lstm(self.embedding(x))[0][:, -1])

    class Attentive(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(WORDS, WIDTH)
            layer = nn.TransformerEncoderLayer(
                WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
            )
            self.blocks = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
            self.dense = nn.Linear(WIDTH, 2)

        def forward(self, x):
            return self.dense(self.blocks(self.embedding(x)).mean(1))

    return {"cnn": Convolutional, "lstm": Recurrent, "transformer": Attentive}[name]()
