"""Faults of single figures: numbers that are none, odd identities, flags and texts nobody should trust."""

from __future__ import annotations

from fake_runner import views
from fake_runner.faults.registry import ENTRIES, fault, one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_runner.scripts import Script

LARGEST_SIZE = 2**64 - 1
NOWHERE = "0000:00:00.0"
LONG = 2**20


def wires(script: Script, device: str) -> Iterator[dict[str, object]]:
    """The entries of one GPU, or of all where `device` is empty; where nothing is listed, one is made up."""
    if not script.entries:
        script.entries.append(views.Entry("", {"id": "0", "name": "GPU0", "description": "made up"}))
        script.entries[0].wire.update({"total_memory": 2**30, "free_memory": 2**30, "LibraryPath": []})
    return (entry.wire for entry in script.entries if device in ("", entry.gpu))


@fault(ENTRIES, "EVR", traits="per_device", value=one_of("NaN", "Infinity", "-Infinity", "1e999"))
def nan(script: Script, *, device: str, value: str) -> None:
    """Free memory is `value`, which is no number of JSON, or none that fits."""
    for wire in wires(script, device):
        wire["free_memory"] = script.literal(value.encode())


@fault(ENTRIES, "EVR", traits="per_device", form=one_of("digits", "negative", "huge", "float", "bool"))
def bad_int(script: Script, *, device: str, form: str) -> None:
    """Total memory has 4301 `digits`, or is `negative`, `huge` (2^64), a `float` or a `bool`."""
    for wire in wires(script, device):
        numbers: dict[str, object] = {
            "digits": script.literal(b"9" * 4301),
            "negative": -1,
            "huge": LARGEST_SIZE + 1,
            "float": 2.0**33,
            "bool": True,
        }
        wire["total_memory"] = numbers[form]


@fault(ENTRIES, "EVR", traits="per_device", form=one_of("bytes", "utf16", "surrogate"))
def bad_utf8(script: Script, *, device: str, form: str) -> None:
    """The description has `bytes` that are no UTF-8, or a lone `surrogate`; or all the body is `utf16`."""
    if form == "utf16":
        script.encoding = form
        return
    strange = b'"\xff\xfe\x80"' if form == "bytes" else b'"\\ud800"'
    for wire in wires(script, device):
        wire["description"] = script.literal(strange)


@fault(ENTRIES, "EVR", traits="per_device", form=one_of("nul", "escape", "long"))
def hostile_strings(script: Script, *, device: str, form: str) -> None:
    """The description holds a `nul`, an `escape` sequence for terminals, or is a mebibyte `long`."""
    hostile = {
        "nul": "GPU\x00with\x00NUL",
        "escape": "\x1b]0;taken over\x07\x1b[2J\x1b[31mred\u202e",
        "long": "A" * LONG,
    }
    for wire in wires(script, device):
        wire["description"] = hostile[form]


@fault(ENTRIES, "ER", traits="per_device")
def free_above_total(script: Script, *, device: str) -> None:
    """Twice as much memory is free as there is."""
    for wire in wires(script, device):
        wire["free_memory"] = min(2 * bytes_of(wire, "total_memory"), LARGEST_SIZE)


@fault(ENTRIES, "ER", traits="per_device")
def total_zero(script: Script, *, device: str) -> None:
    """There is no memory at all, as on what only poses as a device."""
    for wire in wires(script, device):
        wire["total_memory"] = 0
        wire.pop("free_memory", None)


@fault(ENTRIES, "EVR", traits="per_device", form=one_of("missing", "upper", "wide_domain", "short", "wrong"))
def pci_odd(script: Script, *, device: str, form: str) -> None:
    """The PCI id is `missing`, `upper` case, `short` (01:00.0), `wrong`, or has a `wide_domain`."""
    # A wide domain has 8 digits. Short as the first releases wrote it: its last digit
    # is the domain's. Wrong: the same for every device.
    for wire in wires(script, device):
        pci = str(wire.get("pci_id", NOWHERE))
        domain, _, rest = pci.partition(":")
        bus_and_device = rest.partition(".")[0]
        odd = {
            "missing": "",
            "upper": pci.upper(),
            "wide_domain": f"{domain:0>8}:{rest}",
            "short": f"{bus_and_device}.{domain[-1:]}",
            "wrong": NOWHERE,
        }
        wire["pci_id"] = odd[form]
        if not odd[form]:
            del wire["pci_id"]


@fault(ENTRIES, "EVR", traits="per_device")
def flag_missing(script: Script, *, device: str) -> None:
    """Nothing says that an integrated GPU is one."""
    for wire in wires(script, device):
        wire.pop("integration", None)


@fault(ENTRIES, "EVR", traits="per_device")
def flag_inverted(script: Script, *, device: str) -> None:
    """An integrated GPU says that it is none, and any other that it is one."""
    for wire in wires(script, device):
        wire["integration"] = not wire.get("integration", False)


@fault(ENTRIES, "ER", traits="per_device", form=one_of("huge", "none", "one"))
def integrated_free_garbage(script: Script, *, device: str, form: str) -> None:
    """The free memory of an integrated GPU is garbage: `huge`, `none` at all, or `one` byte."""
    garbage = {"huge": LARGEST_SIZE, "none": 0, "one": 1}
    for wire in wires(script, device):
        if wire.get("integration"):
            wire["free_memory"] = garbage[form]


def bytes_of(wire: dict[str, object], key: str) -> int:
    """A size in an entry; 0 where it is left out, or no number any more."""
    size = wire.get(key, 0)
    return size if isinstance(size, int) else 0
