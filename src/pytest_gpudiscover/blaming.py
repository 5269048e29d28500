"""Which of the user's masks are to blame that no device of a library was found.

Pure: a report in, text out.
"""

from __future__ import annotations

from collections.abc import Collection

from pytest_gpudiscover.masks import CUDA, HIP, LEVEL_ZERO, ROCR, VULKAN, UserMasks
from pytest_gpudiscover.reports import Phase, Reason, Report
from pytest_gpudiscover.text import printable

_VARIABLES = {
    "CUDA": (CUDA,),
    "ROCm": (ROCR, HIP, CUDA),
    "Vulkan": (VULKAN,),
    "Level Zero": (LEVEL_ZERO,),
}
"""What can mask a library."""
_FAMILIES = {"CUDA": ("cuda",), "ROCm": ("rocm", "hip"), "Vulkan": ("vulkan",), "Level Zero": ("level_zero",)}
"""How the names of the variants begin that list a library; one with another name may list any."""
_FAILED = frozenset(Reason)
"""The outcomes of probes that brought no answer."""
_EMPTY = '""'


def masks_in_words(library: str | None, report: Report) -> list[str]:
    """Say which masks hide every device of a library, and which others are set.

    The first are called the cause, where a runner looked for such devices and listed none: that a mask hides
    what nobody looked for, or what was found and rejected, explains nothing.

    Args:
        library: the one that somebody needs, compared without case; None: any.
        report: of the discovery that did not find it.
    """
    masks = UserMasks.read(report.masks, "linux")  # elsewhere nobody sets ROCR's
    admitted = [each for each in _VARIABLES if library is None or each.lower() == library.lower()]
    causes: dict[tuple[str, ...], list[str]] = {}
    for each in admitted:
        if masks.tokens.get(each) == () and _was_looked_for_in_vain(each, report):
            causes.setdefault(_hiding(each, masks), []).append(each)
    blamed = {name for names in causes for name in names}
    others = dict.fromkeys(name for each in admitted for name in _masking(each, masks) if name not in blamed)
    said = [
        f"{_are(names, masks)} the cause: every {' and '.join(hidden)} device is hidden"
        for names, hidden in causes.items()
    ]
    return [*said, f"{_are(others, masks)} set: devices hidden that way are not seen"] if others else said


def _was_looked_for_in_vain(library: str, report: Report) -> bool:
    listed = [*report.devices, *(rejection.device for rejection in report.rejected)]
    answered = [
        probe
        for probe in report.probes
        if probe.phase is Phase.ENUMERATE
        and probe.outcome not in _FAILED
        and _may_list(probe.variant, library)
    ]
    return bool(answered) and not any(device and device.library == library for device in listed)


def _may_list(variant: str, library: str) -> bool:
    """Whether a variant may list devices of a library, as far as its name tells."""
    every = tuple(beginning for family in _FAMILIES.values() for beginning in family)
    return variant.startswith(_FAMILIES[library]) or not variant.startswith(every)


def _masking(library: str, masks: UserMasks) -> list[str]:
    """The variables that mask a library now: HIP reads CUDA's only where it has none of its own."""
    names = [name for name in _VARIABLES[library] if _alone(name, library, masks) is not None]
    return [name for name in names if not (library == "ROCm" and name == CUDA and HIP in names)]


def _hiding(library: str, masks: UserMasks) -> tuple[str, ...]:
    """Of those, the ones that hide the whole library; all of them where only together they do."""
    names = _masking(library, masks)
    return tuple(name for name in names if _alone(name, library, masks) == ()) or tuple(names)


def _alone(name: str, library: str, masks: UserMasks) -> tuple[str, ...] | None:
    """What a variable would show of a library if it were the only one; None: it would not mask it."""
    only = {name: masks.in_force[name]} if name in masks.in_force else {}
    return UserMasks.read(only, masks.system).tokens.get(library)


def _are(names: Collection[str], masks: UserMasks) -> str:
    shown = " and ".join(f"{name}={printable(masks.in_force[name]) or _EMPTY}" for name in names)
    return f"{shown} {'is' if len(names) == 1 else 'are'}"
