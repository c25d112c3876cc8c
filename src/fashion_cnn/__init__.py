"""A small convolutional network on Fashion-MNIST: load, build, train, evaluate, predict, plot.

The public names are listed in ``__init__.pyi`` and imported when first used, so
``import fashion_cnn`` is quick and does not import TensorFlow.
"""

import lazy_loader

from fashion_cnn.quiet import without_machine_notes

__version__ = "0.2.0"
_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = without_machine_notes()(_import)
