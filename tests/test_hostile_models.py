"""Model files that are damaged or try to run code: they raise an error and run nothing."""

import io
import json
import os
import pickle
import struct
import time
import traceback
import warnings
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
    with pytest.raises(ValueError, match="expected a saved model"):
        fc.load_model(path)
    (tmp_path / "whole.keras").write_bytes(blob)
    with pytest.raises(ValueError, match="expected a saved model"):
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

    with pytest.raises(ValueError, match="expected a saved model"):
        fc.load_model(with_weights(good, tmp_path, edit))


def test_missing_weights_are_an_error(good, tmp_path):
    def edit(file):
        del file["layers/dense"]

    with pytest.raises(ValueError, match="expected a saved model"):
        fc.load_model(with_weights(good, tmp_path, edit))


def test_weights_of_another_shape_are_an_error(good, tmp_path):
    def edit(file):
        variables = file["layers/dense/vars"]
        del variables["0"]
        variables["0"] = np.zeros((500, 7), np.float32)

    with pytest.raises(ValueError, match="expected a saved model"):
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
    with pytest.raises(ValueError, match="expected a saved model"):
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
    with pytest.raises(ValueError, match="is compressed, which Keras never does"):
        fc.load_model(path)


def test_truncated_anywhere(good, tmp_path):
    content = good.read_bytes()
    path = tmp_path / "cut.keras"
    for length in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="expected a saved model"):
            fc.load_model(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_configuration_with_a_false_size(good, tmp_path, method):
    """The archive claims 6 kB; whatever reads until the end of the member gets 30 MB."""
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", source.read("config.json") + b" " * 30_000_000, method)
        archive.writestr("model.weights.h5", source.read("model.weights.h5"))
        size = archive.getinfo("config.json").file_size
    content = path.read_bytes().replace(struct.pack("<L", size), struct.pack("<L", 6_000))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json is compressed, which Keras never does"):
        fc.load_model(path)


@pytest.mark.parametrize("is_64_bit", [False, True])
def test_archive_with_a_million_entries(good, tmp_path, is_64_bit):
    content = good.read_bytes()
    size, start = struct.unpack("<LL", content[-10:-2])
    directory = content[start : start + size]
    name_length = struct.unpack("<H", directory[28:30])[0]
    entry = directory[: 46 + name_length]
    directory += entry * 1_000_000
    body = content[:start] + directory
    if is_64_bit:
        counts = 1_000_003, 1_000_003, len(directory), start
        body += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *counts)
        body += struct.pack("<4sLQL", b"PK\6\7", 0, start + len(directory), 1)
    claimed = 200 if is_64_bit else len(directory)
    body += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, claimed, start, 0)
    (tmp_path / "many.keras").write_bytes(body)
    begin = time.perf_counter()
    with pytest.raises(
        ValueError, match=r"directory is (damaged or too long|in the 64-bit format)"
    ):
        fc.load_model(tmp_path / "many.keras")
    assert time.perf_counter() - begin < 1


def replaced(file, name, array, **options):
    group, _, last = name.rpartition("/")
    del file[name]
    file[group].create_dataset(last, data=array, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kernel: kernel * np.nan, "expected finite weights, got NaN or infinity in /layers"),
        (lambda kernel: kernel.astype(float) + 1e300, "expected finite weights"),
        (lambda kernel: kernel + 1j, "expected floats in .*/vars/0, got complex"),
        (lambda kernel: kernel > 0, "expected floats in .*/vars/0, got bool"),
        (lambda kernel: kernel.astype(int), "expected floats in .*/vars/0, got int64"),
        (lambda kernel: kernel.astype("S10"), "expected floats in .*/vars/0, got"),
        (lambda kernel: kernel[:, :, [0, 0, 0]], r"\(3, 3, 1, 2\).* got .*\(3, 3, 3, 2\)"),
        # It says 400,000 filters, of which the next layer would need 1.4 TB.
        (lambda kernel: np.zeros((1, 1, 1, 400_000), np.float32), "expected weights of the shapes"),
    ],
)
def test_weights_of_another_kind(good, tmp_path, change, message):
    def edit(file):
        name = "layers/conv2d/vars/0"
        replaced(file, name, change(file[name][()]))

    with pytest.raises(ValueError, match=message):
        fc.load_model(with_weights(good, tmp_path, edit))


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"chunks": (3, 3, 1, 2)}])
def test_chunks_and_filters(good, tmp_path, options):
    def edit(file):
        name = "layers/conv2d/vars/0"
        replaced(file, name, file[name][()], **options)

    with pytest.raises(ValueError, match="not stored in full, uncompressed"):
        fc.load_model(with_weights(good, tmp_path, edit))


@pytest.mark.parametrize("shape", [[None, 32, 32, 3], [None, 29, 29, 1], [None, 784], 5])
def test_inputs_of_another_shape(good, tmp_path, shape):
    def edit(config):
        config["config"]["layers"][0]["config"]["batch_shape"] = shape

    with pytest.raises(ValueError, match="expected a saved model"):
        fc.load_model(with_config(good, tmp_path, edit))


def test_what_a_file_says_does_not_control_the_terminal(good, tmp_path):
    def edit(config):
        config["config"]["layers"][1]["class_name"] = "\x1b]0;owned\x07" + "A" * 900_000

    with pytest.raises(ValueError, match="owned") as caught:
        fc.load_model(with_config(good, tmp_path, edit))
    text = "".join(traceback.format_exception(caught.value))
    assert "\x1b" not in text
    assert len(text) < 5_000


@pytest.fixture
def h5(tmp_path):
    path = tmp_path / "model.h5"
    with warnings.catch_warnings(action="ignore"):  # Keras calls the format old
        fc.build_cnn(filters=(2, 3), dense_units=5).save(path)
    return path


def test_h5_attributes_that_hold_one_long_text_many_times(h5):
    with h5py.File(h5, "r+") as file:
        group = file["model_weights/conv1"]
        del group.attrs["weight_names"]
        group.attrs.create("weight_names", ["A" * 10_000] * 3_001)
    with pytest.raises(ValueError, match=r"shape \(2,\) as weight_names, got \(3001,\)"):
        fc.load_model(h5)


def test_h5_with_a_long_configuration(h5):
    with h5py.File(h5, "r+") as file:
        config = file.attrs["model_config"]
        del file.attrs["model_config"]
        file.attrs["model_config"] = config + " " * 1_000_000
    with pytest.raises(ValueError, match="model_config of at most 1,000,000 characters"):
        fc.load_model(h5)


def test_h5_with_20_000_nested_groups(h5):
    with h5py.File(h5, "r+") as file:
        group = file["model_weights/conv1"]
        del group.attrs["weight_names"]
        group.attrs.create("weight_names", ["a/" * 20_000] * 2)
        for _ in range(20_000):
            group = group.create_group("a")
    begin = time.perf_counter()
    with pytest.raises(ValueError, match="expected a saved model"):
        fc.load_model(h5)
    assert time.perf_counter() - begin < 5


def test_file_above_100_mb(good, tmp_path):
    path = tmp_path / "large.keras"
    path.write_bytes(good.read_bytes())
    os.truncate(path, 100_000_001)
    with pytest.raises(ValueError, match="at most 100,000,000 bytes, got 100,000,001"):
        fc.load_model(path)


@pytest.mark.parametrize("name", ["model.KERAS", "model.zip", "model"])
def test_the_ending_does_not_matter(good, h5, tmp_path, name):
    for path in (good, h5):
        (tmp_path / name).write_bytes(path.read_bytes())
        fc.load_model(tmp_path / name)


def test_h5_attribute_of_lists_that_multiply(h5):
    """Lists of lists that share their content: half a megabyte is read as many gigabytes."""
    with h5py.File(h5, "r+") as file:
        group = file["model_weights/conv1"]
        del group.attrs["weight_names"]
        kind = h5py.vlen_dtype(np.dtype("int32"))
        values = np.empty(2, object)
        values[:] = [np.arange(3, dtype=np.int32)] * 2
        group.attrs.create("weight_names", values, dtype=kind)
    with pytest.raises(ValueError, match="expected texts of shape"):
        fc.load_model(h5)


def test_functional_models_may_connect_the_same_layers_in_another_way(good, tmp_path):
    layers = fc.build_cnn(filters=(2, 3)).layers
    path = tmp_path / "functional.keras"
    image = keras.Input((28, 28, 1))
    value = image
    for layer in layers:
        value = layer(value)
    keras.Model(image, value).save(path)
    with pytest.raises(ValueError, match="expected a Sequential, got 'Functional'"):
        fc.load_model(path)


@pytest.mark.parametrize("key", ["padding", "activation", "strides"])
def test_settings_that_are_absent(good, tmp_path, key):
    """Keras would take "valid" for an absent padding, not the "same" of this network."""

    def edit(config):
        del config["config"]["layers"][1]["config"][key]

    with pytest.raises(ValueError, match=rf"expected {key}=.* in layer 1 \(Conv2D\), got None"):
        fc.load_model(with_config(good, tmp_path, edit))
