"""What putting devices to work has in common, whatever the library."""

from __future__ import annotations

from contextlib import nullcontext, suppress

from pytest_gpudiscover.native.drivers.interface import DeviceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

UNTOUCHED = 0xA5
"""What the host writes into every byte beforehand, so that no earlier result can pass for this one."""
WORD, FACTOR = 0x5EED600D, 0x9E3779B1
"""What a device writes, and what makes it another word at every place."""


def word(place: int) -> int:
    """What a device writes at a place: the place times the factor, plus the word, in 32 bits."""
    return (place * FACTOR + WORD) & 0xFFFFFFFF


def compare(content: bytes, expected: list[int], problem: str) -> None:
    """Compare what came back from a device with what it was told to do.

    Args:
        content: 32-bit words in the byte order of this machine.
        expected: as many words.
        problem: what it means that they differ, for the message.

    Raises:
        DeviceError: some words differ; it names the first, and how many there are.
    """
    words = memoryview(content).cast("I").tolist()
    if words == expected:
        return
    wrong = [place for place, word in enumerate(words) if word != expected[place]]
    raise DeviceError(
        f"{problem}: {len(wrong)} of {len(words)} words differ,"
        f" word {wrong[0]} is {words[wrong[0]]:#010x} where {expected[wrong[0]]:#010x} was expected"
    )


def afterwards(cleanup: ExitStack, function: Callable[..., object], *arguments: object) -> None:
    """Call a function at the end. After a failure it fails quietly: what failed first says more."""

    def undo(_kind: object, failure: object, _traceback: object) -> None:
        with suppress(DeviceError) if failure else nullcontext():
            function(*arguments)

    cleanup.push(undo)
