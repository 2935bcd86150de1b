"""Transformer on product reviews.

Shows     that attention alone knows no order: positions added to the tokens are what gives it one
Concept   Transformer, multi-head attention, positional encoding
Paper     Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762
Data      chinese_reviews, 13,891 / 3,472; also imdb_reviews, tfds:<name>, a CSV with text,label
Expect    0.8055 ± 0.0023 (3 seeds), 5.5 min a run; control 0.8442
Target    char TF-IDF and logistic regression on the same split, the control of the table
Run       python recipes/text/transformer_reviews.py          --quick: under 30 s
Change    WIDTH, BLOCKS, EPOCHS, LONGEST
"""

import sys

from kerasdnn.answers import classify, predict_flag
from kerasdnn.baselines import tfidf_logistic_regression
from kerasdnn.data import LengthBatches, encode_texts
from kerasdnn.layers import (
    AttentionPooling,
    SinePositionEncoding,
    TokenEmbedding,
    TransformerEncoderBlock,
)
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
WIDTH, HEADS, MLP = 64, 4, 128  # channels of a token, attention heads, hidden units
BLOCKS = 2
DROPOUT = 0.3
EPOCHS, QUICK_EPOCHS = 8, 1
BATCH = 64  # texts a step
PEAK_RATE, WARMUP = 2e-3, 0.3  # AdamW's rate at the top, which share of the steps reaches
WEIGHT_DECAY = 0.05
GATES = {"chinese_reviews": Gate(0.842)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, tokens=("[PAD]", "[UNK]"), classes=2, positions=True):
    """Returns the network, token numbers (B, T) to logits (B, C)."""
    blocks, dropout = BLOCKS, DROPOUT
    if hp is not None:
        blocks = hp.Int("blocks", 1, 4)
        dropout = hp.Float("dropout", 0.1, 0.5, step=0.1)
    inputs = keras.Input((None,), dtype="int32")
    # As large as the waves that are added to it.
    normal = keras.initializers.RandomNormal(stddev=0.5)
    x = TokenEmbedding(tokens, WIDTH, embeddings_initializer=normal, name="tokens")(inputs)
    if positions:
        x = layers.Add()([x, SinePositionEncoding()(x)])
    x = layers.SpatialDropout1D(dropout)(x)  # (B, T, D), padding masked
    for _ in range(blocks):
        x = TransformerEncoderBlock(HEADS, MLP, dropout=dropout)(x)
    x = AttentionPooling()(layers.LayerNormalization()(x))  # a learned mean over the tokens
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="reviews")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, seed, texts, *, use_technique=True):
    """Trains one network, with positions or without; returns it and its history."""
    vocabulary, x, *_ = texts
    buckets = {
        "buckets": QUICK_BUCKETS if run.quick else BUCKETS,
        "batch_size": BATCH,
        "seed": seed,
    }
    batches = LengthBatches(x, dataset.y_train, (x != 0).sum(axis=1), **buckets)
    epochs = QUICK_EPOCHS if run.quick else EPOCHS

    def compiled():
        model = build(None, vocabulary.tokens, len(dataset.class_names), use_technique)
        rate = OneCycle(PEAK_RATE, epochs * len(batches), warmup=WARMUP)
        model.compile(
            keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY, clipnorm=1.0),
            SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    model = run.fastest(compiled, *batches[0], batch_size=BATCH, once=True)
    label = "with positions" if use_technique else "without positions"
    return model, run.fit(model, batches, epochs=epochs, label=label, shuffle=False)


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

    def trial(use_technique):
        def once(seed):
            model, history = train(dataset, run, seed, texts, use_technique=use_technique)
            columns = {"parameters": model.count_params()}
            return Trial(evaluate(model, texts[2], dataset.y_test), model, history, columns)

        return once

    def baseline(seed):
        accuracy, strength = tfidf_logistic_regression(dataset)
        return Trial(accuracy, columns={"C": strength})

    run.row("char TF-IDF + logistic regression", baseline, role="control", seeds=[0])
    run.row("Transformer without positions", trial(False))
    run.row("Transformer", trial(True), role="technique")
    run.finish(save_inputs=texts[2][:256])


if __name__ == "__main__":
    sys.exit(main())
