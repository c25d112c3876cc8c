"""What a convolutional network computes, by hand: so that every word of it can be checked."""

import math
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.data import CLASS_NAMES, IMAGE_SHAPE
from fashion_cnn.prediction import EVALUATION_BATCH_SIZE, as_batch

Padding = Literal["same", "valid"]


def output_size(size: int, window: int, stride: int = 1, padding: Padding = "valid") -> int:
    """Return how many places a window of `window` cells takes along `size` cells.

    With valid padding only whole windows count, ``(size - window) // stride + 1``; with same
    padding every stride-th cell is the middle of one, ``ceil(size / stride)``.

    Parameters
    ----------
    size, window, stride : int
        In cells, at least 1.
    padding : {"same", "valid"}
        As in Keras.

    Returns
    -------
    int
        The size of the output, along one axis.

    Raises
    ------
    ValueError
        If a number is below 1, the padding another word, or not even one whole window fits.

    Examples
    --------
    >>> output_size(28, window=3, stride=2, padding="valid")
    13
    """
    if min(size, window, stride) < 1:
        raise ValueError(
            "expected size, window and stride of at least 1, "
            f"got size={size}, window={window}, stride={stride}"
        )
    if padding == "same":
        return -(-size // stride)
    if padding != "valid":
        raise ValueError(f"expected padding 'same' or 'valid', got {padding!r}")
    if window > size:
        raise ValueError(
            f"expected a window of at most {size} cells, got {window}; no whole window fits. "
            "Use a smaller window or padding='same'"
        )
    return (size - window) // stride + 1


def padded_cells(
    size: int, window: int, stride: int = 1, padding: Padding = "valid"
) -> tuple[int, int]:
    """Return how many cells of padding Keras adds before and after `size` cells.

    Parameters
    ----------
    size, window, stride : int
        In cells, at least 1.
    padding : {"same", "valid"}
        As in Keras; with valid padding there are none.

    Returns
    -------
    tuple of int
        Before and after. If their sum is odd, the one more comes after.

    Raises
    ------
    ValueError
        As `output_size`.
    """
    places = output_size(size, window, stride, padding)
    if padding == "valid":
        return 0, 0
    total = max((places - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def windows(
    image: ArrayLike, window: int, stride: int = 1, padding: Padding = "valid"
) -> NDArray[np.float64]:
    """Cut out every window that a convolution or a pooling looks at.

    Parameters
    ----------
    image : array_like, shape (height, width) or (height, width, channels)
        Any numbers.
    window, stride : int
        In cells, the same down and across.
    padding : {"same", "valid"}
        As in Keras; the padded cells are 0.

    Returns
    -------
    ndarray of float64, shape (rows, columns, window, window, channels)
        One window for each cell of the output.

    Raises
    ------
    ValueError
        If the image has another number of axes; otherwise as `output_size`.
    """
    cells = np.asarray(image, dtype=np.float64)
    if cells.ndim == 2:
        cells = cells[..., np.newaxis]
    if cells.ndim != 3:
        raise ValueError(
            f"expected one image of shape (height, width) or (height, width, channels), "
            f"got shape {cells.shape}; pass one image, such as images[0]"
        )
    around = [padded_cells(size, window, stride, padding) for size in cells.shape[:2]]
    padded = np.pad(cells, [*around, (0, 0)])
    every = sliding_window_view(padded, (window, window), axis=(0, 1))[::stride, ::stride]
    return np.moveaxis(every, 2, -1)  # channels last, as in Keras


def convolve(
    image: ArrayLike,
    kernels: ArrayLike,
    biases: ArrayLike,
    *,
    stride: int = 1,
    padding: Padding = "same",
) -> NDArray[np.float64]:
    """Compute a convolution as the definition says: products, their sum, plus the bias.

    Without an activation: for what a layer with ReLU gives, take ``np.maximum(0, …)`` of it.

    Parameters
    ----------
    image : array_like, shape (height, width) or (height, width, channels)
        Any numbers.
    kernels : array_like, shape (window, window, channels, filters)
        The weights, as ``layer.get_weights()`` gives them.
    biases : array_like, shape (filters,)
        One for each filter.
    stride : int
        In cells, the same down and across.
    padding : {"same", "valid"}
        As in Keras.

    Returns
    -------
    ndarray of float64, shape (rows, columns, filters)
        A feature map for each filter.

    Raises
    ------
    ValueError
        If the shapes do not fit together; otherwise as `windows`.
    """
    kernels, biases = np.asarray(kernels), np.asarray(biases)
    if kernels.ndim != 4 or kernels.shape[0] != kernels.shape[1]:
        raise ValueError(
            "expected kernels of shape (window, window, channels, filters), "
            f"got {kernels.shape}; take them from layer.get_weights()"
        )
    if biases.shape != kernels.shape[3:]:
        raise ValueError(f"expected {kernels.shape[3]} biases, got shape {biases.shape}")
    seen = windows(image, kernels.shape[0], stride, padding)
    if seen.shape[-1] != kernels.shape[2]:
        raise ValueError(
            f"expected an image of {kernels.shape[2]} channels, as the kernels have, "
            f"got {seen.shape[-1]}"
        )
    products = seen[..., np.newaxis] * kernels  # (rows, columns, window, window, channels, filters)
    return products.sum(axis=(2, 3, 4)) + biases


def layer_outputs(model: keras.Sequential, images: ArrayLike) -> dict[str, NDArray[np.float32]]:
    """Return what every layer of a network gives for some images, in prediction.

    Parameters
    ----------
    model : keras.Sequential
        A network from `build_cnn` or `load_model`.
    images : array_like, shape (n, 28, 28, 1) in [0, 1], or one image as `predict` takes it
        At most some thousand: the maps of one image take 0.2 MB.

    Returns
    -------
    dict of str to ndarray of float32
        By the layer's name, in order; the first axis counts the images. The convolutions' outputs
        are feature maps (n, height, width, filters).
    """
    images = np.asarray(images)
    batch = images if images.ndim == 4 and len(images) != 1 else as_batch(images)
    outputs: dict[str, list[NDArray[np.float32]]] = {layer.name: [] for layer in model.layers}
    for start in range(0, len(batch), EVALUATION_BATCH_SIZE):
        output = batch[start : start + EVALUATION_BATCH_SIZE]
        for layer in model.layers:
            output = layer(output, training=False)
            outputs[layer.name].append(np.asarray(output))
    return {name: np.concatenate(parts) for name, parts in outputs.items()}


def most_exciting(
    model: keras.Sequential, images: ArrayLike, layer_name: str, filter_number: int, n: int = 10
) -> NDArray[np.int64]:
    """Find the images that excite a filter most: whose feature map has the largest value.

    Parameters
    ----------
    model : keras.Sequential
        A network from `build_cnn` or `load_model`.
    images : array_like, shape (n, 28, 28, 1)
        In [0, 1].
    layer_name : str
        A convolution, such as ``"conv2"``.
    filter_number : int
        Which filter of the layer, from 0.
    n : int
        How many images.

    Returns
    -------
    ndarray of int64, shape (n,)
        Indices of the images, the most exciting one first.
    """
    maps = keras.Model(model.inputs, model.get_layer(layer_name).output[..., filter_number])
    largest = maps.predict(images, batch_size=500, verbose=0).max(axis=(1, 2))
    return largest.argsort()[::-1][:n]


def occlusion_map(
    model: keras.Sequential, image: ArrayLike, label: int, *, patch: int = 7
) -> NDArray[np.float32]:
    """Measure where the network looks: how much a black patch there lowers a label's probability.

    The patch is put around every pixel in turn (Zeiler and Fergus 2014, arXiv:1311.2901).

    Parameters
    ----------
    model : keras.Sequential
        A network from `build_cnn` or `load_model`.
    image : array_like
        One image, as `predict` takes it.
    label : int
        Whose probability, 0 to 9.
    patch : int
        Side of the square patch in pixels, odd.

    Returns
    -------
    ndarray of float32, shape (28, 28)
        Probability without the patch minus probability with the patch around this pixel, in
        [-1, 1]. Negative where hiding the pixel makes the network surer.

    Raises
    ------
    ValueError
        If the label or the patch is out of range; for the image, as `predict`.
    """
    if not 0 <= label < len(CLASS_NAMES):
        raise ValueError(f"expected a label from 0 to {len(CLASS_NAMES) - 1}, got {label}")
    if not 1 <= patch <= min(IMAGE_SHAPE) or patch % 2 == 0:
        raise ValueError(f"expected an odd patch from 1 to 27, got {patch}")
    batch = as_batch(image)
    middles = np.indices(IMAGE_SHAPE).reshape(2, -1)  # (2, 784): a row and a column each
    distances = np.abs(
        np.indices(IMAGE_SHAPE)[:, np.newaxis] - middles[..., np.newaxis, np.newaxis]
    )
    is_hidden = distances.max(axis=0) <= patch // 2  # (784, 28, 28)
    hidden = np.where(is_hidden[..., np.newaxis], np.float32(0), batch)
    # Quicker than model.predict, which first sets up an input pipeline.
    probabilities = np.asarray(model.predict_on_batch(np.concatenate([batch, hidden])))
    drops = probabilities[0, label] - probabilities[1:, label]
    return drops.reshape(IMAGE_SHAPE)


def layer_table(model: keras.Sequential) -> pd.DataFrame:
    """Work out the parameters and the receptive field of every layer, and check both.

    The receptive field is the part of the image that one cell of the layer's output depends on.
    It grows by ``(window - 1)`` steps with every convolution or pooling. A step is one pixel at
    first; every layer's stride multiplies it for the layers after it.

    Parameters
    ----------
    model : keras.Sequential
        Convolutions, poolings, Flatten, Dense and Dropout, such as `build_cnn`'s network.

    Returns
    -------
    pandas.DataFrame
        A row for each layer, by name: ``output`` shape; ``parameters``, worked out;
        ``counted by Keras``; ``receptive field`` in pixels, worked out, 28 where it is the whole
        image; and ``measured``, from which pixels reach the middle cell of the output.
    """
    rows = {}
    field = step = 1
    measured = _measured_receptive_fields(model)
    for layer in model.layers:
        window, stride = _window_and_stride(layer)
        if window is None:
            field = max(IMAGE_SHAPE)
        else:
            field += (window - 1) * step
            step *= stride
        rows[layer.name] = {
            "output": tuple(layer.output.shape[1:]),
            "parameters": _worked_out_parameters(layer),
            "counted by Keras": layer.count_params(),
            "receptive field": min(field, max(IMAGE_SHAPE)),
            "measured": measured[layer.name],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


def _window_and_stride(layer: Any) -> tuple[int | None, int]:
    """Return the side of a layer's window and its stride; None if it sees everything at once."""
    if isinstance(layer, keras.layers.Conv2D):
        return layer.kernel_size[0], layer.strides[0]
    if isinstance(layer, keras.layers.MaxPooling2D | keras.layers.AveragePooling2D):
        return layer.pool_size[0], layer.strides[0]
    if isinstance(layer, keras.layers.Dense):
        return None, 1
    return 1, 1  # Flatten and Dropout: each number for itself


def _worked_out_parameters(layer: Any) -> int:
    """Count the weights of each filter or unit, and its bias, by the layer's sizes."""
    if isinstance(layer, keras.layers.Conv2D):
        window, channels = layer.kernel_size[0], layer.input.shape[-1]
        return (window * window * channels + layer.use_bias) * layer.filters
    if isinstance(layer, keras.layers.Dense):
        return (layer.input.shape[-1] + layer.use_bias) * layer.units
    return 0


def _measured_receptive_fields(model: keras.Sequential) -> dict[str, int]:
    """Find the pixels that reach the middle cell of each layer's output.

    With all weights 1 and no biases, an image that is black but for one pixel gives a positive
    number exactly where that pixel is seen; after softmax it would be positive everywhere.
    """
    twin = keras.models.clone_model(model)
    twin.layers[-1].activation = keras.activations.linear
    twin.set_weights([np.full_like(w, w.ndim > 1) for w in twin.get_weights()])
    inner = keras.Model(twin.inputs, [layer.output for layer in twin.layers])
    single_pixels = np.eye(math.prod(IMAGE_SHAPE), dtype=np.float32).reshape(-1, *IMAGE_SHAPE, 1)
    outputs = inner.predict(single_pixels, batch_size=98, verbose=0)
    sides = {}
    for layer, output in zip(twin.layers, outputs, strict=True):
        middle = tuple(size // 2 for size in output.shape[1:])
        rows, columns = np.nonzero(output[(slice(None), *middle)].reshape(IMAGE_SHAPE))
        sides[layer.name] = int(max(np.ptp(rows), np.ptp(columns))) + 1
    return sides
