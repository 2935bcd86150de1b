"""What a saved text model says of a sentence: the `--predict` of the text recipes."""

from kerasdnn.data.text import Vocabulary, tokenize
from kerasdnn.errors import InputError

import numpy as np


def predict_flag(parser):
    """Adds `--predict TEXT` to a recipe's flags."""
    parser.add_argument("--predict", metavar="TEXT", help="classify a text with the saved model")


def classify(run, text, longest):
    """Prints the class of a text and its probability, and ends the run.

    Args:
        run: `kerasdnn.recipe.Run` with its data loaded.
        text: `str`.
        longest: int, tokens the model reads.

    Raises:
        InputError: if the text is empty, or there is no saved model of these data.
    """
    tokens = tokenize(text)
    if not tokens:
        raise InputError(
            f"--predict expects a text; received {text!r}, which has no word in it. Write one."
        )
    model = run.saved_model()
    names = run.dataset.class_names
    if model.output_shape[-1] != len(names):
        raise InputError(
            f"The saved model should tell the {len(names)} classes of {run.dataset.name} apart; "
            f"it has {model.output_shape[-1]}. Train it again on these data."
        )
    encoded = Vocabulary.restore(model.get_layer("tokens").tokens).encode([tokens], longest)
    for note in encoded.notes("texts", "tokens"):
        run.say(f"note: {note}")
    if (encoded.ids <= 1).all():
        run.say("note: the model knows no token of this text, so its answer means nothing")
    logits = np.asarray(model.predict(encoded.ids, verbose=0)[0], np.float64)
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    best = int(probabilities.argmax())
    run.say(f"{names[best]} (probability {probabilities[best]:.2f})")
    run.leave()
