import json
import re
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import fashion_cnn as fc
from fashion_cnn.model import PRETRAINED

FIXTURES = Path(__file__).parent / "fixtures"
IMAGES = (np.arange(5 * 28 * 28).reshape(5, 28, 28, 1) % 251 / 250).astype(np.float32)


@pytest.mark.parametrize("name", ["keras-3.4.1.keras", "keras-2.12.h5"])
def test_reads_what_older_keras_wrote(name):
    model = fc.load_model(FIXTURES / name)
    expected = np.loadtxt((FIXTURES / name).with_suffix(".txt"))
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-5)


def test_a_trained_network_comes_with_the_package(tmp_path):
    model = fc.load_model()
    assert model.count_params() == 333_526
    assert PRETRAINED.stat().st_size < 1_000_000
    stored = np.load(PRETRAINED)
    for name, weights in zip(stored.files, model.get_weights(), strict=True):
        assert stored[name].dtype == np.float16
        np.testing.assert_array_equal(stored[name], weights)
    model.save(tmp_path / "copy.keras")
    np.testing.assert_array_equal(
        fc.load_model(tmp_path / "copy.keras").predict(IMAGES, verbose=0),
        model.predict(IMAGES, verbose=0),
    )


@pytest.mark.real_data
def test_the_trained_network_is_as_accurate_as_its_card_says(real):
    card = PRETRAINED.with_name("README.md").read_text("utf-8")
    for name, split in (("validation", real.validation), ("test", real.test)):
        said = float(re.search(rf"\| {name} accuracy \| ([\d.]+) \|", card)[1])
        assert fc.evaluate(fc.load_model(), split).accuracy == pytest.approx(said, abs=2e-4)
    assert said >= 0.93


def test_reads_other_sizes_and_gives_a_compiled_model(tmp_path, tiny):
    model = fc.build_cnn(filters=(2, 3), dense_units=5, dropout_rate=0.1)
    model.save(tmp_path / "small.keras")
    loaded = fc.load_model(str(tmp_path / "small.keras"))
    np.testing.assert_array_equal(
        loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0)
    )
    assert loaded.get_layer("dropout").rate == 0.1
    loaded.evaluate(*tiny.test, verbose=0)


def test_reads_a_model_trained_with_another_optimizer(tmp_path, tiny):
    model = fc.build_cnn(filters=(2, 3))
    model.compile(optimizer="lion", loss="sparse_categorical_crossentropy")
    model.fit(*tiny.validation, verbose=0)
    model.save(tmp_path / "lion.keras")
    for saved, loaded in zip(
        model.get_weights(), fc.load_model(tmp_path / "lion.keras").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(saved, loaded)


def test_runs_nothing_that_the_file_holds(tmp_path):
    """Only sizes are read from a file that would run code when Keras builds its layers."""
    good, evil, proof = tmp_path / "good.keras", tmp_path / "evil.keras", tmp_path / "proof"
    fc.build_cnn(filters=(2, 3)).save(good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(evil, "w") as target:
        for item in source.namelist():
            content = source.read(item)
            if item == "config.json":
                config = json.loads(content)
                layer = config["config"]["layers"][1]
                layer["module"], layer["registered_name"] = "pathlib", "Path"
                layer["config"]["kernel_initializer"] = {
                    "module": "builtins",
                    "class_name": "function",
                    "config": "exec",
                    "registered_name": f"open({str(proof)!r}, 'w')",
                }
                layer["build_config"] = {"input_shape": f"__import__('os').mkdir({str(proof)!r})"}
                content = json.dumps(config).encode()
            target.writestr(item, content)
    np.testing.assert_array_equal(
        fc.load_model(evil).get_weights()[0], fc.load_model(good).get_weights()[0]
    )
    assert not proof.exists()


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a saved model at"):
        fc.load_model(tmp_path / "none.keras")


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 cut short"])
def test_not_a_model(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="expected a saved model"):
        fc.load_model(tmp_path / name)


def test_cut_short(tmp_path):
    path = tmp_path / "model.keras"
    fc.build_cnn(filters=(2, 3)).save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="cut short"):
        fc.load_model(path)


def test_other_architecture(tmp_path):
    path = tmp_path / "dense.keras"
    keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()]).save(path)
    with pytest.raises(ValueError, match=r"expected the layers Conv2D, .* got Flatten"):
        fc.load_model(path)


def test_says_which_layer_differs(tmp_path):
    path = tmp_path / "valid.keras"
    layers = keras.layers
    keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(2, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(3, 3, padding="valid", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(5, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(10, activation="softmax"),
        ]
    ).save(path)
    with pytest.raises(ValueError, match=r"padding='same' in layer 3 \(Conv2D\).* got 'valid'"):
        fc.load_model(path)
