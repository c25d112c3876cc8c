"""Model files that are damaged or try to run code: they raise an error and run nothing."""

import io
import json
import pickle
import zipfile

import h5py
import keras
import numpy as np
import pytest

import fashion_cnn as fc


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "good.keras"
    fc.build_cnn(filters=(2, 3), dense_units=5).save(path)
    return path


def rewrite(source, target, changes):
    """Copy an archive; `changes` has functions for some members; None as a result drops one."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changes.get(name, lambda content: content)(old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, change in changes.items():
            if name not in old.namelist():
                new.writestr(name, change(b""))
    return target


def with_config(good, tmp_path, edit):
    def change(content):
        config = json.loads(content)
        edit(config)
        return json.dumps(config)

    return rewrite(good, tmp_path / "changed.keras", {"config.json": change})


def with_weights(good, tmp_path, edit):
    def change(content):
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            edit(file)
        return buffer.getvalue()

    return rewrite(good, tmp_path / "changed.keras", {"model.weights.h5": change})


class Payload:
    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.proof),)


def test_lambda_layer(tmp_path):
    proof = tmp_path / "proof"
    layer = keras.layers.Lambda(lambda x, where=str(proof): (__import__("os").mkdir(where), x)[1])
    layers = fc.build_cnn(filters=(2, 3)).layers
    path = tmp_path / "lambda.keras"
    model = keras.Sequential([keras.Input((28, 28, 1)), layer, *layers])
    proof.rmdir()  # building the model called it
    model.save(path)
    with pytest.raises(ValueError, match="got Lambda, Conv2D"):
        fc.load_model(path)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("module", "class_name", "registered_name"),
    [
        ("os", "mkdir", "mkdir"),
        ("keras.layers", "TFSMLayer", None),
        ("keras.layers", "Lambda", None),
        ("keras.src.utils.python_utils", "func_load", None),
        ("builtins", "Conv2D", "Custom>Conv2D"),
    ],
)
def test_references_to_other_objects(good, tmp_path, module, class_name, registered_name):
    proof = tmp_path / "proof"

    def edit(config):
        layer = config["config"]["layers"][1]
        layer |= {"module": module, "class_name": class_name, "registered_name": registered_name}
        layer["config"] |= {"path": str(proof), "filepath": str(proof), "function": str(proof)}

    path = with_config(good, tmp_path, edit)
    if class_name == "Conv2D":  # only its sizes are read, whatever else it claims to be
        fc.load_model(path)
    else:
        with pytest.raises(ValueError, match=class_name):
            fc.load_model(path)
    assert not proof.exists()


def test_objects_inside_a_known_layer_are_not_built(good, tmp_path):
    proof = tmp_path / "proof"

    def edit(config):
        config["config"]["layers"][1]["config"]["activation"] = {
            "module": "os",
            "class_name": "function",
            "config": "mkdir",
            "registered_name": str(proof),
        }

    with pytest.raises(ValueError, match=r"activation='relu' in layer 1 \(Conv2D\)"):
        fc.load_model(with_config(good, tmp_path, edit))
    assert not proof.exists()


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_pickle(good, tmp_path, name):
    proof = tmp_path / "proof"
    blob = pickle.dumps(Payload(proof))
    path = rewrite(good, tmp_path / "pickle.keras", {name: lambda _: blob})
    with pytest.raises(ValueError, match=r"expected a model saved by Keras|cannot be read"):
        fc.load_model(path)
    (tmp_path / "whole.keras").write_bytes(blob)
    with pytest.raises(ValueError, match="expected a model saved by Keras"):
        fc.load_model(tmp_path / "whole.keras")
    assert not proof.exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil-of-fashion-cnn", "assets/../../evil"])
def test_paths_inside_the_archive_write_nothing(good, tmp_path, name):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = rewrite(good, inside / "paths.keras", {name: lambda _: b"evil"})
    fc.load_model(path)
    assert not list(tmp_path.rglob("*evil*"))
    assert not (tmp_path.parent / "evil").exists()
    from pathlib import Path

    assert not Path("/tmp/evil-of-fashion-cnn").exists()


@pytest.mark.parametrize("kind", ["group", "dataset", "external storage"])
def test_external_links_are_not_followed(good, tmp_path, kind):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["vars/0"] = np.full((3, 3, 1, 2), 42.0)
        file["vars/1"] = np.full((2,), 42.0)
    (tmp_path / "raw").write_bytes(np.full((3, 3, 1, 2), 42.0, np.float32).tobytes())

    def edit(file):
        variables = file["layers/conv2d/vars"]
        if kind == "group":
            del file["layers/conv2d"]
            file["layers/conv2d"] = h5py.ExternalLink(str(secret), "/")
        elif kind == "dataset":
            del variables["0"]
            variables["0"] = h5py.ExternalLink(str(secret), "/vars/0")
        else:
            del variables["0"]
            variables.create_dataset(
                "0", (3, 3, 1, 2), "float32", external=[(str(tmp_path / "raw"), 0, 72)]
            )

    with pytest.raises(ValueError, match="cannot be read"):
        fc.load_model(with_weights(good, tmp_path, edit))


def test_missing_weights_are_an_error(good, tmp_path):
    def edit(file):
        del file["layers/dense"]

    with pytest.raises(ValueError, match="cannot be read"):
        fc.load_model(with_weights(good, tmp_path, edit))


def test_weights_of_another_shape_are_an_error(good, tmp_path):
    def edit(file):
        variables = file["layers/dense/vars"]
        del variables["0"]
        variables["0"] = np.zeros((500, 7), np.float32)

    with pytest.raises(ValueError, match="cannot be read"):
        fc.load_model(with_weights(good, tmp_path, edit))


@pytest.mark.parametrize("size", [10**9, 100, 8])
def test_sizes_that_the_weights_do_not_fill(good, tmp_path, size):
    def edit(config):
        config["config"]["layers"][6]["config"]["units"] = size

    with pytest.raises(ValueError, match=r"units=5 in layer 6 \(Dense\)"):
        fc.load_model(with_config(good, tmp_path, edit))


def test_large_networks_load(tmp_path):
    model = fc.build_cnn(filters=(2, 2), dense_units=4096)
    model.save(tmp_path / "large.keras")
    loaded = fc.load_model(tmp_path / "large.keras")
    np.testing.assert_array_equal(model.get_weights()[4], loaded.get_weights()[4])


def test_shape_bomb(good, tmp_path):
    """Arrays that claim a gigabyte and store nothing are refused before they are read."""

    def edit(file):
        variables = file["layers/dense/vars"]
        del variables["0"]
        variables.create_dataset("0", (16_000, 16_000), "float32", chunks=True)

    with pytest.raises(ValueError, match="not stored in full"):
        fc.load_model(with_weights(good, tmp_path, edit))


@pytest.mark.parametrize("size", [-1, 0, 2.5, "32", None, True, [32]])
def test_impossible_sizes(good, tmp_path, size):
    def edit(config):
        config["config"]["layers"][1]["config"]["filters"] = size

    with pytest.raises(ValueError, match=r"filters=2 in layer 1 \(Conv2D\)"):
        fc.load_model(with_config(good, tmp_path, edit))


@pytest.mark.parametrize("rate", [-1, 1, "0.4", None])
def test_impossible_dropout_rate(good, tmp_path, rate):
    def edit(config):
        config["config"]["layers"][7]["config"]["rate"] = rate

    with pytest.raises(ValueError, match="dropout rate"):
        fc.load_model(with_config(good, tmp_path, edit))


@pytest.mark.parametrize(
    "config",
    [b"", b"[]", b"{}", b"null", b'{"config": {"layers": [1]}}', b"[" * 100_000, b"\xff\xfe"],
)
def test_configurations_that_make_no_sense(good, tmp_path, config):
    path = rewrite(good, tmp_path / "nonsense.keras", {"config.json": lambda _: config})
    with pytest.raises(ValueError, match="expected a model saved by Keras"):
        fc.load_model(path)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_archive_bomb(good, tmp_path, name):
    path = tmp_path / "bomb.keras"
    with (
        zipfile.ZipFile(good) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for member in ("config.json", "model.weights.h5"):
            content = bytes(50_000_000) if member == name else source.read(member)
            archive.writestr(member, content)
    with pytest.raises(ValueError, match=r"unpacks to more than 1,000,000 bytes|is compressed"):
        fc.load_model(path)


def test_truncated_anywhere(good, tmp_path):
    content = good.read_bytes()
    path = tmp_path / "cut.keras"
    for length in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="expected a model saved by Keras"):
            fc.load_model(path)
