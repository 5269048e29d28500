"""What asking a driver has in common, whatever its library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, cast

import pytest

from pytest_gpudiscover.native.drivers.asking import Asked, raising
from pytest_gpudiscover.native.drivers.interface import CallError, grouped
from pytest_gpudiscover.native.drivers.vulkan_api import VK_INCOMPLETE, Vulkan, VulkanError


class Device(Asked):
    """A device of which something is asked."""

    def asked(self, *functions: Callable[[], object]) -> CallError | None:
        """Why it is not for use, when these were asked of it."""
        for function in functions:
            self._ask(function)
        return self._refusal


def refusal(function: str) -> Callable[[], object]:
    """A function that the driver refuses."""

    def refuse() -> None:
        raise CallError(function, 7)

    return refuse


@pytest.mark.parametrize(
    ("functions", "first"),
    [
        ([], None),
        ([dict], None),
        ([dict, refusal("a"), dict], "a"),
        ([refusal("a"), refusal("b")], "a"),
    ],
)
def test_the_first_refusal_is_why_a_device_is_not_for_use(
    functions: list[Callable[[], object]], first: str | None
) -> None:
    why = Device().asked(*functions)
    assert (why and why.function) == first


class Growing:
    """A library whose list of devices has become longer since it was counted."""

    def __getitem__(self, name: str) -> Any:
        """Any function."""
        return ctypes.CFUNCTYPE(ctypes.c_int32)(lambda: VK_INCOMPLETE)


def test_a_list_that_has_become_longer_since_it_was_counted_is_no_failure() -> None:
    vulkan = Vulkan(cast("ctypes.CDLL", Growing()))
    assert vulkan.vkEndCommandBuffer(None) == VK_INCOMPLETE


def test_a_result_that_is_not_good_raises_with_the_function_s_name() -> None:
    check = raising(VulkanError, "vkCreateDevice")
    assert check(0, None, None) == 0
    with pytest.raises(VulkanError, match=r"^vkCreateDevice answered VK_ERROR_DEVICE_LOST$"):
        check(-4, None, None)


@pytest.mark.parametrize(
    ("uuid", "text"),
    [(bytes(range(16)), "00010203-0405-0607-0809-0a0b0c0d0e0f"), (bytes(16), ""), (b"", "")],
)
def test_a_uuid_is_written_in_groups_and_zeros_are_none(uuid: bytes, text: str) -> None:
    assert grouped(uuid) == text
