"""The files of a run, each of which survives a crash: best model, state and history.

A file is written under another name in the same directory, flushed to disk and then renamed, which
file systems do atomically: a crash at any moment leaves the old file or the new one intact.
Keras's ``ModelCheckpoint`` writes in place, and its ``BackupAndRestore`` forgets early stopping,
the best model so far, dropout's seeds and the order of the images.
"""

import contextlib
import errno
import glob
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np

from fashion_cnn.data import Source


def default_checkpoint(source: Source) -> Path:
    """Return the best model's default path; a stand-in model never replaces a real one."""
    return Path("best-cnn-model.keras" if source.is_fashion_mnist else "stand-in-model.keras")


def followed(checkpoint: str | os.PathLike[str]) -> Path:
    """Return the file that a checkpoint's path means, beyond ``~`` and links."""
    return Path(os.path.realpath(os.path.expanduser(checkpoint)))


def state_path_of(checkpoint: Path) -> Path:
    """Return where the state of an unfinished run is kept."""
    return checkpoint.with_suffix(".training-state.npz")


def history_path_of(checkpoint: Path) -> Path:
    """Return where the history of a finished run is kept."""
    return checkpoint.with_suffix(".history.json")


@dataclass
class TrainingState:
    """What a run needs, after a finished epoch, to resume as if nothing had happened."""

    run: dict[str, Any]  # recipe, seed, network, data set, precision; JSON data
    history: dict[str, list[float]]  # Keras's, with a number for each finished epoch
    early_stopping: dict[str, Any]  # the counters of Keras's EarlyStopping; JSON data
    stopped: bool  # whether early stopping had ended the run
    best_sha256: str  # of the file of the best model
    variables: list[np.ndarray]  # of all layers, dropout's seeds too, then of the optimizer
    best_weights: list[np.ndarray]

    @property
    def finished_epochs(self) -> int:
        """The number of epochs that have finished."""
        return len(self.history["loss"])

    def save(self, path: Path) -> None:
        """Write the state to a ``.npz`` file, atomically."""
        facts = {name: len(x) if name in _ARRAYS else x for name, x in vars(self).items()}
        arrays: dict[str, Any] = {
            f"{name} {n}": array for name in _ARRAYS for n, array in enumerate(getattr(self, name))
        }
        with replacing(path) as new_path, open(new_path, "wb") as file:
            np.savez(file, facts=np.array(json.dumps(facts)), **arrays)

    @classmethod
    def load(cls, path: Path) -> "TrainingState":
        """Read a state that `save` wrote; raise ValueError if the file holds none."""
        try:
            if not path.is_file():
                raise ValueError("it is not a regular file")
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
                facts = json.loads(str(content["facts"]))
                for name in _ARRAYS:
                    facts[name] = [content[f"{name} {n}"] for n in range(facts[name])]
            state = cls(**facts)
            state.run = dict(state.run)
            state.history = checked_history(state.history)
            early_stopping = state.early_stopping
            state.early_stopping = {name: int(early_stopping[name]) for name in _COUNTERS}
            state.early_stopping["best"] = float(early_stopping["best"])
            is_epoch = state.early_stopping["best_epoch"] in range(state.finished_epochs)
            is_right = is_epoch and math.isfinite(state.early_stopping["best"])
            if not is_right or not isinstance(state.stopped, bool):
                raise ValueError("its counters are out of range")
            return state
        except Exception as error:  # a damaged file can raise anything
            raise damaged_state(path, error) from error


_ARRAYS = ("variables", "best_weights")
_COUNTERS = ("wait", "stopped_epoch", "best_epoch")  # of Keras's EarlyStopping


def damaged_state(path: Path, reason: object) -> ValueError:
    """Return the error for a file that is not the state of an interrupted run."""
    return ValueError(
        f"expected the state of an interrupted run in {path}, found none ({reason}). "
        "Delete the file, or train with resume=False, to start over"
    )


def checked_history(history: Any) -> dict[str, list[float]]:
    """Return a history's lists as floats; raise an error unless there is a number per epoch."""
    history = {str(name): [float(n) for n in numbers] for name, numbers in history.items()}
    lengths = {len(numbers) for numbers in history.values()}
    needed = {"loss", "accuracy", "val_loss", "val_accuracy"}
    if len(lengths) != 1 or 0 in lengths or not needed <= history.keys():
        raise ValueError("its history does not have a number for every epoch")
    return history


class KeepProgress(keras.callbacks.Callback):
    """Save the best model and, after every epoch, the state of the run.

    It comes last, after Keras's ``History`` and ``EarlyStopping``, which it reads and, when a run
    resumes, sets. A finished run leaves the best model and its history. What is saved is
    `saved_model`, a twin with the best weights, compiled as `build_cnn` compiles it: the file omits
    training precision and optimizer. The run can resume after `saved_epochs` epochs.
    """

    def __init__(
        self,
        checkpoint: Path,
        run: dict[str, Any],
        history: keras.callbacks.History,
        early_stopping: keras.callbacks.EarlyStopping,
        state: TrainingState | None,
        saved_model: keras.Sequential,
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.state_path = state_path_of(checkpoint)
        self.run = run
        self.history = history
        self.early_stopping = early_stopping
        self.state = state
        self.saved_model = saved_model
        self.saved_epochs = state.finished_epochs if state else 0
        self.best_sha256 = state.best_sha256 if state else ""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore everything from the state, or remove the state of an abandoned run."""
        for path in (self.checkpoint, self.state_path, history_path_of(self.checkpoint)):
            for new_path in path.parent.glob(f".new-{'?' * 8}-{glob.escape(path.name)}"):
                new_path.unlink(missing_ok=True)  # left by a run that was killed while writing
        if self.state is None:
            self.state_path.unlink(missing_ok=True)
            return
        self._check(self._variables(), self.state.variables)
        self._check(self.saved_model.weights, self.state.best_weights)
        self._assign(self.state.variables)
        self.history.epoch = list(range(self.state.finished_epochs))
        self.history.history = self.state.history
        for name in self.state.early_stopping:
            setattr(self.early_stopping, name, self.state.early_stopping[name])
        self.early_stopping.best_weights = self.state.best_weights
        if not self.checkpoint.is_file() or sha256_of(self.checkpoint) != self.best_sha256:
            # Deleted, of another run, or of an epoch whose state was not saved.
            self._save_best(self.state.best_weights)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the model if this epoch is the best so far, then the state."""
        loss = self.history.history["val_loss"][-1]
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"expected a finite validation loss, got {loss} in epoch {epoch + 1}; train with a "
                f"smaller learning rate than {self.run['recipe']['learning_rate']}"
            )
        try:
            if self.early_stopping.best_epoch == epoch:
                self._save_best(self.early_stopping.best_weights)
            self._state().save(self.state_path)
        except OSError as error:
            kept = "The best model and the state there are intact; free"
            resumes = f"resume after epoch {self.saved_epochs}"
            raise OSError(
                error.errno,
                f"{error.strerror or error}: epoch {epoch + 1} cannot be saved in "
                f"{self.checkpoint.parent}. {kept if self.saved_epochs else 'Free'} space or make "
                "the directory writable, and train again with the same arguments to "
                f"{resumes if self.saved_epochs else 'start over'}",
            ) from error
        self.saved_epochs = epoch + 1

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keep the history and remove the state: the run is finished."""
        content = {
            "checkpoint SHA-256": self.best_sha256,
            "steps per epoch": self.params["steps"],
            "history": self.history.history,
        }
        with replacing(history_path_of(self.checkpoint)) as new_path:
            new_path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        self.state_path.unlink(missing_ok=True)

    def _save_best(self, weights: list[np.ndarray]) -> None:
        self.saved_model.set_weights(weights)
        with replacing(self.checkpoint) as new_path:
            self.saved_model.save(new_path)
            self.best_sha256 = sha256_of(new_path)

    def _state(self) -> TrainingState:
        names = ("best", *_COUNTERS)
        early_stopping = {name: getattr(self.early_stopping, name) for name in names}
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

    def _check(self, variables: list[keras.Variable], values: list[np.ndarray]) -> None:
        wanted = [(variable.shape, np.asarray(variable).dtype) for variable in variables]
        kept = [(value.shape, value.dtype) for value in values]
        if kept != wanted or not all(np.isfinite(value).all() for value in values):
            raise damaged_state(self.state_path, "its arrays are not finite or not this network's")

    def _assign(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)


def load_history(checkpoint: str | os.PathLike[str]) -> keras.callbacks.History | None:
    """Read the history that `train` kept beside a checkpoint; None if none matches it."""
    checkpoint, history = followed(checkpoint), keras.callbacks.History()
    path = history_path_of(checkpoint)
    if not (path.is_file() and checkpoint.is_file()):
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        history.history = checked_history(content["history"])
        history.epoch = list(range(len(history.history["loss"])))
        history.set_params({"steps": int(content["steps per epoch"])})
        return history if content["checkpoint SHA-256"] == sha256_of(checkpoint) else None
    except Exception:  # a damaged file can raise anything
        return None


@contextlib.contextmanager
def locked(checkpoint: Path) -> Iterator[None]:
    """Keep other trainings away from a checkpoint's files; create their directory.

    The operating system releases the lock of a process that ends, whatever ended it.
    """
    path = checkpoint.with_name(f".{checkpoint.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(filelock.FileLock(path).acquire(timeout=0))
            stack.callback(path.unlink, missing_ok=True)  # while it is still locked
            path.write_text(str(os.getpid()))
            # The longest name that will be written, which some file systems refuse.
            name = state_path_of(checkpoint).name
            longest = checkpoint.with_name(f".new-{secrets.token_hex(4)}-{name}")
            longest.touch()
            longest.unlink(missing_ok=True)
        except filelock.Timeout:
            text = path.read_text(errors="replace") if path.is_file() else ""
            process = text if text.isdigit() else "unknown"
            raise RuntimeError(
                f"another training, process {process}, is writing {checkpoint}; "
                "wait until it ends, or train with another checkpoint"
            ) from None
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror or error}: {checkpoint} cannot be saved; choose a checkpoint of "
                "a shorter name or in a directory that has space and that you can write to",
            ) from error
        yield


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` once it is safely on disk."""
    # The name is unique, so two studies with one directory never write to the same file.
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
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems have no fsync
            raise
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
