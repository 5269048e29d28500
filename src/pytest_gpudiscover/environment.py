"""The environment of a probe. Pure: the parent's environment is an argument, and is never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    separator = ";" if system == "win32" else ":"
    variable = search_path_variable(system)
    own = [root, *directories]
    users = _value(parent, variable, system).split(separator)
    # An empty entry would put the working directory on the search path, which nobody means.
    search = dict.fromkeys([*own, *([rocm] if rocm else []), *(entry for entry in users if entry)])
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
