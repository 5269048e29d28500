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
