"""The frame of a recipe: flags, files, exit codes, resuming; on a recipe that trains nothing."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import warnings

from kerasdnn import recipe
from kerasdnn.recipe import Gate, Trial

import pytest

STORY = '''
"""A small story.

Shows     that the frame works
Concept   none
Paper     none
Data      digits
Expect    nothing
Target    0.9
Run       python story.py
Change    RATE
"""
import sys
from kerasdnn.recipe import Gate, Trial, recipe

RATE = 0.5

@recipe(metric="m", data="digits", gates={"digits": Gate(0.9, gain=0.1)}, target=(0.95, "nobody"))
def main(run):
    dataset = run.load()
    run.row("control", lambda seed: CONTROL, role="control")
    run.row("technique", technique, role="technique")
    run.finish()

CONTROL = 0.5

def technique(seed):
    BODY

if __name__ == "__main__":
    sys.exit(main())
'''


@pytest.fixture
def story(tmp_path, monkeypatch):
    """Writes a recipe whose technique is the given body, and returns its main."""
    import importlib.util

    monkeypatch.chdir(tmp_path)

    def make(body="return 0.92 + 0.01 * seed", control="0.5"):
        path = tmp_path / "story.py"
        text = STORY.strip().replace("BODY", body).replace("CONTROL = 0.5", f"CONTROL = {control}")
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("story", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main

    return make


def _result(tmp_path):
    (path,) = (tmp_path / "runs" / "story").glob("*/result.json")
    return json.loads(path.read_text())


def test_run_leaves_its_files_and_passes(story, tmp_path, capsys):
    assert story()(["--seeds", "2"]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith(
        "RESULT recipe=story metric=m value=0.9250 std=0.0071 n=2 control=0.5000"
    )
    assert last.endswith("PASS")
    result = _result(tmp_path)
    assert result["values"] == [0.92, 0.93]
    assert result["passed"] is True
    assert result["target"] == {"value": 0.95, "source": "nobody"}
    assert result["settings"] == {"RATE": 0.5, "CONTROL": 0.5}
    assert [row["name"] for row in result["rows"]] == ["control", "technique"]
    (folder,) = (tmp_path / "runs" / "story").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert names >= {"result.json", "history.csv", "config.json", "source.py", "figure.png"}


def test_below_the_gate_fails_with_exit_1(story, capsys):
    assert story("return 0.89")([]) == 1
    assert capsys.readouterr().out.strip().endswith("FAIL")


def test_too_little_above_the_control_fails(story):
    assert story(control="0.85")([]) == 1


def test_quick_has_no_gate(story, tmp_path, capsys):
    assert story("return 0.1")(["--quick"]) == 0
    assert capsys.readouterr().out.strip().endswith("DONE")
    assert _result(tmp_path)["passed"] is None


def test_unknown_flag_exits_2(story):
    with pytest.raises(SystemExit) as stop:
        story()(["--nonsense"])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--seeds", "0"], "--seeds expects at least 1"),
        (["--data", "no/such/place"], "no/such/place"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(story, tmp_path, capsys, flags, sentence):
    assert story()(flags) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    assert not list((tmp_path / "runs").glob("*/*")) if (tmp_path / "runs").exists() else True


@pytest.mark.skipif(
    os.geteuid() != 0, reason="a read-only mount needs root; others test the file case"
)
def test_out_that_is_a_file_exits_2(story, tmp_path, capsys):
    (tmp_path / "f").write_text("")
    assert story()(["--out", str(tmp_path / "f")]) == 2
    assert "--out expects a folder" in capsys.readouterr().err


def test_ctrl_c_says_where_the_files_are_and_exits_130(story, tmp_path, capsys):
    assert story("raise KeyboardInterrupt")([]) == 130
    error = capsys.readouterr().err
    assert "stopped by Ctrl-C" in error
    assert str(next((tmp_path / "runs" / "story").iterdir()).name) in error


def test_resume_repeats_no_finished_training(story, tmp_path, capsys):
    body = """import pathlib
    log = pathlib.Path("n")
    log.write_text((log.read_text() if log.exists() else "") + str(seed))
    if log.read_text() == "01":
        raise KeyboardInterrupt
    return 0.92"""
    main = story(body)
    assert main(["--seeds", "2"]) == 130
    assert main(["--seeds", "2", "--resume"]) == 0
    assert (tmp_path / "n").read_text() == "011"
    assert _result(tmp_path)["values"] == [0.92, 0.92]


def test_resume_with_other_settings_is_refused(story, capsys):
    main = story("raise KeyboardInterrupt")
    main([])
    assert main(["--seeds", "3", "--resume"]) == 2
    assert "its seeds differ" in capsys.readouterr().err


def test_resume_without_an_unfinished_run_says_so_and_starts(story, capsys):
    assert story()(["--resume"]) == 0
    assert "no unfinished run" in capsys.readouterr().out


def test_sigterm_exits_143_in_a_child_process(tmp_path):
    (tmp_path / "story.py").write_text(
        STORY.strip().replace("BODY", "import time; print('ready', flush=True); time.sleep(60)")
    )
    child = subprocess.Popen(
        [sys.executable, "story.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in child.stdout:
        if line.strip() == "ready":
            break
    child.send_signal(signal.SIGTERM)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 143
    assert "stopped by SIGTERM" in error


def test_gate_for_errors_is_an_upper_bound():
    from kerasdnn.publish import _passes

    assert _passes(0.30, 0.40, Gate(0.34, gain=0.05), higher_is_better=False)
    assert not _passes(0.36, 0.40, Gate(0.34), higher_is_better=False)
    assert not _passes(0.33, 0.34, Gate(0.34, gain=0.05), higher_is_better=False)


def test_trial_defaults():
    assert Trial(0.5).history == {}
    assert callable(recipe.recipe)
    assert textwrap.dedent(recipe.__doc__).startswith("The frame of a recipe")


def test_saved_model_carries_no_optimizer_and_predicts_the_same(tmp_path):
    from kerasdnn.inference import for_inference

    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    assert for_inference(model) is model  # never compiled: nothing to leave out
    model.compile("adam", "mse")
    x = np.ones((8, 4), "float32")
    model.fit(x, np.ones((8, 3), "float32"), verbose=0)
    lean = for_inference(model)
    model.save(tmp_path / "whole.keras")
    lean.save(tmp_path / "lean.keras")
    assert not lean.compiled
    np.testing.assert_array_equal(lean.predict(x, verbose=0), model.predict(x, verbose=0))
    sizes = [(tmp_path / f"{name}.keras").stat().st_size for name in ("lean", "whole")]
    assert sizes[0] < sizes[1]


def test_saved_model_is_float32_though_trained_in_half_precision():
    from kerasdnn.inference import for_inference

    import keras
    import numpy as np

    keras.config.set_dtype_policy("mixed_bfloat16")
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2, dtype="float32")])
    lean = for_inference(model)
    x = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)
    assert lean.layers[0].layers[0].compute_dtype == "float32"
    np.testing.assert_allclose(lean(x), model(x), atol=2e-2)
    for a, b in zip(lean.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_panels_are_drawn(tmp_path):
    from kerasdnn.figure import draw

    drawn = []

    result = {"rows": [{"name": "a", "value": 0.5, "std": None}], "target": None}
    result |= {"metric": "m", "data": {"name": "digits"}}
    draw(tmp_path / "figure.png", result, {}, panels=[lambda axis: drawn.append(axis)])
    assert len(drawn) == 1
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_a_recipe_may_have_flags_and_answers_of_its_own(tmp_path, capsys):
    @recipe.recipe(
        metric="m",
        data="digits",
        gates={},
        flags=lambda parser: parser.add_argument("--predict"),
    )
    def main(run):
        run.say(f"answer: {run.args.predict}")
        run.leave()

    assert main(["--predict", "seven", "--out", str(tmp_path)]) == 0
    assert "answer: seven" in capsys.readouterr().out
    assert not list(tmp_path.glob("*/*"))


def test_the_choice_of_autotune_is_kept_in_the_result(tmp_path, monkeypatch):
    from kerasdnn import runtime
    from kerasdnn.runtime.choice import Choice

    import keras
    import numpy as np

    asked = []

    def measured(build, x, y, *, batch_size):
        asked.append(batch_size)
        return Choice("float32", False, False, batch_size, 1.5, [], 1.0, False, build)

    monkeypatch.setattr(runtime, "autotune", measured)

    def reused_as_new(fastest):
        """Dropout's seeds, the optimizer's memory and the weights start again, compiled once."""
        x, y = np.ones((8, 2), "float32"), np.zeros((8, 1), "float32")
        losses, models = [], []
        for _ in range(2):
            keras.utils.set_random_seed(5)
            models.append(fastest())
            losses.append(models[-1].fit(x, y, epochs=3, verbose=0).history["loss"])
        assert models[0] is models[1]
        assert losses[0] == losses[1]

    def trial(run):
        def build():
            model = keras.Sequential(
                [keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
            )
            model.compile(keras.optimizers.Adam(0.1), "mse")
            return model

        def once(seed):
            x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
            model = run.fastest(build, x, y, batch_size=4)
            like_it = run.fastest(build, x, y, batch_size=4, once=True)
            assert like_it.jit_compile is model.jit_compile
            if keras.backend.backend() == "tensorflow":
                assert model.jit_compile is False
            reused_as_new(lambda: run.fastest(build, x, y, batch_size=4, once=True, reuse="key"))
            history = run.fit(model, x, y, batch_size=4, epochs=2, label="tiny")
            return Trial(0.5, model, history)

        return once

    @recipe.recipe(metric="m", data="digits", gates={})
    def main(run):
        run.load()
        run.row("tiny", trial(run), role="technique")
        run.finish()

    assert main(["--out", str(tmp_path / "tuned")]) == 0
    assert main(["--out", str(tmp_path / "plain"), "--no-autotune"]) == 0
    assert asked == [4]
    results = {
        p.parts[len(tmp_path.parts)]: json.loads(p.read_text())
        for p in tmp_path.rglob("result.json")
    }
    assert results["tuned"]["autotune"]["tiny"]["speedup"] == 1.5
    assert results["plain"]["autotune"] == {}


def test_diagnose_reports_on_each_training(tmp_path, capsys):
    import keras
    import numpy as np

    def trial(run):
        def once(seed):
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "softmax")])
            model.compile("adam", "binary_crossentropy")
            x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
            history = run.fit(model, x, (x[:, :1] > 0) * 1.0, batch_size=16, epochs=2, label="one")
            return Trial(0.5, None, history)

        return once

    @recipe.recipe(metric="m", data="digits", gates={})
    def main(run):
        run.load()
        run.row("one unit", trial(run), role="technique")
        run.finish()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of the same thing, once
        assert main(["--quick", "--diagnose", "--out", str(tmp_path)]) == 0
    assert "output.softmax_one_unit" in capsys.readouterr().out
    (page,) = tmp_path.rglob("diagnosis-one-unit-0-1.html")
    assert "softmax" in page.read_text()
