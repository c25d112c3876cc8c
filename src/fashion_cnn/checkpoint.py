"""The files of a run, each of which survives a crash: best model, state and history.

A file is written under another name in the same directory, flushed to disk and then renamed, which
file systems do atomically: a crash at any moment leaves the old file or the new one intact.
Keras's ``ModelCheckpoint`` writes in place, and its ``BackupAndRestore`` forgets early stopping,
the best model so far, dropout's seeds and the order of the images.
"""

import contextlib
import glob
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fashion_cnn.data import Source


def default_checkpoint(source: Source) -> Path:
    """Return the best model's default path; a stand-in model never replaces a real one."""
    return Path("best-cnn-model.keras" if source.is_fashion_mnist else "stand-in-model.keras")


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
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
                facts = json.loads(str(content["facts"]))
                for name in _ARRAYS:
                    facts[name] = [content[f"{name} {n}"] for n in range(facts[name])]
            return cls(**facts)
        except Exception as error:  # a damaged file can raise anything
            raise ValueError(
                f"expected the state of an interrupted run in {path}, found none ({error!r}). "
                "Delete the file, or train with resume=False, to start over"
            ) from error


_ARRAYS = ("variables", "best_weights")


class KeepProgress(keras.callbacks.Callback):
    """Save the best model and, after every epoch, the state of the run.

    It comes last, after Keras's ``History`` and ``EarlyStopping``, which it reads and, when a run
    resumes, sets. A finished run leaves the best model and its history. What is saved is
    `saved_model`, a twin with the best weights, compiled as `build_cnn` compiles it: the file omits
    training precision and optimizer. The run can resume after `saved_epochs` epochs.
    """

    _EARLY_STOPPING = ("wait", "stopped_epoch", "best", "best_epoch")

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
        self._assign(self.state.variables)
        self.history.epoch = list(range(self.state.finished_epochs))
        self.history.history = self.state.history
        for name in self._EARLY_STOPPING:
            setattr(self.early_stopping, name, self.state.early_stopping[name])
        self.early_stopping.best_weights = self.state.best_weights
        if not self.checkpoint.exists() or sha256_of(self.checkpoint) != self.best_sha256:
            # Deleted, of another run, or of an epoch whose state was not saved.
            self._save_best(self.state.best_weights)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the model if this epoch is the best so far, then the state."""
        try:
            if self.early_stopping.best_epoch == epoch:
                self._save_best(self.early_stopping.best_weights)
            self._state().save(self.state_path)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror or error}: epoch {epoch + 1} cannot be saved in "
                f"{self.checkpoint.parent.absolute()}. The best model and the state there are "
                f"intact; free space or make the directory writable, and train again with the same "
                f"arguments to resume after epoch {self.saved_epochs}",
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


def load_history(checkpoint: str | os.PathLike[str]) -> keras.callbacks.History | None:
    """Read the history that `train` kept beside a checkpoint; None if none matches it."""
    checkpoint, history = Path(checkpoint).expanduser(), keras.callbacks.History()
    try:
        content = json.loads(history_path_of(checkpoint).read_text(encoding="utf-8"))
        history.history = dict(content["history"])
        history.epoch = list(range(len(history.history["loss"])))
        history.set_params({"steps": int(content["steps per epoch"])})
        return history if content["checkpoint SHA-256"] == sha256_of(checkpoint) else None
    except (OSError, ValueError, TypeError, KeyError):  # missing or damaged
        return None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` once it is safely on disk."""
    # The name is unique, so two runs with one checkpoint never write to the same file.
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
