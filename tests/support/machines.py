"""Simulated hosts that several tests use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_gpudiscover import Report
from pytest_gpudiscover.simulation import FakeHost

VECTORS = Path(__file__).parent.parent / "data" / "hosts.json"


def vector_hosts() -> list[dict[str, Any]]:
    """The 40 recorded hosts, as they were recorded."""
    hosts: list[dict[str, Any]] = json.loads(VECTORS.read_text(encoding="utf-8"))
    return hosts


def as_fake_host(recorded: dict[str, Any]) -> FakeHost:
    """Turn a recorded host into one that the fake runner acts out."""
    gpus: dict[str, dict[str, Any]] = {}
    variants: dict[str, Any] = {}
    faults: list[dict[str, Any]] = []
    for name, seen in recorded["variants"].items():
        variants[name] = {"library": seen["devices"][0]["backend"], "devices": []}
        for wire in seen["devices"]:
            card = wire["description"]
            gpus.setdefault(card, {"name": card, "description": card, "total_memory": wire["total_memory"]})
            variants[name]["devices"].append(_view(card, wire))
            if wire["id"] in seen["deep_fail"]:
                faults.append({"name": "crash_deep", "variant": name, "device": card, "signal": "ABRT"})
        if all(wire["id"].isdigit() for wire in seen["devices"]):
            variants[name]["ids"] = "number"
        if seen.get("crash"):
            faults.append({"name": "signal", "variant": name, "signal": "SEGV"})
    return FakeHost({"gpu": list(gpus.values()), "variant": variants, "fault": faults})


def _view(card: str, wire: dict[str, Any]) -> dict[str, Any]:
    identity = {} if wire["id"].isdigit() else {"id": wire["id"]}
    return identity | {
        "gpu": card,
        "name": wire["name"],
        "pci_id": wire["pci_id"],
        "total_memory": wire["total_memory"],
        "free_memory": wire["free_memory"],
        "compute": "gfx1030"
        if wire["backend"] == "ROCm"
        else f"{wire['ComputeMajor']}.{wire['ComputeMinor']}",
        "driver": f"{wire['driver_major']}.0",
        "integrated": wire["integration"],
    }


def eight_cards(**overrides: Any) -> FakeHost:
    """Eight cards that two CUDA variants list; all of them are fine, but for the given `fault`."""
    return equal_cards(8, **overrides)


def equal_cards(count: int, **overrides: Any) -> FakeHost:
    """So many cards that two CUDA variants list; all of them are fine, but for the given `fault`."""
    names = [f"card{n}" for n in range(count)]
    gpus = [
        {"name": name, "description": f"Card {n}", "pci_id": f"0000:{n:02x}:00.0", "total_memory": "8 GiB"}
        for n, name in enumerate(names)
    ]
    variant = {"library": "CUDA", "devices": names}
    return FakeHost({"gpu": gpus, "variant": {"cuda_v12": variant, "cuda_v13": variant}, **overrides})


def verdicts(report: Report) -> tuple[object, object]:
    """What a report says that must not depend on how the runners were started: devices and rejections."""
    devices = [
        (d.library, d.id, d.filtered_id, d.description, d.variant, d.free_memory) for d in report.devices
    ]
    rejected = [(r.phase, r.reason, r.variant, r.library, r.id) for r in report.rejected]
    return devices, rejected
