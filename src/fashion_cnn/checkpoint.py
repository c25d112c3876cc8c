"""The files of a run: the best model, the state to resume from, the history.

A file is written under another name in the same directory and then renamed, which file systems do
atomically: whatever ends a run leaves the old file or the new one. Keras's ``ModelCheckpoint``
writes in place, and its ``BackupAndRestore`` does not save the counters of early stopping,
the best model so far, dropout's seeds and the order of the images.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np

from fashion_cnn.data import Source

_COUNTERS = ("best", "wait", "stopped_epoch", "best_epoch")  # of Keras's EarlyStopping


def default_checkpoint(source: Source) -> Path:
    """Return the best model's default path; a stand-in model never replaces a real one."""
    return Path("best-cnn-model.keras" if source.is_fashion_mnist else "stand-in-model.keras")


def resolved(checkpoint: str | os.PathLike[str]) -> Path:
    """Return a checkpoint's absolute path, with ``~`` and links resolved."""
    return Path(os.path.realpath(os.path.expanduser(checkpoint)))


def state_path_of(checkpoint: Path) -> Path:
    """Return where the state of an unfinished run is kept."""
    return checkpoint.with_suffix(".training-state.npz")


def history_path_of(checkpoint: Path) -> Path:
    """Return where the history of a finished run is kept."""
    return checkpoint.with_suffix(".history.json")


def read_state(path: Path) -> dict[str, Any]:
    """Read the state of an interrupted run, without pickle; raise ValueError if there is none.

    Its keys are ``run`` (what identifies it), ``history``, ``early_stopping`` (Keras's counters),
    ``stopped`` (whether early stopping had ended it), ``variables`` (arrays: of all layers,
    dropout's seeds too, then of the optimizer) and ``best_weights`` (arrays).
    """
    try:
        with open(path, "rb") as file, np.load(file) as content:  # without allow_pickle
            state: dict[str, Any] = json.loads(str(content["state"]))
            for kind in ("variables", "best_weights"):
                state[kind] = [content[name] for name in content.files if name.startswith(kind)]
        return state
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(
            f"expected the state of an interrupted run in {path}, found none ({error}). Delete the "
            "file, or train with resume=False, to start over"
        ) from error


class KeepProgress(keras.callbacks.EarlyStopping):
    """Stop early; save the best model and, after every epoch, the state of the run.

    It comes last, after Keras's ``History``, which it reads and, when a run resumes, sets. What is
    saved is `best_model`, which always holds the best weights so far. `run` identifies the run;
    `state` is what `read_state` returned.
    """

    def __init__(
        self,
        checkpoint: Path,
        run: dict[str, Any],
        state: dict[str, Any] | None,
        history: keras.callbacks.History,
        best_model: keras.Sequential,
    ) -> None:
        super().__init__(patience=run["patience"], restore_best_weights=True)
        self.checkpoint, self.run, self.state = checkpoint, run, state
        self.history, self.best_model = history, best_model
        self.saved_epochs = len(state["history"]["loss"]) if state else 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore everything from the state, or remove the state of an abandoned run."""
        super().on_train_begin(logs)
        if self.state is None:
            state_path_of(self.checkpoint).unlink(missing_ok=True)
            return
        self.history.history = self.state["history"]
        self.history.epoch = list(range(self.saved_epochs))
        for name, value in self.state["early_stopping"].items():
            setattr(self, name, value)
        self.best_weights = self.state["best_weights"]
        for variable, value in zip(self._variables(), self.state["variables"], strict=True):
            variable.assign(value)
        self._save_best()  # the run may have been killed between saving model and state

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the model if this epoch is the best so far, then the state."""
        loss = self.history.history["val_loss"][-1]
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"expected a finite validation loss, got {loss} in epoch {epoch + 1}; train with a "
                f"smaller learning rate than {self.run['learning_rate']}"
            )
        super().on_epoch_end(epoch, logs)
        try:
            if self.best_epoch == epoch:
                self._save_best()
            self._save_state()
        except OSError as error:
            error.add_note(f"Epoch {epoch + 1} cannot be saved; what was saved before is intact.")
            raise
        self.saved_epochs = epoch + 1

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keep the history and remove the state: the run is finished."""
        content = {
            "checkpoint SHA-256": sha256_of(self.checkpoint),
            "steps per epoch": self.params["steps"],
            "history": self.history.history,
        }
        with replacing(history_path_of(self.checkpoint)) as new_path:
            new_path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        state_path_of(self.checkpoint).unlink(missing_ok=True)

    def _save_best(self) -> None:
        self.best_model.set_weights(self.best_weights)
        with replacing(self.checkpoint) as new_path:
            self.best_model.save(new_path)

    def _save_state(self) -> None:
        state = {
            "run": self.run,
            "history": self.history.history,
            "early_stopping": {name: getattr(self, name) for name in _COUNTERS},
            "stopped": bool(self.model.stop_training),
        }
        best = enumerate(self.best_weights)
        arrays: dict[str, Any] = {f"best_weights {n}": array for n, array in best}
        for n, variable in enumerate(self._variables()):
            arrays[f"variables {n}"] = np.asarray(variable)
        with replacing(state_path_of(self.checkpoint)) as new_path:
            np.savez(new_path, state=np.array(json.dumps(state)), **arrays)

    def _variables(self) -> list[keras.Variable]:
        # layer.variables has dropout's seeds, which model.weights lacks.
        in_layers = [variable for layer in self.model.layers for variable in layer.variables]
        return [*in_layers, *self.model.optimizer.variables]


def load_history(checkpoint: str | os.PathLike[str]) -> keras.callbacks.History | None:
    """Read the history that `train` kept beside a checkpoint; None if none matches it."""
    checkpoint, history = resolved(checkpoint), keras.callbacks.History()
    try:
        content = json.loads(history_path_of(checkpoint).read_text(encoding="utf-8"))
        history.history = content["history"]
        history.epoch = list(range(len(history.history["loss"])))
        history.set_params({"steps": content["steps per epoch"]})
        return history if content["checkpoint SHA-256"] == sha256_of(checkpoint) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def locked(checkpoint: Path) -> Iterator[None]:
    """Keep other trainings away from a checkpoint's files; create their directory.

    The operating system releases the lock of a process that ends, whatever ended it.
    """
    path = checkpoint.with_name(f".{checkpoint.name}.lock")
    lock = filelock.FileLock(path, timeout=0, fallback_to_soft=False)
    try:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise RuntimeError(
            f"another training is writing {checkpoint}; wait until it ends, or choose another file"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise
        message = f"no file can be locked in {path.parent}; start no second training of this file"
        warnings.warn(message, stacklevel=4)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` once it is written."""
    new_path = path.with_name(f".new-{path.name}")
    try:
        yield new_path
        os.replace(new_path, path)
    finally:
        new_path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
