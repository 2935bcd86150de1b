"""autotune: what it picks, what it survives, and what it leaves as it was."""

import json
import random

from kerasdnn import backend
from kerasdnn.runtime import choice_cache, precision, trials
from kerasdnn.runtime.autotune import autotune

import keras
import numpy as np
import pytest

BFLOAT16 = [{"precision": "mixed_bfloat16"}]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASDNN_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 6, 6, 2)).astype("float32"), rng.integers(0, 3, 20)


def build(eagerly=True):
    # Eagerly where only the decisions count: tracing graphs would take most of the time.
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax", dtype="float32"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=eagerly)
    return model


def build_graph():
    return build(eagerly=False)


def tune(build, data, **options):
    return autotune(build, *data, batch_size=8, **{"cache": False, "seconds": 60.0} | options)


def statuses(choice):
    return [row["status"] for row in choice.table]


@pytest.fixture
def fixed_times(monkeypatch):
    """Replaces the clock: every step takes as long as the test says for its setting."""

    def use(seconds):
        real = trials.Trials._timed_step

        def step(self, model, number):
            _, loss = real(self, model, number)
            fused = any("Fused" in type(layer).__name__ for layer in model.layers)
            return seconds(model.dtype_policy.name, fused), loss

        monkeypatch.setattr(trials.Trials, "_timed_step", step)
        monkeypatch.setattr(trials.Trials, "_probe", lambda self, model: 0.001)
        monkeypatch.setattr(trials, "TURN_SECONDS", 0.0)

    return use


def test_without_candidates_the_default_is_measured_and_kept(data):
    choice = tune(build, data, candidates=[])
    assert (choice.precision, choice.fused_batch_norm, choice.batch_size) == ("float32", False, 8)
    assert choice.speedup == 1.0
    assert statuses(choice) == ["chosen"]
    assert choice.table[0]["images_per_second"] > 0
    assert np.isfinite(choice.table[0]["loss"])


def test_the_fastest_is_chosen_and_built(data, fixed_times):
    fixed_times(lambda policy, fused: 0.5 if policy == "mixed_bfloat16" else 1.0)
    choice = tune(build, data, candidates=BFLOAT16)
    assert choice.precision == "mixed_bfloat16"
    assert choice.speedup == pytest.approx(2.0)
    assert statuses(choice) == ["measured", "chosen"]
    assert choice.table[1]["images_per_second"] == pytest.approx(16.0)
    model = choice.build()
    assert model.layers[0].compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    assert np.isfinite(model.train_on_batch(*data))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX fuses by itself")
def test_the_fused_kernel_is_a_candidate(data, fixed_times):
    fixed_times(lambda policy, fused: 0.8 if fused else 1.0)
    choice = tune(build_graph, data, candidates=[{"fused_batch_norm": True}])
    assert choice.fused_batch_norm
    names = [type(layer).__name__ for layer in choice.build().layers]
    assert "FusedBatchNormalization" in names
    assert "BatchNormalization" not in names


def test_a_small_gain_does_not_replace_the_default(data, fixed_times):
    fixed_times(lambda policy, fused: 0.98 if policy == "mixed_bfloat16" else 1.0)
    choice = tune(build, data, candidates=BFLOAT16)
    assert choice.precision == "float32"
    assert statuses(choice) == ["chosen", "measured"]


def test_a_slow_candidate_is_dropped_after_two_steps(data, fixed_times):
    steps = []

    def seconds(policy, fused):
        steps.append(policy)
        return 9.0 if policy == "mixed_bfloat16" else 1.0

    fixed_times(seconds)
    choice = tune(build, data, candidates=BFLOAT16)
    assert statuses(choice) == ["chosen", "slower"]
    assert "9.0 x" in choice.table[1]["reason"]
    assert steps.count("mixed_bfloat16") == 2


def test_an_emulated_precision_is_dropped_before_its_first_step(data, fixed_times, monkeypatch):
    steps = []
    fixed_times(lambda policy, fused: steps.append(policy) or 1.0)
    times = {"float32": 0.01, "mixed_bfloat16": 0.2}
    monkeypatch.setattr(trials.Trials, "_probe", lambda self, model: times[model.dtype_policy.name])
    choice = tune(build, data, candidates=BFLOAT16)
    assert statuses(choice) == ["chosen", "slower"]
    assert "20.0 x" in choice.table[1]["reason"]
    assert "mixed_bfloat16" not in steps


def test_a_candidate_that_raises_is_reported_and_survived(data):
    def fragile():
        if keras.config.dtype_policy().name != "float32":
            raise RuntimeError("no such kernel")
        return build()

    choice = tune(fragile, data, candidates=BFLOAT16)
    assert choice.precision == "float32"
    assert statuses(choice) == ["chosen", "failed"]
    assert choice.table[1]["reason"] == "RuntimeError: no such kernel"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("factor", [1.5, float("nan")])
def test_a_candidate_with_another_loss_is_rejected(data, fixed_times, factor):
    fixed_times(lambda policy, fused: 0.1 if policy == "mixed_bfloat16" else 1.0)

    def diverging():
        model = build()
        wrong = factor if keras.config.dtype_policy().name != "float32" else 1.0
        model.compile(
            "sgd",
            lambda y, p: wrong * keras.losses.sparse_categorical_crossentropy(y, p),
            run_eagerly=True,
        )
        return model

    choice = tune(diverging, data, candidates=BFLOAT16)
    assert choice.precision == "float32"
    assert statuses(choice) == ["chosen", "rejected"]
    assert "in step 1" in choice.table[1]["reason"]


def test_when_the_seconds_are_used_up_the_default_stays(data):
    choice = tune(build, data, candidates=BFLOAT16, seconds=0.001)
    assert choice.precision == "float32"
    assert statuses(choice) == ["chosen", "skipped"]
    assert "0.001 seconds are used up" in choice.table[1]["reason"]


def test_what_does_not_apply_is_named(data, monkeypatch):
    monkeypatch.setattr(backend.current(), "has_gpu", lambda: False)
    monkeypatch.setattr(backend.current(), "JIT_CHOICES", ())
    monkeypatch.setattr(precision, "cpu_flags", lambda: {"avx2"})

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = build()

        def call(self, inputs, training=None):
            return self.inner(inputs, training=training)

    def subclassed():
        model = Own()
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        return model

    choice = tune(subclassed, data)
    reasons = {row["precision"]: row["reason"] for row in choice.table[1:]}
    assert statuses(choice) == ["chosen", "skipped", "skipped", "skipped"]
    assert "emulates" in reasons["mixed_bfloat16"]
    assert "float16" in reasons["mixed_float16"]
    assert ("Own is" if keras.backend.backend() != "jax" else "no fused") in reasons[None]


def test_precisions_by_machine(monkeypatch):
    monkeypatch.setattr(backend.current(), "has_gpu", lambda: False)
    for flags, native in (({"amx_bf16"}, True), ({"avx2"}, False), (set(), False)):
        monkeypatch.setattr(precision, "cpu_flags", lambda flags=flags: flags)
        assert (precision.precision_problem("mixed_bfloat16") is None) == native
    assert precision.precision_problem("mixed_float16")
    assert precision.precision_problem("float32") is None
    monkeypatch.setattr(backend.current(), "has_gpu", lambda: True)
    assert precision.precision_problem("mixed_float16") is None


def test_the_choice_is_kept_per_model_and_batch_size(data, home):
    first = tune(build, data, candidates=[], cache=True)
    again = tune(build, data, candidates=[], cache=True)
    assert (first.cached, again.cached) == (False, True)
    assert again.table == first.table
    assert again.build().count_params() == build().count_params()
    assert not autotune(build, *data, batch_size=4, candidates=[]).cached

    def wider():
        model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten()])
        model.add(keras.layers.Dense(3))
        model.compile("sgd", "mse")
        return model

    assert not tune(wider, (data[0], np.zeros((20, 3))), candidates=[], cache=True).cached
    assert not list(home.rglob("*.tmp"))


def test_a_damaged_cache_is_told_and_ignored(data, home):
    tune(build, data, candidates=[], cache=True)
    (path,) = (home / "autotune").glob("*.json")
    for content in ("[]", '{"precision": "float32"}', "{"):
        path.write_text(content)
        with pytest.warns(UserWarning, match="ignores the damaged file"):
            assert choice_cache.read(path.stem) is None
    with pytest.warns(UserWarning, match="ignores the damaged file"):
        assert not tune(build, data, candidates=[], cache=True).cached
    assert json.loads(path.read_text())["precision"] == "float32"


def test_a_cache_that_cannot_be_written_is_told(data, monkeypatch, home):
    (home / "file").write_text("")
    monkeypatch.setenv("KERASDNN_HOME", str(home / "file"))
    with pytest.warns(UserWarning, match="could not keep its choice"):
        assert choice_cache.write("name", {}) is None


def test_random_state_policy_and_data_are_as_before(data):
    x, y = data[0].copy(), data[1].copy()

    def draws():
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        yield
        yield random.random(), np.random.rand(), build().get_weights()[0].tolist()  # noqa: NPY002

    undisturbed, tuned = draws(), draws()
    next(undisturbed)
    expected = next(undisturbed)
    next(tuned)
    tune(build, (x, y), candidates=BFLOAT16)
    assert next(tuned) == expected
    assert keras.config.dtype_policy().name == "float32"
    np.testing.assert_array_equal(x, data[0])


def test_models_of_several_inputs_and_no_targets(data):
    class Own(keras.Model):
        def call(self, inputs):
            return inputs["a"] * self.w + inputs["b"]

        def build(self, shape):
            self.w = self.add_weight(shape=())

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(y_pred**2)

    def unsupervised():
        model = Own()
        model.compile("sgd")
        return model

    x = {"a": np.ones((5, 2), "float32"), "b": np.ones((5, 2), "float32")}
    assert statuses(tune(unsupervised, (x, None), candidates=[])) == ["chosen"]


def test_what_cannot_be_tuned_is_refused(data):
    with pytest.raises(TypeError, match=r"compiled keras\.Model; received Sequential"):
        tune(lambda: keras.Sequential([keras.layers.Dense(1)]), data)
    with pytest.raises(TypeError, match="to be arrays"):
        tune(build, (iter([]), None))
    with pytest.raises(ValueError, match="received 19 and 20"):
        tune(build, (data[0], data[1][:19]))
    with pytest.raises(ValueError, match="received batch_size"):
        tune(build, data, candidates=[{"batch_size": 4}])
    with pytest.raises(ValueError, match="float17"):
        tune(build, data, candidates=[{"precision": "float17"}])


def test_it_prints_a_table(data, fixed_times):
    fixed_times(lambda policy, fused: 0.5 if policy == "mixed_bfloat16" else 1.0)
    text = str(tune(build, data, candidates=BFLOAT16))
    assert "mixed_bfloat16, " in text
    assert "2.00 x the default, batch 8" in text
    assert "chosen" in text
    json.dumps(tune(build, data, candidates=[]).to_dict())
