"""A look inside the network: its arithmetic by hand, its layers, and pictures of both.

The names are listed in ``__init__.pyi`` and imported when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
