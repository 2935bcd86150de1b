"""The text recipes on a user's own input, and the decoders of the pronouncing one."""

from kerasdnn.data.cmudict import LETTERS
from recipes.text import lstm_reviews, transformer_g2p, transformer_reviews

import keras
import numpy as np
import pytest


def _csv(path, rows):
    lines = "".join(f'"{text}",{label}\n' for text, label in rows)
    path.write_text(f"text,label\n{lines}", encoding="utf-8")
    return str(path)


@pytest.fixture
def reviews(tmp_path):
    """A table in which one word decides, with an empty text, a long one and foreign signs."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(160):
        words = random.choice(["the", "film", "was", "and", "plot", "with"], 8).tolist()
        words[int(random.integers(8))] = ("awful", "great")[i % 2]
        rows.append((f"{' '.join(words)} {i}", ("no", "yes")[i % 2]))
    rows += [("", "no"), ("great " * 300, "yes"), ("привет 你好", "no")]
    return _csv(tmp_path / "mine.csv", rows)


@pytest.mark.timeout(600)
def test_a_table_of_ones_own_and_a_sentence(reviews, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lstm_reviews, "QUICK_EPOCHS", 40)
    monkeypatch.setattr(lstm_reviews, "KINDS", ("GRU",))
    flags = ["--data", reviews, "--out", str(tmp_path / "runs"), "--quick"]
    assert lstm_reviews.main([*flags, "--predict", "great"]) == 2
    assert "Train it first" in capsys.readouterr().err
    assert lstm_reviews.main(flags) == 0
    out = capsys.readouterr().out
    assert out.count("without a text") == out.count("cut: 1 of ") == out.count("[UNK]: ") == 1
    assert "char TF-IDF + logistic regression" in out
    for word, label in (("great", "yes"), ("awful", "no")):
        assert lstm_reviews.main([*flags, "--predict", f"the film was {word}"]) == 0
        assert f"\n{label} (probability " in capsys.readouterr().out
    assert lstm_reviews.main([*flags, "--predict", "Ωμέγα"]) == 0
    out = capsys.readouterr().out
    assert "[UNK]: 1 of 1 tokens" in out
    assert "knows no token" in out
    assert lstm_reviews.main([*flags, "--predict", "great " * 500]) == 0
    assert capsys.readouterr().out.count("cut: 1 of 1 texts") == 1
    assert lstm_reviews.main([*flags, "--predict", "  "]) == 2
    assert "no word in it" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", [lstm_reviews, transformer_reviews])
def test_data_that_cannot_be_used(recipe, tmp_path, capsys):
    one = _csv(tmp_path / "one.csv", [("good", "yes"), ("better", "yes")])
    none = _csv(tmp_path / "none.csv", [("", "yes"), ("", "no")])
    for data, words in ((one, "two classes"), (none, "every row is empty"), ("digits", "'text'")):
        assert recipe.main(["--quick", "--data", data, "--out", str(tmp_path)]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("kind", lstm_reviews.KINDS)
def test_padding_does_not_change_what_a_network_says(kind):
    model = lstm_reviews.build(None, ["[PAD]", *"abcdef"], kind=kind)
    x = np.array([[1, 2, 3, 4], [5, 4, 3, 0]])
    padded = np.pad(x, ((0, 0), (0, 5)))
    np.testing.assert_allclose(*(model.predict(one, verbose=0) for one in (x, padded)), atol=1e-5)


def test_without_positions_the_order_is_lost():
    x = np.array([[1, 2, 3, 4]])
    for positions in (True, False):
        model = transformer_reviews.build(None, ["[PAD]", *"abcdef"], positions=positions)
        one, other = (model.predict(y, verbose=0) for y in (x, x[:, ::-1]))
        assert np.allclose(one, other, atol=1e-5) is not positions


@pytest.fixture(scope="module")
def speakers():
    """Both pronouncing networks, not trained."""
    keras.utils.set_random_seed(0)
    return transformer_g2p.build(), transformer_g2p.build(attention=False)


@pytest.mark.parametrize("which", [0, 1])
def test_decoding_step_by_step_is_the_whole_network(speakers, which, monkeypatch):
    monkeypatch.setattr(transformer_g2p, "LONGEST", 8)
    words = ["a", "tree", "houses'"]
    found = transformer_g2p.pronounce(speakers[which], words, beams=1)
    letters = transformer_g2p.SPELLING.encode(words).ids
    for row, ids in zip(letters, found):
        length = max((ids != 0).sum(), 1)
        before = np.concatenate([[transformer_g2p.START], ids[: length - 1]])[None]
        logits = speakers[which].predict([row[None], before], verbose=0)[0]
        written = logits.argmax(-1)
        ended = written[0] == transformer_g2p.END
        assert ended or written.tolist() == ids[:length].tolist()


def test_the_nearest_pronunciation_counts(monkeypatch):
    spoken = {"tomato": ("T", "AH"), "live": ("L", "AY", "V")}
    ids = transformer_g2p.SPEECH.encode(list(spoken.values()), transformer_g2p.LONGEST).ids
    monkeypatch.setattr(transformer_g2p, "pronounce", lambda *_: ids)

    class Data:
        x_test = list(spoken)
        y_test = [(("T", "OW1"), ("T", "AH0")), (("L", "IH1", "V"), ("L", "AE1"))]

    words, phonemes = transformer_g2p.evaluate(None, Data)
    assert words == 0.5  # "tomato" is right by its second variant
    assert phonemes == pytest.approx(1 / 5)  # one of T AH, L IH V


@pytest.mark.parametrize("text", ["123", "привет", "", "cat 42"])
def test_words_without_letters(text, tmp_path, capsys):
    assert transformer_g2p.main(["--predict", text, "--quick", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "expects words of the letters a to z" in err
    assert err.count("\n") == 1


def test_the_alphabets_are_those_of_the_dictionary():
    from kerasdnn.data import load, one_row_per_pronunciation

    dataset = load("cmudict")
    assert {letter for word in dataset.x_train for letter in word} <= set(LETTERS)
    part = dataset.x_train[:20000], dataset.y_train[:20000]
    _, spoken = one_row_per_pronunciation(*part, stress=False)
    assert {sound for one in spoken for sound in one} == set(transformer_g2p.SPEECH.tokens[4:])
