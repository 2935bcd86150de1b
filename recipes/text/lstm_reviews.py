"""Recurrent networks on product reviews.

Shows     what the gates of LSTM and GRU and reading in both directions buy over a simple RNN
Concept   LSTM text model
Paper     Hochreiter, Schmidhuber (1997), Long Short-Term Memory; Cho et al. (2014), arXiv:1406.1078
Data      chinese_reviews, 13,891 / 3,472; also imdb_reviews, tfds:<name>, a CSV with text,label
Expect    0.8043 ± 0.0029 (3 seeds), 2.1 min a run; control 0.8442
Target    char TF-IDF and logistic regression on the same split, the control of the table
Run       python recipes/text/lstm_reviews.py          --predict "房间很干净"   --quick: under 30 s
Change    UNITS, WIDTH, EPOCHS, LONGEST
"""

import sys

from kerasdnn.answers import classify, predict_flag
from kerasdnn.baselines import tfidf_logistic_regression
from kerasdnn.data import LengthBatches, encode_texts
from kerasdnn.layers import AttentionPooling, TokenEmbedding
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
LONGEST = 120  # tokens of a text that are read; a token is a word, or a Chinese character
BUCKETS = (32, 64, LONGEST)  # texts of similar length share a batch
QUICK_BUCKETS = (LONGEST,)  # a graph is compiled for each length
MOST, MIN_COUNT = 20_000, 2  # tokens of the vocabulary; rarer ones are [UNK]
WIDTH = 64  # channels of a token
UNITS = 64  # of each recurrent layer, in each direction
DROPOUT = 0.5
EPOCHS, QUICK_EPOCHS = 6, 1
BATCH = 128  # texts a step
PEAK_RATE, WARMUP = 4e-3, 0.3  # Adam's learning rate at the top, which share of the steps reaches
KINDS = ("SimpleRNN", "LSTM", "GRU", "bidirectional LSTM")
RECURRENT = {"SimpleRNN": layers.SimpleRNN, "LSTM": layers.LSTM, "GRU": layers.GRU}
GATES = {"chinese_reviews": Gate(0.842)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, tokens=("[PAD]", "[UNK]"), classes=2, kind=KINDS[-1]):
    """Returns the network, token numbers (B, T) to logits (B, C)."""
    units, dropout = UNITS, DROPOUT
    if hp is not None:
        units = hp.Int("units", 32, 128, step=32)
        dropout = hp.Float("dropout", 0.2, 0.6, step=0.1)
    inputs = keras.Input((None,), dtype="int32")
    x = TokenEmbedding(tokens, WIDTH, name="tokens")(inputs)  # (B, T, D), padding masked
    x = layers.SpatialDropout1D(dropout)(x)
    recurrent = RECURRENT[kind.split()[-1]](units, return_sequences=True)
    x = layers.Bidirectional(recurrent)(x) if kind.startswith("bi") else recurrent(x)
    x = AttentionPooling()(x)  # a learned mean over the tokens
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="reviews")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, seed, texts, *, use_technique=True, kind=KINDS[-1]):
    """Trains one network, with gates or without; returns it and its history."""
    kind = kind if use_technique else "SimpleRNN"
    vocabulary, x, *_ = texts
    buckets = {
        "buckets": QUICK_BUCKETS if run.quick else BUCKETS,
        "batch_size": BATCH,
        "seed": seed,
    }
    batches = LengthBatches(x, dataset.y_train, (x != 0).sum(axis=1), **buckets)
    epochs = QUICK_EPOCHS if run.quick else EPOCHS

    def compiled():
        model = build(None, vocabulary.tokens, len(dataset.class_names), kind)
        rate = OneCycle(PEAK_RATE, epochs * len(batches), warmup=WARMUP)
        model.compile(
            keras.optimizers.Adam(rate, clipnorm=1.0),
            SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    model = run.fastest(compiled, *batches[0], batch_size=BATCH, once=True)
    return model, run.fit(model, batches, epochs=epochs, label=kind, shuffle=False)


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, x, y):
    """Returns the accuracy."""
    return float(np.mean(model.predict(x, batch_size=500, verbose=0).argmax(-1) == y))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="chinese_reviews", gates=GATES, flags=predict_flag)
def main(run):
    dataset = run.load(task="text", quick_limit=500)
    if run.args.predict is not None:
        return classify(run, run.args.predict, LONGEST)
    texts = encode_texts(dataset, LONGEST, min_count=MIN_COUNT, most=MOST)
    for note in texts[3]:
        run.say(f"note: {note}")

    def trial(kind):
        def once(seed):
            model, history = train(dataset, run, seed, texts, kind=kind)
            columns = {"parameters": model.count_params()}
            return Trial(evaluate(model, texts[2], dataset.y_test), model, history, columns)

        return once

    def baseline(seed):
        accuracy, strength = tfidf_logistic_regression(dataset)
        return Trial(accuracy, columns={"C": strength})

    run.row("char TF-IDF + logistic regression", baseline, role="control", seeds=[0])
    for kind in KINDS:
        run.row(kind, trial(kind), role="technique" if kind == KINDS[-1] else "row")
    run.finish(save_inputs=texts[2][:256])


if __name__ == "__main__":
    sys.exit(main())
