"""Laws of renumbering: positions count up, and what stands in `filtered_id` leads back to the true GPU."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceInfo, is_number
from pytest_gpudiscover.selection import renumbered
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies import MASKED, Masks, Truth, devices, hosts, masks
from truths import found, shown_by, tell

ODD_DIGITS = ["\u0663", "\u00b2", "\uff11", "3\n", "-1", "+1", "1.0", "", " 1", "0x1"]
"""What `str.isdigit`, `int` or a careless pattern take for a number."""

odd = st.builds(replace, devices(), id=st.sampled_from(ODD_DIGITS), filtered_id=st.just(""))
survivors = st.lists(devices() | odd, unique_by=lambda device: device.device_id)

machines = hosts()
masked = hosts(min_gpus=2).flatmap(lambda host: st.tuples(st.just(host), masks(host)))


@given(survivors)
def test_renumbered_devices_count_from_0_in_each_library_in_order(listed: list[DeviceInfo]) -> None:
    """Would have caught: one count for all libraries, or UUIDs that take up no position."""
    by_library = sorted(renumbered(listed), key=lambda device: device.library)
    for _, group in groupby(by_library, key=lambda device: device.library):
        assert all(device.id == str(n) for n, device in enumerate(group) if is_number(device.id))


@given(survivors)
def test_renumbering_keeps_the_order_and_everything_but_the_numbers(listed: list[DeviceInfo]) -> None:
    """Would have caught: sorting by the new number."""
    blank = [replace(device, id="", filtered_id="") for device in listed]
    assert [replace(device, id="", filtered_id="") for device in renumbered(listed)] == blank


@given(survivors)
def test_renumbering_leaves_what_is_no_ascii_number_alone(listed: list[DeviceInfo]) -> None:
    """Would have caught: `str.isdigit`, for which \u00b2 is a digit."""
    for before, after in zip(listed, renumbered(listed), strict=True):
        if not (before.id.isascii() and before.id.isdigit()):
            assert (after.id, after.filtered_id) == (before.id, "")


@given(survivors)
def test_a_renumbered_device_keeps_the_token_that_shows_it(listed: list[DeviceInfo]) -> None:
    """Would have caught: the runner's number in place of the one translated through the user's mask."""
    for before, after in zip(listed, renumbered(listed), strict=True):
        assert after.runner_id == before.runner_id


@given(survivors)
def test_no_two_renumbered_devices_share_library_and_id(listed: list[DeviceInfo]) -> None:
    """Caught in the reference: it renumbers before it drops duplicates, and ROCm alone."""
    result = [device.device_id for device in renumbered(listed)]
    assert len(set(result)) == len(result)


@given(survivors)
def test_renumbering_is_idempotent(listed: list[DeviceInfo]) -> None:
    """Would have caught: `filtered_id` overwritten by the position, which leads to another card."""
    assert renumbered(renumbered(listed)) == renumbered(listed)


@given(machines)
@example(FakeHost.of("RX 7900 XTX", "RX 6700 XT").with_fault("crash_deep", device="gpu0"))
def test_a_renumbered_filtered_id_is_the_raw_number_of_the_same_gpu(host: FakeHost) -> None:
    """Would have caught: the number of the card that was rejected before it."""
    truth = Truth.of(host)
    for device in found(host).devices:
        numbered = [each.gpu for each in truth.by(device.variant) if each.device.library == device.library]
        assert not device.filtered_id or numbered[int(device.filtered_id)] == truth.behind(device)


@given(masked)
def test_a_runner_with_the_mask_of_a_renumbered_device_shows_exactly_that_gpu(
    case: tuple[FakeHost, Masks],
) -> None:
    """Would have caught: a mask that counts positions behind the user's mask, or survivors."""
    host, users = case
    tell(host)
    truth = Truth.of(host, users)
    for device in found(host, users).devices:
        if device.library in MASKED:
            shown = Truth.of(host, shown_by([device], users)).by(device.variant)
            assert [each.gpu for each in shown] == [truth.behind(device)]


@given(masked)
def test_a_runner_with_the_masks_of_renumbered_devices_shows_them_in_order(
    case: tuple[FakeHost, Masks],
) -> None:
    """Would have caught: masks in another order than the devices, so that a refresh mixes them up."""
    host, users = case
    truth = Truth.of(host, users)
    listed = [device for device in found(host, users).devices if device.library in MASKED]
    for variant, group in groupby(listed, key=lambda device: device.variant):
        kept = list(group)
        shown = Truth.of(host, shown_by(kept, users)).by(variant)
        assert [each.gpu for each in shown] == [truth.behind(device) for device in kept]
