import math

from kerasdnn.optimizers import OneCycle, Warmup

import keras
import numpy as np
import pytest


def values(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 0.45, 1.0])
def test_one_cycle_is_pytorchs_curve(anneal, warmup):
    torch = pytest.importorskip("torch")
    steps = 37
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=0.2,
        total_steps=steps,
        pct_start=warmup,
        anneal_strategy={"cosine": "cos", "linear": "linear"}[anneal],
        div_factor=10.0,
        final_div_factor=100.0,
    )
    expected = []
    for _ in range(steps):
        expected.append(reference.get_last_lr()[0])
        optimizer.step()
        if len(expected) < steps:
            reference.step()
    ours = OneCycle(0.2, steps, warmup=warmup, start_divisor=10, end_divisor=100, anneal=anneal)
    np.testing.assert_allclose(values(ours, range(steps)), expected, rtol=1e-5, atol=1e-7)


def test_one_cycle_closed_form_points():
    schedule = OneCycle(1.0, 101, warmup=31 / 101, start_divisor=4.0, end_divisor=1000.0)
    # first step, half way up, peak, half way down, last step
    expected = [0.25, (0.25 + 1) / 2, 1.0, (1 + 0.00025) / 2, 0.00025]
    np.testing.assert_allclose(values(schedule, [0, 15, 30, 65, 100]), expected, rtol=1e-5)
    quarter = 1.0 + (0.00025 - 1.0) * (1 - math.cos(math.pi * 7 / 70)) / 2
    np.testing.assert_allclose(values(schedule, [37]), [quarter], rtol=1e-5)


def test_one_cycle_stays_at_its_last_value():
    schedule = OneCycle(1.0, 10)
    assert float(schedule(9)) == float(schedule(500)) == pytest.approx(1 / 25 / 1e4)


def test_warmup_rises_linearly_and_then_hands_over():
    cosine = keras.optimizers.schedules.CosineDecay(0.5, decay_steps=20)
    schedule = Warmup(cosine, steps=4)
    np.testing.assert_allclose(values(schedule, range(4)), [0.125, 0.25, 0.375, 0.5], rtol=1e-6)
    np.testing.assert_allclose(values(schedule, range(4, 24)), values(cosine, range(20)), rtol=1e-6)


def test_warmup_of_a_number_and_of_no_steps():
    np.testing.assert_allclose(values(Warmup(0.1, 2), [0, 1, 2, 99]), [0.05, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(values(Warmup(0.1, 0), [0, 5]), [0.1, 0.1])


@pytest.mark.parametrize(
    "schedule",
    [
        OneCycle(0.1, 6, anneal="linear", warmup=0.5),
        Warmup(0.1, 5),
        Warmup(OneCycle(0.1, 8), 3),
        Warmup(keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.1, 0.01]), 2),
    ],
    ids=["one_cycle", "number", "one_cycle_after_warmup", "integer_steps"],
)
def test_training_and_saving_keep_the_schedule(schedule, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    x = np.ones((8, 3), "float32")
    model.fit(x, x[:, :1], batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    reloaded = again.optimizer.get_config()["learning_rate"]
    assert reloaded == keras.saving.serialize_keras_object(schedule)
    assert int(again.optimizer.iterations) == 4
    # SGD's rate is read through the variables of the reloaded optimizer.
    assert float(again.optimizer.learning_rate) == pytest.approx(float(schedule(4)))
    again.fit(x, x[:, :1], batch_size=2, verbose=0)


def test_schedules_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    for schedule in (OneCycle(1e-3, 5000), Warmup(1e-3, 5000)):
        rate = schedule(1234)
        assert keras.backend.standardize_dtype(rate.dtype) == "float32"
    # float16 would round 4999 steps to 5000 and lose the last value.
    assert float(OneCycle(1.0, 5000)(4998)) > float(OneCycle(1.0, 5000)(4999))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: OneCycle(0.0, 10), "expects peak above 0; received 0.0"),
        (lambda: OneCycle(0.1, 0), "expects total_steps above 0; received 0"),
        (lambda: OneCycle(0.1, 2.5), "whole number of steps; received total_steps=2.5"),
        (lambda: OneCycle(0.1, 10, warmup=3), r"in \[0, 1\]; received warmup=3"),
        (lambda: OneCycle(0.1, 10, anneal="cos"), "'cosine' or 'linear'; received 'cos'"),
        (lambda: Warmup(0.1, -1), "at least 0; received steps=-1"),
    ],
)
def test_bad_arguments_are_named(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_warmup_refuses_what_is_no_schedule():
    with pytest.raises(TypeError, match="a learning-rate schedule or a number; received str"):
        Warmup("cosine", 3)
