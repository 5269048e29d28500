"""Showing: the masks of a lease, read by the fake runner's own reading of masks as a second opinion."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_runner.masks import visible
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.leasing.showing import lease_env, torch_names
from pytest_gpudiscover.masks import CUDA, HIP, ROCR, VULKAN, UserMasks
from pytest_gpudiscover.selection import renumbered
from pytest_gpudiscover.wire import Answer

NO_MASKS = UserMasks.read({}, "linux")
CUDA_CARD = DeviceInfo(library="CUDA", id="GPU-a")
ROCM_CARD = DeviceInfo(library="ROCm", id="GPU-b")
VULKAN_CARD = DeviceInfo(library="Vulkan", id="uuid", index=2)
METAL_CARD = DeviceInfo(library="Metal", id="0", filtered_id="0")

NAMES = {
    "CUDA": ["GPU-c0", "GPU-c1", "GPU-c2"],
    "ROCm": ["GPU-r0", "GPU-r1", "GPU-r2"],
    "Vulkan": ["v0", "v1", "v2"],
}
OF_THE_USER = [
    {},
    {CUDA: "2,0"},
    {CUDA: "GPU-c1"},
    {CUDA: ""},
    {CUDA: "-1"},
    {CUDA: "GPU-c2,GPU-c0"},
    {ROCR: "2,1"},
    {HIP: "1,0"},
    {ROCR: "2,1", HIP: "1"},
    {ROCR: "GPU-r2", CUDA: "0,1"},
    {HIP: "2", CUDA: "0", VULKAN: "2,1"},
    {VULKAN: "1"},
]


def machine(environment: dict[str, str], *, uuids: bool) -> list[DeviceInfo]:
    """What a discovery behind these masks finds on a machine with three cards of each library."""
    masks = UserMasks.read(environment, "linux")
    found: list[DeviceInfo] = []
    for library, names in NAMES.items():
        shown = visible(library, names, environment)
        listed = [
            DeviceInfo(library=library, id=names[raw] if uuids and library != "Vulkan" else str(place))
            for place, raw in enumerate(shown)
        ]
        found.extend(masks.translated(Answer(tuple(listed))).devices)
    return renumbered(found)


def raw(device: DeviceInfo, environment: dict[str, str]) -> int:
    """A device's place in its library's raw enumeration, from what found it."""
    if device.id in NAMES[device.library]:
        return NAMES[device.library].index(device.id)
    return visible(device.library, NAMES[device.library], environment)[int(device.id)]


@given(st.sampled_from(OF_THE_USER), st.booleans(), st.data())
def test_a_lease_shows_its_devices_in_order_and_nothing_else(
    environment: dict[str, str], uuids: bool, data: st.DataObject
) -> None:
    everything = machine(environment, uuids=uuids)
    leased = data.draw(st.lists(st.sampled_from(everything), unique=True)) if everything else []
    env = lease_env(leased, everything, UserMasks.read(environment, "linux"))
    has_rocm = any(device.library == "ROCm" for device in leased)
    for library, names in NAMES.items():
        expected = [raw(device, environment) for device in leased if device.library == library]
        if library == "CUDA" and has_rocm and not expected:
            # Left as it is: hiding these would hide the ROCm devices from who reads HIP's mask carelessly.
            assert CUDA not in env
            continue
        if expected or any(device.library == library for device in everything):
            assert visible(library, names, {**environment, **env}) == expected


def test_a_cuda_lease_names_its_cards_by_what_shows_them() -> None:
    numbered = replace(CUDA_CARD, id="0", filtered_id="3")
    assert lease_env([CUDA_CARD], [CUDA_CARD], NO_MASKS) == {CUDA: "GPU-a"}
    assert lease_env([numbered, CUDA_CARD], [], NO_MASKS) == {CUDA: "3,GPU-a"}


def test_a_rocm_lease_never_sets_a_mask_of_cuda() -> None:
    everything = [CUDA_CARD, ROCM_CARD, VULKAN_CARD]
    assert lease_env([ROCM_CARD], everything, NO_MASKS) == {ROCR: "GPU-b", HIP: "0", VULKAN: ""}
    for system in ("win32", "darwin"):
        env = lease_env([ROCM_CARD], everything, UserMasks.read({}, system))
        assert env[HIP] == "GPU-b"
        assert not env.keys() & {CUDA, ROCR}


def test_a_lease_of_both_shows_hip_all_that_rocr_shows() -> None:
    both = [ROCM_CARD, CUDA_CARD, replace(ROCM_CARD, id="GPU-d")]
    env = lease_env(both, both, UserMasks.read({CUDA: "7"}, "linux"))
    assert env == {CUDA: "GPU-a", ROCR: "GPU-b,GPU-d", HIP: "0,1"}


@pytest.mark.parametrize(
    ("system", "hidden"),
    [
        ("linux", {ROCR: "", VULKAN: ""}),
        ("darwin", {HIP: "-1", VULKAN: ""}),
        ("win32", {HIP: "-1", VULKAN: "-1"}),
    ],
)
def test_libraries_that_are_not_leased_are_hidden_where_that_can_be_said(
    system: str, hidden: dict[str, str]
) -> None:
    everything = [CUDA_CARD, ROCM_CARD, VULKAN_CARD, METAL_CARD]
    env = lease_env([CUDA_CARD], everything, UserMasks.read({}, system))
    assert env == {CUDA: "GPU-a", **hidden}


def test_a_library_without_a_mask_is_neither_shown_nor_hidden_by_one() -> None:
    assert lease_env([METAL_CARD], [METAL_CARD], NO_MASKS) == {}
    assert lease_env([METAL_CARD, CUDA_CARD], [METAL_CARD], NO_MASKS) == {CUDA: "GPU-a"}


def test_a_vulkan_lease_is_shown_by_raw_position() -> None:
    assert lease_env([VULKAN_CARD], [VULKAN_CARD, CUDA_CARD], NO_MASKS) == {VULKAN: "2", CUDA: ""}


def test_pytorch_counts_the_devices_that_are_shown() -> None:
    devices = [replace(CUDA_CARD, id="GPU-7"), ROCM_CARD, CUDA_CARD, VULKAN_CARD, METAL_CARD]
    assert torch_names(devices) == ("cuda:0", "cuda:0", "cuda:1", "vulkan:0", "mps")
    assert torch_names([CUDA_CARD], devices) == ("cuda:0",)


def test_pytorch_counts_all_devices_of_a_library_without_masks() -> None:
    first, second = (DeviceInfo(library="MUSA", id=name) for name in "ab")
    assert torch_names([second], [first, CUDA_CARD, second]) == ("musa:1",)
    assert torch_names([second]) == ("musa:0",)


def test_level_zero_is_shown_and_hidden_by_numbers_on_every_system() -> None:
    first, second = (DeviceInfo(library="Level Zero", id=f"uuid-{n}", index=n) for n in range(2))
    assert torch_names([second], [first, second]) == ("xpu:0",)
    for system in ("linux", "win32"):
        masks = UserMasks.read({}, system)
        assert lease_env([second], [first, second], masks) == {"ZE_AFFINITY_MASK": "1"}
        assert lease_env([CUDA_CARD], [first, CUDA_CARD], masks) == {CUDA: "GPU-a", "ZE_AFFINITY_MASK": "-1"}


def test_pytorch_is_asked_for_an_unknown_library_by_its_name() -> None:
    assert torch_names([DeviceInfo(library="MUSA", id="0")]) == ("musa:0",)
