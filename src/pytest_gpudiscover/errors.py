"""Every error this package raises on purpose.

    GpuDiscoverError
    +-- InstallationError        discovery could not run at all
    |   +-- RunnerNotFoundError  no such program
    |   +-- RunnerNotUsableError it is a directory, or not executable
    |   +-- LibraryRootError     the library root is missing or cannot be read
    |   +-- VariantNotFoundError the installation has no such variant
    +-- UsageError               options that contradict each other or cannot be read
    +-- HostFileError            a simulated host that makes no sense
    +-- RequirementError         a size or a compute capability that cannot be read

A device or a variant that fails is no error: it is a `Rejection` in the report. Each error keeps its fields
in `args`, in order, so that it survives pickling (pytest-xdist sends errors between processes).
"""

from __future__ import annotations


class GpuDiscoverError(Exception):
    """The root of the tree: catch this to catch whatever this package raises on purpose."""


class InstallationError(GpuDiscoverError):
    """Discovery could not run, because of what was (not) found at `path`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class RunnerNotFoundError(InstallationError):
    """The runner's executable does not exist."""


class RunnerNotUsableError(InstallationError):
    """The runner's executable exists and cannot be started: a directory, or no permission."""


class LibraryRootError(InstallationError):
    """The library root is missing, is no directory, or cannot be read."""


class VariantNotFoundError(InstallationError):
    """A variant was asked for that the installation does not have; `available` names those it has."""

    def __init__(self, name: str, available: tuple[str, ...]) -> None:
        choice = ", ".join(available) if any(available) else "none"
        super().__init__(name, f"no variant of that name; there is: {choice}")
        self.args = (name, available)
        self.available = available

    def __str__(self) -> str:
        return f"{self.path!r}: {self.problem}"


class UsageError(GpuDiscoverError):
    """Options that contradict each other, or cannot be read."""


class HostFileError(GpuDiscoverError):
    """A simulated host that cannot be built: unreadable, unknown names, or a contradiction."""


class RequirementError(GpuDiscoverError, ValueError):
    """A requirement (`16GiB`, `8.9`, `gfx1030`) that cannot be read."""
