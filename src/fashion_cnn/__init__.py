"""A small convolutional network on Fashion-MNIST: load, build, train, evaluate, predict, plot.

The public names are listed in ``__init__.pyi`` and imported when first used, so
``import fashion_cnn`` is quick and does not import TensorFlow.
"""

import lazy_loader

from fashion_cnn import quiet

__version__ = "0.1.0"
quiet.install()
_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    try:
        return _import(name)
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "openvino", "torch"):
            raise
        raise ImportError(
            f"expected Keras's backend to be TensorFlow, got {error.name}, which is not installed; "
            "set KERAS_BACKEND=tensorflow before importing Keras, and restart Python"
        ) from error
