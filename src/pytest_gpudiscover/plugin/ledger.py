"""What the GPU tests of a run did, and what their devices did for them, as the tests' reports tell.

Pure: facts in, tables out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Facts = Mapping[str, Any]
"""What a test's report says as `report.gpudiscover`, fit for JSON: `host` and `needs`; of a lease `devices`,
`waited` and `held` (seconds), `memory_left` and `quarantined`."""


@dataclass(kw_only=True)
class DeviceUse:
    """What one device did in a run.

    Attributes:
        host: the machine it is in.
        device: `library`, `id`, `description` and `card`.
        leases: how often it was held.
        held: seconds for which it was.
        waited: seconds for which the tests that held it had waited, for others of the same lease too.
    """

    host: str
    device: Facts
    leases: int = 0
    held: float = 0.0
    waited: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The object of the report file."""
        figures = {"leases": self.leases, "held": round(self.held, 3), "waited": round(self.waited, 3)}
        return {"host": self.host, **self.device, **figures}


@dataclass
class Ledger:
    """The GPU tests of a run, in the order in which they began. One that is run again counts again.

    Attributes:
        tests: of each test `id`, `worker`, `outcome`, and what the facts say.
        lost: what the processes of the run knew at their ends to be lost: `host`, and as under `quarantined`.
    """

    tests: list[dict[str, Any]] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    _latest: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def entry(self, nodeid: str, worker: str, when: str, facts: Facts | None) -> dict[str, Any] | None:
        """The entry of a test, with what one more phase of it says; None when it is no GPU test.

        Where a worker dies, the last report of its test comes from the controller, and brings no facts.
        """
        key = (nodeid, worker)
        if facts is not None and (when == "setup" or key not in self._latest):
            self._latest[key] = {"id": nodeid, "worker": worker}
            self.tests.append(self._latest[key])
        found = self._latest.get(key)
        if found is not None:
            found.update(facts or {})
        return found

    def devices(self) -> list[DeviceUse]:
        """What each device did, by host and card."""
        uses: dict[tuple[str, str], DeviceUse] = {}
        for test, device in self._each("devices"):
            key = (test["host"], device["card"])
            use = uses.setdefault(key, DeviceUse(host=test["host"], device=device))
            use.leases += 1
            use.held += test.get("held") or 0.0
            use.waited += test.get("waited") or 0.0
        return [uses[key] for key in sorted(uses)]

    def quarantined(self) -> list[dict[str, Any]]:
        """The devices that were lost, each once, with its `host`, and with the `test` whose failure told."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in [*self._told("quarantined"), *self.lost]:
            found.setdefault((entry["host"], entry["card"]), entry)
        return list(found.values())

    def memory_left(self) -> list[dict[str, Any]]:
        """The memory that tests left behind, each with its `host` and the `test`."""
        return self._told("memory_left")

    def _told(self, key: str) -> list[dict[str, Any]]:
        return [{"host": test["host"], "test": test["id"], **entry} for test, entry in self._each(key)]

    def _each(self, key: str) -> Iterator[tuple[dict[str, Any], Facts]]:
        for test in self.tests:
            for entry in test.get(key) or ():
                yield test, entry
