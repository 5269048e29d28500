"""What Hypothesis draws for our types by itself: `st.from_type(DeviceInfo)`, or an argument of that type.

Hypothesis calls `register` at the end of its own import (entry point group `hypothesis`), also in programs
that never see a GPU. It wants the types themselves, and to import them takes a fifth of the time that its own
import takes; so what has not been imported yet is registered when it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_STRATEGIES = {
    "pytest_gpudiscover.devices": {"DeviceID": "device_ids", "DeviceInfo": "devices"},
    "pytest_gpudiscover.simulation.hosts": {"FakeHost": "hosts"},
    "pytest_gpudiscover.strategies.body": {"Body": "bodies"},
}
"""By the modules that define them, our types; and of each, the function of `strategies` that is for it."""


def register() -> None:
    """Let Hypothesis know the strategies for our types, as soon as these are there."""
    for name in _STRATEGIES:
        if name in sys.modules:
            _register(sys.modules[name])
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def _register(module: ModuleType) -> None:
    from hypothesis.strategies import SearchStrategy, register_type_strategy

    for name, function in _STRATEGIES[module.__name__].items():

        def strategy(_: type[Any], function: str = function) -> SearchStrategy[Any]:
            from pytest_gpudiscover import strategies

            found: SearchStrategy[Any] = getattr(strategies, function)()
            return found

        register_type_strategy(getattr(module, name), strategy)


class _Loader(SourceFileLoader):
    """Loads a module as ever, and then registers its types."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _register(module)


class _Finder:
    """Finds the modules of our types, where anybody finds them, for `_Loader`."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _STRATEGIES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec
