"""Cards on the PCI bus, and the kernel drivers that have them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_gpudiscover.doctor.facts import AMD, INTEL, NVIDIA, Card, Machine
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.text import count

_finding = partial(Finding, topic=Topic.CARDS)

_WANTED = {NVIDIA: "nvidia", AMD: "amdgpu", INTEL: "i915 or xe"}
_ANY = "a GPU of NVIDIA, AMD or Intel"


def about_cards(machine: Machine) -> Iterator[Finding]:
    """Which cards are there, and whether each has a driver that computes."""
    cards = machine.cards_of(*_WANTED)
    served = [card for card in cards if card.served]
    for card in cards:
        if not card.served:
            yield _not_served(card, machine)
    if served:
        listed = "; ".join(f"{card}, driver {card.driver}" for card in served)
        came = f"{count(len(served), 'GPU')} with a driver on the PCI bus: {listed}"
        yield _finding(name=Name.CARDS_SERVED, severity=Severity.OK, came=came)
    if not cards:
        yield _no_card(machine)
    yield from _loaded(machine)


def _not_served(card: Card, machine: Machine) -> Finding:
    expected = f"the kernel's driver {_WANTED[card.vendor]}"
    if not card.driver:
        next_step, command = _how_to_load(card, machine)
        return _finding(
            name=Name.CARD_WITHOUT_DRIVER,
            severity=Severity.PROBLEM,
            came=f"{card} has no driver",
            expected=expected,
            next_step=next_step,
            command=command,
        )
    if card.given_away:
        return _finding(
            name=Name.CARD_GIVEN_AWAY,
            severity=Severity.NOTE,
            came=f"{card} is held for a virtual machine, by {card.driver}",
            expected=f"{expected}, if this machine is to use it",
        )
    return _finding(
        name=Name.CARD_WITH_OTHER_DRIVER,
        severity=Severity.PROBLEM,
        came=f"{card} is driven by {card.driver}, through which no program computes",
        expected=expected,
        next_step=f"install {card.vendor}'s driver, which replaces {card.driver}, and restart the machine",
    )


def _how_to_load(card: Card, machine: Machine) -> tuple[str, str]:
    driver = _WANTED[card.vendor].partition(" ")[0]
    if machine.container:
        return f"load the driver {driver} on the host of the container, or install it there", ""
    if machine.module(driver):
        why = "the kernel's log says why; it may be too old for the card, or too new"
        command = f"sudo dmesg | grep -i -e {driver} -e {card.pci_id}"
        return f"{driver} is loaded and did not take the card: {why}", command
    installing = (
        "install NVIDIA's driver" if card.vendor == NVIDIA else "install a newer kernel, and its firmware"
    )
    refused = "where it is refused, see whether Secure Boot wants it signed"
    return f"load it; where there is no such module, {installing}; {refused}", f"sudo modprobe {driver}"


def _no_card(machine: Machine) -> Finding:
    if machine.wsl:
        return _finding(
            name=Name.NO_CARD,
            severity=Severity.OK,
            came="this is WSL, where GPUs are not on the PCI bus: Windows has them",
        )
    return _finding(
        name=Name.NO_CARD,
        severity=Severity.NOTE,
        came="no GPU is on the PCI bus",
        expected=_ANY,
        next_step="if there should be one: in a virtual machine, pass it through; else see that it sits in"
        " its slot and has power. GPUs that are part of an ARM chip (Jetson) are on no such bus",
    )


def _loaded(machine: Machine) -> Iterator[Finding]:
    modules = [f"{module.name} {module.version}".rstrip() for module in machine.modules]
    if modules:
        came = f"loaded in the kernel: {', '.join(modules)}"
        yield _finding(name=Name.DRIVER_LOADED, severity=Severity.OK, came=came)
