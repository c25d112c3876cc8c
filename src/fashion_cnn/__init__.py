"""A small convolutional network on Fashion-MNIST: load, build, train, evaluate, predict, plot.

The public names are listed in ``__init__.pyi`` and imported when first used, so
``import fashion_cnn`` is quick and does not import TensorFlow.
"""

import lazy_loader

from fashion_cnn import quiet

__version__ = "0.1.0"
quiet.install()
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
