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
    +-- LeaseError               devices that could not be held
        +-- BookError            the directory of the leases cannot be used
        +-- UnmetLeaseError      the devices that are there can never do
        +-- LeaseTimeoutError    others held them for too long
        +-- ActivationError      this process could not be narrowed down to them

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


class LeaseError(GpuDiscoverError):
    """Devices could not be held; nothing is held then."""


class BookError(LeaseError):
    """The directory in which this machine's leases are written down cannot be used."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"the leases of this machine cannot be kept in {self.path}: {self.problem}; "
            "whoever shares its GPUs must use one directory, which GPUDISCOVER_LEASES may name"
        )


class UnmetLeaseError(LeaseError):
    """What is `needed` can never be held here; `reasons` say why."""

    def __init__(self, needed: str, reasons: tuple[str, ...]) -> None:
        super().__init__(needed, reasons)
        self.needed = needed
        self.reasons = reasons

    def __str__(self) -> str:
        return f"{self.needed} cannot be held here: {'; '.join(self.reasons)}"


class LeaseTimeoutError(LeaseError):
    """What is `needed` was held by others for more than `timeout` seconds; `in_the_way` says by whom."""

    def __init__(self, needed: str, timeout: float, in_the_way: tuple[str, ...]) -> None:
        super().__init__(needed, timeout, in_the_way)
        self.needed = needed
        self.timeout = timeout
        self.in_the_way = in_the_way

    def __str__(self) -> str:
        others = "; ".join(self.in_the_way) or "whoever was in the way is gone by now"
        return f"waited {self.timeout:g} s in vain for {self.needed}: {others}"


class ActivationError(LeaseError):
    """The masks of a lease could not be set for this process."""
