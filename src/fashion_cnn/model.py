"""Build the network of the tutorial: two convolutions, two poolings, two dense layers."""

import keras
from keras import layers

from fashion_cnn.data import CLASS_NAMES, IMAGE_SHAPE


def build_cnn(
    *,
    filters: tuple[int, int] = (32, 64),
    dense_units: int = 100,
    dropout_rate: float = 0.4,
) -> keras.Sequential:
    """Build the compiled network; with the defaults it has 333,526 parameters.

    It takes images of shape (n, 28, 28, 1) in [0, 1] and returns float32 probabilities of shape
    (n, 10) whose rows sum to 1. It is compiled with Adam, sparse categorical cross-entropy and
    accuracy, so Keras's own ``fit`` and ``evaluate`` work on it too.

    Parameters
    ----------
    filters : tuple of two int
        Number of 3×3 filters of the first and of the second convolution.
    dense_units : int
        Width of the hidden dense layer.
    dropout_rate : float
        The part of the hidden layer's outputs set to 0 in each training step, in [0, 1).

    Returns
    -------
    keras.Sequential
        Layers ``conv1``, ``pool1``, ``conv2``, ``pool2``, ``flatten``, ``hidden``, ``dropout``
        and ``output``.

    Raises
    ------
    ValueError
        If `filters` is not a pair, or a size or rate is out of its range.

    Examples
    --------
    >>> build_cnn().count_params()
    333526
    """
    if len(filters) != 2:
        raise ValueError(f"expected filters for two convolutions, as in (32, 64), got {filters!r}")
    model = keras.Sequential(
        [
            keras.Input((*IMAGE_SHAPE, 1)),
            layers.Conv2D(filters[0], 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(filters[1], 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(dense_units, activation="relu", name="hidden"),
            layers.Dropout(dropout_rate, name="dropout"),
            layers.Dense(len(CLASS_NAMES), activation="softmax", name="output"),
        ],
        name="fashion_cnn",
    )
    compile_cnn(model)
    return model


def compile_cnn(model: keras.Model) -> None:
    """Compile a network with the book's optimizer, loss and metric."""
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
