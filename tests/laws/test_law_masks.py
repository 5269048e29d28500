"""Laws of masks: what the user has set stays in force, and what is asked for is what is shown."""

from __future__ import annotations

import asyncio
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

from hypothesis import event, example, given
from hypothesis import strategies as st

from fake_runner.masks import visible
from pytest_gpudiscover import DeviceInfo, Discovery, Phase
from pytest_gpudiscover.masks import UserMasks, show_only
from pytest_gpudiscover.probing import ProbeRequest
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies import MASKED, Masks, Truth, hosts, masks
from pytest_gpudiscover.surroundings import Surroundings
from truths import found, shown_by, some, surroundings, tell


def composable(host: FakeHost, users: Masks) -> bool:
    """Whether ROCm's masks can be made one: docs/masks.md names what only the driver understands."""
    rocr = users.get("ROCR_VISIBLE_DEVICES")
    hip = users.get("HIP_VISIBLE_DEVICES") or users.get("CUDA_VISIBLE_DEVICES") or ""
    has_rocm = any(each.device.library == "ROCm" for each in Truth.of(host).listed)
    if has_rocm and "GPU-" in hip.split(","):  # of every UUID the beginning, named before or not
        return False
    if rocr is None or not hip:
        return True
    named = [entry.strip() for entry in rocr.split(",")]
    cards = [entry for entry in named if entry[:1].isdigit() or entry.upper().startswith("GPU-")]
    return "GPU-" not in hip and all(is_there(host, card) for card in cards)


def is_there(host: FakeHost, card: str) -> bool:
    """Whether every variant of ROCm lists what ROCr calls so."""
    shown = {each.device.variant for each in Truth.of(host, {"ROCR_VISIBLE_DEVICES": card}).listed}
    return all(
        each.device.variant in shown for each in Truth.of(host).listed if each.device.library == "ROCm"
    )


def with_masks(host: FakeHost, **options: Any) -> st.SearchStrategy[tuple[FakeHost, Masks]]:
    drawn = masks(host, **options).filter(lambda users: composable(host, users))
    return st.tuples(st.just(host), drawn)


def through_level_zero(host: FakeHost) -> FakeHost:
    """The same cards, which no other library has: Vulkan's listing would win."""
    names = [gpu["name"] for gpu in host.document["gpu"]]
    view = {"library": "Level Zero", "devices": names}
    return FakeHost({**host.document, "variant": {"level_zero": view}})


three_arcs = through_level_zero(FakeHost.of("Arc A770", "Arc A770", "Arc A770"))
masked = hosts(min_gpus=2).flatmap(with_masks)
understood = hosts(min_gpus=2).flatmap(lambda host: with_masks(host, garbage=False))
numbered = hosts(vendors=["NVIDIA", "AMD"], min_gpus=2, lossy=["numbers", "reordered"]).flatmap(with_masks)
radeons = hosts(vendors=["AMD"], min_gpus=2, lossy=["numbers", "reordered", "partial"]).flatmap(
    lambda host: with_masks(host, libraries=["ROCm"])
)
three = FakeHost.of("MI210", "MI210", "MI210")
second = "GPU-47771332-414f-f78d-9f80-0b2d9d85aed4"
geforces = hosts(vendors=["NVIDIA"], min_gpus=2, lossy=["numbers", "reordered", "partial"]).flatmap(
    lambda host: with_masks(host, libraries=["CUDA"])
)
arcs = (
    hosts(vendors=["Intel"], min_gpus=2)
    .map(through_level_zero)
    .flatmap(lambda host: with_masks(host, libraries=["Level Zero"]))
)
by_number = FakeHost(
    document={
        "gpu": [{"name": name, "profile": "RTX 4090"} for name in "abc"],
        "variant": {"cuda": {"library": "CUDA", "devices": ["a", "b", "c"], "ids": "number"}},
    }
)


@given(understood | numbered)
def test_a_discovery_finds_every_gpu_that_the_users_masks_leave_and_no_other(
    case: tuple[FakeHost, Masks],
) -> None:
    """Would have caught: a mask of the user's that is overwritten, or that hides what a probe asks for."""
    host, users = case
    tell(host)
    visible = Truth.of(host, users)
    served = [visible.behind(device) for device in found(host, users).devices]
    # Where PCI ids tell, a card that one library has is not served by another.
    assert {gpu.card for gpu in served} == {each.gpu.card for each in visible.listed}


@given(radeons)
@example((three, {"ROCR_VISIBLE_DEVICES": "0,x,1", "HIP_VISIBLE_DEVICES": "1"}))
@example((three, {"ROCR_VISIBLE_DEVICES": "0,0,1", "HIP_VISIBLE_DEVICES": "1"}))
@example((three, {"HIP_VISIBLE_DEVICES": "1,1,0"}))
@example((three, {"ROCR_VISIBLE_DEVICES": f"{second},1", "HIP_VISIBLE_DEVICES": "1"}))
def test_a_discovery_finds_every_gpu_that_is_left_by_all_masks_that_rocm_reads(
    case: tuple[FakeHost, Masks],
) -> None:
    """Would have caught: a user's HIP mask that hides what a probe's ROCR mask is to show."""
    host, users = case
    event(" and ".join(sorted(users)) or "no mask")
    visible = Truth.of(host, users)
    served = {visible.behind(device) for device in found(host, users).devices}
    shown = {each.gpu for each in visible.listed}
    # Only the driver knows whether a number and a UUID are one card: one may be lost then, and none is wrong.
    assert served <= shown if any(map(mixed, users.values())) else served == shown


def mixed(mask: str) -> bool:
    """Whether it has both numbers and UUIDs, or UUIDs of which one may be the other cut short."""
    entries = [entry.strip().upper() for entry in mask.split(",")]
    uuids = [entry for entry in entries if entry.startswith("GPU-")]
    one = any(a.startswith(b) or b.startswith(a) for a, b in combinations(uuids, 2))
    return one or 0 < len(uuids) < len(entries)


@given(geforces)
@example((by_number, {"CUDA_VISIBLE_DEVICES": "2,1.0,0"}))
def test_a_discovery_takes_every_gpu_that_a_mask_leaves_to_cuda_whatever_is_in_it(
    case: tuple[FakeHost, Masks],
) -> None:
    """Would have caught: an entry such as `1.0` taken for the end of the list, where C reads a number."""
    host, users = case
    visible = Truth.of(host, users)
    served = {visible.behind(device) for device in found(host, users).devices if device.library == "CUDA"}
    assert served == {each.gpu for each in visible.listed if each.device.library == "CUDA"}


@given(arcs)
@example((three_arcs, {"ZE_AFFINITY_MASK": "2,x,0"}))
def test_a_discovery_takes_every_gpu_that_a_mask_leaves_to_level_zero_whatever_is_in_it(
    case: tuple[FakeHost, Masks],
) -> None:
    """Would have caught: devices counted in the order of the entries, where the driver lists in its own."""
    host, users = case
    event(users.get("ZE_AFFINITY_MASK", "no mask"))
    visible = Truth.of(host, users)
    served = [visible.behind(device) for device in found(host, users).devices]
    assert served == [each.gpu for each in visible.listed]


@given(masked)
def test_no_mask_whatever_is_in_it_makes_a_discovery_find_what_it_hides(case: tuple[FakeHost, Masks]) -> None:
    """Would have caught: garbage that is passed over, where the driver ends its list."""
    host, users = case
    visible = {each.gpu for each in Truth.of(host, users).listed}
    assert {Truth.of(host, users).behind(device) for device in found(host, users).devices} <= visible


@given(st.sampled_from(MASKED), masked)
def test_a_library_that_is_hidden_shows_nothing_whatever_the_user_has_masked(
    hidden: str, case: tuple[FakeHost, Masks]
) -> None:
    """Would have caught: an empty mask where the driver takes that for none."""
    _, users = case
    shown = show_only([], UserMasks.read(users, "linux"), [hidden])
    environment = {name: value for name, value in (users | shown).items() if value is not None}
    assert visible(hidden, ["GPU-aa", "GPU-bb"], environment) == []


@given(understood)
@some(0.03)
def test_a_real_runner_with_the_mask_that_is_emitted_shows_exactly_that_gpu(
    case: tuple[FakeHost, Masks],
) -> None:
    """Would have caught: a mask that is right, and never reaches the process."""
    host, users = case
    with tempfile.TemporaryDirectory() as directory:
        truth = Truth.of(host.save(Path(directory) / "host.json"), users)
        for device, shown in asyncio.run(_shown_alone(host, surroundings(users))):
            assert [each.free_memory for each in shown] == [truth.behind(device).free_memory]


async def _shown_alone(
    host: FakeHost, around: Surroundings
) -> list[tuple[DeviceInfo, tuple[DeviceInfo, ...]]]:
    """What a process of the fake runner lists behind the mask of each device that processes have found."""
    installation = host.installation()
    found = await Discovery(installation, surroundings=around).devices()
    located = installation.locate(around)
    by_name = {variant.name: variant for variant in located.variants}
    answers = []
    async with installation.prober(located, around) as prober:
        for device in found:
            variant = by_name[device.variant]
            environment = {
                **shown_by([device], around.environment),
                **host.environment,
                "OLLAMA_LIBRARY_PATH": "/".join(variant.directories),
            }
            result = await prober.probe(
                ProbeRequest(
                    phase=Phase.REFRESH, variant=variant, mask={}, environment=environment, timeout=30
                )
            )
            assert result.answer is not None
            answers.append((device, result.answer.devices))
    return answers
