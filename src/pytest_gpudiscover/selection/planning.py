"""Planning: what to verify next, so that no probe is started whose answer cannot change the result."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pytest_gpudiscover.devices import DeviceInfo, pci_address
from pytest_gpudiscover.selection.overlap import assignment
from pytest_gpudiscover.variants import newest_first

Pair = tuple[str, str]
"""A variant, and a device id it lists."""


def next_to_verify(listed: Mapping[str, Collection[str]], verdicts: Mapping[Pair, bool]) -> list[Pair]:
    """Name the pairs of one library whose verification can still change which variant serves which device.

    A pair is open when its variant would serve its device if everything still unknown about that variant
    turned out well. Only the open pairs of the newest variant that has any are named, and of those first the
    decisive ones: devices that no variant has verified. With every device verified on the newest variant
    nothing is open on older ones; with one failure there, the older variant is asked for that device before
    all others, and when it fails too, for none of them.

    Args:
        listed: by variant, the device ids that it lists.
        verdicts: what is known: True for a verified pair, False for a failed one.

    Returns:
        pairs in the order of the listing; empty when the result is settled.
    """
    good = {variant: {i for i in ids if verdicts.get((variant, i))} for variant, ids in listed.items()}
    verified = set().union(*good.values())
    for variant in newest_first(listed):
        unknown = [device_id for device_id in listed[variant] if (variant, device_id) not in verdicts]
        hoped_for = assignment({**good, variant: good[variant].union(unknown)})
        undecided = [device_id for device_id in unknown if hoped_for[device_id] == variant]
        decisive = [device_id for device_id in undecided if device_id not in verified]
        if undecided:
            return [(variant, device_id) for device_id in decisive or undecided]
    return []


def may_share_card(one: DeviceInfo, other: DeviceInfo) -> bool:
    """Whether two listed devices may be one physical card, as far as the listing can tell.

    Such devices are never initialised at the same time. Without PCI ids only the ids of one library tell two
    cards apart.
    """
    mine, theirs = pci_address(one.pci_id), pci_address(other.pci_id)
    if mine and theirs:
        return mine == theirs
    return one.library != other.library or one.runner_id == other.runner_id
