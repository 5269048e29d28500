"""The same tests for a machine with GPUs and for a simulated one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mandelbrot import HEIGHT, WIDTH, picture, shares
from pytest_gpudiscover import DeviceInfo


def differing(one: list[str], other: list[str]) -> int:
    """In how many places two pictures differ: at the edge of the set it matters how a GPU rounds."""
    return sum(a != b for a, b in zip("".join(one), "".join(other), strict=True))


def test_the_set_is_symmetric() -> None:
    drawn = picture(["cpu"])
    assert drawn == drawn[::-1]


def test_the_gpus_share_all_rows() -> None:
    assert sorted(row for _, rows in shares(["a", "b", "c"]) for row in rows) == [*range(HEIGHT)]


def test_every_gpu_has_room_for_the_picture(gpu_devices: tuple[DeviceInfo, ...]) -> None:
    for device in gpu_devices:
        assert device.free_memory > WIDTH * HEIGHT * 40


@pytest.mark.gpu(library="CUDA")
def test_a_gpu_draws_what_the_processor_draws(draw: Callable[[], list[str]]) -> None:
    assert differing(draw(), picture(["cpu"])) < 20


@pytest.mark.gpu(library="CUDA", count=2)
def test_two_gpus_draw_it_together(draw: Callable[[], list[str]]) -> None:
    assert differing(draw(), picture(["cpu"])) < 20
