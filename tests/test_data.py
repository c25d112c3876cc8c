import gzip
import hashlib
import runpy
import shutil
import struct
import tracemalloc
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TINY_DIR
from sklearn.model_selection import train_test_split

import fashion_cnn as fc
from fashion_cnn import data as data_module
from fashion_cnn.data import DATA_DIR_VARIABLE, FILES

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES


@pytest.fixture
def copy(tmp_path):
    """A copy of the stand-in data, with its sums, that a test may spoil."""
    return Path(shutil.copytree(TINY_DIR, tmp_path / "copy"))


@pytest.fixture
def bare(copy, tiny_is_real):
    """A copy of the stand-in data in the place of Fashion-MNIST: without sums of its own."""
    (copy / "SHA256SUMS").unlink()
    return copy


def write_sums(directory, encoding="utf-8", line="{}  {}\n"):
    lines = [
        line.format(hashlib.sha256((directory / name).read_bytes()).hexdigest(), name)
        for name in FILES
    ]
    (directory / "SHA256SUMS").write_text("".join(lines), encoding)


def idx(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def assert_same(data, expected):
    for split, other in zip(data[:3], expected[:3], strict=True):
        np.testing.assert_array_equal(split.images, other.images)
        np.testing.assert_array_equal(split.labels, other.labels)


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


def load_like_the_book(directory, tmp_path, monkeypatch):
    """Load with keras.datasets and split as the book does."""
    import keras

    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "fashion-mnist").symlink_to(directory)
    monkeypatch.setattr(keras.src.utils.file_utils.config, "keras_home", lambda: str(tmp_path))
    (images, labels), (test_images, test_labels) = keras.datasets.fashion_mnist.load_data()
    images = images.reshape(-1, 28, 28, 1) / 255.0
    train, validation, train_labels, validation_labels = train_test_split(
        images, labels, test_size=0.2, random_state=42
    )
    pairs = (
        (train, train_labels),
        (validation, validation_labels),
        (test_images.reshape(-1, 28, 28, 1) / 255.0, test_labels),
    )
    return [fc.Split(images.astype(np.float32), labels) for images, labels in pairs]


def test_same_as_keras_and_scikit_learn(tiny, tmp_path, monkeypatch):
    assert_same(tiny, load_like_the_book(TINY_DIR, tmp_path, monkeypatch))


@pytest.mark.real_data
def test_real_data_same_as_keras_and_scikit_learn(real, real_dir, tmp_path, monkeypatch):
    assert_same(real, load_like_the_book(real_dir, tmp_path, monkeypatch))
    assert [len(split.labels) for split in real[:3]] == [48_000, 12_000, 10_000]
    assert fc.CLASS_NAMES[real.validation.labels[0]] == "Bag"
    np.testing.assert_array_equal(np.bincount(real.test.labels), np.full(10, 1_000))
    assert real.source.is_fashion_mnist


@pytest.mark.real_data
def test_real_data_unpacked_is_fashion_mnist(real, real_dir, tmp_path):
    for name in FILES:
        content = gzip.decompress((real_dir / name).read_bytes())
        (tmp_path / name).with_suffix("").write_bytes(content)
    data = fc.load_fashion_mnist(tmp_path)
    assert_same(data, real)
    assert data.source.is_fashion_mnist


def test_other_split():
    data = fc.load_fashion_mnist(TINY_DIR, validation_fraction=0.1, seed=7)
    labels = np.frombuffer(gzip.decompress((TINY_DIR / TRAIN_LABELS).read_bytes())[8:], np.uint8)
    train_labels, validation_labels = train_test_split(labels, test_size=0.1, random_state=7)
    np.testing.assert_array_equal(data.train.labels, train_labels)
    np.testing.assert_array_equal(data.validation.labels, validation_labels)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 20])
def test_validation_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match="validation_fraction between 0 and 1"):
        fc.load_fashion_mnist(TINY_DIR, validation_fraction=fraction)


# Where it is looked for, and in which form


def test_data_dir_then_variable_then_cache(bare, keras_cache, monkeypatch):
    shutil.copytree(bare, keras_cache)
    assert fc.load_fashion_mnist().source.directory == keras_cache
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(bare))
    assert fc.load_fashion_mnist().source.directory == bare
    assert fc.load_fashion_mnist(TINY_DIR).source.directory == TINY_DIR


def test_unpacked_and_packed_again_files_are_used_as_they_are(bare, tiny, monkeypatch):
    """Kaggle, torchvision and Safari leave them so; some leave the packed ones beside them."""
    names = [name.removesuffix(".gz") for name in FILES]
    content = {name: gzip.decompress((bare / f"{name}.gz").read_bytes()) for name in names}
    # The sums of the unpacked files are published, too.
    lines = [f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in names]
    sums = bare.parent / "sums"
    sums.write_text((TINY_DIR / "SHA256SUMS").read_text() + "".join(lines))
    monkeypatch.setattr(data_module, "PUBLISHED_SUMS", sums)
    for name in (names[0], names[3]):
        (bare / name).write_bytes(content[name])
    (bare / TRAIN_IMAGES).unlink()
    (bare / TEST_LABELS).write_bytes(b"cut short")
    (bare / TEST_IMAGES).write_bytes(gzip.compress(content[names[2]], 1))  # other bytes
    data = fc.load_fashion_mnist(bare)
    assert_same(data, tiny)
    assert data.source.is_fashion_mnist
    used = names[0], TRAIN_LABELS, TEST_IMAGES, names[3]
    assert data.source.files == tuple(bare / name for name in used)


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("utf-8-sig", "{} *{}\r\n"),
        ("utf-16", "{}  {}\r\n"),
        ("utf-8", "{}  .\\{}\n"),
        ("utf-8", "{}  ./{}\n"),
    ],
)
def test_sums_as_windows_tools_write_them(copy, encoding, line):
    write_sums(copy, encoding, line)
    assert not fc.load_fashion_mnist(copy).source.is_fashion_mnist


# What is refused: each is one DatasetError


def test_a_mistyped_directory_is_named_and_not_made(tmp_path, monkeypatch):
    mistyped = tmp_path / "fashoin-mnist"
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(mistyped))
    for arguments in ({"data_dir": mistyped}, {"data_dir": mistyped, "fallback": TINY_DIR}, {}):
        with pytest.raises(fc.DatasetError, match=r"fashoin-mnist, found none\. Check its spel"):
            fc.load_fashion_mnist(**arguments)
        assert not mistyped.exists()


SPOIL = {
    "damage": lambda path, other: path.write_bytes(path.read_bytes()[:-1]),
    "swap": lambda path, other: path.write_bytes(other.read_bytes()),
    "bomb": lambda path, other: path.write_bytes(gzip.compress(bytes(200_000_000), 1)),
    "remove": lambda path, other: path.unlink(),
}


@pytest.mark.parametrize("spoil", ["damage", "swap", "bomb"])
def test_files_that_are_not_fashion_mnist(bare, spoil):
    SPOIL[spoil](bare / TRAIN_IMAGES, bare / TEST_IMAGES)
    before = (bare / TRAIN_IMAGES).read_bytes()
    tracemalloc.start()
    message = (
        r"no intact train-images.*damaged, cut short.*MNIST digits.*Copy it again, or delete it"
    )
    for fallback in (None, TINY_DIR):  # which is not for damaged data
        with pytest.raises(fc.DatasetError, match=message):
            fc.load_fashion_mnist(bare, fallback=fallback)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150_000_000  # bytes: a bomb is not unpacked whole
    assert (bare / TRAIN_IMAGES).read_bytes() == before


@pytest.mark.parametrize("spoil", ["damage", "swap", "remove"])
def test_files_that_do_not_match_their_own_sums(copy, spoil):
    SPOIL[spoil](copy / TRAIN_LABELS, copy / TEST_LABELS)
    with pytest.raises(fc.DatasetError, match=r"no intact train-labels.*sha256sum \*ubyte\* > SHA"):
        fc.load_fashion_mnist(copy)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (TRAIN_IMAGES, b"<html>"),
        (TRAIN_IMAGES, gzip.compress(b"")),
        (TRAIN_IMAGES, (TINY_DIR / TRAIN_IMAGES).read_bytes()[:-9]),
        (TRAIN_IMAGES, gzip.compress(idx(np.zeros((1_000, 28, 27))))),
        (TRAIN_LABELS, gzip.compress(idx(np.zeros(999)))),
    ],
    ids=["no gzip", "empty", "cut short", "another shape", "another number"],
)
def test_files_of_another_kind_whose_sums_are_right(copy, name, content):
    (copy / name).write_bytes(content)
    write_sums(copy)
    with pytest.raises(fc.DatasetError, match="expected IDX files of 28×28 images and as many"):
        fc.load_fashion_mnist(copy)


@pytest.mark.parametrize("reason", ["a file in its place", "read-only"])
def test_a_cache_that_cannot_be_written_is_named(tmp_path, keras_cache, mirrors, reason):
    mirrors()  # nothing is asked of them
    if reason == "read-only" and Path("/proc/self").exists():  # which not even root may write to
        keras_cache.parent.mkdir(parents=True)
        keras_cache.symlink_to("/proc/self")
    else:
        (tmp_path / "keras").write_text("")
    message = f"^Fashion-MNIST cannot be saved in .*fashion-mnist .*set {DATA_DIR_VARIABLE} to .*$"
    with pytest.raises(fc.DatasetError, match=message):
        fc.load_fashion_mnist()


def test_a_korean_directory_as_macos_spells_it(tmp_path):
    directory = tmp_path / unicodedata.normalize("NFD", "옷") / "자료"
    shutil.copytree(TINY_DIR, directory)
    for typed in ("옷/자료", unicodedata.normalize("NFD", "옷/자료")):
        assert fc.load_fashion_mnist(tmp_path / typed).source.directory.samefile(directory)


def test_data_of_ones_own_may_be_larger_than_fashion_mnist(tiny, monkeypatch):
    monkeypatch.setattr(data_module, "MAX_UNPACKED", 1_000)
    assert_same(fc.load_fashion_mnist(TINY_DIR), tiny)


# Downloads, from a server on this machine


def test_offline_without_data_lists_places_failures_and_ways_out(keras_cache):
    with pytest.raises(fc.DatasetError) as error:
        fc.load_fashion_mnist()
    for part in (str(keras_cache), *data_module.MIRRORS, *FILES, DATA_DIR_VARIABLE, "data/tiny"):
        assert part in str(error.value)


def test_fallback_is_loud(keras_cache, tmp_path):
    with pytest.warns(UserWarning, match="Continuing with stand-in data") as warnings:
        data = fc.load_fashion_mnist(fallback=TINY_DIR)
    assert warnings[0].filename == __file__
    assert not data.source.is_fashion_mnist
    assert "mean nothing" in str(data.source)
    assert data.source.directory == TINY_DIR
    with pytest.raises(fc.DatasetError, match=r"(?s)cannot be downloaded.*Put the four"):
        fc.load_fashion_mnist(fallback=tmp_path / "missing")  # a notebook that went alone
    assert not (tmp_path / "missing").exists()


def test_download_into_the_cache_then_no_more(keras_cache, tiny_is_real, serve, mirrors, capfd):
    url, requests = serve(TINY_DIR)
    mirrors(url)
    data = fc.load_fashion_mnist()
    assert data.source == (keras_cache, True, tuple(keras_cache / name for name in FILES))
    assert "100%" in capfd.readouterr().err  # the progress bar
    assert sorted(path for path, _ in requests) == sorted(f"/{name}" for name in FILES)
    assert sorted(path.name for path in keras_cache.iterdir()) == sorted(FILES)
    fc.load_fashion_mnist()
    assert len(requests) == 4


def test_next_mirror_where_one_fails(keras_cache, tiny_is_real, serve, mirrors, tmp_path):
    places = [tmp_path / "empty", tmp_path / "portal", tmp_path / "cut"]
    for place in places:
        place.mkdir()
    for name in FILES:
        (tmp_path / "portal" / name).write_text("<html>Please sign in</html>")
        (tmp_path / "cut" / name).write_bytes((TINY_DIR / name).read_bytes()[:-1])
    mirrors(*(serve(place)[0] for place in [*places, TINY_DIR]))
    assert fc.load_fashion_mnist().train.labels.size == 800
    assert sorted(path.name for path in keras_cache.iterdir()) == sorted(FILES)


def test_only_in_the_cache_a_damaged_file_is_replaced(bare, keras_cache, serve, mirrors):
    shutil.copytree(bare, keras_cache)
    (keras_cache / TEST_LABELS).write_bytes(b"damaged")
    mirrors()  # while no mirror answers, it is kept
    with pytest.raises(fc.DatasetError, match="cannot be downloaded"):
        fc.load_fashion_mnist()
    assert (keras_cache / TEST_LABELS).read_bytes() == b"damaged"
    url, requests = serve(TINY_DIR)
    mirrors(url)
    fc.load_fashion_mnist()
    assert (keras_cache / TEST_LABELS).read_bytes() == (TINY_DIR / TEST_LABELS).read_bytes()
    assert [path for path, _ in requests] == [f"/{TEST_LABELS}"]


# The stand-in data


def test_make_tiny_draws_what_is_committed():
    drawn = runpy.run_path(str(ROOT / "data" / "make_tiny.py"))["draw_tiny"]()
    for name, array in zip(FILES, drawn, strict=True):
        assert gzip.decompress((TINY_DIR / name).read_bytes()) == idx(array)
