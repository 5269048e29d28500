"""Sentences about a whole report, for people who wonder where their GPU is.

Pure: a report in, text out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_gpudiscover.devices import Comparison, DeviceInfo
from pytest_gpudiscover.masks import CUDA, HIP, ROCR, VULKAN, UserMasks
from pytest_gpudiscover.reports import Phase, Reason, Rejection, Report
from pytest_gpudiscover.requirements import Requirement, unserved
from pytest_gpudiscover.text import count, gibibytes, printable

_DULL = (Phase.OVERLAP, Phase.DUPLICATE)
"""Rejections of these phases cost nobody a GPU: another device serves it."""
_FAILED = frozenset(Reason)
"""The outcomes of probes that brought no answer."""
_READ = {"CUDA": (CUDA,), "ROCm": (ROCR, HIP, CUDA), "Vulkan": (VULKAN,)}
"""Which masks the libraries read."""
_FAMILIES = {"CUDA": ("cuda",), "ROCm": ("rocm", "hip"), "Vulkan": ("vulkan",)}
"""How the names of the variants begin that list their devices; any other name may be of any library."""


def failures(report: Report) -> list[Rejection]:
    """The rejections that cost a GPU: all but those whose GPU is served another way."""
    return [rejection for rejection in report.rejected if rejection.phase not in _DULL]


def named(rejection: Rejection) -> str:
    """Say in a few words what a rejection is about."""
    device, variant = rejection.device, printable(rejection.variant, 60) or "the runner"
    if device is None:
        return variant
    name = printable(device.description or device.name or "a device without a name", 60)
    return f"{name} ({printable(device.library) or variant} {printable(device.id, 60)} in {variant})"


def why_none(report: Report) -> str:
    """Say why no device is usable: the masks that are set, what was tried, and what became of it."""
    return "no usable GPU was found: " + "; ".join([*_masked(Requirement(), report), *_left_out(report)])


def why_not(requirement: Requirement, report: Report) -> str:
    """Say why a requirement is not met; "" when it is.

    On one line: what was asked, which mask is to blame, what each usable device lacks, and why each other one
    was left out. A mask is blamed only where it hides all of a library that the requirement admits, and
    nothing else explains that no device of that library was listed.
    """
    return why_not_all([requirement], report)


def why_not_all(requirements: Iterable[Requirement], report: Report) -> str:
    """Say why several requirements, each with devices of its own, are not met together; "" when they are."""
    asked = list(requirements)
    lacking = unserved(asked, report.devices)
    if not lacking:
        return ""
    parts = [part for requirement in lacking for part in _unmet(requirement, asked, report)]
    return "; ".join(dict.fromkeys([*parts, *_left_out(report)]))


def _unmet(requirement: Requirement, asked: Sequence[Requirement], report: Report) -> list[str]:
    needed, *lacking = requirement.unmet(report.devices) or [_beside(requirement, asked, report)]
    return [needed, *_masked(requirement, report), *lacking]


def _beside(requirement: Requirement, asked: Sequence[Requirement], report: Report) -> str:
    others = " and ".join(str(other) for other in asked if other is not requirement)
    return f"needed: {requirement} beside {others}; usable: {count(len(report.devices), 'device')} for all"


def _left_out(report: Report) -> list[str]:
    """Say of each device that nobody serves why; devices with one reason are named together."""
    by_detail: dict[str, list[str]] = {}
    for rejection in failures(report):
        if not _is_served(rejection, report):
            by_detail.setdefault(rejection.detail, []).append(named(rejection))
    if not by_detail and not report.devices:
        return [f"{count(len(report.probes), 'runner')} started, and none listed a device"]
    return [f"{', '.join(names)}: {detail}" for detail, names in by_detail.items()]


def _is_served(rejection: Rejection, report: Report) -> bool:
    """Whether another variant of the same library serves what was left out."""
    device = rejection.device
    if device is None or rejection.phase is Phase.REFRESH:
        return False
    return any(kept.compare(device) is Comparison.SAME_BACKEND for kept in report.devices)


def _masked(requirement: Requirement, report: Report) -> list[str]:
    """Say which masks hide all of a library that could meet a requirement, and which others are set."""
    masks = UserMasks.read(report.masks, "linux")  # elsewhere nobody sets ROCR's
    wanted = (requirement.library or "").lower()
    admitted = [library for library in _READ if wanted in ("", library.lower())]
    blamed = [library for library in admitted if _is_to_blame(library, masks, requirement, report)]
    said = [
        f"{_shown(_culprits(library, masks), masks)} is the cause: it hides every {library} device"
        for library in blamed
    ]
    told = {name for library in blamed for name in _culprits(library, masks)}
    others = [name for library in admitted for name in _read(library, masks) if name not in told]
    if others:
        said.append(f"{_shown(dict.fromkeys(others), masks)} is set: what it hides is not seen")
    return said


def _is_to_blame(library: str, masks: UserMasks, requirement: Requirement, report: Report) -> bool:
    """Whether nothing but the mask explains that no device of a library was listed."""
    everything = [*report.devices, *(rejection.device for rejection in report.rejected)]
    if masks.tokens.get(library) != () or any(device and device.library == library for device in everything):
        return False
    outcomes = [
        probe.outcome
        for probe in report.probes
        if probe.phase is Phase.ENUMERATE and _may_list(probe.variant, library)
    ]
    outcomes += [
        rejection.reason
        for rejection in report.rejected
        if rejection.device is None and _may_list(rejection.variant, library)
    ]
    if not outcomes:  # nobody was asked: then only who needs this very library is told
        return requirement.library is not None
    return any(outcome not in _FAILED for outcome in outcomes)


def _may_list(variant: str, library: str) -> bool:
    """Whether a variant may list devices of a library, as far as its name tells."""
    families = {prefix for prefixes in _FAMILIES.values() for prefix in prefixes}
    return variant.startswith(_FAMILIES[library]) or not variant.startswith(tuple(families))


def _read(library: str, masks: UserMasks) -> list[str]:
    """The variables that mask a library now: HIP reads CUDA's where it has none of its own."""
    names = [
        name for name in _READ[library] if name in masks.in_force and _alone(name, library, masks) is not None
    ]
    return [name for name in names if not (library == "ROCm" and name == CUDA and HIP in names)]


def _culprits(library: str, masks: UserMasks) -> list[str]:
    """Of those, the ones that hide the whole library; all of them where only together they do."""
    names = _read(library, masks)
    return [name for name in names if not _alone(name, library, masks)] or names


def _alone(name: str, library: str, masks: UserMasks) -> tuple[str, ...] | None:
    return UserMasks.read({name: masks.in_force[name]}, masks.system).tokens.get(library)


def _shown(names: Iterable[str], masks: UserMasks) -> str:
    empty = '""'
    return " and ".join(f"{name}={printable(masks.in_force[name]) or empty}" for name in names)


def in_one_line(devices: tuple[DeviceInfo, ...]) -> str:
    """Name the devices: `2 devices: CUDA NVIDIA L4 (24.0 GiB), ...`."""
    names = [f"{_name(device)} ({gibibytes(device.total_memory)})" for device in devices]
    return f"{count(len(devices), 'device')}: {', '.join(names)}"


def _name(device: DeviceInfo) -> str:
    return f"{printable(device.library)} {printable(device.description or device.name, 60)}"
