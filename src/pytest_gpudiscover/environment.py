"""The environment of a probe. Pure: the parent's environment is an argument, and is never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

LIBRARY_PATH = "OLLAMA_LIBRARY_PATH"
"""What points a runner at the root and at one variant."""

DEEP = {"GGML_CUDA_INIT": "1"}
"""What makes a runner initialise devices deeply, so that an unsupported one crashes it now."""

PHASE = "GPUDISCOVER_PHASE"
"""Our own word to the runner which phase it serves. Real ones ignore it, the fake one heeds it."""


def search_path_variable(system: str) -> str:
    """Name the variable that holds the library search path of a platform."""
    return {"win32": "PATH", "darwin": "DYLD_LIBRARY_PATH"}.get(system, "LD_LIBRARY_PATH")


def library_paths(
    parent: Mapping[str, str], *, system: str, root: str, directories: Sequence[str], rocm: str | None
) -> dict[str, str]:
    """Point a runner at a variant: both search paths, ours before whatever the user had.

    Args:
        parent: the environment to take the user's search path from.
        system: the platform, as in `Surroundings`.
        root: the library root.
        directories: the variant's own.
        rocm: the directory that ROCm's libraries share, if there is one.
    """
    users = _value(parent, search_path_variable(system), system)
    return dict(_library_paths(users, system, root, tuple(directories), rocm))


@lru_cache  # a variant is probed once for every device
def _library_paths(
    users: str, system: str, root: str, directories: tuple[str, ...], rocm: str | None
) -> dict[str, str]:
    separator = ";" if system == "win32" else ":"
    own = [root, *directories]
    # An empty entry would put the working directory on the search path, which nobody means.
    search = dict.fromkeys([*own, *([rocm] if rocm else []), *filter(None, users.split(separator))])
    variable = search_path_variable(system)
    return {variable: separator.join(search), LIBRARY_PATH: separator.join(dict.fromkeys(own))}


def changed(parent: Mapping[str, str], changes: Mapping[str, str | None], *, system: str) -> dict[str, str]:
    """The parent's environment with some variables set, and those that are None taken out.

    Each name appears once; only Windows compares names without case.
    """
    fold = str.upper if system == "win32" else str
    replaced = {fold(name) for name in changes}
    kept = {fold(name): (name, value) for name, value in parent.items() if fold(name) not in replaced}
    return dict(kept.values()) | {name: value for name, value in changes.items() if value is not None}


def _value(environment: Mapping[str, str], variable: str, system: str) -> str:
    if system != "win32":
        return environment.get(variable, "")
    return next((value for name, value in environment.items() if name.upper() == variable), "")
