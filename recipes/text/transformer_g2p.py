"""Encoder-decoder Transformer that pronounces English words.

Shows     what attention on the letters buys over an LSTM that passes one vector to its decoder
Concept   Transformer, multi-head attention, positional encoding
Paper     Vaswani et al. (2017), arXiv:1706.03762; Yolchuyeva et al. (2019), arXiv:2004.06338
Data      cmudict, 113,333 / 12,719 words, stress left out
Expect    not measured yet
Target    0.302, g2p-seq2seq README, tensor2tensor 3 x 256 on the latest CMUdict (n-grams: 0.339)
Run       python recipes/text/transformer_g2p.py          --predict "a word"   --quick: under 30 s
Change    WIDTH, ENCODER_BLOCKS, EPOCHS, BEAMS
"""

import sys

from kerasdnn.data import LengthBatches, Vocabulary, one_row_per_pronunciation
from kerasdnn.data.cmudict import ARPABET, LETTERS
from kerasdnn.decoding import beam_search
from kerasdnn.errors import InputError
from kerasdnn.layers import SinePositionEncoding, TransformerDecoderBlock, TransformerEncoderBlock
from kerasdnn.metrics import PhonemeErrorRate, WordErrorRate
from kerasdnn.metrics.sequence import nearest
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers, ops

# --- Settings ------------------------------------------------------------------------------------
SPELLING, SPEECH = Vocabulary(LETTERS), Vocabulary(["[START]", "[END]", *ARPABET])
START, END = SPEECH.numbers["[START]"], SPEECH.numbers["[END]"]
WIDTH, HEADS, MLP = 128, 4, 256  # channels of a token, attention heads, hidden units
ENCODER_BLOCKS, DECODER_BLOCKS = 3, 2
LSTM_UNITS = 256  # about as many parameters
BUCKETS = (7, 9, 12, 16)  # letters or phonemes; longer words are tested but not trained on
EPOCHS, QUICK_EPOCHS = 8, 1
QUICK_BUCKETS = (16,)  # a graph is compiled for each length
BATCH = 192  # words a step
PEAK_RATE, WARMUP = 2.5e-3, 0.15  # Adam's rate at the top, which share of the steps reaches
BEAMS = 4
LONGEST = 32  # letters of a word, phonemes of an answer
SHOWN = ("blockchain", "podcasting", "tensorflow", "unfriended", "zoomable", "keras")
GATES = {"cmudict": Gate(0.34)}


# --- Data ----------------------------------------------------------------------------------------
def training_data(words, answers):
    """Returns the letters and the phonemes before, those to write, and the length of each row."""
    words, spoken = one_row_per_pronunciation(words, answers, stress=False)
    lengths = np.array([max(len(word), len(one) + 1) for word, one in zip(words, spoken)])
    letters = SPELLING.encode(words, LONGEST).ids
    before = SPEECH.encode([("[START]", *one) for one in spoken], LONGEST).ids
    after = SPEECH.encode([(*one, "[END]") for one in spoken], LONGEST).ids
    short = lengths <= BUCKETS[-1]
    return (letters[short], before[short]), after[short], lengths[short]


# --- Model ---------------------------------------------------------------------------------------
def embedding(vocabulary, name):
    """Token embedding, as large as the position encoding that is added to it."""
    normal = keras.initializers.RandomNormal(stddev=1.0)
    return layers.Embedding(len(vocabulary), WIDTH, normal, mask_zero=True, name=name)


def transformer(x, y, mlp, dropout):
    """Every phoneme looks at the phonemes before it and, by attention, at all letters."""
    x = layers.Add()([x, SinePositionEncoding(name="letter_position")(x)])
    for i in range(ENCODER_BLOCKS):
        x = TransformerEncoderBlock(HEADS, mlp, dropout=dropout, name=f"encoder_{i}")(x)
    memory = layers.LayerNormalization(name="memory")(x)  # (B, S, D)
    y = layers.Add()([y, SinePositionEncoding(name="phoneme_position")(y)])
    for i in range(DECODER_BLOCKS):
        y = TransformerDecoderBlock(HEADS, mlp, dropout=dropout, name=f"decoder_{i}")(y, memory)
    return layers.LayerNormalization(name="decoder_norm")(y)  # (B, T, D)


def lstm(x, y):
    """The control: the decoder knows of the letters what fits an LSTM's last state."""
    _, h, c = layers.LSTM(LSTM_UNITS, return_state=True, name="encoder")(x)
    decoder = layers.LSTM(LSTM_UNITS, return_sequences=True, return_state=True, name="decoder")
    return decoder(y, initial_state=[h, c])[0]


def build(hp=None, attention=True):
    """Returns the network: letters (B, S) and phonemes before (B, T) to logits (B, T, C)."""
    mlp, dropout = MLP, 0.0
    if hp is not None:
        mlp, dropout = hp.Int("mlp", 128, 512, step=128), hp.Float("dropout", 0.0, 0.2, step=0.05)
    letters = keras.Input((None,), dtype="int32", name="letters")
    before = keras.Input((None,), dtype="int32", name="phonemes")
    x = embedding(SPELLING, "letter_embedding")(letters)
    y = embedding(SPEECH, "phoneme_embedding")(before)
    y = transformer(x, y, mlp, dropout) if attention else lstm(x, y)
    logits = layers.Dense(len(SPEECH), dtype="float32", name="logits")(y)
    return keras.Model([letters, before], logits, name="attention_g2p" if attention else "lstm_g2p")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, seed, *, use_technique=True):
    """Trains the Transformer, or the LSTM; returns it and its history."""
    x, y, lengths = training_data(dataset.x_train, dataset.y_train)
    buckets = QUICK_BUCKETS if run.quick else BUCKETS
    batches = LengthBatches(x, y, lengths, buckets=buckets, batch_size=BATCH, seed=seed)
    epochs = QUICK_EPOCHS if run.quick else EPOCHS

    def compiled():
        model = build(attention=use_technique)
        rate = OneCycle(PEAK_RATE, epochs * len(batches), warmup=WARMUP, anneal="linear")
        # The logits carry the mask of the phonemes, so padding does not count.
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate, beta_2=0.98, clipnorm=1.0), loss)
        return model

    (letters, before), after = batches[0]
    model = run.fastest(compiled, (letters, before), after, batch_size=BATCH)
    label = "Transformer" if use_technique else "LSTM"
    return model, run.fit(model, batches, epochs=epochs, label=label, shuffle=False)


# --- Evaluate ------------------------------------------------------------------------------------
def start(model, letters):
    """Returns the decoder's state before the first phoneme, and the function that writes one."""
    encoder = keras.Model(model.inputs[0], model.get_layer("memory").output)
    memory, real = encoder(letters, training=False), ops.not_equal(letters, 0)
    blocks = [model.get_layer(f"decoder_{i}") for i in range(DECODER_BLOCKS)]

    def step(tokens, caches, position):
        y = model.get_layer("phoneme_embedding")(tokens)
        y = y + model.get_layer("phoneme_position")(y, start_index=position)
        for i, block in enumerate(blocks):  # they read the memory from the cache
            y, cache = block(y, memory, cache=caches[i])
            caches = [*caches[:i], cache, *caches[i + 1 :]]
        return model.get_layer("logits")(model.get_layer("decoder_norm")(y)), caches

    return [block.make_cache(memory, LONGEST, real) for block in blocks], step


def start_lstm(model, letters):
    """Likewise for the LSTM, whose state is all it has."""
    encoder = keras.Model(model.inputs[0], model.get_layer("encoder").output[1:])

    def step(tokens, state, position):
        y = model.get_layer("phoneme_embedding")(tokens)
        y, *state = model.get_layer("decoder")(y, initial_state=state)
        return model.get_layer("logits")(y), state

    return encoder(letters, training=False), step


def pronounce(model, words, beams=BEAMS):
    """Returns the most probable pronunciation of each word, int32 ids (N, LONGEST)."""
    found = np.zeros((len(words), LONGEST), np.int32)
    order = np.argsort([len(word) for word in words], kind="stable")  # to have little padding
    for some in np.split(order, range(512, len(order), 512)):
        length = -(-max(len(words[i]) for i in some) // 8) * 8  # few shapes to compile
        letters = SPELLING.encode([words[i] for i in some], min(length, LONGEST)).ids
        state, step = (start_lstm if model.name == "lstm_g2p" else start)(model, letters)
        search = {"batch": len(some), "start_id": START, "end_id": END, "max_length": LONGEST}
        found[some] = beam_search(step, state, beams=beams, **search)[0][:, 0]
    return found


def evaluate(model, dataset, beams=BEAMS):
    """Returns the word and the phoneme error rate; of a word's variants the nearest one counts."""
    found = pronounce(model, dataset.x_test, beams)
    word, spoken = one_row_per_pronunciation(range(len(found)), dataset.y_test, stress=False)
    right = SPEECH.encode(spoken, LONGEST).ids
    right = right[nearest(right, found[word], word)]
    rates = WordErrorRate(), PhonemeErrorRate()
    for rate in rates:
        rate.update_state(right, found)
    return [float(rate.result()) for rate in rates]


def draw_attention(axis, model, word):
    """Draws which letters each phoneme looked at: the last block's weights, mean of the heads."""
    spoken = SPEECH.decode(pronounce(model, [word])[0])
    before = SPEECH.encode([("[START]", *spoken)]).ids
    last = model.get_layer(f"decoder_{DECODER_BLOCKS - 1}")
    y, memory = keras.Model(model.inputs, last.input)([SPELLING.encode([word]).ids, before])
    scores = last(y, memory, return_attention_scores=True)[1]["cross"]  # (1, H, T, S)
    axis.imshow(ops.convert_to_numpy(ops.mean(scores[0], axis=0)), cmap="Blues", aspect="auto")
    axis.set_xticks(range(len(word)), word)
    axis.set_yticks(range(len(spoken) + 1), [*spoken, "[END]"])
    axis.set_title("cross-attention of the last block")


# --- Main ----------------------------------------------------------------------------------------
def tell(run, model, words):
    """Prints the pronunciation of each word."""
    for word, ids in zip(words, pronounce(model, words)):
        run.say(f"  {word:16} {' '.join(SPEECH.decode(ids))}")


def answer(run, text):
    """Pronounces the words of a text with the saved model."""
    words = text.lower().split()
    silent = [word for word in words if not any(letter in SPELLING.numbers for letter in word)]
    if silent or not words:
        raise InputError(
            f"--predict expects words of the letters a to z; received "
            f"{silent[0] if silent else 'an empty text'!r}. Spell it in these letters."
        )
    for note in SPELLING.encode(words, LONGEST).notes("words", "letters"):
        run.say(f"note: {note}")
    tell(run, run.saved_model(), words)
    run.leave()


@recipe(
    metric="word_error_rate",
    data="cmudict",
    gates=GATES,
    target=(0.302, "g2p-seq2seq README, tensor2tensor 3 x 256, latest CMUdict"),
    higher_is_better=False,
    flags=lambda parser: parser.add_argument(
        "--predict", metavar="WORDS", help="pronounce these words with the saved model"
    ),
)
def main(run):
    dataset = run.load(task="pairs", quick_limit=200)
    if run.args.predict is not None:
        return answer(run, run.args.predict)
    run.say(
        f"parameters: {build().count_params():,}, LSTM {build(attention=False).count_params():,}"
    )

    def trial(use_technique):
        def once(seed):
            model, history = train(dataset, run, seed, use_technique=use_technique)
            greedy, beam = evaluate(model, dataset, 1), evaluate(model, dataset)
            columns = {"PER": beam[1], "greedy WER": greedy[0], "greedy PER": greedy[1]}
            return Trial(beam[0], model, history, columns)

        return once

    run.row("Transformer", trial(True), role="technique")
    run.row("LSTM encoder-decoder", trial(False), role="control")
    words = [word for word in SHOWN if word not in {*dataset.x_train, *dataset.x_test}]
    run.say("words it never saw:")
    tell(run, run.trained_model(), words)
    run.finish(panels=[lambda axis: draw_attention(axis, run.trained_model(), words[0])])


if __name__ == "__main__":
    sys.exit(main())
