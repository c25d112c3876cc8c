"""The live page as a folder: what it needs, what it says of a network, and what it replaces."""

import json
import re

import keras
import numpy as np
import pytest
from conftest import DIGITS, build_small, content_of

import fashion_cnn as fc
from fashion_cnn.app.page_model import page_files

NEEDED = re.compile(r'(?:src=|href=|from |Worker\(|read\(|fetch\(|import\()"([\w./-]+)"')


def huge():
    model = fc.load_model()
    model.set_weights([np.float32(2.0**20) * (w > 0) for w in model.get_weights()])
    return model


def unnamed():
    """Return a small network whose layers have no names of ours."""
    ours = fc.build_cnn(filters=(8, 16), dense_units=20).layers
    layers = [type(layer).from_config(layer.get_config() | {"name": None}) for layer in ours]
    return keras.Sequential([keras.Input((28, 28, 1)), *layers])


def manifest_of(model, **options):
    return json.loads(page_files(model, **options)["model/model.json"])


@pytest.mark.parametrize(
    ("make", "dtype"), [(fc.load_model, "float16"), (unnamed, "float32"), (huge, "float32")]
)
def test_no_weight_is_lost_and_every_layer_has_its_name(make, dtype):
    model = make()
    files = page_files(model, name="엉뚱한.keras")
    manifest, weights = json.loads(files["model/model.json"]), files["model/weights.bin"]
    assert (manifest["name"], manifest["dtype"]) == ("엉뚱한.keras", dtype)
    assert (manifest["class_names"]["en"][8], manifest["class_names"]["ko"][8]) == ("Bag", "가방")
    assert len(weights) < 1_000_000 or dtype == "float32"
    layers, stored = manifest["layers"], np.dtype(dtype).newbyteorder("<")
    places = [place for layer in layers for place in layer["weights"]]
    for place, array in zip(places, model.get_weights(), strict=True):
        read = np.frombuffer(weights, stored, array.size, place["offset"])
        np.testing.assert_array_equal(read.reshape(place["shape"]), array)
    assert [layer["name"] for layer in layers] == [layer.name for layer in fc.build_cnn().layers]
    assert [layer["shape"] for layer in layers] == [[*x.output.shape[1:]] for x in model.layers]
    kinds = ["conv", "pool", "conv", "pool", "flatten", "dense", "dropout", "dense"]
    assert [layer["kind"] for layer in layers] == kinds


def test_only_what_is_known_of_a_network_is_said(packaged, trained, tiny):
    def known(model, **options):
        keys = ("is_packaged", "trained_on", "accuracy", "test_images")
        return [manifest_of(model, **options).get(key) for key in keys]

    own, stand_in = build_small(), trained[0]
    accuracy = fc.evaluate(own, tiny.test).accuracy
    real = tiny._replace(source=tiny.source._replace(is_fashion_mnist=True))
    assert known(packaged) == [True, "Fashion-MNIST", 0.9330, 10_000]  # as its card says
    assert known(own) == [False, None, None, None]
    assert known(own, data=tiny) == [False, "other", accuracy, 200]
    assert known(own, data=real) == [False, "Fashion-MNIST", accuracy, 200]
    assert known(stand_in)[1] == "stand-in"
    assert known(stand_in, data=tiny, class_names=DIGITS)[1] == "other"
    with pytest.raises(ValueError, match="trained on, got Fashion-MNIST"):
        known(stand_in, data=real)


def test_a_page_is_whole_and_replaces_an_older_one_and_nothing_else(
    packaged, tiny, tmp_path, monkeypatch
):
    page = tmp_path / "새 폴더" / "page"
    for options in ({}, {"class_names": DIGITS, "data": tiny}):
        fc.write_page(packaged, page, **options)
        content = content_of(page)
        assert ("learning.html" in content) == (options == {})  # a recording with garments
        assert content["index.html"] == content["network.html"]
        for path in page.rglob("*.*"):
            if path.suffix in (".html", ".js"):
                needed = {*NEEDED.findall(path.read_text("utf-8"))} - {"prepare"}  # by a server
                needed -= {"model/unlikeness.bin"} if options else set()  # known for garments only
                assert all((path.parent / name).is_file() for name in needed), path

    rename = type(page).rename
    busy = lambda path, to: rename(path, to if path.name != "new" else to / "x" / "y")  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(type(page), "rename", busy)
        with pytest.raises(OSError, match="No such file"):
            fc.write_page(packaged, page)
    assert content_of(page.parent) == {f"page/{path}": x for path, x in content.items()}
    (page / "words" / "mine.txt").write_text("precious")
    for place in (page, page / "words" / "mine.txt"):
        with pytest.raises(FileExistsError, match=r"older page, found .*mine\.txt"):
            fc.write_page(packaged, place)
    assert content_of(page) == content | {"words/mine.txt": b"precious"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"class_names": ["a", "b"]}, "ten different class names, got a, b"),
        ({"class_names": "0123456788"}, "ten different class names"),
        ({"class_names": DIGITS}, "expected examples or data with class names"),
        ({"examples": np.zeros((31, 28, 28))}, "at most 30 examples, got 31"),
        ({"examples": np.zeros((2, 32, 32))}, "examples of 28×28 pixels"),
        (
            {"model": keras.Sequential([keras.Input((28, 28, 1))])},
            "expected the layers Conv2D, Max",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(options, says, packaged, tmp_path):
    with pytest.raises(ValueError, match=says):
        fc.write_page(**{"model": packaged, "directory": tmp_path / "page"} | options)
    assert content_of(tmp_path) == {}
