"""Masks that hide everything on purpose: an empty list is an answer then, and no failure."""

from __future__ import annotations


def hides_everything(mask: str, uuids: tuple[str, ...]) -> bool:
    """Whether a mask shows nothing on any machine: an entry that can name no device ends the list.

    Args:
        mask: entries separated by commas.
        uuids: how those begin that the library takes for UUIDs.
    """
    first = mask.partition(",")[0].strip().removeprefix("+")
    return not (first[:1].isdecimal() or first.startswith(uuids))
