"""Metal's objects and the messages they are sent, as many of them as the runner uses.

Facts are from Apple's documentation of Metal and of the Objective-C runtime. A message is a call of
`objc_msgSend` as if it were the method's own function: its types must be the method's, or the arguments
arrive in the wrong places.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from ctypes import c_bool, c_char_p, c_uint8, c_uint64, c_void_p

from pytest_gpudiscover.native.drivers.interface import DriverError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

OBJECTIVE_C = "/usr/lib/libobjc.A.dylib"

STORAGE_SHARED, STORAGE_PRIVATE = 0, 2 << 4
"""Options of a buffer: memory that the host sees too, or the GPU's own."""
COMPLETED = 4
"""The status of a command buffer that was executed without an error."""


class Range(ctypes.Structure):
    """`NSRange`: a place and a length, in bytes."""

    _fields_ = (("location", c_uint64), ("length", c_uint64))


_OBJECT = c_void_p

MESSAGES: dict[str, tuple[Any, ...]] = {
    "count": (c_uint64,),
    "objectAtIndex:": (_OBJECT, c_uint64),
    "UTF8String": (c_char_p,),
    "release": (None,),
    "name": (_OBJECT,),
    "hasUnifiedMemory": (c_bool,),
    "recommendedMaxWorkingSetSize": (c_uint64,),
    "currentAllocatedSize": (c_uint64,),
    "newCommandQueue": (_OBJECT,),
    "newBufferWithLength:options:": (_OBJECT, c_uint64, c_uint64),
    "contents": (c_void_p,),
    "commandBuffer": (_OBJECT,),
    "blitCommandEncoder": (_OBJECT,),
    "fillBuffer:range:value:": (None, _OBJECT, Range, c_uint8),
    "copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:": (
        None,
        _OBJECT,
        c_uint64,
        _OBJECT,
        c_uint64,
        c_uint64,
    ),
    "endEncoding": (None,),
    "commit": (None,),
    "waitUntilCompleted": (None,),
    "status": (c_uint64,),
    "error": (_OBJECT,),
    "localizedDescription": (_OBJECT,),
}
"""By message: the type of its answer, then those of its arguments."""


class Metal:
    """The framework, and the runtime that passes messages to its objects."""

    def __init__(self, framework: ctypes.CDLL) -> None:
        runtime = ctypes.CDLL(OBJECTIVE_C)
        if not hasattr(framework, "MTLCopyAllDevices"):
            raise DriverError("expected Metal of macOS 10.11 or later, got one that lacks MTLCopyAllDevices")
        self._copy_all_devices: Any = framework.MTLCopyAllDevices
        self._copy_all_devices.restype = _OBJECT
        self._selector: Any = runtime.sel_registerName
        self._selector.restype, self._selector.argtypes = c_void_p, (c_char_p,)
        self._push: Any = runtime.objc_autoreleasePoolPush
        self._push.restype = c_void_p
        self._pop: Any = runtime.objc_autoreleasePoolPop
        self._pop.restype, self._pop.argtypes = None, (c_void_p,)
        self._address = ctypes.cast(runtime.objc_msgSend, c_void_p).value or 0

    def send(self, receiver: int | None, message: str, *arguments: object) -> Any:
        """Send an object a message of `MESSAGES`; nothing answers with zero, whatever it is sent."""
        result, *types = MESSAGES[message]
        function = ctypes.CFUNCTYPE(result, _OBJECT, c_void_p, *types)(self._address)
        return function(receiver, self._selector(message.encode()), *arguments)

    def text(self, string: int | None) -> str:
        """What an `NSString` holds; "" for none."""
        content: bytes = self.send(string, "UTF8String") or b""
        return content.decode(errors="replace")

    @contextmanager
    def devices(self) -> Iterator[list[int]]:
        """Every GPU of the machine, for as long as the block lasts."""
        with self.pool():
            listed = self._copy_all_devices()
            try:
                count = self.send(listed, "count")
                yield [self.send(listed, "objectAtIndex:", place) for place in range(count)]
            finally:
                self.send(listed, "release")

    @contextmanager
    def pool(self) -> Iterator[None]:
        """Give back at the end what nobody in the block asked to keep."""
        pool = self._push()
        try:
            yield
        finally:
            self._pop(pool)
