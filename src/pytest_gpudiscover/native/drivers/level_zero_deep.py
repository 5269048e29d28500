"""Level Zero, deep: put a device to work, and see whether it did what it was told.

The device fills a buffer in its own memory and copies it to the host, where every word is compared.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from ctypes import byref, c_uint32, c_void_p

from pytest_gpudiscover.native.drivers import level_zero_api as api
from pytest_gpudiscover.native.drivers.deep import UNTOUCHED, WORD, afterwards, compare
from pytest_gpudiscover.native.drivers.interface import DeviceError

SIZE = 1 << 20
"""Bytes."""
_ALIGNMENT = 64


def fill_and_compare(library: api.LevelZero, driver: int, device: int) -> None:
    """Fill a buffer on a device and compare it; everything it took is given back.

    Raises:
        DeviceError: a call failed, or what came back is not what was asked for.
    """
    with ExitStack() as cleanup:
        context = c_void_p()
        library.zeContextCreate(driver, byref(api.ContextDesc()), byref(context))
        afterwards(cleanup, library.zeContextDestroy, context)
        on_device, on_host = c_void_p(), c_void_p()
        library.zeMemAllocDevice(
            context, byref(api.DeviceMemAllocDesc()), SIZE, _ALIGNMENT, device, byref(on_device)
        )
        afterwards(cleanup, library.zeMemFree, context, on_device)
        library.zeMemAllocHost(context, byref(api.HostMemAllocDesc()), SIZE, _ALIGNMENT, byref(on_host))
        afterwards(cleanup, library.zeMemFree, context, on_host)
        ctypes.memset(on_host, UNTOUCHED, SIZE)
        commands = _command_list(library, context, device, cleanup)
        pattern = c_uint32(WORD)
        fill, copy = library.zeCommandListAppendMemoryFill, library.zeCommandListAppendMemoryCopy
        fill(commands, on_device, byref(pattern), ctypes.sizeof(pattern), SIZE, None, 0, None)
        copy(commands, on_host, on_device, SIZE, None, 0, None)
        expected = [WORD] * (SIZE // 4)
        compare(ctypes.string_at(on_host, SIZE), expected, "a buffer is filled wrong")


def _command_list(library: api.LevelZero, context: c_void_p, device: int, cleanup: ExitStack) -> c_void_p:
    """A list whose commands are executed at once, each before the call returns."""
    groups = api.listing(
        library.zeDeviceGetCommandQueueGroupProperties, api.CommandQueueGroupProperties, device
    )
    ordinal = next((n for n, group in enumerate(groups) if group.flags & api.GROUP_COMPUTE), None)
    if ordinal is None:
        raise DeviceError(f"expected a queue that computes, got {len(groups)} groups without one")
    request = api.CommandQueueDesc(ordinal=ordinal, mode=api.SYNCHRONOUS)
    commands = c_void_p()
    library.zeCommandListCreateImmediate(context, device, byref(request), byref(commands))
    afterwards(cleanup, library.zeCommandListDestroy, commands)
    return commands
