"""Arguments of strategies: refused where they are given, and not where something is drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hypothesis.errors import InvalidArgument


def chosen(argument: str, names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Some of the known names, in their order.

    Raises:
        InvalidArgument: one is not known, or one text stands where several are meant.
    """
    if isinstance(names, str):
        raise InvalidArgument(f"{argument}: expected several names, such as [{names!r}], got {names!r}")
    wanted = set(names)
    unknown = sorted(wanted.difference(known))
    if unknown:
        raise InvalidArgument(
            f"{argument}: expected some of {', '.join(known)}, got {', '.join(map(repr, unknown))}"
        )
    return tuple(name for name in known if name in wanted)


def some_of(argument: str, names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Like `chosen`, where there must be something to draw from.

    Raises:
        InvalidArgument: there is nothing, too.
    """
    wanted = chosen(argument, names, known)
    if not wanted:
        raise InvalidArgument(f"{argument}: expected one or more of {', '.join(known)}, got none")
    return wanted


def within(argument: str, number: int, least: int, most: float = float("inf")) -> int:
    """A number that makes sense.

    Raises:
        InvalidArgument: it does not.
    """
    if not least <= number <= most:
        wanted = f"{least} or more" if most == float("inf") else f"{least} to {most}"
        raise InvalidArgument(f"{argument}: expected {wanted}, got {number}")
    return number
