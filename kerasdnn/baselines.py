"""What a network has to beat: classical methods on the same split."""

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

STRENGTHS = (1.0, 3.0, 10.0, 30.0)  # inverse regularization to choose from


def tfidf_logistic_regression(dataset, *, seed=0):
    """Classifies texts by their characters and pairs of characters, without any order beyond.

    The strength of the regularization is the one of `STRENGTHS` that is best on a tenth of the
    training texts; the model is then fitted to all of them.

    Args:
        dataset: `Dataset` of texts.
        seed: int, chooses the tenth.

    Returns:
        The test accuracy and the chosen strength.
    """
    from kerasdnn.data import validation_split

    classes = len(dataset.class_names)
    held_out = max(len(dataset.x_train) // 10, classes)
    fit, validation = validation_split(dataset, held_out, seed)
    scores = {strength: _model(strength).fit(*fit).score(*validation) for strength in STRENGTHS}
    best = max(scores, key=scores.get)
    model = _model(best).fit(dataset.x_train, dataset.y_train)
    return float(model.score(dataset.x_test, dataset.y_test)), best


def _model(strength):
    features = TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
    regression = LogisticRegression(C=strength, solver="liblinear", random_state=0)
    return make_pipeline(features, OneVsRestClassifier(regression))
