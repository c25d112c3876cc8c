"""The weights that the live page reads."""

import json

import numpy as np
import pytest

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


def huge():
    model = fc.load_model()
    model.set_weights([np.float32(2.0**20) * (w > 0) for w in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (fc.load_model, "float16"),
        (lambda: fc.build_cnn(filters=(8, 16), dense_units=20), "float32"),
        (huge, "float32"),
    ],
)
def test_no_weight_is_lost(make, dtype, tmp_path):
    model = make()
    manifest, weights = page_model(model, name="엉뚱한.keras")
    assert manifest["dtype"] == dtype
    assert len(weights) < 1_000_000 or dtype == "float32"
    for read, array in zip(arrays_of(manifest, weights), model.get_weights(), strict=True):
        np.testing.assert_array_equal(read, array)
    write_model(model, tmp_path / "model", name="엉뚱한.keras")
    written = json.loads((tmp_path / "model" / "model.json").read_text("utf-8"))
    assert written.pop("unlikeness")
    assert written == manifest
    assert (tmp_path / "model" / "weights.bin").read_bytes() == weights


def test_the_manifest():
    model = fc.build_cnn()
    manifest, _ = page_model(model, name="mine.keras")
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
    mark_stand_in(model, is_stand_in=True)
    assert page_model(model)[0]["stand_in"] is True
