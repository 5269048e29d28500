"""Whether a driver is on this machine, without loading its library and without starting a process.

The engine asks this before it spends a probe on a driver. It looks where the system's loader would look, and
in doubt says yes: a needless probe costs a process, a library wrongly called missing costs a GPU.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path, PureWindowsPath

from pytest_gpudiscover.native.drivers import ROOT_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_gpudiscover.native.drivers import Driver

LOADER_CACHE = "/etc/ld.so.cache"
LINUX_DIRECTORIES = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib", "/usr/lib/wsl/lib")
# Where no cache was ever built (small containers), Debian's loader still knows its directories by itself.
MULTIARCH_PARENTS = ("/lib", "/usr/lib")
_MACOS_DIRECTORIES = ("/usr/local/lib", "/usr/lib")


def absence(
    driver: Driver,
    *,
    platform: str = sys.platform,
    environment: Mapping[str, str] | None = None,
    root: Path | None = None,
    prefix: Path | None = None,
) -> str | None:
    """Say why a driver need not be asked: a sentence, or None when its library is there, or a trace of it.

    Args:
        driver: an entry of the registry.
        platform: as `sys.platform` spells it.
        environment: the environment of the probe to come; None for that of this process.
        root: a directory that stands for the root of the file system; None for the real one.
        prefix: where the interpreter that runs the probe is installed; its `lib` is searched as well, because
            conda's interpreters search it. None for that of this process.
    """
    names = driver.library_names(platform)
    searched = os.environ if environment is None else environment
    kernel = searched.get(ROOT_VARIABLE, "")
    traces = [kernel + path for path in driver.traces.get(platform, ())]
    home = Path(sys.base_prefix) if prefix is None else prefix
    if is_present((*names, *traces), platform=platform, environment=searched, root=root, prefix=home):
        return None
    return driver.missing(platform)


def is_present(
    names: Sequence[str], *, platform: str, environment: Mapping[str, str], root: Path | None, prefix: Path
) -> bool:
    """Tell whether any of these is there: libraries where the system's loader would find them, or paths.

    Args:
        names: bare file names of libraries, or absolute paths of anything.
        platform: as `sys.platform` spells it.
        environment: where the loader's search path variable is read from.
        root: a directory that stands for the root of the file system; None for the real one.
        prefix: where the interpreter is installed.
    """
    directories = _DIRECTORIES.get(platform, _linux_directories)
    bare = [name for name in names if not name.startswith("/")]
    if any(_exists(_below(root, name)) for name in names if name.startswith("/")):
        return True
    if platform == "linux" and _is_cached(bare, root):
        return True
    return any(
        _exists(directory / name) for directory in directories(environment, root, prefix) for name in bare
    )


def _exists(path: Path) -> bool:
    # `Path.exists` raises where a directory may not be searched; the system's loader passes over such a one.
    return os.path.exists(path)  # noqa: PTH110 - a probe does without pathlib


def _is_cached(names: Sequence[str], root: Path | None) -> bool:
    # The cache keeps its names as C strings; a recent ldconfig shares one that ends another's path.
    try:
        cache = _below(root, LOADER_CACHE).read_bytes()
    except OSError:
        return False
    return any(before + name.encode() + b"\0" in cache for name in names for before in (b"\0", b"/"))


def _linux_directories(environment: Mapping[str, str], root: Path | None, prefix: Path) -> Iterator[Path]:
    yield from _listed(environment.get("LD_LIBRARY_PATH", "").replace(";", ":"), root)
    yield prefix / "lib"
    yield from (_below(root, directory) for directory in LINUX_DIRECTORIES)
    for parent in MULTIARCH_PARENTS:
        yield from _below(root, parent).glob("*-linux-*")


def _macos_directories(environment: Mapping[str, str], root: Path | None, prefix: Path) -> Iterator[Path]:
    yield from _listed(environment.get("DYLD_LIBRARY_PATH", ""), root)
    yield from _listed(environment.get("DYLD_FALLBACK_LIBRARY_PATH", ""), root)
    if home := environment.get("HOME"):
        yield _below(root, home) / "lib"
    yield prefix / "lib"
    yield from (_below(root, directory) for directory in _MACOS_DIRECTORIES)


def _windows_directories(environment: Mapping[str, str], root: Path | None, prefix: Path) -> Iterator[Path]:
    variables = {name.upper(): value for name, value in environment.items()}
    system = PureWindowsPath(variables.get("SYSTEMROOT", r"C:\Windows"))
    yield (Path(system) if root is None else root.joinpath(*system.parts[1:])) / "System32"
    yield prefix


_DIRECTORIES = {"linux": _linux_directories, "darwin": _macos_directories, "win32": _windows_directories}


def _listed(search_path: str, root: Path | None) -> Iterator[Path]:
    """The directories of a search path variable; an empty entry is the working directory."""
    if search_path:
        yield from (_below(root, directory) for directory in search_path.split(":"))


def _below(root: Path | None, path: str) -> Path:
    """An absolute path, moved below the root; a relative one stays below the working directory."""
    return Path(path) if root is None or not path.startswith("/") else root / path.lstrip("/")
