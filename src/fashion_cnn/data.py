"""Find or download, verify, scale and split Fashion-MNIST (without TensorFlow)."""

import gzip
import hashlib
import math
import os
import re
import tempfile
import textwrap
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fashion_cnn.images import IMAGE_SHAPE, Split, checked_split
from fashion_cnn.language import gettext as _
from fashion_cnn.language import on_disk

DATA_DIR_VARIABLE = "FASHION_CNN_DATA_DIR"
# Images and labels for training, then for testing (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747).
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
SUMS_FILE = "SHA256SUMS"  # in a data directory, it vouches for the user's own files
PUBLISHED_SUMS = Path(__file__).with_name(SUMS_FILE)  # of the published files, gzipped and unpacked
MAX_UNPACKED = 47_040_016  # bytes of the training images; files without a known sum may be bombs
MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


class DatasetError(Exception):
    """The data set cannot be found, downloaded, verified or read; the message says what to do."""


class NotAvailableError(DatasetError):
    """The data set is not on this machine and cannot be downloaded; a fallback may be used."""


class Source(NamedTuple):
    """Where a data set came from.

    If `is_fashion_mnist` is False, the files match only the user's own ``SHA256SUMS`` beside them,
    and results from them mean nothing. `files` are the paths of the training images and labels,
    then of those for testing, gzipped or unpacked.
    """

    directory: Path
    is_fashion_mnist: bool
    files: tuple[Path, ...]

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
        sizes = (f"{name}: {getattr(self, name).size:,}" for name in self._fields[:3])
        return f"FashionMNIST({', '.join(sizes)} images; {self.source})"


def load_fashion_mnist(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    fallback: str | os.PathLike[str] | None = None,
    validation_fraction: float = 0.2,
    seed: int = 42,
) -> FashionMNIST:
    """Load Fashion-MNIST, verified, scaled to [0, 1] and split as the book splits it.

    Each of the four files, gzipped or unpacked, must match Fashion-MNIST's SHA-256 or the sum in a
    ``SHA256SUMS`` file beside it, which vouches for data of your own in the same format.

    Parameters
    ----------
    data_dir : path, optional
        Directory of the files, by default ``$FASHION_CNN_DATA_DIR`` or else Keras's cache,
        ``~/.keras/datasets/fashion-mnist``. Missing files are downloaded to it.
    fallback : path, optional
        A directory to use, with a warning, if files are missing and no mirror has them.
    validation_fraction : float
        The fraction of the 60,000 training images that is held out for validation, in (0, 1).
    seed : int
        Seed of the split. With the defaults, the first validation image is a bag.

    Returns
    -------
    FashionMNIST
        ``train`` (48,000 images), ``validation`` (12,000) and ``test`` (10,000), each a `Split`
        of float32 images (n, 28, 28, 1) in [0, 1] and int64 labels (n,); and their ``source``.

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
        raise ValueError(f"expected validation_fraction between 0 and 1, got {validation_fraction}")
    try:
        source = data_source(data_dir, download=True)
    except NotAvailableError as error:
        if fallback is None or not Path(fallback).is_dir():  # a notebook may lie elsewhere, alone
            raise
        source = data_source(fallback)
        message = _("Continuing with {source}.\nReason: {reason}")
        warnings.warn(message.format(source=source, reason=error), stacklevel=2)
    images, labels = _read(*source.files[:2])
    # The split of scikit-learn's train_test_split, as in the book, without its slow import.
    order = np.random.RandomState(seed).permutation(len(labels))
    n_validation = math.ceil(validation_fraction * len(labels))
    validation, train = order[:n_validation], order[n_validation:]
    return FashionMNIST(
        train=checked_split((images[train], labels[train]), "train"),
        validation=checked_split((images[validation], labels[validation]), "validation"),
        test=checked_split(_read(*source.files[2:]), "test"),
        source=source,
    )


def data_source(
    data_dir: str | os.PathLike[str] | None = None, *, download: bool = False
) -> Source:
    """Find and verify the data set without loading it; download missing files if asked to.

    A damaged file is downloaded again only in Keras's cache: elsewhere it belongs to the user.
    """
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    cache = Path(os.environ.get("KERAS_HOME") or "~/.keras", "datasets", "fashion-mnist")
    directory = on_disk(os.path.abspath(Path(chosen or cache).expanduser()))
    shown = _shown(directory)
    if chosen and not directory.is_dir():
        message = _(
            "expected a directory at {directory}, found none. Check its spelling; to download the "
            "data set there, create it first"
        )
        raise DatasetError(message.format(directory=shown))
    published = _sums(PUBLISHED_SUMS)
    is_own = (directory / SUMS_FILE).is_file()
    sums = _sums(directory / SUMS_FILE) if is_own else published
    files = []
    for name in FILES:
        names = name, name.removesuffix(".gz")
        found = [directory / each for each in names if (directory / each).is_file()]
        expected = {sums.get(each) for each in names}
        intact = next((path for path in found if _has_sum(path, expected)), None)
        message = _("{directory} has no intact {name}.").format(directory=shown, name=name)
        if intact is None and is_own:
            advice = _("If you changed it yourself, update the sums: sha256sum *ubyte* > {sums}")
            raise DatasetError(f"{message} {advice.format(sums=SUMS_FILE)}")
        if intact is None and found and chosen:
            advice = _(
                "The file is damaged, cut short or of another data set (those of the MNIST digits "
                "have the same names). Copy it again, or delete it and run again to download it. "
                "data/README.md tells how to use data of your own"
            )
            raise DatasetError(f"{message} {advice}")
        if intact is None and not download:
            raise NotAvailableError(message)
        files.append(intact or _download(name, directory, f"sha256:{published[name]}"))
    is_fashion_mnist = all(sums.get(name, known) == known for name, known in published.items())
    return Source(directory, is_fashion_mnist, tuple(files))


def _sums(path: Path) -> dict[str, str]:
    r"""Read sums and names as ``sha256sum`` or a Windows tool (UTF-16, ``.\name``) writes them."""
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = content.decode(encoding, errors="replace")
    lines = re.findall(r"^(\w{64})\s+\*?(?:\.[\\/])?(\S+)\s*$", text, re.MULTILINE)
    return {name: sha256.lower() for sha256, name in lines}


def _has_sum(path: Path, expected: set[str | None]) -> bool:
    """Tell whether a file, or what it unpacks to, has one of the expected SHA-256."""
    reads = path.read_bytes, lambda: _unpacked(path, MAX_UNPACKED + 1)  # it may be packed again
    return any(hashlib.sha256(read()).hexdigest() in expected for read in reads)


def _unpacked(path: Path, size: int = -1) -> bytes:
    """Read a file, unpacked up to a size if it is an intact gzip file, else as it is."""
    try:
        with gzip.open(path) as file:
            return file.read(size)
    except (OSError, EOFError, zlib.error):
        return path.read_bytes()


def _download(name: str, directory: Path, known_hash: str) -> Path:
    """Download one file from the first mirror that has it intact; pooch replaces it atomically."""
    with warnings.catch_warnings(action="ignore"):  # of tqdm, if ipywidgets is missing
        import pooch  # heavy, and rarely needed

    shown = {"directory": _shown(directory), "variable": DATA_DIR_VARIABLE}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        message = _(
            "Fashion-MNIST cannot be saved in {directory} ({error}); set {variable} to a directory "
            "that you may write to, or that holds the four files"
        )
        raise DatasetError(message.format(**shown, error=error.strerror)) from None
    failures = []
    for mirror in MIRRORS:
        try:
            pooch.retrieve(mirror + name, known_hash, name, directory, progressbar=True)
            return directory / name
        except (OSError, ValueError) as error:  # OSError: those of requests, too
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 120, placeholder=" …")
            failures.append(f"  {mirror}{name}: {reason}")
    message = _(
        "Fashion-MNIST is not complete on this machine and cannot be downloaded.\n"
        "Looked in {directory}, which has no intact {name}.\n"
        "Tried to download it:\n{tried}\n"
        "Put the four files ({names}) there, set {variable} to a directory that holds them, or use "
        "the drawn stand-in of the repository: load_fashion_mnist(fallback='path/to/data/tiny')."
    )
    tried, names = "\n".join(failures), ", ".join(FILES)
    raise NotAvailableError(message.format(**shown, name=name, tried=tried, names=names))


def _read(*paths: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read verified images, uint8 (n, 28, 28), and their labels, uint8 (n,), from IDX files."""
    images, labels = (np.frombuffer(_unpacked(path), np.uint8) for path in paths)
    try:
        # Their headers have 4 bytes, and 4 more for each dimension.
        return images[16:].reshape(len(labels) - 8, *IMAGE_SHAPE), labels[8:]
    except ValueError as error:
        expected = "expected IDX files of 28×28 images and as many labels"
        raise DatasetError(f"{expected}, got {paths[0]} and {paths[1]}: {error}") from error


def _shown(path: Path) -> str:
    """Return a path as a person writes it, with ``~`` for the home directory."""
    home = Path(os.path.expanduser("~"))  # as it is, if there is none
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)
