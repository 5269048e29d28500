"""Which devices a mask leaves visible, as each library reads its own variable.

Pure: the environment is an argument. Each reader takes the names by which a mask may call the devices of the
raw enumeration (their UUIDs), and gives positions in it, in the order in which the library then lists them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CUDA, ROCR, HIP, VULKAN, LEVEL_ZERO = VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
)
NOTHING = "-1"
"""A mask that hides everything from any library; an empty one is no mask to some."""


def in_force(environment: Mapping[str, str]) -> dict[str, str]:
    """The masks that are set, by variable."""
    return {variable: environment[variable] for variable in VARIABLES if variable in environment}


def visible(library: str, names: Sequence[str], environment: Mapping[str, str]) -> list[int]:
    """The positions that `library` lists behind its masks. A library without a mask lists everything."""
    everything = list(range(len(names)))
    if library == "CUDA":
        mask = environment.get(CUDA)
        return everything if mask is None else cuda(mask, names)
    if library == "ROCm":
        mask = environment.get(ROCR)
        left = everything if mask is None else rocr(mask, names)
        mask = environment.get(HIP) or environment.get(CUDA)
        return [left[n] for n in hip(mask, [names[n] for n in left])] if mask else left
    if library == "Vulkan":
        mask = environment.get(VULKAN)
        return everything if mask is None else vulkan(mask, len(names))
    if library == "Level Zero":
        return level_zero(environment.get(LEVEL_ZERO, ""), len(names))
    return everything


def cuda(mask: str, names: Sequence[str]) -> list[int]:
    """Indices or unique prefixes of UUIDs. The first invalid entry ends the list, an empty mask hides all.

    Source: the CUDA programming guide, "CUDA_VISIBLE_DEVICES". That a device named twice hides all, and that
    a number may be followed by anything, is not in the guide, but in PyTorch's own reading of the variable.
    """
    positions: list[int] = []
    for token in mask.split(","):
        position = _leading_number(token.strip())
        if position is None:
            position = _by_prefix(token.strip(), names)
        if position is None or not 0 <= position < len(names):
            break
        if position in positions:
            return []
        positions.append(position)
    return positions


def rocr(mask: str, names: Sequence[str]) -> list[int]:
    """Indices in any notation of C, or unique prefixes of UUIDs in either case; an empty mask hides all.

    The first invalid entry, or the second of the same device, ends the list. Source: ROCR-Runtime,
    `amd_filter_device.cpp`.
    """
    positions: list[int] = []
    capitals = [name.upper() for name in names]
    for token in map(str.strip, mask.upper().split(",")):
        position = _by_prefix(token, capitals) if token.startswith("G") else _c_number(token)
        if position is None or not 0 <= position < len(names) or position in positions:
            break
        positions.append(position)
    return positions


def hip(mask: str, names: Sequence[str]) -> list[int]:
    """Positions in the list that ROCR left, as plain numbers without a blank, or parts of UUIDs.

    The first invalid entry ends the list, a second one of the same device is passed over. Source: clr,
    `rocdevice.cpp`.
    """
    positions: list[int] = []
    for token in mask.removesuffix(",").split(","):
        position = _plain_number(token)
        if position is None and "GPU-" in token:
            position = next((n for n, name in enumerate(names) if token in name), None)
        if position is None or position >= len(names):
            break
        if position not in positions:
            positions.append(position)
    return positions


def vulkan(mask: str, count: int) -> list[int]:
    """Indices into the raw enumeration, listed in the mask's order, each as often as it is named.

    Reading ends at what is no number. One index out of range and nothing is listed at all; -1 is one, since
    it is read as unsigned. Source: ggml, `ggml-vulkan.cpp`.
    """
    positions: list[int] = []
    for token in mask.replace(",", " ").split():
        position = _leading_number(token)
        if position is None:
            break
        if not 0 <= position < count:
            return []
        positions.append(position)
        if not token.lstrip("+").isdecimal():
            break
    return positions


def level_zero(mask: str, count: int) -> list[int]:
    """Indices in any notation of C, listed in the order of the raw enumeration, each once.

    What is no number, or out of range, is passed over; of a tile such as 1.0 the whole device is listed. An
    empty mask is none. Source: Intel's compute-runtime, `execution_environment.cpp`.
    """
    if mask in ("", "default"):
        return list(range(count))
    named = {_c_number(entry.split(".")[0].strip()) for entry in mask.split(",")}
    return [position for position in range(count) if position in named]


def _leading_number(token: str) -> int | None:
    """The number a text begins with, as C's strtol reads it."""
    sign = token[:1] if token[:1] in ("+", "-") else ""
    digits = token[len(sign) :]
    number = digits[: len(digits) - len(digits.lstrip("0123456789"))]
    return int(sign + number) if number else None


def _c_number(token: str) -> int | None:
    """A whole text as a number, in C's notations: 10, 0x0A, 012."""
    octal = token.startswith("0") and token.isdecimal()
    try:
        return int(token, 8 if octal else 0)
    except ValueError:
        return None


def _plain_number(token: str) -> int | None:
    if not (token.isascii() and token.isdecimal()):
        return None
    return int(token) if str(int(token)) == token else None


def _by_prefix(token: str, names: Sequence[str]) -> int | None:
    """The one device whose name begins with the token."""
    found = [n for n, name in enumerate(names) if token and name.startswith(token)]
    return found[0] if len(found) == 1 else None
