"""Laws of what `ollama gpu-discover` prints: no bytes do harm, and what is printed is read again."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

import answers
from pytest_gpudiscover.devices import DeviceInfo, pci_address
from pytest_gpudiscover.gpu_discover import parse_printed
from pytest_gpudiscover.strategies import damaged_bodies
from pytest_gpudiscover.wire import Answer

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
small = st.integers(-(2**31), 2**31 - 1)
sizes = st.integers(0, 2**64 - 1)
printable_devices = st.builds(
    DeviceInfo,
    id=st.integers(0, 2**31 - 1).map(str),
    library=st.sampled_from(["CUDA", "ROCm", "Vulkan", "Metal", "SYCL"]),
    name=texts,
    description=texts,
    integrated=st.booleans(),
    pci_id=st.just("") | st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", fullmatch=True),
    total_memory=st.just(2**64 - 1),
    free_memory=sizes,
    compute_major=st.integers(1, 2**31 - 1),
    compute_minor=small,
    driver_major=small,
    driver_minor=small,
    gfx_target=texts,
)
"""Devices with any values that can be printed, real or not."""
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
KEYS = {
    "name": "name",
    "description": "description",
    "pci_id": "device_id",
    "integrated": "integrated",
    "total_memory": "total_memory",
    "free_memory": "free_memory",
    "compute_major": "compute_major",
    "compute_minor": "compute_minor",
    "driver_major": "cuda_driver_major",
    "driver_minor": "cuda_driver_minor",
    "gfx_target": "gfx_target",
}
OTHERS = ("library", "index", "index_matches_backend", "integrated_known", "nvidia_driver_major")


def entry_of(device: DeviceInfo) -> dict[str, object]:
    """As Ollama prints it: what is empty, false or zero is left out."""
    known: dict[str, object] = {
        "library": device.library,
        "index": int(device.id),
        "index_matches_backend": True,
    }
    values = {printed: getattr(device, ours) for ours, printed in KEYS.items()}
    return known | {"integrated_known": True} | {key: value for key, value in values.items() if value}


def body_of(*entries: object) -> bytes:
    return json.dumps({"devices": entries}).encode()


def holds(answer: Answer) -> None:
    """What must be true of every answer, whatever the bytes were."""
    answers.holds(answer)
    assert all(pci_address(device.pci_id) for device in answer.devices if device.pci_id)


@given(st.binary(max_size=200))
@example(b'{"devices":' * 5000)
@example(b'{"devices": [{"total_memory": 1e400}]}')
def test_no_printed_bytes_raise(content: bytes) -> None:
    """Would have caught: a RecursionError of nesting."""
    holds(parse_printed(content))
    holds(parse_printed(b'{"devices": ' + content + b"}"))


@given(damaged_bodies())
def test_no_damaged_list_of_devices_raises(content: bytes) -> None:
    """Would have caught: half a surrogate pair that fails only when it is printed."""
    holds(parse_printed(b'{"devices": ' + content + b"}"))


@given(st.lists(printable_devices, max_size=3))
def test_what_ollama_prints_is_read_again(listed: list[DeviceInfo]) -> None:
    """Would have caught: an index of 0 taken for none, 64 bits for 63."""
    assert parse_printed(body_of(*map(entry_of, listed))) == Answer(tuple(listed))


@given(st.lists(st.tuples(printable_devices, st.booleans()), max_size=4))
def test_a_number_that_a_library_does_not_count_by_is_replaced_by_the_place(
    listed: list[tuple[DeviceInfo, bool]],
) -> None:
    """Would have caught: a mask that shows another device than the one that was listed."""
    entries = [
        entry_of(device) | {"library": "CUDA", "index_matches_backend": counts} for device, counts in listed
    ]
    ids = [device.id if counts else str(place) for place, (device, counts) in enumerate(listed)]
    assert [device.id for device in parse_printed(body_of(*entries)).devices] == ids


@given(printable_devices, texts)
def test_what_is_no_pci_id_is_none(device: DeviceInfo, name: str) -> None:
    """Would have caught: the bus of a virtual card, by which it would be another's twin."""
    (found,) = parse_printed(body_of(entry_of(device) | {"device_id": name})).devices
    assert found.pci_id == (name if pci_address(name) else "")


@given(printable_devices, st.sampled_from([*KEYS.values(), *OTHERS]), json_values)
def test_any_printed_value_in_any_place_costs_its_own_device_only(
    good: DeviceInfo, key: str, value: object
) -> None:
    """Would have caught: an index that is no number, compared with the place."""
    whole = entry_of(good)
    answer = parse_printed(body_of(whole, whole | {key: value}, whole))
    holds(answer)
    assert len(answer.entries) == 3
    assert (answer.entries[0], answer.entries[2]) == (good, good)
