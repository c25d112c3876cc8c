"""Find or download, verify, parse, scale and split Fashion-MNIST (without TensorFlow)."""

import gzip
import hashlib
import math
import os
import time
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
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
# The digits' files have the same names, and people get them by mistake.
MNIST_DIGITS_MD5 = {
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
}
MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
DOWNLOAD_TIMEOUT = (5, 30)  # seconds to connect, seconds without a byte
SLOWEST_DOWNLOAD = 50_000  # bytes a second, on average once PATIENCE is over
PATIENCE = 30  # seconds

# An IDX header: two zero bytes, the element type, the number of dimensions, then each dimension.
IDX_UNSIGNED_BYTE = 0x08
MOST_EXPANSION = 1_032  # gzip's limit, unpacked bytes for one packed


class DatasetError(Exception):
    """The data set cannot be found, downloaded, verified or read; the message says what to do."""


class NotAvailableError(DatasetError):
    """The data set is neither on disk nor to be had by download: the case for a fallback."""

    @property
    def summary(self) -> str:
        """What is missing, without what was tried and the ways out, which are Python."""
        return " ".join(str(self).splitlines()[:2])


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
        Damaged or foreign files outside the cache are an error all the same.
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
    except NotAvailableError as error:
        if fallback is None:
            raise
        fallback_directory = _absolute(fallback)
        if not all((fallback_directory / name).is_file() for name in FASHION_MNIST_SHA256):
            raise DatasetError(
                f"{error}\nThe fallback {_shown(fallback_directory)} lacks the four files, too."
            ) from error
        source = _verify_or_download(fallback_directory, is_cache=False)
        warnings.warn(f"Going on with {source}.\nThe reason: {error}", stacklevel=2)

    images, labels = _read_part(source.directory, TRAIN_FILES)
    train, validation = _split_indices(len(labels), validation_fraction, seed)
    return FashionMNIST(
        train=_scaled(images[train], labels[train]),
        validation=_scaled(images[validation], labels[validation]),
        test=_scaled(*_read_part(source.directory, TEST_FILES)),
        source=source,
    )


def data_source(data_dir: str | os.PathLike[str] | None = None, *, fetch: bool = False) -> Source:
    """Find the data set and verify it, without reading it.

    Parameters
    ----------
    data_dir : path, optional
        As for `load_fashion_mnist`.
    fetch : bool
        Whether to download what is missing.

    Returns
    -------
    Source
        Where it is, and whether it is Fashion-MNIST.

    Raises
    ------
    DatasetError
        If a file is missing, damaged or foreign and was not to be fetched or could not be.
    """
    return _verify_or_download(*_data_directory(data_dir), download=fetch)


def _data_directory(data_dir: str | os.PathLike[str] | None) -> tuple[Path, bool]:
    """Return the directory to look in, and whether it is Keras's cache."""
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if chosen:
        return _absolute(chosen), False
    keras_home = _absolute(os.environ.get("KERAS_HOME") or "~/.keras")
    return keras_home / "datasets" / "fashion-mnist", True


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))


def _verify_or_download(directory: Path, is_cache: bool, *, download: bool = True) -> Source:
    """Check the four files of `directory`, fetching those that are missing, if asked to.

    A damaged file is fetched again only in the cache: elsewhere it is the user's own.
    """
    has_own_sums = (directory / "SHA256SUMS").is_file()
    sums = _own_sums(directory) if has_own_sums else FASHION_MNIST_SHA256
    mirrors = list(MIRRORS)
    for name in FASHION_MNIST_SHA256:
        path = directory / name
        if path.exists():
            found = _digest(path, "sha256")
            if found == sums[name]:
                if _is_digits(path):
                    raise DatasetError(
                        f"{_shown(path)} is of the handwritten digits (MNIST), not Fashion-MNIST. "
                        "Put Fashion-MNIST's file there"
                    )
                continue
            problem = (
                f"{_shown(path)} is {_what_else(path, found)}: expected SHA-256 {sums[name]}, "
                f"got {found} ({path.stat().st_size:,} bytes)"
            )
            if has_own_sums:
                raise DatasetError(
                    f"{problem}. If you changed the file yourself, write the sums anew: "
                    "sha256sum *.gz > SHA256SUMS"
                )
            if not is_cache:
                raise DatasetError(f"{problem}. Delete it and run again to download it")
            if not download:
                raise NotAvailableError(f"{problem}.")
            warnings.warn(f"{problem}. Downloading it again.", stacklevel=3)
        elif has_own_sums:
            raise DatasetError(
                f"expected {name} beside {_shown(directory / 'SHA256SUMS')}, found no such file"
            )
        if not download:
            lack = f"has no {name}" if directory.exists() else "does not exist"
            raise NotAvailableError(f"{_shown(directory)} {lack}.")
        _download(name, directory, mirrors)
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


def _digest(path: Path, algorithm: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise DatasetError(f"{_shown(path)} cannot be read: {error}") from error


def _what_else(path: Path, sha256: str) -> str:
    """Say what a file is that is not the one expected."""
    for name, known in FASHION_MNIST_SHA256.items():
        if sha256 == known:
            return f"Fashion-MNIST's {name} under another name"
    if _is_digits(path):
        return "of the handwritten digits (MNIST), not Fashion-MNIST"
    return "damaged, cut short or another file"


def _is_digits(path: Path) -> bool:
    return _digest(path, "md5") in MNIST_DIGITS_MD5


def _fetch(url: str, output_file: str, _: object) -> None:
    """Download for pooch, with a progress bar, giving up on a mirror that trickles."""
    import requests
    import urllib3
    from tqdm import tqdm

    start = time.monotonic()
    with (
        requests.get(url, stream=True, timeout=DOWNLOAD_TIMEOUT) as response,
        open(output_file, "wb") as file,
    ):
        response.raise_for_status()
        total = int(response.headers.get("Content-Length", 0))
        with tqdm(desc=url.rpartition("/")[2], total=total, unit="B", unit_scale=True) as bar:
            try:
                # read1 returns what has come, so that the clock is looked at after every packet.
                while chunk := response.raw.read1(2**16):
                    bar.update(file.write(chunk))
                    seconds = time.monotonic() - start
                    if seconds > PATIENCE and bar.n < SLOWEST_DOWNLOAD * seconds:
                        raise TimeoutError(f"gave up after {seconds:.0f} s and {bar.n:,} bytes")
            except urllib3.exceptions.HTTPError as error:
                raise requests.ConnectionError(error) from error  # which pooch knows, and retries


def _download(name: str, directory: Path, mirrors: list[str]) -> None:
    """Fetch one file from the first mirror that has it, whole; pooch replaces it atomically.

    A mirror that fails goes to the end of the list, for the next files.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's, on widgets for notebooks that are not used here
        import pooch

    lack = f"has no sound {name}" if directory.exists() else "did not exist"
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
    raise NotAvailableError(
        f"Fashion-MNIST is not complete on this machine and cannot be downloaded.\n"
        f"Looked in {_shown(directory)}, which {lack}.\n"
        f"Tried to download it:\n{tried}\n"
        "Three ways out:\n"
        f"  1. put the four files ({', '.join(FASHION_MNIST_SHA256)}) into that directory;\n"
        f"  2. set {DATA_DIR_VARIABLE} to a directory that holds them;\n"
        "  3. use the drawn stand-in set in a clone of the repository: "
        "load_fashion_mnist(fallback='path/to/fashion-cnn/data/tiny')."
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
    """Read a gzipped IDX file of unsigned bytes with `ndim` dimensions.

    No more is unpacked than the header promises, and one byte, which must not be there.
    """
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
            size = math.prod(shape)
            if size > MOST_EXPANSION * path.stat().st_size:
                raise DatasetError(
                    f"expected {_shown(path)} to hold what its header promises, {shape}, "
                    f"got a file of only {path.stat().st_size:,} bytes"
                )
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{_shown(path)} is not a sound gzip file: {_first_line(error)}. "
            "Delete it and fetch it again"
        ) from error
    if len(content) != size:
        got = "more" if len(content) > size else f"{len(content):,}"
        raise DatasetError(
            f"expected {size:,} bytes after the header of {_shown(path)} (its dimensions are "
            f"{shape}), got {got}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def check_split(split: Split, name: str) -> None:
    """Refuse images and labels that a network cannot rightly be trained or evaluated on.

    Parameters
    ----------
    split : Split
        Or any pair of images and labels.
    name : str
        What to call it in the message.

    Raises
    ------
    ValueError
        If the images are not floats in [0, 1] of shape (n, 28, 28, 1), or the labels not n
        integers from 0 to 9.
    """
    if len(split) != 2:
        raise ValueError(
            f"expected a pair of images and labels, such as data.validation, "
            f"got {len(split)} parts; pass one split, not the whole data set"
        )
    images, labels = (np.asarray(part) for part in split)
    if images.shape[1:] != (*IMAGE_SHAPE, 1) or images.size == 0:
        raise ValueError(
            f"expected {name} images of shape (n, 28, 28, 1), got {images.shape}. "
            f"{_shape_mend(images)}"
        )
    check_values(images, f"{name} images")
    if labels.shape != (len(images),):
        mend = "use labels.argmax(axis=1)" if labels.ndim == 2 else "each image needs one label"
        raise ValueError(
            f"expected {name} labels of shape ({len(images)},), got {labels.shape}; {mend}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"expected {name} labels of an integer dtype, got {labels.dtype}; "
            "convert them with labels.astype(int)"
        )
    if labels.min() < 0 or labels.max() >= len(CLASS_NAMES):
        raise ValueError(
            f"expected {name} labels from 0 to {len(CLASS_NAMES) - 1}, "
            f"got {labels.min()} to {labels.max()}; look up their meaning in CLASS_NAMES"
        )


def check_values(images: NDArray[np.generic], name: str) -> None:
    """Refuse images that are not floats in [0, 1]; the ValueError names the mend."""
    if not np.issubdtype(images.dtype, np.floating):
        mend = (
            "divide them by 255 if they hold 0 to 255"
            if np.issubdtype(images.dtype, np.integer)
            else "convert them with np.asarray(images, dtype=np.float32)"
        )
        raise ValueError(f"expected {name} of floats in [0, 1], got dtype {images.dtype}; {mend}")
    low, high = images.min(), images.max()  # NaN if any value is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"expected finite values in {name}, got NaN or infinity; look where they come from"
        )
    if low < 0 or high > 1:
        raise ValueError(
            f"expected {name} in [0, 1], got values from {low:g} to {high:g}; "
            "divide by 255 if they were 0 to 255"
        )
    if 0 < high <= np.float32(1 / 255):
        raise ValueError(
            f"expected {name} that reach up to 1, got values up to {high:g}; "
            "they may have been divided by 255 twice"
        )


def _shape_mend(images: NDArray[np.generic]) -> str:
    if images.size == 0:
        return "There are no images."
    if images.shape[1:] == IMAGE_SHAPE:
        return "Add the channel axis: images[..., np.newaxis]."
    if images.shape[1:] == (1, *IMAGE_SHAPE):
        return "Move the channel axis to the end: np.moveaxis(images, 1, -1)."
    if images.shape in (IMAGE_SHAPE, (*IMAGE_SHAPE, 1)):
        return "For one image, use predict(model, image)."
    return "Resize the images to 28×28 grey pixels."


def _split_indices(
    n: int, validation_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose as scikit-learn's ``train_test_split`` does, whose import takes over a second."""
    n_validation = math.ceil(validation_fraction * n)
    if n_validation == n:
        raise ValueError(
            f"expected a validation_fraction that leaves images to train on, "
            f"got {validation_fraction!r} of {n} images"
        )
    order = np.random.RandomState(seed).permutation(n)
    return order[n_validation:], order[:n_validation]


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
