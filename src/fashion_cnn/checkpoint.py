"""Files that survive a crash: the best model, the state of a run; and loading a model safely.

A file is written under another name beside its place, flushed to the disk and then moved, which
file systems do at once: a crash at any moment leaves the old file or the new one, whole. Keras's
``ModelCheckpoint`` writes in place, and its ``BackupAndRestore`` forgets early stopping, the best
model so far, dropout's seeds and the order of the images. TensorFlow's ``CheckpointManager`` is
safe, but spreads a state over several files of a directory; one ``.npz`` holds all of it, with
checksums, and is replaced in one step.
"""

import contextlib
import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from fashion_cnn.model import build_cnn

# What decides which numbers a layer computes; names, initializers and the like do not.
_DECISIVE_KEYS = (
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "dilation_rate",
    "groups",
    "pool_size",
    "units",
    "rate",
    "activation",
    "use_bias",
    "data_format",
)

# What build_cnn lets its caller choose: layer and key.
_SIZES = (("conv1", "filters"), ("conv2", "filters"), ("hidden", "units"), ("dropout", "rate"))
_MOST_CONFIG_BYTES = 1_000_000  # a configuration has a few thousand


def load_model(path: str | os.PathLike[str]) -> keras.Sequential:
    """Load a model of `build_cnn`'s architecture, with any number of filters and units.

    Only the sizes of the layers and the weights are read: a network is built anew from the sizes
    and the weights are put into it, so nothing stored in the file runs. The file may come from
    `train`, from Keras's own ``model.save`` or from the book's code, which wrote ``.h5`` files
    before Keras 3.

    Parameters
    ----------
    path : path
        A ``.keras`` file, or a ``.h5`` file of a whole model.

    Returns
    -------
    keras.Sequential
        The network, compiled as `build_cnn` compiles it, with the saved weights.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a saved model, or a model of another architecture.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a saved model at {path}, found no such file; train writes one"
        )
    try:
        saved_layers, weights_bytes = _read_layers(path)
    except Exception as error:  # a hostile file can raise anything
        raise ValueError(
            f"expected a model saved by Keras in {path}, found none ({error!r}); "
            "the file may be cut short or of another kind"
        ) from error
    model = _build_like(path, saved_layers, weights_bytes)
    try:
        # An uncompiled model of the same layers: the optimizer's state stays in the file.
        keras.Sequential([*model.inputs, *model.layers]).load_weights(path)
    except Exception as error:
        raise ValueError(f"the weights in {path} cannot be read: {error}") from error
    return model


def _read_layers(path: Path) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """Read class name and configuration of the layers, as data, and the size of the weights."""
    if path.suffix == ".h5":
        with h5py.File(path, "r") as file:
            description = file.attrs["model_config"]
            weights_bytes = _stored_bytes(file)
    else:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _MOST_CONFIG_BYTES:
                raise ValueError(f"config.json unpacks to more than {_MOST_CONFIG_BYTES:,} bytes")
            description = archive.read("config.json")
            if archive.getinfo("model.weights.h5").compress_type != zipfile.ZIP_STORED:
                raise ValueError("model.weights.h5 is compressed, which Keras never does")
            with archive.open("model.weights.h5") as member, h5py.File(member, "r") as file:
                weights_bytes = _stored_bytes(file)
    layers = json.loads(description)["config"]["layers"]
    sizes = [
        (str(layer["class_name"]), dict(layer["config"]))
        for layer in layers
        if layer["class_name"] != "InputLayer"
    ]
    return sizes, weights_bytes


def _stored_bytes(file: h5py.File) -> int:
    """Add up the arrays of a file, and refuse one that claims more than is stored."""
    sizes = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            if item.nbytes > item.id.get_storage_size():
                raise ValueError(f"{name} claims {item.nbytes:,} bytes and stores fewer")
            sizes.append(item.nbytes)

    file.visititems(visit)
    return sum(sizes)


def _build_like(
    path: Path, saved_layers: list[tuple[str, dict[str, Any]]], weights_bytes: int
) -> keras.Sequential:
    """Build a network with as many filters and units as the saved one has."""
    reference = build_cnn().layers
    expected = [type(layer).__name__ for layer in reference]
    found = [class_name for class_name, _ in saved_layers]
    if found != expected:
        raise ValueError(
            f"expected a model with the layers {', '.join(expected)} in {path}, "
            f"got {', '.join(found)}"
        )
    for number, (layer, (_, saved)) in enumerate(zip(reference, saved_layers, strict=True), 1):
        for key, value in _decisive(layer.get_config()).items():
            if (layer.name, key) not in _SIZES and saved.get(key, value) != value:
                raise ValueError(
                    f"expected {key}={value!r} in layer {number} ({type(layer).__name__}) "
                    f"of {path}, got {saved[key]!r}"
                )
    configs: dict[str, Any] = {
        layer.name: saved for layer, (_, saved) in zip(reference, saved_layers, strict=True)
    }
    filters1, filters2, units, rate = (configs[name].get(key) for name, key in _SIZES)
    sizes = filters1, filters2, units
    if not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(f"expected filters, filters and units above 0 in {path}, got {sizes}")
    if not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ValueError(f"expected a dropout rate in [0, 1) in {path}, got {rate!r}")
    kernels = 9 * filters1 + 9 * filters1 * filters2 + 49 * filters2 * units + 10 * units
    if 4 * kernels > weights_bytes:  # seen before a network of any size is built
        raise ValueError(
            f"expected weights for {filters1} and {filters2} filters and {units} units in "
            f"{path}, got only {weights_bytes:,} bytes of them"
        )
    return build_cnn(filters=(filters1, filters2), dense_units=units, dropout_rate=rate)


def _decisive(config: dict[str, Any]) -> dict[str, Any]:
    """Pick the keys that decide what a layer computes, in the types that JSON gives them."""
    decisive = {key: config[key] for key in _DECISIVE_KEYS if key in config}
    return json.loads(json.dumps(decisive))


def architecture(model: keras.Sequential) -> list[Any]:
    """Describe what the layers of a model compute, as JSON data."""
    return [[type(layer).__name__, _decisive(layer.get_config())] for layer in model.layers]


@dataclass
class TrainingState:
    """What a run needs, after a finished epoch, to go on as if nothing had happened.

    Attributes
    ----------
    run : dict
        What makes the run this run: recipe, seed, network, data set. JSON data.
    history : dict of list of float
        Keras's history; its lists are as long as epochs have finished.
    early_stopping : dict
        The counters of Keras's ``EarlyStopping``. JSON data.
    stopped : bool
        Whether the run had ended and only its last steps were missing.
    best_sha256 : str
        SHA-256 of the file of the best model.
    variables : list of ndarray
        Weights and dropout's seeds of all layers, then the optimizer's variables.
    best_weights : list of ndarray
        The weights of the best epoch so far.
    """

    run: dict[str, Any]
    history: dict[str, list[float]]
    early_stopping: dict[str, Any]
    stopped: bool
    best_sha256: str
    variables: list[np.ndarray]
    best_weights: list[np.ndarray]

    @property
    def finished_epochs(self) -> int:
        """The number of epochs that have finished."""
        return len(self.history["loss"])

    def save(self, path: Path) -> None:
        """Write the state to a ``.npz`` file, atomically."""
        facts = {name: getattr(self, name) for name in _FACTS}
        facts |= {name: len(getattr(self, name)) for name in _ARRAYS}
        arrays: dict[str, Any] = {
            f"{name} {n}": array for name in _ARRAYS for n, array in enumerate(getattr(self, name))
        }
        with replacing(path) as new_path, open(new_path, "wb") as file:
            np.savez(file, facts=np.array(json.dumps(facts)), **arrays)

    @classmethod
    def load(cls, path: Path) -> "TrainingState":
        """Read a state that `save` wrote; ValueError if the file is none."""
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
                facts = json.loads(str(content["facts"]))
                for name in _ARRAYS:
                    facts[name] = [content[f"{name} {n}"] for n in range(facts[name])]
            return cls(**facts)
        except Exception as error:  # a damaged file can raise anything
            raise ValueError(
                f"expected the state of an interrupted training in {path}, found none ({error!r}). "
                "Delete the file, or train with resume=False, to start over"
            ) from error


_FACTS = ("run", "history", "early_stopping", "stopped", "best_sha256")
_ARRAYS = ("variables", "best_weights")


class KeepProgress(keras.callbacks.Callback):
    """Save the best model and, after every epoch, the state of the run.

    Placed last, after Keras's ``History`` and ``EarlyStopping``, which it reads and, when a run
    goes on from a state, sets. A finished run leaves only the best model. What is saved is
    `saved_model`, a compiled twin with the weights of the model in training: how that computes
    and is optimized is nothing that a reader of the file need know.

    Attributes
    ----------
    saved_epochs : int
        The number of epochs from whose end the run can go on.
    """

    _EARLY_STOPPING = ("wait", "stopped_epoch", "best", "best_epoch")

    def __init__(
        self,
        checkpoint: Path,
        state_path: Path,
        run: dict[str, Any],
        history: keras.callbacks.History,
        early_stopping: keras.callbacks.EarlyStopping,
        state: TrainingState | None,
        saved_model: keras.Sequential,
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.state_path = state_path
        self.run = run
        self.history = history
        self.early_stopping = early_stopping
        self.state = state
        self.saved_model = saved_model
        self.saved_epochs = state.finished_epochs if state else 0
        self.best_sha256 = state.best_sha256 if state else ""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Put everything back where the state left it, or take an old state out of the way."""
        ours = (f"-{self.checkpoint.name}", f"-{self.state_path.name}")
        for path in self.checkpoint.parent.iterdir():
            if path.name.startswith(".new-") and path.name.endswith(ours):
                path.unlink(missing_ok=True)  # of a run that was killed in the middle of a write
        if self.state is None:
            self.state_path.unlink(missing_ok=True)
            return
        self._assign(self.state.variables)
        self.history.epoch = list(range(self.state.finished_epochs))
        self.history.history = self.state.history
        for name in self._EARLY_STOPPING:
            setattr(self.early_stopping, name, self.state.early_stopping[name])
        self.early_stopping.best_weights = self.state.best_weights
        if not self.checkpoint.exists() or sha256_of(self.checkpoint) != self.best_sha256:
            # Deleted, of another run, or of an epoch whose state was not saved.
            self.model.set_weights(self.state.best_weights)
            self._save_best()
            self._assign(self.state.variables)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the model if this epoch is the best so far, then the state."""
        try:
            if self.early_stopping.best_epoch == epoch:
                self._save_best()
            self._state().save(self.state_path)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror or error}: epoch {epoch + 1} cannot be saved in "
                f"{self.checkpoint.parent.absolute()}. The best model and the state there are "
                f"whole; make room or make the directory writable, and train again with the same "
                f"arguments to go on after epoch {self.saved_epochs}",
            ) from error
        self.saved_epochs = epoch + 1

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Remove the state: the run is finished."""
        self.state_path.unlink(missing_ok=True)

    def _save_best(self) -> None:
        self.saved_model.set_weights(self.model.get_weights())
        with replacing(self.checkpoint) as new_path:
            self.saved_model.save(new_path)
            self.best_sha256 = sha256_of(new_path)

    def _state(self) -> TrainingState:
        early_stopping = {name: getattr(self.early_stopping, name) for name in self._EARLY_STOPPING}
        return TrainingState(
            run=self.run,
            history=self.history.history,
            early_stopping=early_stopping,
            stopped=bool(self.model.stop_training),
            best_sha256=self.best_sha256,
            variables=[np.asarray(variable) for variable in self._variables()],
            best_weights=self.early_stopping.best_weights,
        )

    def _variables(self) -> list[keras.Variable]:
        # layer.variables has dropout's seeds, which model.weights lacks.
        in_layers = [variable for layer in self.model.layers for variable in layer.variables]
        return [*in_layers, *self.model.optimizer.variables]

    def _assign(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name to write to, and move it to `path` only when it is whole on the disk."""
    # A name of its own: two trainings with one checkpoint never write into the same file.
    new_path = path.with_name(f".new-{secrets.token_hex(4)}-{path.name}")
    try:
        yield new_path
        _flush(new_path, os.O_RDWR)
        os.replace(new_path, path)
        if os.name == "posix":
            _flush(path.parent, os.O_RDONLY)
    finally:
        new_path.unlink(missing_ok=True)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
