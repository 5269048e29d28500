"""Metal, deep: put a device to work, and see whether it did what it was told.

The device fills a buffer in its own memory and copies it to one that the host sees, where every word is
compared.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack

from pytest_gpudiscover.native.drivers import metal_api as api
from pytest_gpudiscover.native.drivers.deep import UNTOUCHED, compare
from pytest_gpudiscover.native.drivers.interface import DeviceError

SIZE = 1 << 20
"""Bytes."""
BYTE = 0x5E
"""What the device writes: it fills with bytes, not words."""


def fill_and_compare(metal: api.Metal, device: int) -> None:
    """Fill a buffer on a device and compare it; everything it took is given back.

    Raises:
        DeviceError: the device refused something, or what came back is not what was asked for.
    """
    with ExitStack() as cleanup, metal.pool():
        queue = _made(metal, cleanup, device, "newCommandQueue")
        own, shared = (
            _made(metal, cleanup, device, "newBufferWithLength:options:", SIZE, storage)
            for storage in (api.STORAGE_PRIVATE, api.STORAGE_SHARED)
        )
        content = metal.send(shared, "contents")
        ctypes.memset(content, UNTOUCHED, SIZE)
        commands = metal.send(queue, "commandBuffer")
        encoder = metal.send(commands, "blitCommandEncoder")
        metal.send(encoder, "fillBuffer:range:value:", own, api.Range(0, SIZE), BYTE)
        copy = "copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:"
        metal.send(encoder, copy, own, 0, shared, 0, SIZE)
        metal.send(encoder, "endEncoding")
        metal.send(commands, "commit")
        metal.send(commands, "waitUntilCompleted")
        _check_status(metal, commands)
        expected = [BYTE * 0x01010101] * (SIZE // 4)
        compare(ctypes.string_at(content, SIZE), expected, "a buffer is filled wrong")


def _made(metal: api.Metal, cleanup: ExitStack, device: int, message: str, *arguments: object) -> int:
    """Have a device make an object, which is released at the end."""
    made: int | None = metal.send(device, message, *arguments)
    if not made:
        raise DeviceError(f"expected an object from {message}, got none: the GPU may have no memory left")
    cleanup.callback(metal.send, made, "release")
    return made


def _check_status(metal: api.Metal, commands: int) -> None:
    status = metal.send(commands, "status")
    if status != api.COMPLETED:
        why = metal.text(metal.send(metal.send(commands, "error"), "localizedDescription"))
        raise DeviceError(
            f"expected commands with status {api.COMPLETED} (completed), got {status}:"
            f" {why or 'without an error'}"
        )
