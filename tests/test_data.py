import gzip
import hashlib
import runpy
import shutil
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TINY_DIR
from sklearn.model_selection import train_test_split

import fashion_cnn as fc
from fashion_cnn import data as data_module
from fashion_cnn.data import DATA_DIR_VARIABLE, FASHION_MNIST_SHA256

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FASHION_MNIST_SHA256


def write_sums(directory):
    lines = [
        f"{hashlib.sha256((directory / name).read_bytes()).hexdigest()}  {name}\n"
        for name in FASHION_MNIST_SHA256
    ]
    (directory / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture
def copy(tmp_path):
    """A copy of the stand-in data that a test may spoil."""
    return Path(shutil.copytree(TINY_DIR, tmp_path / "copy"))


# What is loaded


def test_shapes_types_and_ranges(tiny):
    for split, count in zip(tiny[:3], (800, 200, 200), strict=True):
        assert split.images.shape == (count, 28, 28, 1)
        assert split.images.dtype == np.float32
        assert split.images.min() == 0
        assert 0.9 < split.images.max() <= 1
        assert split.labels.shape == (count,)
        assert split.labels.dtype == np.int64
        assert set(split.labels) == set(range(10))


def load_like_the_book(keras_home, monkeypatch):
    """Load with keras.datasets and split as the book does, from a Keras home with the files."""
    import keras

    monkeypatch.setattr(keras.src.utils.file_utils.config, "keras_home", lambda: str(keras_home))
    (images, labels), (test_images, test_labels) = keras.datasets.fashion_mnist.load_data()
    images = images.reshape(-1, 28, 28, 1) / 255.0
    train_images, validation_images, train_labels, validation_labels = train_test_split(
        images, labels, test_size=0.2, random_state=42
    )
    return (
        (train_images, train_labels),
        (validation_images, validation_labels),
        (test_images.reshape(-1, 28, 28, 1) / 255.0, test_labels),
    )


def assert_same_as_the_book(data, directory, tmp_path, monkeypatch):
    home = tmp_path / "keras-home"
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "fashion-mnist").symlink_to(directory)
    for split, (images, labels) in zip(
        data[:3], load_like_the_book(home, monkeypatch), strict=True
    ):
        np.testing.assert_array_equal(split.images, images.astype(np.float32))
        np.testing.assert_array_equal(split.labels, labels)


def test_same_as_keras_and_scikit_learn(tiny, tmp_path, monkeypatch):
    assert_same_as_the_book(tiny, TINY_DIR, tmp_path, monkeypatch)


@pytest.mark.real_data
def test_real_data_same_as_keras_and_scikit_learn(real, real_dir, tmp_path, monkeypatch):
    assert_same_as_the_book(real, real_dir, tmp_path, monkeypatch)


@pytest.mark.real_data
def test_real_data_has_the_published_sizes(real):
    assert [len(split.labels) for split in real[:3]] == [48_000, 12_000, 10_000]
    assert fc.CLASS_NAMES[real.validation.labels[0]] == "Bag"
    np.testing.assert_array_equal(np.bincount(real.test.labels), np.full(10, 1_000))
    assert real.source.is_fashion_mnist
    assert "verified" in str(real.source)


def test_other_split():
    data = fc.load_fashion_mnist(TINY_DIR, validation_fraction=0.1, seed=7)
    with gzip.open(TINY_DIR / TRAIN_LABELS) as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    train_labels, validation_labels = train_test_split(labels, test_size=0.1, random_state=7)
    np.testing.assert_array_equal(data.train.labels, train_labels)
    np.testing.assert_array_equal(data.validation.labels, validation_labels)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 20])
def test_validation_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match="validation_fraction between 0 and 1"):
        fc.load_fashion_mnist(TINY_DIR, validation_fraction=fraction)


@pytest.mark.real_data
def test_no_float64_copy_of_the_set(real_dir):
    fc.load_fashion_mnist(TINY_DIR)  # imports
    tracemalloc.start()
    data = fc.load_fashion_mnist(real_dir)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    result = sum(split.images.nbytes for split in data[:3])
    raw = result / 4
    # Besides the result, only 8-bit copies: of the file, of the splits and of the test set.
    # One float64 copy of the training images alone would be 6.9 times the raw bytes.
    assert peak < result + 3 * raw


# Where it is looked for


def test_data_dir_then_variable_then_cache(copy, keras_cache, tiny_is_real, monkeypatch):
    shutil.copytree(TINY_DIR, keras_cache)
    assert fc.load_fashion_mnist().source.directory == keras_cache
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(copy))
    assert fc.load_fashion_mnist().source.directory == copy
    assert fc.load_fashion_mnist(TINY_DIR).source.directory == TINY_DIR


def test_a_mistyped_directory_is_named_and_not_made(tmp_path, monkeypatch):
    mistyped = tmp_path / "fashoin-mnist"
    for call in (
        lambda: fc.load_fashion_mnist(mistyped),
        lambda: fc.load_fashion_mnist(mistyped, fallback=TINY_DIR),
        lambda: (monkeypatch.setenv(DATA_DIR_VARIABLE, str(mistyped)), fc.load_fashion_mnist()),
    ):
        with pytest.raises(
            fc.DatasetError, match=r"fashoin-mnist, found none\. Check its spelling"
        ):
            call()
        assert not mistyped.exists()


def test_printed_as_one_line(tiny):
    assert repr(tiny) == (
        f"FashionMNIST(train: 800, validation: 200, test: 200 images; {tiny.source})"
    )
    assert repr(tiny.test) == "Split(images of shape (200, 28, 28, 1), 200 labels)"


def test_home_directory_is_written_as_tilde(copy, monkeypatch):
    monkeypatch.setenv("HOME", str(copy.parent))
    monkeypatch.setenv("USERPROFILE", str(copy.parent))
    assert "~/copy" in str(fc.load_fashion_mnist("~/copy").source)


def test_offline_without_data_lists_places_failures_and_ways_out(keras_cache):
    start = time.monotonic()
    with pytest.raises(fc.DatasetError) as error:
        fc.load_fashion_mnist()
    assert time.monotonic() - start < 10
    message = str(error.value)
    assert str(keras_cache) in message
    for mirror in data_module.MIRRORS:
        assert mirror in message
    assert all(name in message for name in FASHION_MNIST_SHA256)
    assert DATA_DIR_VARIABLE in message
    assert "data/tiny" in message


def test_fallback_is_loud(keras_cache):
    with pytest.warns(UserWarning, match="Continuing with stand-in data") as warnings:
        data = fc.load_fashion_mnist(fallback=TINY_DIR)
    assert warnings[0].filename == __file__
    assert not data.source.is_fashion_mnist
    assert "mean nothing" in str(data.source)
    assert data.source.directory == TINY_DIR


def test_missing_fallback_is_not_downloaded_into(keras_cache, tmp_path):
    with pytest.raises(fc.DatasetError) as error:
        fc.load_fashion_mnist(fallback=tmp_path / "missing")
    assert str(keras_cache) in str(error.value)
    assert f"fallback {tmp_path / 'missing'} lacks the four files" in str(error.value)
    assert not (tmp_path / "missing").exists()


def test_fallback_is_not_for_damaged_data(tmp_path):
    (tmp_path / TRAIN_IMAGES).write_bytes(b"not the images")
    with pytest.raises(fc.DatasetError, match="Delete it and run again"):
        fc.load_fashion_mnist(tmp_path, fallback=TINY_DIR)
    assert (tmp_path / TRAIN_IMAGES).read_bytes() == b"not the images"


# Downloads, from a server on this machine


def test_download_into_the_cache_then_no_more(keras_cache, tiny_is_real, serve, mirrors, capfd):
    url, requests = serve(TINY_DIR)
    mirrors(url)
    data = fc.load_fashion_mnist()
    assert data.source == (keras_cache, True)
    assert "100%" in capfd.readouterr().err  # the progress bar
    assert sorted(path for path, _ in requests) == sorted(f"/{n}" for n in FASHION_MNIST_SHA256)
    assert sorted(path.name for path in keras_cache.iterdir()) == sorted(FASHION_MNIST_SHA256)
    fc.load_fashion_mnist()
    assert len(requests) == 4


def test_next_mirror_where_one_fails(keras_cache, tiny_is_real, serve, mirrors, tmp_path):
    (tmp_path / "empty").mkdir()
    portal = tmp_path / "portal"
    portal.mkdir()
    for name in FASHION_MNIST_SHA256:
        (portal / name).write_text("<html>Please sign in</html>")
    empty_url, _ = serve(tmp_path / "empty")
    portal_url, _ = serve(portal)
    url, _ = serve(TINY_DIR)
    mirrors(empty_url, portal_url, url)
    assert fc.load_fashion_mnist().train.labels.size == 800


def test_damaged_file_in_the_cache_is_reported_and_replaced(
    keras_cache, tiny_is_real, serve, mirrors
):
    for name in FASHION_MNIST_SHA256:
        keras_cache.mkdir(parents=True, exist_ok=True)
        shutil.copy(TINY_DIR / name, keras_cache)
    damaged = keras_cache / TEST_LABELS
    damaged.write_bytes(damaged.read_bytes()[:-1])
    url, requests = serve(TINY_DIR)
    mirrors(url)
    with pytest.warns(UserWarning, match=r"t10k-labels.*is damaged.*Downloading it again"):
        fc.load_fashion_mnist()
    assert damaged.read_bytes() == (TINY_DIR / TEST_LABELS).read_bytes()
    assert [path for path, _ in requests] == [f"/{TEST_LABELS}"]


def test_damaged_file_in_the_cache_is_kept_where_no_mirror_answers(keras_cache, tiny_is_real):
    shutil.copytree(TINY_DIR, keras_cache)
    (keras_cache / "SHA256SUMS").unlink()
    (keras_cache / TEST_LABELS).write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(fc.DatasetError):
        fc.load_fashion_mnist()
    assert (keras_cache / TEST_LABELS).read_bytes() == b"damaged"


# What is refused


def test_sums_that_do_not_match(copy):
    with open(copy / TRAIN_IMAGES, "ab") as file:
        file.write(b"\0")
    with pytest.raises(fc.DatasetError, match=r"expected SHA-256 \w{64}, got \w{64}"):
        fc.load_fashion_mnist(copy)


def test_missing_file_beside_own_sums(copy):
    (copy / TEST_IMAGES).unlink()
    with pytest.raises(fc.DatasetError, match=r"expected t10k-images-idx3-ubyte\.gz beside"):
        fc.load_fashion_mnist(copy)


def test_incomplete_sums(copy):
    (copy / "SHA256SUMS").write_text("")
    with pytest.raises(fc.DatasetError, match=r"sha256sum \*.gz > SHA256SUMS"):
        fc.load_fashion_mnist(copy)


def idx(array, *, type_code=0x08, ndim=None, shape=None):
    shape = array.shape if shape is None else shape
    header = struct.pack(">BBBB", 0, 0, type_code, len(shape) if ndim is None else ndim)
    return header + struct.pack(f">{len(shape)}I", *shape) + array.astype(np.uint8).tobytes()


IMAGES, LABELS = np.zeros((3, 28, 28)), np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (TRAIN_IMAGES, b"<html>", "not an intact gzip file"),
        (TRAIN_IMAGES, b"", "IDX header"),
        (TRAIN_IMAGES, gzip.compress(idx(IMAGES))[:-4], "not an intact gzip file"),
        (TRAIN_IMAGES, gzip.compress(b""), "IDX header"),
        (TRAIN_IMAGES, gzip.compress(idx(LABELS)), "IDX header of 3 dimensions"),
        (TRAIN_IMAGES, gzip.compress(idx(IMAGES, type_code=0x0D)), "IDX header of 3 dimensions"),
        (
            TRAIN_IMAGES,
            gzip.compress(idx(IMAGES, shape=(3, 28, 29))),
            "images of 28×28 .* got .3, 28, 29.",
        ),
        (TRAIN_IMAGES, gzip.compress(idx(IMAGES) + b"\0"), "expected 2,352 bytes"),
        (TRAIN_IMAGES, gzip.compress(idx(np.zeros((3, 14, 56)))), "28×28"),
        (TRAIN_LABELS, gzip.compress(idx(IMAGES)), "IDX header of 1 dimensions"),
        (TRAIN_LABELS, gzip.compress(idx(np.arange(4))), "3 images in .* 4 labels"),
        (TRAIN_LABELS, gzip.compress(idx(np.array([0, 1, 10]))), "from 0 to 9"),
    ],
    ids=lambda value: "bytes" if isinstance(value, bytes) else None,
)
def test_malformed_files(copy, name, content, message):
    (copy / TRAIN_IMAGES).write_bytes(gzip.compress(idx(IMAGES)))
    (copy / TRAIN_LABELS).write_bytes(gzip.compress(idx(LABELS)))
    (copy / name).write_bytes(content)
    write_sums(copy)
    with pytest.raises(fc.DatasetError, match=message):
        fc.load_fashion_mnist(copy)


def test_empty_set(copy):
    (copy / TRAIN_IMAGES).write_bytes(gzip.compress(idx(IMAGES[:0])))
    (copy / TRAIN_LABELS).write_bytes(gzip.compress(idx(LABELS[:0])))
    write_sums(copy)
    with pytest.raises(fc.DatasetError, match="at least one image"):
        fc.load_fashion_mnist(copy)


# The stand-in data


def test_make_tiny_draws_what_is_committed():
    drawn = runpy.run_path(str(ROOT / "data" / "make_tiny.py"))["draw_tiny"]()
    for name, array in zip(FASHION_MNIST_SHA256, drawn, strict=True):
        content = gzip.decompress((TINY_DIR / name).read_bytes())
        header_size = 4 + 4 * array.ndim
        committed = np.frombuffer(content, np.uint8, offset=header_size).reshape(array.shape)
        np.testing.assert_array_equal(array, committed)


def test_tiny_is_small_balanced_and_not_the_real_data():
    assert sum(path.stat().st_size for path in TINY_DIR.iterdir()) < 400_000
    data = fc.load_fashion_mnist(TINY_DIR)
    labels = np.concatenate([data.train.labels, data.validation.labels])
    np.testing.assert_array_equal(np.bincount(labels), np.full(10, 100))
    np.testing.assert_array_equal(np.bincount(data.test.labels), np.full(10, 20))
    assert not data.source.is_fashion_mnist
