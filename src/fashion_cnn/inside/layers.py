"""What each layer of a trained network computes, sees and looks at."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.images import CLASS_NAMES, IMAGE_SHAPE, as_batch, as_images
from fashion_cnn.prediction import class_probabilities

KINDS = (  # whose parameters and receptive fields can be worked out here
    "Conv2D, MaxPooling2D, AveragePooling2D, BatchNormalization, Activation, ReLU, Dropout, "
    "Flatten, Dense"
)


def layer_outputs(model: keras.Model, images: ArrayLike) -> dict[str, NDArray[np.float32]]:
    """Return the output of every layer of a network for some images, as in prediction.

    Parameters
    ----------
    model : keras.Model
        A built network, such as from `build_cnn` or `load_model`.
    images : array_like, shape (n, 28, 28, 1) in [0, 1], or one image as `predict` takes it
        At most a few thousand: the maps of one image take 0.2 MB.

    Returns
    -------
    dict of str to ndarray of float32
        The outputs by layer name, in order; the first axis is the images. The outputs of
        convolutions are feature maps (n, height, width, filters).

    Raises
    ------
    ValueError
        If the model is not built, or is a subclassed one, whose layers Keras does not connect.

    Examples
    --------
    >>> layer_outputs(model, data.train.images[:5])["conv1"].shape
    (5, 28, 28, 32)
    """
    outputs = {layer.name: layer.output for layer in layers_of(model)}
    computed = keras.Model(model.inputs[0], outputs)(as_images(images), training=False)
    return {name: np.asarray(computed[name]) for name in outputs}


def layers_of(model: keras.Model) -> list[Any]:
    """Return the layers of a network whose graph Keras knows, without its input layer."""
    if not (getattr(model, "built", False) and getattr(model, "inputs", None)):
        raise ValueError(
            f"expected a Sequential or functional model that is built, got {type(model).__name__}; "
            "call model.build((None, 28, 28, 1)), or the layers of a subclassed model one by one"
        )
    return [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def occlusion_map(
    model: keras.Model, image: ArrayLike, label: int, *, patch: int = 7
) -> NDArray[np.float32]:
    """Measure where the network looks: how much covering a place lowers a label's probability.

    A patch of the garment's mean grey, of all pixels above 0, is centred on every pixel in turn
    (Zeiler and Fergus 2014, arXiv:1311.2901).

    Parameters
    ----------
    model : keras.Model
        A network from `build_cnn` or `load_model`.
    image : array_like
        One image, as `predict` takes it.
    label : int
        The label whose probability is measured, 0 to 9.
    patch : int
        Side of the square patch in pixels, odd.

    Returns
    -------
    ndarray of float32, shape (28, 28)
        Probability without the patch minus probability with the patch on this pixel, in [-1, 1].
        Negative where hiding the pixel makes the network surer.

    Raises
    ------
    ValueError
        If the label or the patch is out of range, or the image is not as `predict` takes it.

    Examples
    --------
    >>> occlusion_map(model, data.validation.images[0], label=8).shape
    (28, 28)
    """
    if not 0 <= label < len(CLASS_NAMES):
        raise ValueError(f"expected a label from 0 to {len(CLASS_NAMES) - 1}, got {label}")
    if not 1 <= patch <= min(IMAGE_SHAPE) or patch % 2 == 0:
        raise ValueError(f"expected an odd patch from 1 to 27, got {patch}")
    batch = as_batch(image)
    pixels = np.arange(IMAGE_SHAPE[0])
    is_near = np.abs(np.subtract.outer(pixels, pixels)) <= patch // 2  # along one axis
    is_hidden = np.einsum("ri,cj->rcij", is_near, is_near).reshape(-1, *IMAGE_SHAPE, 1)
    mean_grey = batch[batch > 0].mean() if batch.any() else np.float32(0)
    hidden = np.where(is_hidden, mean_grey, batch)
    probabilities = class_probabilities(model, np.concatenate([batch, hidden]))
    drops = probabilities[0, label] - probabilities[1:, label]
    return drops.reshape(IMAGE_SHAPE)


def layer_table(model: keras.Model) -> pd.DataFrame:
    """Work out the parameters and the receptive field of every layer, and check both.

    The receptive field is the part of the image that one cell of the layer's output depends on.
    It grows by ``(window - 1)`` steps with every convolution or pooling. A step is one pixel at
    first; every layer's stride multiplies it for the layers after it.

    Parameters
    ----------
    model : keras.Model
        A built network of convolution, pooling, BatchNormalization, Activation, ReLU, Dropout,
        Flatten and Dense layers, one after another.

    Returns
    -------
    pandas.DataFrame
        A row for each layer, by name: ``output`` shape; ``parameters``, worked out;
        ``counted by Keras``; ``receptive field`` in pixels, worked out, 28 where it is the whole
        image; and ``measured``, from the pixels that reach the middle cell of the output.

    Raises
    ------
    ValueError
        If the model is not built, or has another kind of layer.

    Examples
    --------
    >>> layer_table(model)["receptive field"].tolist()
    [3, 4, 8, 10, 10, 28, 28, 28]
    """
    rows = {}
    field = step = 1
    for layer in layers_of(model):
        window, stride = _window_and_stride(layer)
        field, step = field + (window - 1) * step, step * stride
        parameters = 0
        if isinstance(layer, keras.layers.Conv2D):
            parameters = (window**2 * layer.input.shape[-1] + layer.use_bias) * layer.filters
        elif isinstance(layer, keras.layers.Dense):  # each unit sees everything
            parameters = (layer.input.shape[-1] + layer.use_bias) * layer.units
            field = max(IMAGE_SHAPE)
        elif isinstance(layer, keras.layers.BatchNormalization):  # means, variances, its weights
            parameters = (2 + layer.center + layer.scale) * layer.input.shape[-1]
        rows[layer.name] = {
            "output": tuple(layer.output.shape[1:]),
            "parameters": parameters,
            "counted by Keras": layer.count_params(),
            "receptive field": min(field, max(IMAGE_SHAPE)),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")
    return table.assign(measured=pd.Series(_measured_receptive_fields(model)))


def _window_and_stride(layer: Any) -> tuple[int, int]:
    """Return the side of a convolution's or pooling's window and its stride; else 1 and 1."""
    if type(layer).__name__ not in KINDS.split(", "):
        raise ValueError(
            f"expected layers of the kinds {KINDS}, got {type(layer).__name__}; "
            "model.summary() describes any"
        )
    window = getattr(layer, "kernel_size", getattr(layer, "pool_size", (1, 1)))
    return window[0], getattr(layer, "strides", (1, 1))[0]


def _measured_receptive_fields(model: keras.Model) -> dict[str, int]:
    """Measure the side of the square of pixels that reach the middle cell of each layer's output.

    With all weights 1, all biases 0 and no activation, an image that is black except for one pixel
    gives a positive number exactly where that pixel is seen.
    """
    twin = keras.models.clone_model(model)
    for layer in twin.layers:
        layer.activation = keras.activations.linear
    for weight in twin.weights:  # a fresh BatchNormalization changes nothing
        if weight.name in ("kernel", "bias"):
            weight.assign(np.full(weight.shape, weight.name == "kernel"))
    single_pixels = np.eye(math.prod(IMAGE_SHAPE)).reshape(-1, *IMAGE_SHAPE)
    sides = {}
    for name, output in layer_outputs(twin, single_pixels).items():
        middle = output[:, *(size // 2 for size in output.shape[1:])]
        rows, columns = np.nonzero(middle.reshape(IMAGE_SHAPE))
        sides[name] = int(max(np.ptp(rows), np.ptp(columns))) + 1
    return sides
