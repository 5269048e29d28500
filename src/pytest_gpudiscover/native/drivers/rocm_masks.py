"""ROCm: which GPUs its masks leave visible.

The kernel's list knows no masks, so they are applied here, as ROCm's libraries apply them: ROCr in
`amd_filter_device.cpp` of ROCR-Runtime, and HIP, within what ROCr left, in `rocdevice.cpp` of clr.
"""

from __future__ import annotations

from pytest_gpudiscover.native.drivers.hiding import hides_everything

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROCR, HIP, CUDA = "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"

_UUID = "GPU-"
_UUID_LENGTHS = range(5, 21)
_MAX_DIGITS = 18


def in_force(environment: Mapping[str, str]) -> dict[str, str]:
    """The masks that ROCm heeds: an empty one of HIP's or CUDA's is none, and CUDA's stands in for HIP's."""
    second = HIP if environment.get(HIP) else CUDA
    return {
        name: environment[name]
        for name in (ROCR, second)
        if environment.get(name) or (name == ROCR and name in environment)
    }


def visible(uuids: Sequence[str], environment: Mapping[str, str]) -> list[int]:
    """The positions of the GPUs that a program shows, in its order.

    Args:
        uuids: `GPU-...` of every GPU in the kernel's order; "" for one that has none.
        environment: where the masks are read from.
    """
    shown = list(range(len(uuids)))
    for name, mask in in_force(environment).items():
        read = shown_by_rocr if name == ROCR else shown_by_hip
        shown = [shown[place] for place in read(mask, [uuids[place] for place in shown])]
    return shown


def shown_by_rocr(mask: str, uuids: Sequence[str]) -> list[int]:
    """Read ROCr's mask: numbers in C's notations, or unique beginnings of UUIDs in either case.

    The first other entry ends the list, and so does the second of one GPU. An empty mask shows nothing.
    """
    capitals = [uuid.upper() for uuid in uuids]

    def place(entry: str) -> int | None:
        word = entry.strip().upper()
        return _by_beginning(word, capitals) if word.startswith("G") else _number_in_c(word)

    shown: list[int] = []
    for position in _leading(mask.split(","), place, len(uuids)):
        if position in shown:
            break
        shown.append(position)
    return shown


def shown_by_hip(mask: str, uuids: Sequence[str]) -> list[int]:
    """Read HIP's mask: numbers written plainly, without a blank, or parts of UUIDs.

    The first other entry ends the list; the second of one GPU is passed over.
    """

    def place(entry: str) -> int | None:
        if _UUID in entry:
            return next((n for n, uuid in enumerate(uuids) if entry in uuid), None)
        return int(entry) if _is_number(entry) and entry == str(int(entry)) else None

    return list(dict.fromkeys(_leading(mask.removesuffix(",").split(","), place, len(uuids))))


def hides_on_purpose(mask: str) -> bool:
    """Whether a mask shows nothing on any machine: its first entry is neither a number nor a UUID."""
    return hides_everything(mask.upper(), (_UUID,))


def _leading(entries: Sequence[str], place: Callable[[str], int | None], count: int) -> list[int]:
    """The positions that entries name, up to the first that names none."""
    positions: list[int] = []
    for entry in entries:
        position = place(entry)
        if position is None or position >= count:
            break
        positions.append(position)
    return positions


def _by_beginning(word: str, uuids: Sequence[str]) -> int | None:
    found = [n for n, uuid in enumerate(uuids) if uuid.startswith(word)]
    return found[0] if len(found) == 1 and len(word) in _UUID_LENGTHS else None


def _number_in_c(word: str) -> int | None:
    """A whole text as C's `strtol` reads it when it is told no base: 10, 0X0A, 012; None for any other."""
    digits = word.removeprefix("+")
    base = 16 if digits.startswith("0X") else 8 if digits.startswith("0") else 10
    if not (_is_number(digits) if base != 16 else digits.isascii() and digits.isalnum()):
        return None
    try:
        return int(digits, base)
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
