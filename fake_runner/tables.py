"""Reading a table of a host file strictly: every key is asked for by type, and none may be left over.

Pure: no I/O. Every refusal is a `HostError` that names the place and what would have been right.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

UNITS = {
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
LARGEST_MEMORY = 2**64 - 1


class OtherReleaseError(Exception):
    """A runner was asked to answer in a way that its release does not know."""


class HostError(Exception):
    """A host file that cannot be used: where it is wrong, and what would be right."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}" if self.place else self.problem


def choices(names: Iterable[str]) -> str:
    """Names as a sentence shows them; "none" when there are none."""
    return ", ".join(repr(name) for name in names) or "none"


class Table:
    """One table of a host file, and where it stands in the file (`gpu[0]`).

    Each method takes a key out and raises `HostError` when its value is not of that kind. A key that is
    absent gives the default.
    """

    __slots__ = ("_known", "place", "values")

    def __init__(self, values: object, place: str) -> None:
        if not isinstance(values, dict):
            raise HostError(place, f"expected a table, got {shown(values)}")
        self.values: dict[str, object] = values
        self.place = place
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def where(self, key: str) -> str:
        """The place of a key: `gpu[0].total_memory`."""
        return f"{self.place}.{key}" if self.place else key

    def take(self, key: str, default: object = None) -> object:
        """The value as it stands, whatever its type."""
        self._known.append(key)
        return self.values.get(key, default)

    def refuse(self, key: str, expected: str) -> HostError:
        """The error for a value that is not what was expected."""
        if key not in self.values:
            return HostError(self.place, f"{key!r} is missing: expected {expected}")
        return HostError(self.where(key), f"expected {expected}, got {shown(self.values[key])}")

    def text(self, key: str, default: str | None = None) -> str:
        """A text; required when there is no default."""
        value = self.take(key, default)
        if not isinstance(value, str):
            raise self.refuse(key, "a text")
        return value

    def whole(self, key: str, default: int, *, lowest: int) -> int:
        """A whole number, not below the lowest."""
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or (key in self.values and value < lowest):
            raise self.refuse(key, f"a whole number, {lowest} or more")
        return value

    def number(self, key: str, default: float, *, lowest: float, highest: float) -> float:
        """A number in a range."""
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not lowest <= value <= highest:
            raise self.refuse(key, f"a number from {lowest} to {highest}")
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, "true or false")
        return value

    def choice(self, key: str, names: Iterable[str], default: str | None = None) -> str:
        """One of some names."""
        names = list(names)
        value = self.take(key, default)
        if value not in names:
            raise self.refuse(key, f"one of {choices(names)}")
        return str(value)

    def chosen(self, key: str, names: Iterable[str]) -> tuple[str, ...]:
        """One of some names or a list of them; () when absent."""
        names = list(names)
        value = self.take(key, [])
        values = value if isinstance(value, list) else [value]
        for name in values:
            if name not in names:
                raise HostError(self.where(key), f"expected one of {choices(names)}, got {shown(name)}")
        return tuple(values)

    def size(self, key: str, default: int | None = None) -> int:
        """Bytes: an integer, or a text with a unit (`23.5 GiB`)."""
        value = self.take(key, default)
        size = size_in_bytes(value)
        if size is None:
            raise self.refuse(key, f'bytes: an integer, or a text such as "23.5 GiB" ({", ".join(UNITS)})')
        return size

    def listed(self, key: str) -> list[object]:
        """A list; empty when absent."""
        value = self.take(key, [])
        if not isinstance(value, list):
            raise self.refuse(key, "a list")
        return value

    def tables(self, key: str) -> list[Table]:
        """The tables of a list of tables."""
        return [Table(values, f"{self.where(key)}[{n}]") for n, values in enumerate(self.listed(key))]

    def finish(self) -> None:
        """Refuse every key that nobody asked for."""
        for key in self.values:
            if key not in self._known:
                raise HostError(self.place, f"unknown key {key!r}: expected one of {choices(self._known)}")


def size_in_bytes(value: object) -> int | None:
    """A size in bytes, from an integer or from a text with a unit; None when it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str):
        number = value.rstrip("BKMGTi")
        unit = value[len(number) :]
        if unit not in UNITS or not number.strip().replace(".", "", 1).isdecimal():
            return None
        size = round(float(number) * UNITS[unit])
    else:
        return None
    return size if 0 <= size <= LARGEST_MEMORY else None


def shown(value: object) -> str:
    """A value as an error message shows it, on one line and short."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
