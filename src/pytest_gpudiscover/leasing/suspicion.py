"""Suspects: cards whose holder died without giving them back.

One file a card, in a directory of its own without the sticky bit, since whoever finds the card to be well
takes the note of somebody else off. A ticket that only its owner can remove would be found again and again:
a note says which tickets it has taken in, also when the card was cleared.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from typing import Any

from pytest_gpudiscover.leasing.folder import Folder
from pytest_gpudiscover.leasing.locks import LockFile
from pytest_gpudiscover.leasing.tickets import Entry, Holder, holder_from_json, holder_to_json, json_object

_DIRECTORY = "suspects"


def note(book: Folder, entry: Entry) -> None:
    """Note the cards of a dead ticket, unless that was done before.

    Args:
        book: its directory, locked.
        entry: the ticket.

    Raises:
        OSError: it cannot be written.
    """
    with _directory(book) as folder:
        for card in entry.cards:
            found = _read(folder, _file(card))
            if not found or found["ticket"] < entry.number:
                _write(folder, card, entry.number, entry.holder, cleared=False)


def noted(book: Folder) -> dict[str, Holder]:
    """By card, who died holding it.

    Raises:
        OSError: the directory cannot be used.
    """
    with _directory(book) as folder:
        notes = [_read(folder, name) for name in sorted(folder.names())]
    return {found["card"]: found["holder"] for found in notes if found and not found["cleared"]}


def clear(book: Folder, card: str) -> None:
    """Take a card off.

    Raises:
        OSError: it cannot be written.
    """
    with _directory(book) as folder:
        if found := _read(folder, _file(card)):
            _write(folder, card, found["ticket"], found["holder"], cleared=True)


def _directory(book: Folder) -> Folder:
    return Folder.made(book.path / _DIRECTORY, 0o777, within=book)


def _file(card: str) -> str:
    return f"{hashlib.sha256(card.encode('utf-8', 'backslashreplace')).hexdigest()[:16]}.json"


def _read(folder: Folder, name: str) -> dict[str, Any] | None:
    try:
        with LockFile(lambda: folder.open(name, os.O_RDONLY)) as file:
            found = json_object(file.read())
        card, ticket, cleared = found.get("card"), found.get("ticket"), found.get("cleared")
        if not (isinstance(card, str) and isinstance(ticket, int) and isinstance(cleared, bool)):
            return None
        holder = holder_from_json(json_object(json.dumps(found.get("holder")).encode()))
    except (OSError, ValueError):
        return None
    return {"card": card, "ticket": ticket, "cleared": cleared, "holder": holder}


def _write(folder: Folder, card: str, ticket: int, holder: Holder, *, cleared: bool) -> None:
    content = {"card": card, "ticket": ticket, "cleared": cleared, "holder": holder_to_json(holder)}
    # Anew: the file of another user cannot be written.
    with suppress(FileNotFoundError):
        folder.remove(_file(card))
    with LockFile(lambda: folder.open(_file(card), os.O_RDWR | os.O_CREAT | os.O_EXCL)) as file:
        file.permit(0o644)
        file.write(json.dumps(content).encode())
