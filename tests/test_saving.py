"""The loader takes what Keras saves and refuses crafted files, each with one sentence."""

import io
import json
import zipfile

from kerasdnn.errors import InputError
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle, Warmup
from kerasdnn.saving import load_model

import h5py
import keras
import numpy as np
import pytest


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A compiled model that uses much of Keras, saved, with its input and output."""
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, kernel_regularizer="l2", activation=keras.ops.tanh)(inputs)
    x = keras.layers.BatchNormalization()(keras.ops.relu(x + 1) * 2)
    x = keras.layers.Flatten()(x[:, :2])
    outputs = keras.layers.Dense(3, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.AdamW(Warmup(OneCycle(0.1, 10), 2)),
        SparseCategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy", keras.metrics.sparse_categorical_accuracy],
    )
    model.optimizer.build(model.trainable_variables)  # as after training
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    x = np.linspace(-1, 1, 144, dtype="float32").reshape(2, 6, 6, 2)
    return path, x, keras.ops.convert_to_numpy(model(x))


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def craft(saved, tmp_path):
    """Returns a function that packs the saved model again with some members changed."""

    def make(**changed):
        members = {**members_of(saved[0]), **changed}
        return pack(tmp_path / "crafted.keras", members)

    return make


def with_layer(saved, **layer):
    """The saved configuration with one layer replaced."""
    config = json.loads(members_of(saved[0])["config.json"])
    config["config"]["layers"][1] = {"config": {}, "registered_name": None, **layer}
    return json.dumps(config)


def weights(build):
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        build(file)
    return memory.getvalue()


def refuse(path, sentence, **arguments):
    with pytest.raises(InputError, match=sentence) as caught:
        load_model(path, **arguments)
    assert "\n" not in str(caught.value)


def test_loads_what_keras_saved(saved):
    path, x, expected = saved
    model = load_model(path)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), expected, atol=1e-6)
    assert model.loss.label_smoothing == 0.1
    assert not load_model(path, compile=False).compiled


def test_repacked_file_is_as_good(craft, saved):
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(load_model(craft())(saved[1])), saved[2], atol=1e-6
    )


def test_optimizer_saved_on_torch_loads_on_every_backend(craft, saved):
    config = json.loads(members_of(saved[0])["config.json"])
    config["compile_config"]["optimizer"].update(
        module="keras.src.backend.torch.optimizers.torch_adamw", registered_name="AdamW"
    )
    model = load_model(craft(**{"config.json": json.dumps(config)}))
    assert isinstance(model.optimizer, keras.optimizers.AdamW)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(saved[1])), saved[2], atol=1e-6)
    model.fit(saved[1], np.array([0, 1]), verbose=0)


def test_nested_and_recurrent_models_load(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Embedding(9, 4),
            keras.layers.Bidirectional(keras.layers.GRU(3)),
            keras.Sequential([keras.layers.Dense(2, kernel_constraint="max_norm")]),
        ]
    )
    model.compile("adam", {"sequential": "mse"}, metrics=[keras.metrics.R2Score()])
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").count_params() == model.count_params()


def test_missing_or_other_file(tmp_path):
    refuse(tmp_path / "no.keras", "ends in .keras; received .*no.keras, which does not exist")
    (tmp_path / "model.h5").write_bytes(b"")
    refuse(tmp_path / "model.h5", "ends in .keras; received .*model.h5. Save")


def test_truncated_file(saved, tmp_path):
    path = tmp_path / "cut.keras"
    path.write_bytes(saved[0].read_bytes()[:-300])
    refuse(path, "not a whole .keras archive")


def test_flipped_byte(saved, tmp_path):
    data = bytearray(saved[0].read_bytes())
    where = data.index(b"\x89HDF") + 3000
    data[where] ^= 1
    path = tmp_path / "flipped.keras"
    path.write_bytes(data)
    refuse(path, "damaged in model.weights.h5")


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil", "assets/../../evil", "assets\\..\\evil", "code.py"]
)
def test_strange_members(craft, name):
    refuse(craft(**{name: b"x"}), "Expected metadata.json, config.json, .* each once")


def test_member_that_is_missing_or_twice(craft, saved, tmp_path):
    members = members_of(saved[0])
    del members["model.weights.h5"]
    refuse(pack(tmp_path / "less.keras", members), "each once; received config.json, metadata")
    path = craft()
    with pytest.warns(UserWarning, match="Duplicate name"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("config.json", "{}")
    refuse(path, "each once")


def test_assets_are_allowed(craft):
    load_model(craft(**{"assets/layers/words.txt": b"x"}))


def test_archive_that_unpacks_to_too_much(saved, tmp_path):
    members = {**members_of(saved[0]), "assets/zeros": bytes(10**6)}
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert path.stat().st_size < 10**5
    refuse(path, "unpacks to 1,0.* bytes, more than the 500,000 allowed", max_bytes=500_000)


def test_weights_that_declare_too_much(craft):
    def build(file):
        file.create_dataset("vars/0", shape=(10**6, 10**6), dtype="float32", chunks=(1, 1000))

    path = craft(**{"model.weights.h5": weights(build)})
    refuse(path, "declares weights of 4,000,000,000,000 bytes")


def soft_link(file):
    file["vars/0"] = np.ones(3)
    file["vars/1"] = h5py.SoftLink("/vars/0")


def external_link(file):
    file["vars"] = h5py.ExternalLink("/etc/passwd", "/")


def external_data(file):
    file.create_dataset("vars/0", (8,), "uint8", external=[("/etc/passwd", 0, 8)])


def virtual_data(file):
    layout = h5py.VirtualLayout(shape=(3,), dtype="float32")
    layout[:] = h5py.VirtualSource("/other.h5", "x", shape=(3,))
    file.create_virtual_dataset("vars", layout)


def strings(file):
    file.create_dataset("vars/0", (2,), h5py.string_dtype())


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (soft_link, "links weights to another place"),
        (external_link, "links weights to another place"),
        (external_data, "keeps weights in another file"),
        (virtual_data, "keeps weights in another file"),
        (strings, "holds no plain numbers in 0"),
    ],
)
def test_weights_that_lead_elsewhere(craft, build, sentence):
    refuse(craft(**{"model.weights.h5": weights(build)}), sentence)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_circle_of_groups_ends(craft):
    def build(file):
        file.create_group("a")["b"] = file["/"]

    # Keras finds no weights; nobody hangs.
    refuse(craft(**{"model.weights.h5": weights(build)}), "cannot be rebuilt: .*could not be load")


def test_weights_that_are_no_hdf5_file(craft):
    refuse(craft(**{"model.weights.h5": b"no"}), "not a whole .keras archive")


def test_config_that_is_no_json(craft):
    refuse(craft(**{"config.json": b"{"}), "not a whole .keras archive")


@pytest.mark.parametrize(
    "name", ["Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"]
)
def test_layers_that_run_code(craft, saved, name):
    config = with_layer(saved, class_name=name, module="keras.layers")
    refuse(craft(**{"config.json": config}), f"holds a {name}, which can run code")


def test_forbidden_layer_deep_inside_a_wrapper(craft, saved):
    inner = {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "x"}}
    config = with_layer(
        saved,
        class_name="TimeDistributed",
        module="keras.layers",
        config={"layer": {"anything": [[inner]]}},
    )
    refuse(craft(**{"config.json": config}), "holds a TFSMLayer")


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "Popen", "module": "subprocess", "registered_name": None},
        {"class_name": "get_file", "module": "keras.utils"},
        {"class_name": "Mine", "module": "my.layers", "registered_name": "my>Mine"},
        {"class_name": "function", "module": "builtins", "config": "eval"},
        {"class_name": "Dense"},
    ],
    ids=lambda layer: layer["class_name"],
)
def test_unknown_classes_and_functions(craft, saved, layer):
    path = craft(**{"config.json": with_layer(saved, **layer)})
    refuse(path, "which is not known here. Import the module that registers it")


def test_a_registered_class_of_the_user_loads(tmp_path):
    @keras.saving.register_keras_serializable(package="test_saving")
    class Twice(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2

    keras.Sequential([keras.Input((2,)), Twice()]).save(tmp_path / "model.keras")
    model = load_model(tmp_path / "model.keras")
    assert float(model(np.ones((1, 2)))[0, 0]) == 2.0
