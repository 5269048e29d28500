"""What asking a driver has in common, whatever its library: a failure is raised, or kept for later."""

from __future__ import annotations

from pytest_gpudiscover.native.drivers.interface import CallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from typing import Any


def raising(
    error: type[CallError], function: str, *, good: Container[int] = (0,)
) -> Callable[[Any, Any, Any], Any]:
    """What `ctypes` calls after a function (its `errcheck`), so that it raises unless its result is good.

    Args:
        error: the library's own.
        function: its name, for the message.
        good: the results that are.
    """

    def check(result: int, _function: object, _arguments: object) -> int:
        if result not in good:
            raise error(function, result)
        return result

    return check


class Asked:
    """A device that is asked one thing after another: what it refuses leaves that answer empty."""

    def __init__(self) -> None:
        self._refusal: CallError | None = None

    def _ask(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function of the driver; the first that fails is why the device is not for use."""
        try:
            function(*arguments)
        except CallError as error:
            self._refusal = self._refusal or error
