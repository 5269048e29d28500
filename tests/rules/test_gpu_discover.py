"""What `ollama gpu-discover` prints: as strict as the other answer, and as patient with one bad device."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from answers import GIB, L4
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.gpu_discover import parse_printed
from pytest_gpudiscover.reports import Reason
from pytest_gpudiscover.wire import MAX_DEVICES

CUDA: dict[str, Any] = {
    "library": "CUDA",
    "index": 1,
    "index_matches_backend": True,
    "name": "CUDA1",
    "description": "NVIDIA L4",
    "device_id": "0000:01:00.0",
    "integrated": True,
    "integrated_known": True,
    "total_memory": 24 * GIB,
    "free_memory": 23 * GIB,
    "compute_major": 8,
    "compute_minor": 9,
    "cuda_driver_major": 13,
    "cuda_driver_minor": 1,
    "nvidia_driver_major": 580,
}
CUDA_DEVICE = replace(L4, id="1", name="CUDA1")


def printed(*devices: object) -> bytes:
    return json.dumps({"devices": devices}).encode() + b"\n"


def only(**changes: object) -> DeviceInfo:
    """The device that comes of the good entry with these changes; None takes a key out."""
    entry = {key: value for key, value in (CUDA | changes).items() if value is not None}
    (device,) = parse_printed(printed(entry)).devices
    return device


def test_every_key_has_its_place_in_the_device() -> None:
    assert parse_printed(printed(CUDA)).entries == (CUDA_DEVICE,)


@pytest.mark.parametrize(
    ("called", "library"),
    [
        ("cuda", "CUDA"),
        ("HIP", "ROCm"),
        ("rocm", "ROCm"),
        ("vulkan", "Vulkan"),
        ("METAL", "Metal"),
        ("SYCL",) * 2,
    ],
)
def test_a_library_has_the_name_that_everybody_else_gives_it(called: str, library: str) -> None:
    assert only(library=called).library == library


@pytest.mark.parametrize("uuid", ["GPU-477e86e7-4d4f", "MIG-477e86e7-4d4f"])
def test_a_device_id_that_a_mask_understands_is_the_id(uuid: str) -> None:
    device = only(device_id=uuid)
    assert (device.id, device.pci_id) == (uuid, "")


@pytest.mark.parametrize("name", ["apple0", "", None])
def test_a_device_id_that_is_no_address_and_no_uuid_is_none(name: str | None) -> None:
    device = only(device_id=name)
    assert (device.id, device.pci_id) == ("1", "")


def test_a_number_that_is_no_place_in_what_the_masks_left_gives_way_to_the_place_in_the_list() -> None:
    """Sysfs counts the cards that a mask hides; such a number in a mask would show another card."""
    entries = [
        CUDA | {"index": 7, "index_matches_backend": False, "library": name}
        for name in ("HIP", "HIP", "CUDA")
    ]
    assert [device.id for device in parse_printed(printed(*entries)).devices] == ["0", "1", "0"]


def test_a_refused_entry_takes_up_its_place() -> None:
    entry = {key: value for key, value in CUDA.items() if key != "index_matches_backend"}
    answer = parse_printed(printed(entry | {"total_memory": -1}, entry))
    assert [device.id for device in answer.devices] == ["1"]


def test_a_vulkan_device_s_number_is_not_taken_for_its_place_in_the_raw_enumeration() -> None:
    assert only(library="Vulkan").index is None


@pytest.mark.parametrize(
    ("target", "numbers"),
    [("gfx1030", (0x10, 0x30)), ("gfx90a", (9, 0x0A)), ("gfx906:sramecc+:xnack-", (9, 6)), ("sm_89", (0, 0))],
)
def test_rocm_s_target_gives_the_numbers_that_requirements_compare(
    target: str, numbers: tuple[int, int]
) -> None:
    device = only(library="ROCm", gfx_target=target, compute_major=None, compute_minor=None)
    assert (device.compute_major, device.compute_minor) == numbers
    assert device.compute == target


def test_numbers_that_are_given_go_before_those_of_the_target() -> None:
    assert only(gfx_target="gfx1030").compute_major == 8


@pytest.mark.parametrize("known", [True, False, None])
def test_integrated_is_believed_whether_or_not_it_is_known_for_certain(known: bool | None) -> None:
    assert only(integrated_known=known).integrated
    assert not only(integrated_known=known, integrated=None).integrated


@pytest.mark.parametrize(
    "nothing", [b'{"devices": null}', b'{"devices": []}', b'{"Devices": null, "more": 1}']
)
def test_nothing_is_an_answer(nothing: bytes) -> None:
    """A Go program writes a list that it never made as null."""
    assert parse_printed(nothing).entries == ()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"GPU 0: L4\n{}", "not JSON"),
        (b'{"devices": []} []', "not JSON"),
        (b'{"devices": [{"total_memory": NaN}]}', "NaN"),
        (b'{"devices": [1e999]}', "too large"),
        (b'{"devices": ["\xff"]}', "not UTF-8"),
        (b'{"devices":' * 100_000, "nests deeper"),
        (b"[]", "expected an object with a list of devices, got a list"),
        (b"null", "expected an object with a list of devices, got null"),
        (b"{}", "it has none"),
        (b'{"devices": {}}', "expected a list of devices, got an object"),
        (b'{"devices": [], "DEVICES": null}', "given twice"),
        (printed(*[CUDA] * (MAX_DEVICES + 1)), "are not believed"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_as_a_whole(body: bytes, problem: str) -> None:
    answer = parse_printed(body)
    assert answer.refused is not None
    assert answer.refused.reason is Reason.BAD_ANSWER
    assert problem in answer.refused.detail
    assert len(answer.entries) == 1


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (7, "a device must be an object, got an integer"),
        (CUDA | {"index": True}, "index: an integer was expected, got a boolean"),
        (CUDA | {"index": -1}, "index: -1 is out of range"),
        (CUDA | {"total_memory": 1.0}, "total_memory: an integer was expected, got a fraction"),
        (CUDA | {"index_matches_backend": 1}, "index_matches_backend: true or false was expected"),
        (CUDA | {"integrated_known": "yes"}, "integrated_known: true or false was expected"),
        (CUDA | {"nvidia_driver_major": 2**31}, "nvidia_driver_major: 2147483648 is out of range"),
        (CUDA | {"device_id": "GPU-a,b"}, "device_id: an id must fit into a mask"),
        (CUDA | {"Library": "HIP"}, "Library: given twice"),
        ({key: CUDA[key] for key in ("name", "total_memory")}, "library: missing; index: missing"),
    ],
)
def test_a_bad_device_costs_only_itself_and_says_why(entry: object, problem: str) -> None:
    answer = parse_printed(printed(CUDA, entry, CUDA))
    assert answer.devices == (CUDA_DEVICE, CUDA_DEVICE)
    (rejection,) = answer.rejections
    assert rejection.reason is Reason.BAD_DEVICE
    assert problem in rejection.detail


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{}", "expected an object with a list of devices, and it has none"),
        (b'{"devices": [], "DEVICES": null}', "the list of devices is given twice"),
    ],
)
def test_what_is_wrong_with_the_whole_is_said_in_a_sentence(body: bytes, sentence: str) -> None:
    answer = parse_printed(body)
    assert answer.refused is not None
    assert answer.refused.detail == sentence


@pytest.mark.parametrize(
    ("entry", "known"),
    [
        (7, DeviceInfo(id="", library="")),
        ({"name": "a"}, DeviceInfo(id="0", library="", name="a")),
        ({"name": "a", "index_matches_backend": True}, DeviceInfo(id="0", library="", name="a")),
        ({"library": "hip", "index": 0, "device_id": "GPU-a,b"}, DeviceInfo(id="", library="ROCm")),
    ],
)
def test_a_rejection_knows_of_the_device_what_could_be_read(entry: object, known: DeviceInfo) -> None:
    (rejection,) = parse_printed(printed(entry)).rejections
    assert rejection.device == known


def test_what_only_the_kernel_lists_has_no_memory_and_is_no_device() -> None:
    """Where ROCm's library cannot be loaded, sysfs alone is printed, without any memory."""
    entry = {key: CUDA[key] for key in ("library", "index", "index_matches_backend", "device_id")}
    (rejection,) = parse_printed(printed(entry)).rejections
    assert rejection.reason is Reason.NO_MEMORY
    assert rejection.device is not None
    assert rejection.device.pci_id == "0000:01:00.0"


def test_no_device_has_more_memory_free_than_it_has(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert only(free_memory=25 * GIB).free_memory == 24 * GIB
    assert "more free memory" in caplog.text
