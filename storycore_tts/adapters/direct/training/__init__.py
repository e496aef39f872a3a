"""Fine-tunes a Base model to one speaker, following upstream's recipe.

``train`` is blocking and meant for a worker thread; ``check_dataset`` checks the recordings only
and needs neither torch nor a model. Heavy modules are imported when a name is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
