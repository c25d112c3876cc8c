"""The files of a run: the best model, the state to resume from, the history.

Each is written under another name in the same directory and then renamed, which is atomic: whatever
ends a run leaves the old file or the new one. Keras's ``ModelCheckpoint`` writes in place, and its
``BackupAndRestore`` saves neither the best weights so far nor dropout's seeds.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np

from fashion_cnn.data import Source
from fashion_cnn.recipe import BEST, BOOK, FAST, Recipe

State = dict[str, Any]


def default_checkpoint(source: Source, recipe: Recipe) -> Path:
    """Return the best model's default path, which depends on the recipe and on the kind of data.

    So a short run does not replace the model of a long one, nor a stand-in model a real one.
    """
    numbers = [float(x) if isinstance(x, int | float) else x for x in asdict(recipe).values()]
    digits = hashlib.sha256(repr(numbers).encode()).hexdigest()[:6]
    suffix = {BOOK: "", FAST: "-fast", BEST: "-best"}.get(recipe, f"-{digits}")
    kind = "best-cnn" if source.is_fashion_mnist else "stand-in"
    return Path(f"{kind}-model{suffix}.keras")


def files_beside(checkpoint: Path) -> tuple[Path, Path]:
    """Return where the state of an unfinished run and the history of a finished one are kept."""
    return checkpoint.with_suffix(".training-state.npz"), checkpoint.with_suffix(".history.json")


def read_state(path: Path) -> State:
    """Read the state of an interrupted run, without pickle; raise ValueError if there is none.

    Its keys are ``run`` (what identifies it), ``history``, ``stopped`` (whether it had ended),
    ``variables`` (arrays: of all layers, dropout's seeds too, then of the optimizer) and
    ``best_weights`` (arrays).
    """
    try:
        with open(path, "rb") as file, np.load(file) as content:  # without allow_pickle
            state: State = json.loads(str(content["state"]))
            for kind in ("variables", "best_weights"):
                state[kind] = [content[name] for name in content.files if name.startswith(kind)]
        return state
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(
            f"expected the state of an interrupted run in {path}, found none ({error}). Delete the "
            "file, or train with resume=False, to start over"
        ) from error


def interrupted_run(checkpoint: Path, run: State) -> State | None:
    """Read the state of an interrupted run, if there is one; refuse that of another run."""
    path, _history = files_beside(checkpoint)
    if not path.exists():
        return None
    state = read_state(path)
    kept = state["run"]
    different = [
        f"{name} {kept.get(name)}, not {run.get(name)}"
        for name in run | kept
        if kept.get(name) != run.get(name) and name != "computed in"
    ]
    if different:
        raise ValueError(
            f"{path} holds an interrupted run with {'; '.join(different[:8])}. Train with the same "
            "settings to resume it, or with another checkpoint to keep it for later. Delete the "
            "file, or train with resume=False, to start over"
        )
    return state


class KeepProgress(keras.callbacks.Callback):
    """Stop early; save the best model and, after every epoch, the state of the run.

    It comes last, after Keras's ``History``, where it reads which epoch is the best and whether to
    stop. It saves `best_model`, which always holds the best weights so far. `run` identifies the
    run; `state` is what `read_state` returned.
    """

    def __init__(
        self, checkpoint: Path, run: State, state: State | None, best_model: keras.Sequential
    ) -> None:
        super().__init__()
        self.checkpoint, self.run = checkpoint, run
        self.state, self.best_model = state, best_model
        self.saved_epochs = len(state["history"]["loss"]) if state else 0
        self.state_path, self.history_path = files_beside(checkpoint)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore everything from the state, or remove the state of an abandoned run."""
        if self.state is None:
            self.state_path.unlink(missing_ok=True)
            return
        self.model.history.history = self.state["history"]
        self.model.history.epoch = list(range(self.saved_epochs))
        for variable, value in zip(self._variables(), self.state["variables"], strict=True):
            variable.assign(value)
        # The run may have been killed between saving the model and the state.
        self._save_best(self.state["best_weights"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Save the model if this epoch is the best so far, then the state."""
        *earlier, loss = self.model.history.history["val_loss"]
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"expected a finite validation loss, got {loss} in epoch {epoch + 1}; train with a "
                f"smaller learning rate than {self.run['learning_rate']}"
            )
        if loss < min(earlier, default=math.inf):
            self._save_best(self.model.get_weights())
        elif len(earlier) - np.argmin(earlier) >= self.run["patience"]:
            self.model.stop_training = True
        self._save_state()
        self.saved_epochs = epoch + 1

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keep the history and remove the state: the run is finished."""
        content = {
            "checkpoint SHA-256": hashlib.sha256(self.checkpoint.read_bytes()).hexdigest(),
            "steps per epoch": self.params["steps"],
            "history": self.model.history.history,
        }
        with replacing(self.history_path) as new_path:
            new_path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        self.state_path.unlink(missing_ok=True)

    def _save_best(self, weights: list[np.ndarray]) -> None:
        self.best_model.set_weights(weights)
        with replacing(self.checkpoint) as new_path:
            self.best_model.save(new_path)

    def _save_state(self) -> None:
        history, is_stopped = self.model.history.history, bool(self.model.stop_training)
        state = json.dumps({"run": self.run, "history": history, "stopped": is_stopped})
        best, variables = self.best_model.get_weights(), map(np.asarray, self._variables())
        arrays = {f"best_weights {n}": array for n, array in enumerate(best)}
        arrays |= {f"variables {n}": array for n, array in enumerate(variables)}
        with replacing(self.state_path) as new_path:
            np.savez(new_path, state=np.array(state), **arrays)

    def _variables(self) -> list[keras.Variable]:
        # layer.variables has dropout's seeds, which model.weights lacks.
        in_layers = [variable for layer in self.model.layers for variable in layer.variables]
        return [*in_layers, *self.model.optimizer.variables]


def load_history(checkpoint: str | os.PathLike[str]) -> keras.callbacks.History | None:
    """Read the history that `train` kept beside a checkpoint; None if none matches it."""
    checkpoint, history = Path(checkpoint).expanduser().resolve(), keras.callbacks.History()
    try:
        content = json.loads(files_beside(checkpoint)[1].read_text(encoding="utf-8"))
        digits = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        history.history = content["history"]
        history.epoch = list(range(len(history.history["loss"])))
        history.set_params({"steps": content["steps per epoch"]})
        return history if content["checkpoint SHA-256"] == digits else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make_folder(folder: Path) -> None:
    """Create a folder if it is missing, and try whether files can be saved in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        message = f"nothing can be saved in this folder ({error.strerror}); choose another"
        raise OSError(error.errno, message, str(folder)) from None


def locked(checkpoint: Path) -> contextlib.AbstractContextManager[object]:
    """Keep other trainings away from a checkpoint's files; create their folder.

    The operating system releases the lock of a process that ends, whatever ended it.
    """
    make_folder(checkpoint.parent)
    path = checkpoint.with_name(f".{checkpoint.name}.lock")
    try:
        return filelock.FileLock(path, timeout=0, fallback_to_soft=False).acquire()
    except filelock.Timeout:
        raise RuntimeError(
            f"another training is writing {checkpoint}; wait until it ends, or choose another file"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise
        message = f"no file can be locked in {path.parent}; start no second training of this file"
        warnings.warn(message, stacklevel=3)
        return contextlib.nullcontext()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` once it is written."""
    new_path = path.with_name(f".new-{path.name}")
    try:
        yield new_path
        os.replace(new_path, path)
    except OSError as error:
        error.add_note(f"{path} cannot be saved; what was saved before is intact.")
        raise
    finally:
        new_path.unlink(missing_ok=True)
