"""What the system says of a process, in our words: why it did not start, and how it ended."""

from __future__ import annotations

import errno
import os
import signal

from pytest_gpudiscover.probing.processes import Exit, LaunchError

EXHAUSTION = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS})
_EXPLANATIONS = {
    errno.ENOENT: "it does not exist, or the interpreter that its first line names does not",
    errno.EACCES: "it is not executable for this user",
    errno.ENOEXEC: "it is not a program for this system: a wrong format, or a script without a #! line",
    errno.E2BIG: "its arguments and environment are larger than the system allows",
}


def refusal(program: str, number: int | None) -> LaunchError:
    """Say why the system refused to start a program.

    Args:
        program: what was to be started.
        number: the system's error number (`errno`), when it gave one.
    """
    if number is None:
        return LaunchError(f"cannot start {program}: the system refused, and did not say why")
    reason = _EXPLANATIONS.get(number, "the system refused")
    detail = f"cannot start {program}: {reason} ({os.strerror(number)})"
    return LaunchError(detail, exhausted=number in EXHAUSTION)


def exit_of(code: int) -> Exit:
    """Read an exit code as `subprocess` gives it: negative for a signal."""
    return Exit(code=code) if code >= 0 else Exit(signal=signal_name(-code))


def signal_name(number: int) -> str:
    """Name a signal; a real-time signal has its number only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
