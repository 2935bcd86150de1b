"""The harness must pass what is sound and fail on each defect, with a sentence that names it."""

import shutil

from kerasdnn.testing import CheckError, check_layer, check_loss, check_model, workers

import broken_pieces as broken
import keras
import numpy as np
import pytest

X = np.linspace(-1, 1, 24, dtype="float32").reshape(2, 4, 3)
Y = np.linspace(0, 1, 12, dtype="float32").reshape(4, 3)


def test_sound_layer_passes_every_check():
    report = check_layer(
        broken.Scale,
        {"factor": 2.0},
        X,
        expected_output_shape=(2, 4, 3),
        expected_weights=(1, 0, 0),
        supports_masking=True,
    )
    others, skipped = workers.chosen_backends("installed")
    checks = ["config", "shapes", "weights", "mask", "fit", "precision", "reload", *others]
    assert report.done == checks
    assert report.skipped == skipped
    assert str(report).startswith(f"Scale: {len(checks)} checks held: config, shapes")


def test_layer_with_several_inputs_outputs_and_seeds():
    report = check_layer(
        keras.layers.MultiHeadAttention,
        {"num_heads": 2, "key_dim": 3, "dropout": 0.1},
        (X, X + 1),
        call_kwargs={"return_attention_scores": True},
        expected_output_shape=((2, 4, 3), (2, 2, 4, 4)),
        expected_weights=(8, 0, 1),
        precisions=("float32",),
        backends=(),
    )
    assert report.skipped["compute_output_shape"] == "it does not take return_attention_scores"


def test_layer_on_integers():
    check_layer(
        keras.layers.Embedding,
        {"input_dim": 5, "output_dim": 3},
        np.array([[0, 4, 1]]),
        expected_output_shape=(1, 3, 3),
        backends=(),
    )


def test_function_gives_each_instance_its_own_inner_layer():
    def arguments():
        return {"layer": keras.layers.Dense(2)}

    shape = (2, 4, 2)
    check_layer(
        keras.layers.TimeDistributed, arguments, X, expected_output_shape=shape, backends=()
    )


@pytest.mark.parametrize(
    ("defect", "sentence"),
    [
        (broken.ForgetsArgument, "every argument of __init__; missing: factor"),
        (broken.ReturnsDefault, r"return factor=2.0 as given; received 1.0"),
        (broken.ConfigOfArrays, "expected a config that is JSON"),
        (broken.WrongShape, r"symbolic output shape \(None, 4, 3\) .* received \(None, 4, 7\)"),
        (broken.WrongDtype, "symbolic output dtype int32 of the eager call; received float32"),
        (broken.DropsMask, "expected the mask of the input to come out; none came"),
        (broken.InvertsMask, "to come out unchanged; another one came"),
        (broken.NoGradient, "change a trainable weight; none changed"),
        (broken.InfiniteGradient, "finite numbers in the weights after one fit step; 1 of 1"),
        (broken.OverflowsInHalf, "finite numbers under mixed_float16; .* are NaN or Inf"),
        (broken.AlwaysFloat32, "outputs of float16 under mixed_float16; received float32"),
        (broken.ForgetsInnerPolicy, "float16 of the layer rebuilt .* received float32"),
    ],
)
def test_broken_layer_fails(defect, sentence):
    with pytest.raises(CheckError, match=f"^{defect.__name__}: .*{sentence}"):
        check_layer(defect, {"factor": 2.0}, X, supports_masking=True, backends=())
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("defect", "sentence"),
    [
        (broken.LosesState, "equal outputs in a new [a-z]+ process after reloading"),
        (broken.Unregistered, "reload it without custom objects; .*Unregistered"),
    ],
)
def test_layer_that_breaks_when_reloaded(defect, sentence):
    with pytest.raises(CheckError, match=f"^{defect.__name__}: .*{sentence}"):
        check_layer(defect, {"factor": 2.0}, X, precisions=(), backends=())


def test_wrong_computed_shape_of_a_layer_that_keras_traces():
    class Traced(broken.Scale):
        def compute_output_spec(self, inputs):
            return keras.KerasTensor(inputs.shape, self.compute_dtype)

        def compute_output_shape(self, input_shape):
            return (1, 2)

    with pytest.raises(CheckError, match=r"compute_output_shape to return \(2, 4, 3\)"):
        check_layer(Traced, {}, X, backends=())


def test_mask_that_comes_out_unwanted():
    with pytest.raises(CheckError, match="expected that no mask comes out"):
        check_layer(broken.Scale, {}, X, supports_masking=False, backends=())


def test_wrong_expectations_are_told():
    with pytest.raises(CheckError, match=r"shape \(2, 4, 5\); received \(2, 4, 3\)"):
        check_layer(broken.Scale, {}, X, expected_output_shape=(2, 4, 5), backends=())
    with pytest.raises(CheckError, match=r"to be \(2, 0, 0\); received \(1, 0, 0\)"):
        check_layer(broken.Scale, {}, X, expected_weights=(2, 0, 0), backends=())


def test_output_that_depends_on_the_backend(monkeypatch):
    monkeypatch.delenv("KERASDNN_TEST_BACKENDS", raising=False)
    others, _ = workers.chosen_backends("installed")
    if not others:
        pytest.skip("only one backend is installed")
    with pytest.raises(CheckError, match=f"new {others[0]} process .* largest difference is"):
        check_layer(broken.DependsOnBackend, {}, X, precisions=(), backends=others[:1])


def test_other_backends_can_be_left_out(monkeypatch):
    monkeypatch.setenv("KERASDNN_TEST_BACKENDS", "none")
    use, skipped = workers.chosen_backends("installed")
    assert use == []
    assert set(skipped) == set(workers.BACKENDS) - {keras.backend.backend()}
    with pytest.raises(ValueError, match="received mxnet"):
        workers.chosen_backends(["mxnet"])


def test_worker_that_does_not_answer_is_ended(monkeypatch):
    monkeypatch.setattr(workers, "_workers", {})
    monkeypatch.setattr(workers, "TIMEOUT", 0.05)
    here = keras.backend.backend()
    with pytest.raises(CheckError, match=f"{here} process did not answer within 0.05 s"):
        workers.run_in(here, "predict", "none.keras", X, [])
    assert workers._workers == {}


def test_worker_that_dies_is_told(monkeypatch):
    monkeypatch.setattr(workers, "_workers", {})
    monkeypatch.setattr(workers.sys, "executable", shutil.which("false"))
    with pytest.raises(CheckError, match="died without an answer"):
        workers.run_in(keras.backend.backend(), "predict", "none.keras", X, [])


def test_sound_loss_passes_every_check():
    report = check_loss(broken.Squared, {"factor": 3.0}, Y, Y**2)
    others, _ = workers.chosen_backends("installed")
    assert report.done == [
        *("config", "value", "float16", "sample_weight", "gradient", "reload"),
        *others,
    ]


def test_loss_of_another_call_form():
    report = check_loss(
        broken.PairDistance, {}, call_args=([Y, X], [Y**2, X + 1], None), backends=()
    )
    assert report.done == ["config", "value", "float16", "gradient", "reload"]
    assert "sample_weight" in report.skipped


def test_loss_without_arguments():
    with pytest.raises(TypeError, match="y_true and y_pred, or call_args"):
        check_loss(broken.Squared, {}, y_true=Y)


@pytest.mark.parametrize(
    ("defect", "sentence"),
    [
        (broken.LossForgetsArgument, "every argument of __init__; missing: factor"),
        (broken.LossOfManyNumbers, r"expected one number; received shape \(4,\)"),
        (broken.LossInHalf, "expected float16 inputs to give .* received inf"),
        (broken.LossWithoutWeights, "of the weighted entries to be"),
        (broken.LossWithoutGradient, "a gradient by the predictions; it is zero everywhere"),
        (broken.LossWithInfiniteGradient, "finite numbers in the gradient; 12 of 12"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_broken_loss_fails(defect, sentence):
    with pytest.raises(CheckError, match=f"^{defect.__name__}: .*{sentence}"):
        check_loss(defect, {"factor": 2.0}, Y, Y - 5, backends=())


def test_sound_model_passes_every_check():
    precisions = ("float32", "mixed_float16")
    report = check_model(broken.small_model, Y, Y[:, :1], precisions=precisions)
    others, _ = workers.chosen_backends("installed")
    expected = []
    for policy in precisions:
        expected += [f"{policy} {step}" for step in ("fit", "evaluate", "predict")] + ["reload"]
        expected += others if policy == "float32" else []
    assert report.done == expected


@pytest.mark.parametrize(
    ("make_model", "sentence"),
    [
        (broken.frozen_model, "fit step in float32 to change a weight; none changed"),
        (broken.diverging_model, "finite numbers in the weights after one step in float32"),
        (broken.forgetful_model, "equal outputs in a new [a-z]+ process after reloading"),
    ],
)
def test_broken_model_fails(make_model, sentence):
    with pytest.raises(CheckError, match=f"^{make_model.__name__}: .*{sentence}"):
        check_model(make_model, Y, Y[:, :1], precisions=("float32",), backends=())
