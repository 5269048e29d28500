"""Laws of whole discoveries: what fails, waits, or is listed elsewhere changes nothing for the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import event, example, given
from hypothesis import strategies as st

from pytest_gpudiscover import DeviceInfo, Phase, Reason, Report
from pytest_gpudiscover.selection import POLICIES, Policy
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies import MASKED, Fault, Truth, faults, hosts
from pytest_gpudiscover.variants import in_order
from truths import COMPUTE, chances, found, tell

machines = hosts(vendors=["NVIDIA", "AMD", "Intel"])
"""Metal devices are trusted, and never verified: nothing that fails deep fails there."""
told_apart = hosts(
    vendors=["NVIDIA", "AMD", "Intel"], min_gpus=2, lossy=["odd_pci_ids", "numbers", "reordered", "partial"]
)
"""Machines of which every entry says by a PCI id or a UUID which GPU it is."""

rivals_of_vulkan = hosts(vendors=["NVIDIA", "AMD"])
"""Machines on which no library but CUDA and ROCm takes anything from another."""
by_number = hosts(vendors=["NVIDIA", "AMD"], min_gpus=1, lossy=["numbers"])
twice_served = FakeHost(
    {
        "gpu": [{"name": "a", "profile": "RTX 4090", "pci_id": "0000:01:00.0"}],
        "variant": {
            "cuda": {"library": "CUDA", "devices": ["a"]},
            "vulkan": {"library": "Vulkan", "devices": ["a"], "ids": "number"},
        },
    }
)
"""A GPU that Vulkan numbers and CUDA takes."""
policies = st.sampled_from(POLICIES)

FAILURES = (
    *("exit_early", "signal", "never_bind", "stop_self", "accept_silent", "redirect"),
    *("reset_mid_body", "short_body", "empty_reply", "bad_chunk", "random_bytes", "die_mid_response"),
    *("bad_json", "deep_nesting", "status", "driver_too_old", "infinite_body"),
)
"""Ways in which a runner fails as a whole."""
DEEP_FAILURES = ("crash_deep", "hang_deep", "refuse_deep")
"""Ways in which a device fails that is listed like any other."""


def served(host: FakeHost, report: Report) -> list[tuple[Any, ...]]:
    """Which GPU is served by what, and under which name: all but what counts entries of a list."""
    truth = Truth.of(host)
    return [
        (
            truth.behind(device).name,
            device.library,
            device.id,
            device.variant,
            device.free_memory,
            device.pci_id,
        )
        for device in report.devices
    ]


def with_failing_variant(host: FakeHost, random: Random, fault: Mapping[str, Any]) -> FakeHost:
    """A machine with one more variant, newer than any, that lists what another lists, and fails."""
    document = host.document
    name, table = random.choice(list(document["variant"].items()))
    added = f"{name}_99"
    return FakeHost(
        {
            **document,
            "variant": {added: table, **document["variant"]},
            "fault": [*document.get("fault", ()), {**fault, "variant": added}],
        }
    )


def with_failing_gpu(host: FakeHost, random: Random, fault: str) -> FakeHost:
    """A machine with one more card, the twin of another, that fails whenever it is initialised."""
    document = host.document
    twin = random.choice(document["gpu"])
    broken = {**twin, "name": "broken", "pci_id": "00ff:01:00.0", "uuid": "GPU-broken"}
    # In the same place everywhere: numbers that differ between variants are another matter (`renumbered`).
    behind = random.randint(0, 1)
    variants = {}
    for name, table in document["variant"].items():
        devices = list(table["devices"])
        places = [n for n, entry in enumerate(devices) if _gpu_of(entry) == twin["name"]]
        variants[name] = {**table, "devices": devices}
        # Without a mask nothing hides one card from the probe of another: there the crash takes both.
        for place in places if table["library"] in MASKED else ():
            devices.insert(place + behind, "broken")
    gpus = [broken, *document["gpu"]]
    return FakeHost({"gpu": gpus, "variant": variants, "fault": [{"name": fault, "device": "broken"}]})


def _gpu_of(entry: str | Mapping[str, Any]) -> Any:
    return entry if isinstance(entry, str) else entry["gpu"]


@given(told_apart, chances)
def test_what_fails_is_never_taken_for_another_that_answers_in_its_place(
    host: FakeHost, random: Random
) -> None:
    """Caught in the reference: any device in the answer verifies the one that was asked for."""
    if host.document["gpu"]:
        failing = random.choice(host.document["gpu"])["name"]
        worse = host.with_fault("mask_ignored").with_fault("refuse_deep", device=failing)
        assert failing not in {name for name, *_ in served(worse, found(worse))}


Name = tuple[str, str, str]


def listed_as(device: DeviceInfo) -> Name:
    """The name of a device before it was renumbered, where no mask was set."""
    return device.variant, device.library, device.filtered_id or device.id


@given(machines | by_number, chances, policies)
@example(twice_served, Random(1), "ollama")
def test_every_listed_device_is_served_or_left_out_under_the_name_that_it_was_listed_under(
    host: FakeHost, random: Random, overlap: Policy
) -> None:
    """Would have caught: a duplicate that goes by the number it would have had among the survivors."""
    worse = with_failing_gpu(host, random, "refuse_deep") if host.document["gpu"] else host
    report = found(worse, overlap=overlap)
    rejected = [rejection.device for rejection in report.rejected if rejection.device]
    told = [*map(listed_as, report.devices)]
    told += [(device.variant, device.library, device.id) for device in rejected]
    assert Counter(told) == Counter(listed_as(each.device) for each in Truth.of(worse).listed)


@given(rivals_of_vulkan, st.integers(0, 999), policies)
def test_devices_are_told_in_the_order_in_which_they_were_listed(
    host: FakeHost, seed: int, overlap: Policy
) -> None:
    """Would have caught: one library's devices before another's because they were verified sooner."""
    report = found(host, seed=seed, overlap=overlap)
    asked = in_order(host.document["variant"])
    listed = [listed_as(each.device) for variant in asked for each in Truth.of(host).by(variant)]
    told = [*map(listed_as, report.devices)]
    assert told == [name for name in listed if name in told]


@given(rivals_of_vulkan)
def test_no_runner_is_started_for_what_cuda_or_rocm_serve_already(host: FakeHost) -> None:
    """Would have caught: a GPU that is initialised through Vulkan for an answer that changes nothing."""
    report = found(host)
    for name, table in host.document["variant"].items():
        if table["library"] not in COMPUTE:
            told = Counter(each.reason for each in report.rejected if each.variant == name)
            asked = [each for each in report.probes if (each.phase, each.variant) == (Phase.VERIFY, name)]
            assert len(asked) <= len(Truth.of(host).by(name)) - told[Reason.DUPLICATE]


def slowed(host: FakeHost) -> st.SearchStrategy[tuple[FakeHost, Fault]]:
    """A machine, and a runner of it that takes long, though not as long as it may (30 s)."""
    slow = faults(host, names=["slow_start", "slow_first", "slice"])
    return st.tuples(st.just(host), slow.map(lambda fault: {**fault, **_SECONDS.get(fault["name"], {})}))


_SECONDS = {"slow_start": {"seconds": 29.0}, "slow_first": {"seconds": 29.0}}


@given(machines)
def test_every_gpu_that_some_library_lists_is_served_once_as_far_as_they_tell(host: FakeHost) -> None:
    """Would have caught: any device that two rules, each for itself right, lose between them."""
    tell(host)
    truth = Truth.of(host)
    report = found(host)
    by_library = [(device.library, truth.behind(device).name) for device in report.devices]
    assert len(set(by_library)) == len(by_library)
    assert {truth.behind(device).card for device in report.devices} == {
        each.gpu.card for each in truth.listed
    }
    listed = {(each.device.library, each.gpu.name) for each in truth.listed if each.device.library in COMPUTE}
    assert listed <= set(by_library)
    assert len({device.device_id for device in report.devices}) == len(report.devices)


@given(machines, chances, st.sampled_from(FAILURES), st.sampled_from(["enumerate", "verify"]))
def test_a_variant_that_only_fails_never_changes_what_is_healthy(
    host: FakeHost, random: Random, fault: str, phase: str
) -> None:
    """Would have caught: the newest variant taking devices that it lists and cannot use."""
    if host.document["variant"]:
        event(f"{fault} in {phase}")
        worse = with_failing_variant(host, random, {"name": fault, "phase": phase})
        assert found(worse).devices == found(host).devices


@given(machines, chances, st.sampled_from(DEEP_FAILURES))
def test_a_device_that_only_fails_never_changes_what_is_healthy(
    host: FakeHost, random: Random, fault: str
) -> None:
    """Would have caught: a mask that counts the broken card's neighbours, or a twin taken for it."""
    if host.document["gpu"]:
        worse = with_failing_gpu(host, random, fault)
        assert served(worse, found(worse)) == served(host, found(host))


@given(hosts().flatmap(slowed))
def test_a_slower_runner_below_its_deadline_never_changes_the_result(case: tuple[FakeHost, Fault]) -> None:
    """Caught in the reference: one deadline for all probes, which a slow one uses up."""
    host, fault = case
    assert found(host.with_fault(**fault)).devices == found(host).devices


@given(hosts(), st.integers(0, 999), policies)
def test_when_each_runner_answers_has_no_effect(host: FakeHost, seed: int, overlap: Policy) -> None:
    """Would have caught: survivors in the order of their answers."""
    assert found(host, seed=seed, overlap=overlap).devices == found(host, overlap=overlap).devices


@given(machines, st.integers(1, 3))
def test_how_many_runners_may_be_alive_at_once_has_no_effect(host: FakeHost, limit: int) -> None:
    """Would have caught: a plan that holds only for the probes that are alive together."""
    assert found(host, max_parallel=limit).devices == found(host).devices


@given(machines, chances)
def test_the_order_of_variants_has_no_effect(host: FakeHost, random: Random) -> None:
    """Caught in the reference: it walks a map, in another order each time."""
    variants = list(host.document["variant"].items())
    random.shuffle(variants)
    assert found(FakeHost({**host.document, "variant": dict(variants)})).devices == found(host).devices


@given(
    hosts(vendors=["NVIDIA", "AMD", "Intel"], lossy=["odd_pci_ids", "no_pci_ids", "numbers", "no_flags"]),
    chances,
)
def test_the_order_in_which_cards_are_listed_decides_on_none_of_them(host: FakeHost, random: Random) -> None:
    """Would have caught: a device whose place in the list decides whether it is kept."""
    gpus = [gpu["name"] for gpu in host.document["gpu"]]
    random.shuffle(gpus)
    variants = {
        name: {**table, "devices": sorted(table["devices"], key=lambda entry: gpus.index(_gpu_of(entry)))}
        for name, table in host.document["variant"].items()
    }
    other = FakeHost({**host.document, "variant": variants})

    def names(host: FakeHost) -> list[tuple[str, str]]:
        return sorted((Truth.of(host).behind(device).name, device.variant) for device in found(host).devices)

    assert names(other) == names(host)
