"""Fine-tuning a Base model to one speaker, after upstream's recipe.

``train`` does all of it, blocking, for a worker thread; ``check_dataset`` looks at the recordings
alone and needs neither torch nor a model. Nothing heavy is imported before a name is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
