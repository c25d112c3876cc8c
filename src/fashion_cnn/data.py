"""Find or download, verify, parse, scale and split Fashion-MNIST (without TensorFlow)."""

import gzip
import hashlib
import math
import os
import re
import threading
import time
import warnings
import zlib
from collections.abc import Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fashion_cnn.images import CLASS_NAMES, IMAGE_SHAPE, Split
from fashion_cnn.language import gettext as _

DATA_DIR_VARIABLE = "FASHION_CNN_DATA_DIR"
# The image and the label file of each part (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747).
TRAIN_FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
TEST_FILES = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
FASHION_MNIST_SHA256 = {
    TRAIN_FILES[0]: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    TRAIN_FILES[1]: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    TEST_FILES[0]: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    TEST_FILES[1]: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
FASHION_MNIST_BYTES = dict(
    zip(FASHION_MNIST_SHA256, (26_421_880, 29_515, 4_422_102, 5_148), strict=True)
)
# The handwritten digits' files have the same names, and people get them by mistake.
MNIST_DIGITS_MD5 = {
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
}
SUMS_FILE = "SHA256SUMS"  # a directory with one holds a data set of the user's own
MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
DOWNLOAD_TIMEOUT = (5, 30)  # seconds to connect, seconds without a byte
SLOWEST_DOWNLOAD = 50_000  # bytes a second, on average, once PATIENCE is over
PATIENCE = 30  # seconds

# An IDX header: two zero bytes, the element type, the number of dimensions, then each dimension.
IDX_UNSIGNED_BYTE = 0x08
MOST_EXPANSION = 1_032  # unpacked bytes for one packed byte: gzip's limit
MOST_ITEMS = 1_000_000  # images in a file, or labels; they unpack to 784 MB
MOST_SUMS = 100_000  # bytes of a SHA256SUMS file


class DatasetError(Exception):
    """The data set cannot be found, downloaded, verified or read; the message says what to do."""


class NotAvailableError(DatasetError):
    """The data set is not on this machine and cannot be downloaded; a fallback may be used."""

    @property
    def summary(self) -> str:
        """What is missing, without the attempts to download it and the fixes in Python."""
        return " ".join(str(self).splitlines()[:2])


class Source(NamedTuple):
    """Where a data set came from: the directory, and whether it is Fashion-MNIST, byte for byte.

    If it is not, it is stand-in data that matched the ``SHA256SUMS`` beside it, and results from it
    mean nothing.
    """

    directory: Path
    is_fashion_mnist: bool

    def __str__(self) -> str:
        """Return one line for a person."""
        if self.is_fashion_mnist:
            text = _("Fashion-MNIST (SHA-256 verified) in {directory}")
        else:
            text = _("stand-in data in {directory}, not Fashion-MNIST: its results mean nothing")
        return text.format(directory=_shown(self.directory))


class FashionMNIST(NamedTuple):
    """The three splits of a data set, and where they came from."""

    train: Split
    validation: Split
    test: Split
    source: Source

    def __repr__(self) -> str:
        """Return one line with the sizes, not the pixels."""
        sizes = (f"{name}: {len(getattr(self, name).labels):,}" for name in self._fields[:3])
        return f"FashionMNIST({', '.join(sizes)} images; {self.source})"


def load_fashion_mnist(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    fallback: str | os.PathLike[str] | None = None,
    validation_fraction: float = 0.2,
    seed: int = 42,
) -> FashionMNIST:
    """Load Fashion-MNIST, verified, scaled to [0, 1] and split as the book splits it.

    The four files are looked for in one directory: `data_dir`, else ``$FASHION_CNN_DATA_DIR``, else
    Keras's cache (``~/.keras/datasets/fashion-mnist``). Missing files are downloaded to it. Each
    must match Fashion-MNIST's SHA-256 or the sum in a ``SHA256SUMS`` file beside it.

    Parameters
    ----------
    data_dir : path, optional
        The directory with the four ``.gz`` files. It must exist.
    fallback : path, optional
        A directory to use, with a warning, if the data is not there and cannot be downloaded.
    validation_fraction : float
        The fraction of the 60,000 training images that is held out for validation, in (0, 1).
    seed : int
        Seed of the split. With the defaults, the first validation image is a bag.

    Returns
    -------
    FashionMNIST
        ``train`` (48,000 images), ``validation`` (12,000) and ``test`` (10,000), each a `Split`
        of float32 images (n, 28, 28, 1) in [0, 1] and int64 labels (n,); and ``source``.

    Raises
    ------
    DatasetError
        If the data set cannot be found, downloaded, verified or read.
    ValueError
        If `validation_fraction` is not between 0 and 1.

    Examples
    --------
    >>> load_fashion_mnist("data/tiny")  # the drawn stand-in of the repository
    FashionMNIST(train: 800, validation: 200, test: 200 images; stand-in data in ...)
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(
            "expected validation_fraction between 0 and 1 (0.2 holds out a fifth), "
            f"got {validation_fraction!r}"
        )
    try:
        source = data_source(data_dir, download=True)
    except NotAvailableError as error:
        if fallback is None:
            raise
        if not all((_absolute(fallback) / name).is_file() for name in FASHION_MNIST_SHA256):
            raise DatasetError(
                f"{error}\nThe fallback {_shown(_absolute(fallback))} lacks the four files, too."
            ) from error
        source = data_source(fallback)
        warnings.warn(
            _("Continuing with {source}.\nReason: {reason}").format(source=source, reason=error),
            stacklevel=2,
        )

    images, labels = _read_part(source.directory, TRAIN_FILES)
    train, validation = _split_indices(len(labels), validation_fraction, seed)
    return FashionMNIST(
        train=_scaled(images[train], labels[train]),
        validation=_scaled(images[validation], labels[validation]),
        test=_scaled(*_read_part(source.directory, TEST_FILES)),
        source=source,
    )


def data_source(
    data_dir: str | os.PathLike[str] | None = None, *, download: bool = False
) -> Source:
    """Find and verify the data set without loading it; download missing files if asked to.

    A damaged file is downloaded again only in Keras's cache: elsewhere it belongs to the user.
    """
    directory, is_cache = data_directory(data_dir)
    if not is_cache and not directory.is_dir():
        message = _(
            "expected a directory at {directory}, found none. Check its spelling; to download the "
            "data set there, create it first"
        )
        raise DatasetError(message.format(directory=_shown(directory)))
    has_own_sums = (directory / SUMS_FILE).is_file()
    sums = _own_sums(directory) if has_own_sums else FASHION_MNIST_SHA256
    mirrors = list(MIRRORS)
    for name in FASHION_MNIST_SHA256:
        path = directory / name
        if path.exists():
            if not path.is_file():
                raise DatasetError(f"expected a regular file at {_shown(path)}, got something else")
            problem = _problem_with(path, sums[name])
            if problem is None:
                continue
            if has_own_sums:
                raise DatasetError(
                    f"{problem}. If you changed the file yourself, update the sums: "
                    f"sha256sum *.gz > {SUMS_FILE}"
                )
            if not is_cache:
                raise DatasetError(f"{problem}. Delete it and run again to download it")
            if not download:
                raise NotAvailableError(f"{problem}.")
            warnings.warn(f"{problem}. Downloading it again.", stacklevel=3)
        elif has_own_sums:
            raise DatasetError(
                f"expected {name} beside {_shown(directory / SUMS_FILE)}, found none"
            )
        if not download:
            lacks = _("{directory} has no {name}.")
            message = lacks if directory.exists() else _("{directory} does not exist.")
            raise NotAvailableError(message.format(directory=_shown(directory), name=name))
        _download(name, directory, mirrors)
    return Source(directory, is_fashion_mnist=sums == FASHION_MNIST_SHA256)


def data_directory(data_dir: str | os.PathLike[str] | None = None) -> tuple[Path, bool]:
    """Return the directory to look in, and whether it is Keras's cache."""
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if chosen:
        return _absolute(chosen), False
    keras_home = os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")
    if keras_home.startswith("~"):
        raise DatasetError(
            "expected a home directory, found none; set "
            f"{DATA_DIR_VARIABLE} to the directory of the data set"
        )
    return Path(os.path.abspath(keras_home)) / "datasets" / "fashion-mnist", True


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _own_sums(directory: Path) -> Mapping[str, str]:
    """Read a SHA256SUMS file: lines of a sum, a space, a space or asterisk, a name."""
    path = directory / SUMS_FILE
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MOST_SUMS)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{_shown(path)} cannot be read: {error}") from error
    lines = re.findall(r"^(\w{64})\s+\*?(\S+)\s*$", text, re.MULTILINE)
    sums = {name: sha256.lower() for sha256, name in lines}
    missing = [name for name in FASHION_MNIST_SHA256 if name not in sums]
    if missing:
        raise DatasetError(
            f"expected the sums of all four files in {_shown(path)}, found none for "
            f"{', '.join(missing)}. Write it with: sha256sum *.gz > {SUMS_FILE}"
        )
    return {name: sums[name] for name in FASHION_MNIST_SHA256}


def _problem_with(path: Path, sha256: str) -> str | None:
    """Say what is wrong with a file; return None if it is the expected one."""
    found = _digest(path, "sha256")
    if _digest(path, "md5") in MNIST_DIGITS_MD5:
        what = "a file of the handwritten digits (MNIST), not Fashion-MNIST"
    elif found == sha256:
        return None
    else:
        known = [name for name, known in FASHION_MNIST_SHA256.items() if found == known]
        what = (
            f"Fashion-MNIST's {known[0]} under another name"
            if known
            else "damaged, cut short or another file"
        )
    return (
        f"{_shown(path)} is {what}: expected SHA-256 {sha256}, "
        f"got {found} ({path.stat().st_size:,} bytes)"
    )


def _digest(path: Path, algorithm: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise DatasetError(f"{_shown(path)} cannot be read: {error}") from error


def _fetch(url: str, output_file: str, _pooch: object) -> None:
    """Download for pooch, with a progress bar, giving up on a mirror that trickles.

    Whatever trickles, headers or the file, the clock runs: it is received in a thread, which is
    left behind when the clock runs out.
    """
    import requests  # heavy, and rarely needed
    import urllib3
    from tqdm import tqdm

    name = url.rpartition("/")[2]
    size = FASHION_MNIST_BYTES[name]
    gave_up, result = threading.Event(), Future[None]()

    def receive() -> None:
        try:
            with (
                open(output_file, "wb") as file,
                # Of a redirect, requests would read the whole body; no mirror redirects.
                requests.get(
                    url, stream=True, timeout=DOWNLOAD_TIMEOUT, allow_redirects=False
                ) as response,
            ):
                response.raise_for_status()
                # read1 returns what has arrived, and the event is looked at after every packet.
                while not gave_up.is_set() and (chunk := response.raw.read1(2**16)):
                    bar.update(file.write(chunk))
                    if bar.n > size:
                        raise ValueError(f"expected {size:,} bytes, got more")
            result.set_result(None)
        except urllib3.exceptions.HTTPError as error:
            result.set_exception(requests.ConnectionError(error))  # pooch retries on this
        except Exception as error:
            result.set_exception(error)

    with tqdm(desc=name, total=size, unit="B", unit_scale=True) as bar:
        try:
            threading.Thread(target=receive, daemon=True).start()
            start = time.monotonic()
            while not wait([result], timeout=0.1).done:
                seconds = time.monotonic() - start
                if seconds > PATIENCE and bar.n < SLOWEST_DOWNLOAD * seconds:
                    raise TimeoutError(f"gave up after {seconds:.0f} s and {bar.n:,} bytes")
            result.result()
        finally:
            gave_up.set()


def _download(name: str, directory: Path, mirrors: list[str]) -> None:
    """Download one file from the first mirror that has it intact; pooch replaces it atomically.

    A mirror that fails moves to the end of the list for the remaining files.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's, about notebook widgets, which are not used here
        import pooch  # heavy, and rarely needed

    lacks = _("Looked in {directory}, which has no intact {name}.")
    looked = lacks if directory.exists() else _("Looked in {directory}, which did not exist.")
    failures = []
    for mirror in tuple(mirrors):
        registry = {name: f"sha256:{FASHION_MNIST_SHA256[name]}"}
        remote = pooch.create(directory, base_url=mirror, registry=registry, retry_if_failed=1)
        try:
            remote.fetch(name, downloader=_fetch)
            return
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            failures.append(f"{mirror}{name}: {_first_line(error)}")
            mirrors.append(mirrors.pop(mirrors.index(mirror)))
    tried = "\n".join(f"  {failure}" for failure in failures)
    fixes = _(
        "Tried to download it:\n{tried}\n"
        "To fix this, do one of the following:\n"
        "  1. put the four files ({names}) into that directory;\n"
        "  2. set {variable} to a directory that holds them;\n"
        "  3. use the drawn stand-in set in a clone of the repository: "
        "load_fashion_mnist(fallback='path/to/fashion-cnn/data/tiny')."
    ).format(tried=tried, names=", ".join(FASHION_MNIST_SHA256), variable=DATA_DIR_VARIABLE)
    raise NotAvailableError(
        _("Fashion-MNIST is not complete on this machine and cannot be downloaded.")
        + "\n"
        + looked.format(directory=_shown(directory), name=name)
        + f"\n{fixes}"
    )


def _read_part(
    directory: Path, names: tuple[str, str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read an image file (n, 28, 28) and its label file (n,), and check that they match."""
    image_path, label_path = (directory / name for name in names)
    images = _read_idx(image_path, IMAGE_SHAPE)
    labels = _read_idx(label_path, ())
    if len(images) != len(labels):
        raise DatasetError(
            f"expected one label for each image, got {len(images):,} images in "
            f"{_shown(image_path)} and {len(labels):,} labels in {_shown(label_path)}"
        )
    if labels.size == 0:
        raise DatasetError(f"expected at least one image in {_shown(image_path)}, got none")
    if labels.max() >= len(CLASS_NAMES):
        raise DatasetError(
            f"expected labels from 0 to {len(CLASS_NAMES) - 1} in {_shown(label_path)}, "
            f"got {labels.max()}"
        )
    return images, labels


def _read_idx(path: Path, item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes, whose items have this shape.

    Unpack at most one byte more than the header promises, to check that there is none.
    """
    ndim = 1 + len(item_shape)
    magic = bytes([0, 0, IDX_UNSIGNED_BYTE, ndim])
    try:
        with gzip.open(path) as file:
            header = file.read(4 + 4 * ndim)
            if not header.startswith(magic) or len(header) < 4 + 4 * ndim:
                raise DatasetError(
                    f"expected {_shown(path)} to begin with an IDX header of {ndim} dimensions of "
                    f"unsigned bytes (0x{magic.hex()}), got 0x{header[:4].hex()}"
                )
            shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
            if shape[1:] != item_shape or shape[0] > MOST_ITEMS:
                what = "images of 28×28" if item_shape else "labels"
                raise DatasetError(
                    f"expected at most {MOST_ITEMS:,} {what} in {_shown(path)}, got {shape}"
                )
            size = math.prod(shape)
            if size > MOST_EXPANSION * path.stat().st_size:
                raise DatasetError(
                    f"expected {_shown(path)} to hold what its header promises, {shape}, "
                    f"got a file of only {path.stat().st_size:,} bytes"
                )
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{_shown(path)} is not an intact gzip file: {_first_line(error)}. "
            "Delete it and fetch it again"
        ) from error
    if len(content) != size:
        got = "more" if len(content) > size else f"{len(content):,}"
        raise DatasetError(
            f"expected {size:,} bytes after the header of {_shown(path)} (its dimensions are "
            f"{shape}), got {got}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _split_indices(
    n: int, validation_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split like scikit-learn's ``train_test_split``, which takes over a second to import."""
    n_validation = math.ceil(validation_fraction * n)
    if n_validation == n:
        raise ValueError(
            f"expected a validation_fraction that leaves images to train on, "
            f"got {validation_fraction!r} of {n} images"
        )
    order = np.random.RandomState(seed).permutation(n)
    return order[n_validation:], order[:n_validation]


def _scaled(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Split:
    # dtype= makes NumPy divide in float32: no array of the set's size ever exists in float64.
    scaled = np.divide(images, 255, dtype=np.float32)[..., np.newaxis]
    return Split(scaled, labels.astype(np.int64))


def _shown(path: Path) -> str:
    """Return a path as a person writes it, with ``~`` for the home directory."""
    home = Path(os.path.expanduser("~"))  # as it is, if there is none
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
