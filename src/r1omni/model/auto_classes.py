"""transformers' Auto classes know HumanOmni after `import r1omni`, whichever of the two packages is imported first.

A model is registered by importing its classes, which takes seconds, and `import r1omni` loads no heavy package. So the
first call of AutoConfig or AutoProcessor, through which the other Auto classes go too, imports them; that call and all
later ones are transformers' own. Until then the two classes hold a stand-in for the methods that read a checkpoint.
"""

import sys
from collections.abc import Iterable
from functools import wraps
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_ENTRANCES = {
    "transformers.models.auto.configuration_auto": ("AutoConfig", ("from_pretrained", "for_model")),
    "transformers.models.auto.processing_auto": ("AutoProcessor", ("from_pretrained",)),
}
"""transformers' module -> its class, and the methods through which a checkpoint is read."""
_OURS = ("r1omni.model.modeling", "r1omni.model.processing")
"""Modules that register HumanOmni with transformers when they are imported."""


class _WatchImports(MetaPathFinder):
    """Finds the modules of the Auto classes as Python does, and prepares them once they are loaded."""

    def find_spec(
        self, fullname: str, path: Iterable[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of such a module; None for every other.

        Args:
            fullname: the module's name.
            path: where its package looks for modules.
            target: the module that is reloaded, if it is.
        """
        if fullname not in _ENTRANCES:
            return None
        spec = PathFinder.find_spec(fullname, None if path is None else list(path), target)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            _register_at_first_call(module)

        spec.loader.exec_module = exec_module
        return spec


def register_auto_classes() -> None:
    """Make the Auto classes load HumanOmni's checkpoints; a second call changes nothing."""
    if any(isinstance(finder, _WatchImports) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _WatchImports())
    for name in _ENTRANCES:
        if name in sys.modules:
            _register_at_first_call(sys.modules[name])


def _register_at_first_call(module: ModuleType) -> None:
    class_name, methods = _ENTRANCES[module.__name__]
    auto: type = getattr(module, class_name)
    originals = {name: vars(auto)[name] for name in methods}

    def stand_in(name: str) -> classmethod:
        @wraps(getattr(auto, name))
        def register_and_call(cls: type, *args: object, **kwargs: object) -> object:
            for method, original in originals.items():
                setattr(auto, method, original)
            for ours in _OURS:
                import_module(ours)
            return getattr(cls, name)(*args, **kwargs)

        return classmethod(register_and_call)

    for name in methods:
        setattr(auto, name, stand_in(name))
