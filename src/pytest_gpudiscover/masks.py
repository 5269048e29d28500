"""Masks: the environment variables that make only some devices visible.

What a driver does with its mask is documented by its vendor; docs/masks.md names the sources. Pure: the
environment is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, takewhile

from pytest_gpudiscover.devices import DeviceInfo, is_number
from pytest_gpudiscover.reports import Rejection
from pytest_gpudiscover.variants import version
from pytest_gpudiscover.wire import Answer

CUDA = "CUDA_VISIBLE_DEVICES"
HIP = "HIP_VISIBLE_DEVICES"
ROCR = "ROCR_VISIBLE_DEVICES"
VULKAN = "GGML_VK_VISIBLE_DEVICES"
LEVEL_ZERO = "ZE_AFFINITY_MASK"

VARIABLES = (CUDA, ROCR, HIP, VULKAN, LEVEL_ZERO)
"""Every mask that is respected."""

_COUNTED = ("Vulkan", "Level Zero")
"""Libraries whose masks take positions in the raw enumeration and know no UUIDs."""

_MAX_DIGITS = 9
"""No driver counts further; Python refuses to convert numbers of more than some thousand digits."""

_LEADING_NUMBER = re.compile(rf"\+?([0-9]{{1,{_MAX_DIGITS}}})(?![0-9])", re.ASCII)
_C_NUMBER = re.compile(
    r"\+?(?:0x([0-9a-f]{1,15})|(0[0-7]{0,20})|([1-9][0-9]{0,18}))", re.ASCII | re.IGNORECASE
)


def mask_variable(library: str, system: str) -> str | None:
    """Name the variable that masks a library's devices; None for a library without one."""
    if library == "ROCm":
        return ROCR if system == "linux" else HIP
    return {"CUDA": CUDA, "Vulkan": VULKAN, "Level Zero": LEVEL_ZERO}.get(library)


def mask_token(device: DeviceInfo) -> str:
    """What a mask must hold to show this device.

    Vulkan and Level Zero count positions in their raw enumerations and know no UUIDs; elsewhere a number is
    the one the driver counts by, and a UUID is itself.
    """
    if device.library in _COUNTED and device.index is not None:
        return str(device.index)
    return device.runner_id


@dataclass(frozen=True, kw_only=True)
class UserMasks:
    """The masks that the user had set before the discovery, read as each library reads them.

    Attributes:
        in_force: the variables as they were set, for the report and the log.
        tokens: by library, the entries that count, in order; a library without a mask is missing.
        system: the platform, as in `Surroundings`.
        uncertain: whether only the driver knows which of ROCm's entries count: a UUID in a list of numbers.
            An unmasked probe then keeps the masks as they are; it lists in the order of the entries.
    """

    in_force: Mapping[str, str]
    tokens: Mapping[str, tuple[str, ...]]
    system: str
    uncertain: bool = False

    @classmethod
    def read(cls, environment: Mapping[str, str], system: str) -> UserMasks:
        """Find the masks in an environment."""
        in_force = {name: environment[name] for name in VARIABLES if name in environment}
        tokens = {
            "CUDA": _cuda_entries(in_force.get(CUDA)),
            "Vulkan": _vulkan_entries(in_force.get(VULKAN)),
            "Level Zero": _level_zero_entries(in_force.get(LEVEL_ZERO)),
        }
        tokens["ROCm"], uncertain = _rocm_entries(in_force, system)
        present = {library: entries for library, entries in tokens.items() if entries is not None}
        return cls(in_force=in_force, tokens=present, system=system, uncertain=uncertain)

    def translated(self, answer: Answer) -> Answer:
        """Note with every listed device the token that shows it, seen from outside the user's masks.

        A runner's number is a position in the user's list. `filtered_id` gets the token of a numbered device;
        `index` gets the raw position of a device of Vulkan or Level Zero, from the runner, else from its
        place in the answer.
        """
        positions: dict[str, int] = {}
        entries: list[DeviceInfo | Rejection] = []
        for entry in answer.entries:
            device = entry if isinstance(entry, DeviceInfo) else entry.device
            library = device.library if device else ""
            # An entry whose library cannot be read may be of any library, and takes up a place in each.
            position = positions.get(library, 0) + (positions.get("", 0) if library else 0)
            positions[library] = positions.get(library, 0) + 1
            entries.append(self._noted(entry, position) if isinstance(entry, DeviceInfo) else entry)
        return Answer(tuple(entries))

    def _noted(self, device: DeviceInfo, position: int) -> DeviceInfo:
        if device.library in _COUNTED:
            raw = self._token(device.library, position) if device.index is None else str(device.index)
            filtered = raw if is_number(device.id) else ""
            return _seen_from_outside(device, int(raw), filtered)
        filtered = self._token(device.library, int(device.id)) if is_number(device.id) else ""
        return _seen_from_outside(device, device.index, filtered)

    def _token(self, library: str, position: int) -> str:
        entries = self.tokens.get(library, ())
        return entries[position] if position < len(entries) else str(position)

    def composed_for_rocm(self) -> dict[str, str | None]:
        """What replaces the user's masks in a ROCm probe on Linux; None takes a variable out.

        HIP counts within the list that ROCr left, and falls back to CUDA's mask. A single ROCr mask says the
        same, and leaves nothing that could hide the device a probe is masked to.
        """
        if self.uncertain or self.system != "linux" or not (self.in_force.keys() & {ROCR, HIP, CUDA}):
            return {}
        entries = self.tokens.get("ROCm")
        return {ROCR: None if entries is None else ",".join(entries), **self.without_users_rocm_masks()}

    def without_users_rocm_masks(self) -> dict[str, str | None]:
        """On Linux, what takes out the masks that HIP reads behind ROCr's."""
        return (
            {HIP: None, CUDA: None}
            if self.system == "linux" and self.in_force.keys() & {ROCR, HIP, CUDA}
            else {}
        )


@lru_cache(maxsize=256)  # a machine lists the same devices at each discovery
def _seen_from_outside(device: DeviceInfo, index: int | None, filtered_id: str) -> DeviceInfo:
    return replace(device, index=index, filtered_id=filtered_id)


def enumerate_masks(variant: str, masks: UserMasks) -> dict[str, str | None]:
    """The variables that an unmasked probe of a variant changes; None takes one out."""
    return masks.composed_for_rocm() if version(variant)[0].startswith("rocm") else {}


def show_only(
    devices: Iterable[DeviceInfo], masks: UserMasks, hidden: Iterable[str] = ()
) -> dict[str, str | None]:
    """The variables that make just these devices visible, in order; None takes a variable out.

    Libraries without a mask contribute nothing.

    Args:
        devices: what to show.
        masks: the user's masks, which these replace.
        hidden: libraries to show nothing of.
    """
    tokens: dict[str, list[str]] = {}
    for device in devices:
        variable = mask_variable(device.library, masks.system)
        if variable is not None:
            tokens.setdefault(variable, []).append(mask_token(device))
    changes: dict[str, str | None] = masks.without_users_rocm_masks() if ROCR in tokens else {}
    if ROCR in tokens and CUDA in tokens:
        # HIP would take CUDA's mask for its own; this one says: all that ROCr shows.
        changes[HIP] = ",".join(str(n) for n in range(len(tokens[ROCR])))
    for library in hidden:
        variable = mask_variable(library, masks.system)
        if variable is not None and variable not in tokens:
            changes[variable] = nothing_of(variable, masks.system)
    return changes | {variable: ",".join(entries) for variable, entries in tokens.items()}


def nothing_of(variable: str, system: str) -> str:
    """The mask that hides every device of its library.

    Args:
        variable: the library's.
        system: as `sys.platform` spells it.
    """
    # An empty mask is none at all to HIP and Level Zero, and on Windows, where no variable can be empty.
    return "-1" if variable in (HIP, LEVEL_ZERO) or system == "win32" else ""


def _cuda_entries(value: str | None) -> tuple[str, ...] | None:
    """CUDA takes numbers and UUIDs; the first other entry ends the list.

    What only begins with a number counts as that number, as C reads it. A driver that sees no entry there
    ends its list before it, and then shows nothing in its place.
    """
    if value is None:
        return None
    entries: list[str] = []
    for entry in (part.strip() for part in value.split(",")):
        number = _LEADING_NUMBER.match(entry)
        if number is None and not entry.startswith(("GPU-", "MIG-")):
            break
        entries.append(number[1] if number else entry)
    return tuple(entries)


def _is_position(entry: str) -> bool:
    return is_number(entry) and len(entry) <= _MAX_DIGITS


def _rocm_entries(in_force: Mapping[str, str], system: str) -> tuple[tuple[str, ...] | None, bool]:
    """What HIP shows within what ROCr shows: HIP counts, or names UUIDs, in the list that ROCr left.

    Returns:
        the entries in ROCr's terms, and whether only the driver knows how many of them count.
    """
    hip = _hip_entries(in_force.get(HIP) or in_force.get(CUDA) or None)
    rocr = _without_repeats(_rocr_entries(in_force.get(ROCR))) if system == "linux" else None
    if hip is None or rocr is None:
        return (rocr if hip is None else hip), False
    mixed = any(map(is_number, rocr)) and not all(map(is_number, hip))
    uncertain = mixed or _may_name_a_card_twice(rocr)
    shown = takewhile(lambda entry: entry is not None, (_shown_by_rocr(entry, rocr) for entry in hip))
    return tuple(entry for entry in shown if entry), uncertain


def _may_name_a_card_twice(entries: tuple[str, ...]) -> bool:
    """Whether a UUID may be of a card that another entry names: there ROCr ends its list."""
    uuids = [entry.upper() for entry in entries if not is_number(entry)]
    mixed = 0 < len(uuids) < len(entries)
    return mixed or any(_one_begins_the_other(*pair) for pair in combinations(uuids, 2))


def _shown_by_rocr(entry: str, rocr: tuple[str, ...]) -> str | None:
    if is_number(entry):
        return rocr[int(entry)] if int(entry) < len(rocr) else None
    if any(map(is_number, rocr)):
        return entry
    # Either may be cut short; the longer of the two says more.
    same = [token for token in rocr if _one_begins_the_other(entry.upper(), token.upper())]
    return max(entry, same[0], key=len) if same else None


def _one_begins_the_other(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _rocr_entries(value: str | None) -> tuple[str, ...] | None:
    """ROCr takes numbers in C's notations, and UUIDs in either case; the first other entry ends the list."""
    if value is None:
        return None
    entries: list[str] = []
    for entry in (part.strip() for part in value.split(",")):
        number = _c_number(entry)
        if number is None and not entry.upper().startswith("GPU-"):
            break
        entries.append(entry if number is None else str(number))
    return tuple(entries)


def _c_number(text: str) -> int | None:
    match = _C_NUMBER.fullmatch(text)
    if match is None:
        return None
    hexadecimal, octal, decimal = match.groups()
    return int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)


def _hip_entries(value: str | None) -> tuple[str, ...] | None:
    """HIP takes numbers, written plainly (no blanks), and UUIDs; the first other entry ends the list."""
    if value is None:
        return None
    entries: list[str] = []
    for entry in value.split(","):
        plain = _is_position(entry) and entry == str(int(entry))
        if not plain and not entry.startswith("GPU-"):
            break
        entries.append(entry)
    return tuple(dict.fromkeys(entries))


def _without_repeats(entries: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """ROCr ends its list at the first entry that it has already."""
    if entries is None:
        return None
    repeated = next((n for n, entry in enumerate(entries) if entry in entries[:n]), len(entries))
    return entries[:repeated]


def _vulkan_entries(value: str | None) -> tuple[str, ...] | None:
    """Ggml takes numbers between commas or blanks; what is no number, or more than one, ends the list."""
    if value is None:
        return None
    entries: list[str] = []
    for entry in value.replace(",", " ").split():
        number = _LEADING_NUMBER.match(entry)
        if number is None:
            break
        entries.append(str(int(number[1])))
        if number.end() < len(entry):
            break
    return tuple(entries)


def _level_zero_entries(value: str | None) -> tuple[str, ...] | None:
    """Level Zero takes numbers in C's notations, in any order, and lists what they show in its own.

    A tile (`1.0`) is taken for its device, and what is no number is passed over. Empty and `default` are no
    mask.
    """
    if value is None or value in {"", "default"}:
        return None
    numbers = (_c_number(entry.partition(".")[0].strip()) for entry in value.split(","))
    return tuple(map(str, sorted({number for number in numbers if number is not None})))
