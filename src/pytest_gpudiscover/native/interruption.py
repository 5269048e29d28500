"""Ctrl-C, noted as well as raised.

Python raises `KeyboardInterrupt` wherever the program happens to be. Inside a finaliser, or a callback of
`ctypes` or of a weak reference (importing uses such), it is printed and dropped, and the program would go on.
"""

from __future__ import annotations

import signal

INTERRUPTED = 130
"""The exit code after Ctrl-C."""

_noted: list[int] = []


def watch() -> None:
    """Note Ctrl-C from now on, unless whoever started this process has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)


def came() -> bool:
    """Whether there was one since."""
    return bool(_noted)


def _note(number: int, _frame: object) -> None:
    _noted.append(number)
    raise KeyboardInterrupt
