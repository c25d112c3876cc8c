import io
import json
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import MakesDirectory, assert_equal_weights

import fashion_cnn as fc
from fashion_cnn.model import PRETRAINED

FIXTURES = Path(__file__).parent / "fixtures"
IMAGES = (np.arange(5 * 28 * 28).reshape(5, 28, 28, 1) % 251 / 250).astype(np.float32)


@pytest.mark.parametrize("name", ["keras-3.4.1.keras", "keras-2.12.h5"])
def test_reads_what_older_keras_wrote(name):
    model = fc.load_model(FIXTURES / name)
    expected = np.loadtxt((FIXTURES / name).with_suffix(".txt"))
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-5)


def test_a_trained_network_comes_with_the_package():
    model = fc.load_model()
    assert PRETRAINED.stat().st_size < 1_000_000
    stored = np.load(PRETRAINED)
    for name, weights in zip(stored.files, model.get_weights(), strict=True):
        assert stored[name].dtype == np.float16
        np.testing.assert_array_equal(stored[name], weights)


@pytest.mark.real_data
def test_the_trained_network_is_as_accurate_as_its_card_says(real):
    card = PRETRAINED.with_name("README.md").read_text("utf-8")
    for name, split in (("validation", real.validation), ("test", real.test)):
        said = float(re.search(rf"\| {name} accuracy \| ([\d.]+) \|", card)[1])
        assert fc.evaluate(fc.load_model(), split).accuracy == pytest.approx(said, abs=2e-4)
    assert said >= 0.93


def test_reads_other_sizes_and_optimizers_and_gives_a_compiled_model(tmp_path, tiny):
    model = fc.build_cnn(filters=(2, 3), dense_units=5, dropout_rate=0.1)
    model.compile(optimizer="lion", loss="sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "small.keras")
    loaded = fc.load_model(str(tmp_path / "small.keras"))
    assert_equal_weights(loaded, model)
    assert loaded.get_layer("dropout").rate == 0.1
    loaded.evaluate(*tiny.test, verbose=0)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "good.keras"
    fc.build_cnn(filters=(2, 3), dense_units=5).save(path)
    return path


@pytest.fixture
def changed(good, tmp_path):
    """Copy the good file with another configuration, other weights or other members."""

    def change(config=None, weights=None, members=()):
        path = tmp_path / "changed.keras"
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
            contents = {name: old.read(name) for name in old.namelist()}
            if config is not None:
                parsed = json.loads(contents["config.json"])
                config(parsed["config"]["layers"])
                contents["config.json"] = json.dumps(parsed).encode()
            if weights is not None:
                buffer = io.BytesIO(contents["model.weights.h5"])
                with h5py.File(buffer, "r+") as file:
                    weights(file["layers"])
                contents["model.weights.h5"] = buffer.getvalue()
            for name, content in (contents | dict(members)).items():
                new.writestr(name, content)
        return path

    return change


def test_the_ending_does_not_matter(good, tmp_path):
    with warnings.catch_warnings(action="ignore"):  # Keras calls the format old
        fc.build_cnn(filters=(2, 3), dense_units=5).save(tmp_path / "old.h5")
    for path, name in ((good, "model.zip"), (tmp_path / "old.h5", "model")):
        (tmp_path / name).write_bytes(path.read_bytes())
        fc.load_model(tmp_path / name)


# No code from a file runs


def test_objects_that_a_configuration_names_are_not_built(changed, good, tmp_path):
    """Keras would look them up and call them when it builds its layers."""
    proof = tmp_path / "proof"

    def edit(layers):
        layers[1] |= {"module": "pathlib", "registered_name": "Path"}
        layers[1]["config"]["kernel_initializer"] = {
            "module": "builtins",
            "class_name": "function",
            "config": "exec",
            "registered_name": f"open({str(proof)!r}, 'w')",
        }
        layers[1]["build_config"] = {"input_shape": f"__import__('os').mkdir({str(proof)!r})"}

    assert_equal_weights(fc.load_model(changed(config=edit)), fc.load_model(good))
    assert not proof.exists()


@pytest.mark.parametrize(
    ("module", "class_name"),
    [("os", "mkdir"), ("keras.layers", "TFSMLayer"), ("keras.layers", "Lambda")],
)
def test_layers_of_another_kind(changed, tmp_path, module, class_name):
    proof = tmp_path / "proof"

    def edit(layers):
        layers[1] |= {"module": module, "class_name": class_name, "registered_name": None}
        layers[1]["config"] |= {"path": str(proof), "filepath": str(proof), "function": str(proof)}

    with pytest.raises(ValueError, match=rf"expected the layers Conv2D, .* got {class_name}, "):
        fc.load_model(changed(config=edit))
    assert not proof.exists()


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5", "whole"])
def test_pickles_are_not_read(changed, tmp_path, monkeypatch, member):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(MakesDirectory())
    path = changed(members={member: content})
    if member == "whole":
        path.write_bytes(content)
    with pytest.raises(ValueError, match="expected a saved model"):
        fc.load_model(path)
    assert not (tmp_path / "proof").exists()


# What is refused, in a sentence


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a saved model at"):
        fc.load_model(tmp_path / "none.keras")


def test_files_that_are_no_model_and_one_cut_short_anywhere(good, tmp_path):
    content, path = good.read_bytes(), tmp_path / "model.keras"
    for length in range(0, len(content), len(content) // 20):
        path.write_bytes(content[:length] or b"<html>")
        with pytest.raises(ValueError, match=r"expected a saved model.*cut short or of another"):
            fc.load_model(path)


def test_weights_only_and_a_saved_model_are_named(tmp_path):
    fc.build_cnn(filters=(2, 3)).save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(ValueError, match="got weights only; call build_cnn"):
        fc.load_model(tmp_path / "only.weights.h5")
    (tmp_path / "saved_model").mkdir()
    with pytest.raises(ValueError, match="got a directory, perhaps a SavedModel"):
        fc.load_model(tmp_path / "saved_model")


@pytest.mark.parametrize(
    ("layer", "setting", "value", "message"),
    [
        (0, "batch_shape", [None, 32, 32, 3], r"inputs of shape \(None, 28, 28, 1\), got"),
        (1, "filters", 0, "filters=0"),
        (1, "filters", 8, r"variable.shape=\(3, 3, 1, 8\), Received: value.shape=\(3, 3, 1, 2\)"),
        (1, "activation", {"class_name": "function", "config": "mkdir"}, "activation='relu' in la"),
        (3, "padding", "valid", r"expected padding='same' in layer 3 \(Conv2D\), got 'valid'"),
        (3, "padding", None, r"expected padding='same' in layer 3 \(Conv2D\), got None"),
        (6, "units", 100, "must match"),
    ],
)
def test_configurations_of_other_networks(changed, layer, setting, value, message):
    def edit(layers):
        layers[layer]["config"][setting] = value

    with pytest.raises(ValueError, match=f"expected a saved model.*{message}") as error:
        fc.load_model(changed(config=edit))
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("config", [b"", b"[]", b"null", b"[" * 100_000])
def test_configurations_that_make_no_sense(changed, config):
    with pytest.raises(ValueError, match="expected a saved model"):
        fc.load_model(changed(members={"config.json": config}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kernel: kernel * np.nan, "expected finite weights, got NaN"),
        (lambda kernel: kernel[:, :, [0, 0, 0]], r"\(3, 3, 3, 2\)"),
        (lambda kernel: None, "expected a saved model"),
    ],
    ids=["NaN", "shape", "missing"],
)
def test_weights_of_another_kind(changed, change, message):
    def edit(layers):
        new = change(layers["conv2d/vars/0"][()])
        del layers["conv2d/vars/0"]
        if new is not None:
            layers["conv2d/vars/0"] = new

    with pytest.raises(ValueError, match=message):
        fc.load_model(changed(weights=edit))


def test_a_functional_model_is_told_keras_own_way(tmp_path):
    model = fc.build_cnn(filters=(2, 3))
    keras.Model(model.inputs, model.layers[-1].output).save(tmp_path / "functional.keras")
    message = r"expected the layers .* got Functional\. .*network, use keras\.saving\.load_model"
    with pytest.raises(ValueError, match=message):
        fc.load_model(tmp_path / "functional.keras")
