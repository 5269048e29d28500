"""What the tests of the suite share: the run's discovery, and ways to ask this machine again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from pytest_gpudiscover.blocking import discover
from pytest_gpudiscover.devices import DeviceInfo, pci_address
from pytest_gpudiscover.environment import changed
from pytest_gpudiscover.hardware.holder import KINDS
from pytest_gpudiscover.hardware.talking import PATIENCE, Program
from pytest_gpudiscover.leasing.reach import everything_listed
from pytest_gpudiscover.leasing.showing import lease_env
from pytest_gpudiscover.masks import show_only
from pytest_gpudiscover.plugin.discovering import session_discovery, session_report
from pytest_gpudiscover.plugin.leasing import obtained
from pytest_gpudiscover.plugin.refusing import Unmet
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.requirements import Requirement

_HOLDER = "pytest_gpudiscover.hardware.holder"
_COMMAND = (sys.executable, "-P", "-m", "pytest_gpudiscover.cli")


def same_card(one: str, other: str) -> bool:
    """Whether two PCI ids are of one card."""
    return pci_address(one) is not None and pci_address(one) == pci_address(other)


class Machine:
    """This machine, as the run's discovery found it.

    Attributes:
        report: what the discovery found.
        devices: the usable devices.
        notes: what tests measured, a line each, for the end of the run.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.report: Report = session_report(config)
        self.session = session_discovery(config)
        self.devices: tuple[DeviceInfo, ...] = self.session.seen().devices
        self.notes: list[str] = []

    def lacks(self, what: str, *libraries: str) -> NoReturn:
        """Skip a test for what is missing; fail it where the run requires one of these libraries."""
        required = {one.library for one in self.session.settings.require if one.library}
        if named := sorted(required & {*libraries}):
            raise Unmet(f"{what}, and --gpudiscover-require names {' and '.join(named)}")
        raise pytest.skip.Exception(what, _use_item_location=True)

    def alone(self, device: DeviceInfo) -> dict[str, str]:
        """The environment that shows a program this device and nothing else."""
        masks = lease_env([device], everything_listed(self.report), self.session.masks)
        around = self.session.surroundings
        return changed(around.environment, masks, system=around.system)

    def free(self, device: DeviceInfo) -> int | None:
        """Bytes of a device's free memory now; None where it does not answer."""
        return self.session.free_memory([device]).get(device.device_id)

    def followed(self, device: DeviceInfo, expected: Callable[[int], bool]) -> int | None:
        """Ask for the free memory until it is as expected, or the run's patience for memory is over.

        Returns:
            the last figure: bytes.
        """
        deadline = time.monotonic() + self.session.settings.memory_timeout
        while True:
            free = self.free(device)
            if (free is not None and expected(free)) or time.monotonic() > deadline:
                return free

    def discovered_again(self) -> Report:
        """What a new discovery finds, with new processes."""
        return discover(self.session.installation, surroundings=self.session.surroundings)

    def shown_alone(self, device: DeviceInfo) -> list[DeviceInfo]:
        """What a device's variant lists behind the mask of its verification, usable or not."""
        around = self.session.surroundings
        mask = show_only([device], self.session.masks)
        environment = changed(around.environment, mask, system=around.system)
        report = discover(self.session.installation, surroundings=replace(around, environment=environment))
        refused = [rejection.device for rejection in report.rejected if rejection.device]
        return [one for one in (*report.devices, *refused) if one.variant == device.variant]

    def listed(self, environment: Mapping[str, str]) -> list[dict[str, Any]]:
        """The usable devices of a discovery in a new process, as `gpudiscover list --json` has them."""
        command = self.command("list", "--json")
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        devices: list[dict[str, Any]] = json.loads(done.stdout)["devices"]
        return devices

    def command(self, name: str, *options: str) -> list[str]:
        """A command of `gpudiscover`, with the runner of this run."""
        settings = self.session.settings
        root = ["--library-root", settings.library_root] if settings.library_root else []
        return [*_COMMAND, name, "--runner", settings.runner, *root, *options]

    @contextmanager
    def held(self, device: DeviceInfo) -> Iterator[None]:
        """Hold the lease of a device: nobody who asks for leases uses it meanwhile."""
        timeout = self.session.settings.lease_timeout
        who = os.environ.get("PYTEST_CURRENT_TEST", "the hardware suite")
        lease = obtained(self._config, Requirement(), [device], share=False, who=who, timeout=timeout)
        assert lease is not None, f"{device.id} was found lost when its last holder did not give it back"
        with lease:
            yield

    @contextmanager
    def holder(self, device: DeviceInfo) -> Iterator[Program]:
        """A program that has a context on a device and takes its memory; where none can, skip the test."""
        if device.library not in KINDS:
            known = " and ".join(KINDS)
            pytest.skip(f"the suite takes memory through {known}, and this device is {device.library}'s")
        command = [sys.executable, "-P", "-m", _HOLDER, device.library]
        with Program(command, self.alone(device)) as program:
            assert program.hear() == "ready"
            yield program

    def unmasked(self, library: str) -> None:
        """Skip a test that compares with the whole machine, of whose library masks may hide a part."""
        if self.report.masks:
            self.lacks(f"{' and '.join(self.report.masks)} may hide devices: unset it to compare", library)


def current(devices: tuple[DeviceInfo, ...], device: DeviceInfo) -> DeviceInfo | None:
    """Find a device among those of another discovery; None when it is not there."""
    return next(
        (one for one in devices if replace(one, free_memory=0) == replace(device, free_memory=0)), None
    )
