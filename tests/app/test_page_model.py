"""The weights that the live page reads."""

import json

import numpy as np

import fashion_cnn as fc
from fashion_cnn.app.page_model import page_model, write_model
from fashion_cnn.model import mark_stand_in


def arrays_of(manifest, weights):
    """Read the weights as the page does."""
    return [
        np.frombuffer(
            weights,
            np.dtype(manifest["dtype"]).newbyteorder("<"),
            count=int(np.prod(place["shape"])),
            offset=place["offset"],
        ).reshape(place["shape"])
        for layer in manifest["layers"]
        for place in layer["weights"]
    ]


def test_the_packages_network_takes_less_than_a_megabyte_and_loses_nothing():
    model = fc.load_model()
    manifest, weights = page_model(model)
    assert manifest["dtype"] == "float16"
    assert len(weights) < 1_000_000
    for read, array in zip(arrays_of(manifest, weights), model.get_weights(), strict=True):
        assert np.array_equal(read, array)


def test_a_network_of_other_sizes_stays_in_32_bits():
    model = fc.build_cnn(filters=(8, 16), dense_units=20)
    manifest, weights = page_model(model)
    assert manifest["dtype"] == "float32"
    for read, array in zip(arrays_of(manifest, weights), model.get_weights(), strict=True):
        assert np.array_equal(read, array)


def test_weights_too_large_for_16_bits_stay_in_32():
    model = fc.load_model()
    model.set_weights([np.float32(2.0**20) * (w > 0) for w in model.get_weights()])
    assert page_model(model)[0]["dtype"] == "float32"


def test_the_manifest():
    manifest, _ = page_model(fc.build_cnn(), name="mine.keras")
    assert manifest["name"] == "mine.keras"
    assert manifest["stand_in"] is False
    assert manifest["class_names"]["en"] == list(fc.CLASS_NAMES)
    assert manifest["class_names"]["ko"][9] == "앵클 부츠"
    described = [(layer["name"], layer["kind"], layer["shape"]) for layer in manifest["layers"]]
    assert described == [
        ("conv1", "conv", [28, 28, 32]),
        ("pool1", "pool", [14, 14, 32]),
        ("conv2", "conv", [14, 14, 64]),
        ("pool2", "pool", [7, 7, 64]),
        ("flatten", "flatten", [3136]),
        ("hidden", "dense", [100]),
        ("dropout", "dropout", [100]),
        ("output", "dense", [10]),
    ]


def test_stand_in_data_is_named():
    model = fc.build_cnn()
    mark_stand_in(model, is_stand_in=True)
    assert page_model(model)[0]["stand_in"] is True


def test_what_is_written(tmp_path):
    model = fc.build_cnn(filters=(2, 3), dense_units=4)
    manifest, weights = page_model(model, name="엉뚱한.keras")
    write_model(model, tmp_path / "model", name="엉뚱한.keras")
    assert json.loads((tmp_path / "model" / "model.json").read_text("utf-8")) == manifest
    assert (tmp_path / "model" / "weights.bin").read_bytes() == weights
