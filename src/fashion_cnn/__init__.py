"""A small convolutional network on Fashion-MNIST: load, build, train, evaluate, predict, plot.

The public names are listed in ``__init__.pyi`` and imported when first used, so
``import fashion_cnn`` is quick and does not import TensorFlow.
"""

import logging
import os

import lazy_loader

__version__ = "0.2.0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # 0 shows TensorFlow's notes about the machine
# Keras traces new functions for every new model, of which TensorFlow warns.
logging.getLogger("tensorflow").addFilter(lambda log: "TensorFlowTrainer" not in log.getMessage())
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
