"""Runs of pytest on simulated machines, each a process of its own, and what their tests noted down."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from pytest_gpudiscover.leasing.book import Book, book_for, holder_here, machine_of
from pytest_gpudiscover.leasing.leases import Lease
from pytest_gpudiscover.leasing.waiting import acquire
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.requirements import Requirement
from pytest_gpudiscover.simulation import FakeHost

if TYPE_CHECKING:
    import pytest

_FOR_TESTS = """
import json, os, time

def note(**facts):
    with open(os.environ["LAB_NOTES"], "a") as file:
        file.write(json.dumps(facts) + "\\n")

def notes():
    # A line may be read while it is written, half of it.
    with open(os.environ["LAB_NOTES"]) as file:
        return [json.loads(line) for line in file if line.endswith("\\n")]

def change(edit):
    path = os.environ["GPUDISCOVER_HOST"]
    with open(path) as file:
        machine = json.load(file)
    edit(machine)
    with open(path + ".new", "w") as file:
        json.dump(machine, file)
    os.replace(path + ".new", path)

def number(device):
    return int(device.pci_id.split(":")[1], 16) - 1

def breaks(device):
    fault = {"name": "crash_deep", "device": f"gpu{number(device)}", "signal": "SEGV"}
    change(lambda machine: machine["fault"].append(fault))

def fill(device, gibibytes):
    def edit(machine):
        gpu = machine["gpu"][number(device)]
        gpu["free_memory"] = gpu.get("free_memory", gpu["total_memory"]) - int(gibibytes * (1 << 30))
    change(edit)

def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
"""
_QUIET = "-p no:asyncio -p no:anyio -p no:hypothesispytest -p no:randomly -p no:cacheprovider"
"""Other plugins only cost time."""


class Lab:
    """A simulated machine, and the directory in which pytest runs on it.

    Attributes:
        host: the machine.
        path: the directory.
    """

    def __init__(self, pytester: pytest.Pytester, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pytester = pytester
        self.path = pytester.path
        self.host = host.save(self.path / "host.json")
        self._temporary = self.path / "temporary"
        self._temporary.mkdir()
        self._started: list[subprocess.Popen[str]] = []
        monkeypatch.setenv("TMPDIR", str(self._temporary))
        monkeypatch.setattr(tempfile, "tempdir", str(self._temporary))
        monkeypatch.setenv("GPUDISCOVER_LEASES", str(self.path / "leases"))
        monkeypatch.setenv("GPUDISCOVER_RUNNER", "fake")
        monkeypatch.setenv("GPUDISCOVER_HOST", str(self.host.path))
        monkeypatch.setenv("LAB_NOTES", str(self.path / "notes.jsonl"))
        (self.path / "notes.jsonl").touch()
        (self.path / "lab.py").write_text(_FOR_TESTS)
        pytester.makeini(f"[pytest]\naddopts = {_QUIET}\npythonpath = .\nmarkers =\n")

    def tests(self, *sources: str) -> None:
        """Write the tests, from one piece of text or several."""
        header = "import os, time, pytest\nfrom lab import breaks, change, fill, note, notes, until\n"
        self._pytester.makepyfile(test_it=header + "\n".join(map(dedent, sources)))

    def conftest(self, source: str) -> None:
        """Write the conftest.py."""
        self._pytester.makeconftest("import os, pytest\nfrom lab import note\n" + dedent(source))

    def run(self, *options: str) -> pytest.RunResult:
        """Run the tests: in this process, where they need no workers, since that is quicker."""
        if any(option.startswith(("-n", "--tx")) for option in options):
            return self._pytester.runpytest_subprocess("-rs", *options, timeout=120)
        return self._pytester.runpytest_inprocess("-rs", *options)

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start the tests in a process of their own, whose stdout and stderr are one pipe."""
        process = subprocess.Popen(
            [*self._pytester._getpytestargs(), "-rs", *options],
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End what was started and is not awaited any more."""
        for process in self._started:
            process.kill()
            process.communicate()

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What the tests noted down, in that order."""
        return [json.loads(line) for line in (self.path / "notes.jsonl").read_text().splitlines()]

    def noted(self, key: str) -> list[Any]:
        """What they noted down under one name."""
        return [note[key] for note in self.notes if key in note]

    @property
    def left_behind(self) -> list[str]:
        """What is left of the runs' own directories."""
        return [path.name for path in self._temporary.iterdir() if path.name.startswith("gpudiscover")]

    @property
    def book(self) -> Book:
        """The machine's book."""
        return book_for(machine_of(self.host.installation()))

    def lease(self, count: int = 1) -> Lease:
        """Hold cards of the machine from here, as somebody else than the tests."""
        return acquire(
            self.book,
            Requirement(count=count),
            self.host.discover().devices,
            share=False,
            masks=UserMasks.read({}, "linux"),
            holder=holder_here("somebody else"),
            timeout=10,
        )


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something has come to pass.

    Raises:
        AssertionError: it has not, in that time.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
