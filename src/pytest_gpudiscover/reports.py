"""What a discovery leaves behind: devices, rejections with reasons, and a timeline of its probes.

`Report.to_json` is the object that `gpudiscover list --json` prints.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_gpudiscover.devices import DeviceInfo

SCHEMA = 1
"""The version of the JSON form; it grows only when an existing key changes its meaning."""


class Phase(enum.StrEnum):
    """Where in a discovery something happened. A probe serves the first, second or last of them."""

    ENUMERATE = "enumerate"
    VERIFY = "verify"
    OVERLAP = "overlap"
    DUPLICATE = "duplicate"
    REFRESH = "refresh"


class Reason(enum.StrEnum):
    """Why a device or a variant was left out. The list is closed; docs/reasons.md explains each."""

    DRIVER_MISSING = "driver_missing"
    """The driver is not on this machine; no process was started."""
    UNREADABLE = "unreadable"
    """The variant's directory cannot be read."""
    NOT_STARTED = "not_started"
    """The operating system refused to start the runner."""
    PORT_TAKEN = "port_taken"
    """Every port that was tried was taken by another process."""
    EXITED = "exited"
    """The runner ended by itself."""
    CRASHED = "crashed"
    """The runner was ended by a signal that was not ours."""
    TIMEOUT = "timeout"
    """The runner did not answer before its deadline."""
    UNSUPPORTED = "unsupported"
    """The runner is too old to report devices (404)."""
    RUNNER_ERROR = "runner_error"
    """The runner answered with an error of its own."""
    BAD_ANSWER = "bad_answer"
    """The answer as a whole broke the protocol."""
    BAD_DEVICE = "bad_device"
    """One entry of an answer broke the protocol."""
    NO_MEMORY = "no_memory"
    """A pseudo-device: it reports no memory at all."""
    CPU = "cpu"
    """A CPU posing as a GPU."""
    UNUSABLE = "unusable"
    """The runner itself says that the device is not for use."""
    NOT_LISTED = "not_listed"
    """Asked for this device alone, the runner listed nothing."""
    MASK_IGNORED = "mask_ignored"
    """Asked for this device alone, the runner listed others and not this one."""
    OVERLAP = "overlap"
    """Another variant of the same library serves it."""
    DUPLICATE = "duplicate"
    """The same GPU is served through another library, or was listed twice."""
    VANISHED = "vanished"
    """A kept device was missing from a good answer."""
    APPEARED = "appeared"
    """A device that was not there before; a rescan picks it up."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A device, or a whole variant, that was left out, and why.

    Attributes:
        phase: where it was left out.
        reason: one word of a closed list.
        detail: a sentence for people.
        variant: the variant it concerns; "" for none.
        device: what is known of the device; None when the variant failed as a whole.
    """

    phase: Phase
    reason: Reason
    detail: str
    variant: str = ""
    device: DeviceInfo | None = None

    @classmethod
    def of(cls, device: DeviceInfo, phase: Phase, reason: Reason, detail: str) -> Rejection:
        """Reject a device, in the variant it was listed by."""
        return cls(phase=phase, reason=reason, detail=detail, variant=device.variant, device=device)

    @property
    def library(self) -> str:
        """The device's library; "" for a variant."""
        return self.device.library if self.device else ""

    @property
    def id(self) -> str:
        """The device's id; "" for a variant."""
        return self.device.id if self.device else ""

    @property
    def pci_id(self) -> str:
        """The device's PCI id; "" for a variant."""
        return self.device.pci_id if self.device else ""

    @property
    def description(self) -> str:
        """The device's product name; "" for a variant."""
        return self.device.description if self.device else ""

    def to_json(self) -> dict[str, Any]:
        """The object of the JSON form."""
        identity = _identity(self.device) if self.device else {"variant": self.variant}
        return identity | {"phase": str(self.phase), "reason": str(self.reason), "detail": self.detail}


@dataclass(frozen=True, kw_only=True)
class ProbeRecord:
    """One runner process, from spawn to reaped. Times are seconds from the start of the discovery.

    Attributes:
        phase: which phase it served.
        variant: which variant it was pointed at.
        mask: the masks it was started with, by variable.
        started: when it was spawned.
        ready: when its answer began; None when it never answered.
        ended: when it was gone.
        outcome: `answered`, or the reason of its failure.
        exit_code: its own exit code, had it ended by itself; else None.
        signal: the name of the signal that ended it (`SIGSEGV`), when it was not ours; else None.
        stderr: the tail of what it wrote to stderr.
    """

    phase: Phase
    variant: str
    mask: Mapping[str, str] = field(default_factory=dict)
    started: float
    ready: float | None = None
    ended: float
    outcome: str
    exit_code: int | None = None
    signal: str | None = None
    stderr: str = ""

    def to_json(self) -> dict[str, Any]:
        """The object of the JSON form."""
        return {
            "phase": str(self.phase),
            "variant": self.variant,
            "mask": dict(self.mask),
            "started": round(self.started, 6),
            "ready": None if self.ready is None else round(self.ready, 6),
            "ended": round(self.ended, 6),
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "stderr": self.stderr,
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one call of a discovery found.

    Attributes:
        devices: the usable devices.
        rejected: everything that was left out, in the order of the decisions.
        probes: the runners that were started, in the order of their starts.
        duration: seconds.
        masks: the user's own masks that were in force, by variable.
    """

    devices: tuple[DeviceInfo, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    probes: tuple[ProbeRecord, ...] = ()
    duration: float = 0.0
    masks: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The object that `gpudiscover list --json` prints."""
        return {
            "schema": SCHEMA,
            "devices": [device_to_json(device) for device in self.devices],
            "rejected": [rejection.to_json() for rejection in self.rejected],
            "probes": [probe.to_json() for probe in self.probes],
            "duration": round(self.duration, 6),
        }


def device_to_json(device: DeviceInfo) -> dict[str, Any]:
    """The object of the JSON form for one usable device."""
    return _identity(device) | {"stale": device.stale}


def _identity(device: DeviceInfo) -> dict[str, Any]:
    return {
        "id": device.id,
        "library": device.library,
        "variant": device.variant,
        "name": device.name,
        "description": device.description,
        "filtered_id": device.filtered_id,
        "integrated": device.integrated,
        "pci_id": device.pci_id,
        "total_memory": device.total_memory,
        "free_memory": device.free_memory,
        "compute": device.compute,
        "driver": device.driver,
        "library_path": list(device.library_path),
    }
