"""The settings of a training run, and three recipes: the book's, fast, accurate."""

import dataclasses
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Literal

from fashion_cnn.images import IMAGE_SHAPE


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run; one that is out of range raises a ValueError.

    Attributes
    ----------
    learning_rate : float
        Step size of the optimizer; with `warmup`, its peak.
    batch_size, epochs : int
        Images per step, and the maximum number of epochs.
    patience : int
        Epochs without a lower validation loss after which the run stops.
    warmup : float, optional
        The fraction of all steps, in (0, 1), in which the step size rises from 0; in the rest it
        falls to 0 along half a cosine wave. None keeps the step size constant.
    optimizer : {"adam", "nadam"}
        Keras's Adam, or Adam with Nesterov momentum.
    beta_2 : float
        The optimizer's decay of the mean squared gradients, in [0, 1).
    weight_decay : float
        Each step subtracts this fraction of every weight, not of biases, times the step size.
    dropout_rate : float, optional
        The rate in this run; None keeps the network's. A network without dropout stays without.
    label_smoothing : float
        The probability, in [0, 1), that the loss takes from the right class and spreads over all
        ten, so that the network does not become too sure.
    whitening : bool
        Whether the first convolution starts from filters that whiten the training images'
        patches, not from random ones.
    frozen : bool
        Whether the first layer keeps the weights it starts with: a step without their gradient
        takes a third less time.
    passes : float
        How often an epoch passes through the training images, above 0: 1.25 of 48,000 are 60,000.
    flip : bool
        Whether each image is mirrored left to right with a probability of 1/2, every epoch anew.
    shift : int
        The most pixels by which an image is moved, up or down and left or right.
    erasing : float
        The probability, in [0, 1], that a rectangle of an image is painted over.
    precision : {"float32", "bfloat16", "fastest"}
        What the network computes in; the weights stay float32. "fastest" is bfloat16 where the
        processor multiplies in it, else float32.

    Examples
    --------
    >>> Recipe(learning_rate=1e-3, batch_size=0, epochs=10, patience=2)
    Traceback (most recent call last):
    ValueError: expected batch_size to be an int, at least 1, got 0
    """

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    warmup: float | None = None
    optimizer: Literal["adam", "nadam"] = "adam"
    beta_2: float = 0.999
    weight_decay: float = 0.0
    dropout_rate: float | None = None
    label_smoothing: float = 0.0
    whitening: bool = False
    frozen: bool = False
    passes: float = 1.0
    flip: bool = False
    shift: int = 0
    erasing: float = 0.0
    precision: Literal["float32", "bfloat16", "fastest"] = "float32"

    def __post_init__(self) -> None:
        """Refuse settings that are out of range."""
        for names, kinds, is_valid, expected in _ALLOWED:
            for name in names.split():
                value = getattr(self, name)
                if not (isinstance(value, kinds) and is_valid(value)):
                    raise ValueError(f"expected {name} to be {expected}, got {value!r}")

    def replace(self, **settings: Any) -> "Recipe":
        """Return a recipe with some settings changed, which are checked as those of a new one.

        Examples
        --------
        >>> BOOK.replace(epochs=2)
        Recipe(learning_rate=0.001, batch_size=32, epochs=2, patience=2)
        """
        return dataclasses.replace(self, **settings)

    def __repr__(self) -> str:
        """Return the call that makes it, without the settings that have their default."""
        given = [
            f"{field.name}={value!r}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"Recipe({', '.join(given)})"


_SIDE, _PRECISIONS = min(IMAGE_SHAPE), ("float32", "bfloat16", "fastest")
# The settings of one kind: their types, their range, and both in words.
_ALLOWED = (
    ("learning_rate passes", int | float, lambda x: 0 < x < inf, "a number above 0"),
    ("batch_size epochs", int, lambda x: x >= 1, "an int, at least 1"),
    ("patience", int, lambda x: x >= 0, "an int, at least 0"),
    ("warmup", int | float | None, lambda x: x is None or 0 < x < 1, "in (0, 1), or None"),
    ("optimizer", str, lambda x: x in ("adam", "nadam"), "'adam' or 'nadam'"),
    ("beta_2 label_smoothing", int | float, lambda x: 0 <= x < 1, "in [0, 1)"),
    ("weight_decay", int | float, lambda x: 0 <= x < inf, "a number, at least 0"),
    ("dropout_rate", int | float | None, lambda x: x is None or 0 <= x < 1, "in [0, 1), or None"),
    ("whitening frozen flip", bool, lambda x: True, "True or False"),
    ("shift", int, lambda x: 0 <= x < _SIDE, f"an int from 0 to {_SIDE - 1}"),
    ("erasing", int | float, lambda x: 0 <= x <= 1, "in [0, 1]"),
    ("precision", str, lambda x: x in _PRECISIONS, f"one of {', '.join(_PRECISIONS)}"),
)

BOOK = Recipe(learning_rate=1e-3, batch_size=32, epochs=20, patience=2)
"""The recipe of the book and of the note."""

FAST = Recipe(
    learning_rate=6e-3,  # can be this large because it rises from 0 and falls back to it
    batch_size=128,  # large enough to keep two cores busy, small enough for 469 steps
    epochs=1,
    patience=1,
    warmup=0.15,
    optimizer="nadam",  # looks a step ahead, which counts where there are so few
    beta_2=0.99,
    dropout_rate=0.0,  # one epoch is too short to overfit
    label_smoothing=0.05,
    whitening=True,  # worth an epoch: the filters need not find edges first
    frozen=True,  # they are good enough as they are
    passes=1.25,
    precision="fastest",
)
"""Nearly the book's validation accuracy in a fraction of its time."""

BEST = Recipe(
    learning_rate=3e-3,
    batch_size=128,
    epochs=30,
    patience=30,  # the last epochs, with the smallest steps, are the best ones
    warmup=0.1,
    optimizer="nadam",
    beta_2=0.99,
    weight_decay=0.05,  # in place of early stopping: keeps the weights small
    dropout_rate=0.0,  # images that never look the same twice prevent overfitting well enough
    whitening=True,
    flip=True,  # a mirrored coat is still a coat
    shift=1,  # so is a coat moved by a pixel
    erasing=0.5,  # so is a partly hidden one: no single spot should decide
    precision="fastest",
)
"""As accurate as we could make this network; benchmarks/NOTES.md says what was tried."""
