"""Files that the system's loader may take for the libraries of GPU drivers, without loading one.

The order is that of ld.so(8): `LD_LIBRARY_PATH`, the cache, the default directories.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping

from pytest_gpudiscover.doctor.facts import Library
from pytest_gpudiscover.doctor.gathering.tree import Tree
from pytest_gpudiscover.native.drivers import DRIVERS
from pytest_gpudiscover.native.presence import LINUX_DIRECTORIES, LOADER_CACHE, MULTIARCH_PARENTS

_BESIDE = (
    "libcuda.so",
    "libnvidia-ml.so.1",
    "libamdhip64.so.7",
    "libamdhip64.so.6",
    "libamdhip64.so.5",
    "libhsa-runtime64.so.1",
    "libze_loader.so.1",
    "libze_intel_gpu.so.1",
)
"""What tells of a driver beside the library that is asked."""
_VENDORS = ("/opt/rocm/lib",)
"""Where libraries lie that a runner finds by path, and the loader does not."""
_OTHER_CLASS = b"\x7fELF\x01" if sys.maxsize > 1 << 32 else b"\x7fELF\x02"
"""How a library begins that this process cannot load: of 32 bits beside one of 64."""


def libraries(tree: Tree, environment: Mapping[str, str]) -> tuple[Library, ...]:
    """The files for each name, in the order in which the loader looks; each file once."""
    asked = (name for driver in DRIVERS.values() for name in driver.library_names("linux"))
    names = dict.fromkeys([*(name.rpartition("/")[2] for name in asked), *_BESIDE])
    return tuple(library for name in names for library in _files(tree, environment, name))


def _files(tree: Tree, environment: Mapping[str, str], name: str) -> Iterator[Library]:
    seen: set[str] = set()
    for directory, named_by_user in _directories(tree, environment, name):
        path = f"{directory.rstrip('/')}/{name}"
        target = tree.followed(path)
        real = tree.real(target)
        if real in seen or not tree.has(target) or tree.data(target, 5) == _OTHER_CLASS:
            continue
        seen.add(real)
        yield Library(name=name, path=path, target=target.rpartition("/")[2], named_by_user=named_by_user)


def _directories(tree: Tree, environment: Mapping[str, str], name: str) -> Iterator[tuple[str, bool]]:
    users = environment.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")
    yield from ((directory, True) for directory in users if directory)
    if (home := f"{sys.base_prefix}/lib") not in LINUX_DIRECTORIES:  # conda's interpreters search it first
        yield home, False
    for path in re.findall(rb"/[^\0]*/" + re.escape(name.encode()) + rb"(?=\0)", tree.data(LOADER_CACHE)):
        yield path.decode("utf-8", "surrogateescape").rpartition("/")[0], False
    yield from ((directory, False) for directory in LINUX_DIRECTORIES)
    for parent in MULTIARCH_PARENTS:
        yield from ((directory, False) for directory in tree.matching(parent, "*-linux-*"))
    yield from ((directory, False) for directory in _VENDORS)
