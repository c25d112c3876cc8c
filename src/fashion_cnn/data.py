"""Find or download, verify, parse, scale and split Fashion-MNIST (without TensorFlow)."""

import gzip
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch
from numpy.typing import NDArray

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
IMAGE_SHAPE = (28, 28)
DATA_DIR_VARIABLE = "FASHION_CNN_DATA_DIR"

# The image and the label file of each part (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747).
TRAIN_FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
TEST_FILES = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    ),
    "train-labels-idx1-ubyte.gz": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
    ),
}
MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
DOWNLOAD_TIMEOUT = (5, 30)  # seconds to connect, seconds without a byte

# An IDX header: two zero bytes, the element type, the number of dimensions, then each dimension.
IDX_UNSIGNED_BYTE = 0x08


class DatasetError(Exception):
    """The data set cannot be found, downloaded, verified or read; the message says what to do."""


class _NotAvailableError(DatasetError):
    """The data set is neither on disk nor to be had by download: the case for a fallback."""


class Split(NamedTuple):
    """Images and their labels; a tuple, so that ``model.fit(*split)`` works.

    Attributes
    ----------
    images : ndarray of float32, shape (n, 28, 28, 1)
        Grey values in [0, 1]; 0 is the black background.
    labels : ndarray of int64, shape (n,)
        Index into ``CLASS_NAMES``, 0 to 9.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


class Source(NamedTuple):
    """Where a data set came from.

    Attributes
    ----------
    directory : Path
        The directory that holds the four files.
    is_fashion_mnist : bool
        Whether the files are Fashion-MNIST, byte for byte. If not, they are stand-in data that
        matched the ``SHA256SUMS`` beside them, and figures from them mean nothing.
    """

    directory: Path
    is_fashion_mnist: bool

    def __str__(self) -> str:
        """Return one line for a person."""
        if self.is_fashion_mnist:
            return f"Fashion-MNIST (SHA-256 verified) in {_shown(self.directory)}"
        return (
            f"stand-in data in {_shown(self.directory)}, not Fashion-MNIST: "
            "figures from it mean nothing"
        )


class FashionMNIST(NamedTuple):
    """The three splits of a data set and where they came from."""

    train: Split
    validation: Split
    test: Split
    source: Source


def load_fashion_mnist(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    fallback: str | os.PathLike[str] | None = None,
    validation_fraction: float = 0.2,
    seed: int = 42,
) -> FashionMNIST:
    """Load Fashion-MNIST, verified, scaled to [0, 1] and split as the book splits it.

    The four files are looked for in one directory: `data_dir`, else the environment variable
    ``FASHION_CNN_DATA_DIR``, else the cache that `keras.datasets` uses as well
    (``$KERAS_HOME`` or ``~/.keras``, then ``datasets/fashion-mnist``). Files that are missing
    there are downloaded into it. Every file must match Fashion-MNIST's SHA-256 or, in a
    directory with a ``SHA256SUMS`` file of its own, the sum listed there.

    Parameters
    ----------
    data_dir : path, optional
        The directory with the four ``.gz`` files.
    fallback : path, optional
        A directory to use, with a warning, if the data is neither there nor to be downloaded.
        Damaged or foreign files are an error all the same.
    validation_fraction : float
        The part of the 60,000 training images that is held out for validation, in (0, 1).
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
    >>> data = load_fashion_mnist()                          # doctest: +SKIP
    >>> CLASS_NAMES[data.validation.labels[0]]               # doctest: +SKIP
    'Bag'
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(
            "expected validation_fraction between 0 and 1 (0.2 holds out a fifth), "
            f"got {validation_fraction!r}"
        )
    directory, is_cache = _data_directory(data_dir)
    try:
        source = _verify_or_download(directory, is_cache)
    except _NotAvailableError as error:
        if fallback is None:
            raise
        source = _verify_or_download(Path(fallback).expanduser().absolute(), is_cache=False)
        warnings.warn(f"{error}\nGoing on with {source}.", stacklevel=2)

    from sklearn.model_selection import train_test_split  # takes a second to import

    images, labels = _read_part(source.directory, TRAIN_FILES)
    train_images, validation_images, train_labels, validation_labels = train_test_split(
        images, labels, test_size=validation_fraction, random_state=seed
    )
    return FashionMNIST(
        train=_scaled(train_images, train_labels),
        validation=_scaled(validation_images, validation_labels),
        test=_scaled(*_read_part(source.directory, TEST_FILES)),
        source=source,
    )


def _data_directory(data_dir: str | os.PathLike[str] | None) -> tuple[Path, bool]:
    """Return the directory to look in, and whether it is Keras's cache."""
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute(), False
    keras_home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return keras_home.absolute() / "datasets" / "fashion-mnist", True


def _verify_or_download(directory: Path, is_cache: bool) -> Source:
    """Check the four files of `directory`, fetching those that are missing.

    A damaged file is fetched again only in the cache: elsewhere it is the user's own.
    """
    has_own_sums = (directory / "SHA256SUMS").is_file()
    sums = _own_sums(directory) if has_own_sums else FASHION_MNIST_SHA256
    for name in FASHION_MNIST_SHA256:
        path = directory / name
        if path.exists():
            found = _sha256(path)
            if found == sums[name]:
                continue
            problem = (
                f"{_shown(path)} is damaged or another file: expected SHA-256 {sums[name]}, "
                f"got {found} ({path.stat().st_size:,} bytes)"
            )
            if has_own_sums:
                raise DatasetError(
                    f"{problem}. If you changed the file yourself, write the sums anew: "
                    "sha256sum *.gz > SHA256SUMS"
                )
            if not is_cache:
                raise DatasetError(
                    f"{problem}. It may have been cut short: delete it and run again to download it"
                )
            warnings.warn(f"{problem}. Downloading it again.", stacklevel=3)
        elif has_own_sums:
            raise DatasetError(
                f"expected {name} beside {_shown(directory / 'SHA256SUMS')}, found no such file"
            )
        _download(name, directory)
    return Source(directory, is_fashion_mnist=sums == FASHION_MNIST_SHA256)


def _own_sums(directory: Path) -> Mapping[str, str]:
    """Read a SHA256SUMS file: lines of a sum, a space, a space or asterisk, a name."""
    path = directory / "SHA256SUMS"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{_shown(path)} cannot be read: {error}") from error
    pairs = (line.split(maxsplit=1) for line in lines if len(line.split(maxsplit=1)) == 2)
    sums = {name.removeprefix("*"): sha256.lower() for sha256, name in pairs}
    missing = [name for name in FASHION_MNIST_SHA256 if name not in sums]
    if missing:
        raise DatasetError(
            f"expected the sums of all four files in {_shown(path)}, found none for "
            f"{', '.join(missing)}. Write it with: sha256sum *.gz > SHA256SUMS"
        )
    return {name: sums[name] for name in FASHION_MNIST_SHA256}


def _sha256(path: Path) -> str:
    try:
        return pooch.file_hash(str(path), alg="sha256")
    except OSError as error:
        raise DatasetError(f"{_shown(path)} cannot be read: {error}") from error


def _download(name: str, directory: Path) -> None:
    """Fetch one file from the first mirror that has it, whole; pooch replaces it atomically."""
    failures = []
    for mirror in MIRRORS:
        registry = {name: f"sha256:{FASHION_MNIST_SHA256[name]}"}
        remote = pooch.create(directory, base_url=mirror, registry=registry, retry_if_failed=1)
        downloader = pooch.HTTPDownloader(progressbar=True, timeout=DOWNLOAD_TIMEOUT)
        try:
            remote.fetch(name, downloader=downloader)
            return
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            failures.append(f"{mirror}{name}: {_first_line(error)}")
    tried = "\n".join(f"  {failure}" for failure in failures)
    raise _NotAvailableError(
        f"Fashion-MNIST is not complete on this machine and cannot be downloaded.\n"
        f"Looked in {_shown(directory)}, which lacks a sound {name}.\n"
        f"Tried to download it:\n{tried}\n"
        "Three ways out:\n"
        f"  1. put the four files ({', '.join(FASHION_MNIST_SHA256)}) into that directory;\n"
        f"  2. set {DATA_DIR_VARIABLE} to a directory that holds them;\n"
        "  3. use the drawn stand-in set of the repository: "
        "load_fashion_mnist(fallback='data/tiny')."
    )


def _read_part(
    directory: Path, names: tuple[str, str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read an image file (n, 28, 28) and its label file (n,), and check that they agree."""
    image_path, label_path = (directory / name for name in names)
    images = _read_idx(image_path, ndim=3)
    labels = _read_idx(label_path, ndim=1)
    if images.shape[1:] != IMAGE_SHAPE:
        raise DatasetError(
            f"expected images of 28×28 in {_shown(image_path)}, "
            f"got {images.shape[1]}×{images.shape[2]}"
        )
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


def _read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes with `ndim` dimensions."""
    try:
        with gzip.open(path) as file:
            content = np.frombuffer(file.read(), dtype=np.uint8)
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DatasetError(
            f"{_shown(path)} is not a sound gzip file: {_first_line(error)}. "
            "Delete it and fetch it again"
        ) from error
    magic = [0, 0, IDX_UNSIGNED_BYTE, ndim]
    header_size = len(magic) + 4 * ndim
    if content[:4].tolist() != magic or content.size < header_size:
        raise DatasetError(
            f"expected {_shown(path)} to begin with an IDX header of {ndim} dimensions of unsigned "
            f"bytes (0x{bytes(magic).hex()}), got 0x{content[:4].tobytes().hex()}"
        )
    shape = tuple(content[4:header_size].view(">u4").tolist())
    size = int(np.prod(shape, dtype=object))
    if content.size - header_size != size:
        raise DatasetError(
            f"expected {size:,} bytes after the header of {_shown(path)} (its dimensions are "
            f"{shape}), got {content.size - header_size:,}"
        )
    return content[header_size:].reshape(shape)


def _scaled(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Split:
    # dtype= makes NumPy divide in float32: nothing of the set's size exists in float64.
    scaled = np.divide(images, 255, dtype=np.float32)[..., np.newaxis]
    return Split(scaled, labels.astype(np.int64))


def _shown(path: Path) -> str:
    """Return a path as a person writes it, with ``~`` for the home directory."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
