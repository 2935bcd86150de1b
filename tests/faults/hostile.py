"""Files that somebody made to run code, read other files or fill the memory."""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib

from kerasdnn import data
from kerasdnn.checkpoint import Checkpoints
from kerasdnn.saving import load_model

import h5py
import keras
import numpy as np
from PIL import Image

GIB = 2**30


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


def saved(folder, **changes):
    """A small saved model with some members of the archive changed, or more of them."""
    path = folder / "model.keras"
    layers = [keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(1)]
    keras.Sequential(layers).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members.update(changes.pop("members", {}))
    if "layer" in changes:
        config = json.loads(members["config.json"])
        config["config"]["layers"][1].update(changes["layer"])
        members["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                for part in content if isinstance(content, list) else [content]:
                    file.write(part.encode() if isinstance(part, str) else part)
    return lambda: load_model(path)


def weights(build):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        build(file)
    return {"model.weights.h5": buffer.getvalue()}


def lambda_layer(folder, canary):
    text = f"__import__('os').mkdir({str(canary)!r})"
    code = compile(f"lambda x: {text}", "x", "eval")  # what Keras 2 put into files, marshalled
    config = {"function": {"class_name": "__lambda__", "config": {"code": code.co_code.hex()}}}
    return saved(folder, layer={"class_name": "Lambda", "config": config})


def function_of_the_system(folder, canary):
    call = {"class_name": "function", "module": "os", "config": "mkdir", "registered_name": "mkdir"}
    return saved(folder, layer={"config": {"units": 1, "activation": call}})


def unknown_class(folder, canary):
    layer = {"class_name": "Popen", "module": "subprocess", "registered_name": None}
    return saved(folder, layer={**layer, "config": {"args": ["mkdir", str(canary)]}})


def saved_model_layer(folder, canary):
    inner = {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "x"}}
    wrapper = {"class_name": "TimeDistributed", "config": {"layer": inner}}
    return saved(folder, layer={"module": "keras.layers", **wrapper})


def torch_wrapper(folder, canary):
    module = pickle.dumps(Payload(canary)).hex()
    return saved(folder, layer={"class_name": "TorchModuleWrapper", "config": {"module": module}})


def absolute_member(folder, canary):
    return saved(folder, members={str(canary): b"x"})


def member_above(folder, canary):
    return saved(folder, members={f"assets/../../{canary.name}": b"x"})


def oversized_member(folder, canary):
    return saved(folder, members={"assets/zeros": [bytes(2**26)] * 36})  # 2.25 GiB in 10 MB


def declared_size(folder, canary):
    def build(file):
        file.create_dataset("layers/dense/vars/0", (10**6, 10**6), "float32", chunks=(1, 1000))

    return saved(folder, members=weights(build))


def pickle_for_weights(folder, canary):
    return saved(folder, members={"model.weights.h5": pickle.dumps(Payload(canary))})


def link_out_of_the_weights(folder, canary):
    def build(file):
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")

    return saved(folder, members=weights(build))


def data_of_another_file(folder, canary):
    def build(file):
        file.create_dataset(
            "layers/dense/vars/0", (2, 2), "float32", external=[("/etc/passwd", 0, 16)]
        )

    return saved(folder, members=weights(build))


def pickle_in_a_state(folder, canary):
    with Checkpoints(folder / "state") as states:
        states.save({"v0": np.zeros(2)}, {})
        payload = np.array([Payload(canary)], object)
        path = states._path(0, "npz")
        digest, size = states._write(path, lambda f: np.savez(f, v0=payload))
        manifest = {"format": 1, "number": 0, "sha256": digest, "bytes": size}
        states._write_manifest({**manifest, "dtypes": {"v0": ""}, "meta": {}})

    def attempt():
        with Checkpoints(folder / "state", say=lambda text: None) as states:
            states.newest()

    return attempt


def photographs(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        for number in range(3):
            pixels = np.full((8, 8), 40 * number, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return lambda: data.load(str(folder))


def image_that_is_a_link(folder, canary):
    attempt = photographs(folder)
    (folder / "a" / "9.png").symlink_to("/etc/passwd")
    return attempt


def class_that_is_a_link(folder, canary):
    attempt = photographs(folder)
    (folder / "c").symlink_to("/etc")
    return attempt


def image_bomb(folder, canary):
    attempt = photographs(folder)
    side = 60_000  # 3.6 gigapixels, 450 MB of bits in half a megabyte
    line = zlib.compressobj(1)
    packed = b"".join(line.compress(bytes(side // 8 + 1)) for _ in range(side)) + line.flush()

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    image = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    (folder / "a" / "9.png").write_bytes(image)
    return attempt


def huge_field(folder, canary):
    path = folder / "table.csv"
    with open(path, "w") as file:
        file.write("text,label\n")
        for label in "ab":
            file.writelines(f"some text {n},{label}\n" for n in range(5))
        file.write('"' + "x" * 100_000_000 + '",a\n')
    return lambda: data.load(str(path))


HOSTILE = {
    function.__name__.replace("_", " "): function
    for function in (
        lambda_layer,
        function_of_the_system,
        unknown_class,
        saved_model_layer,
        torch_wrapper,
        absolute_member,
        member_above,
        oversized_member,
        declared_size,
        pickle_for_weights,
        link_out_of_the_weights,
        data_of_another_file,
        pickle_in_a_state,
        image_that_is_a_link,
        class_that_is_a_link,
        image_bomb,
        huge_field,
    )
}
