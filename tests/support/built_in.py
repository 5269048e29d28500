"""A runner that has the libraries of every vendor built in, and is pointed at no directory."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from pytest_gpudiscover.installations import Located
from pytest_gpudiscover.probing import Prober
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant


@dataclass(frozen=True)
class BuiltIn:
    """An installation whose runner has everything built in, and no directories."""

    inner: InMemoryInstallation

    def locate(self, surroundings: Surroundings) -> Located:
        """One variant without a name."""
        return replace(self.inner.locate(surroundings), variants=(Variant(name=""),))

    def prober(self, located: Located, surroundings: Surroundings) -> AbstractAsyncContextManager[Prober]:
        """That of the machine."""
        return self.inner.prober(located, surroundings)


def both_vendors() -> FakeHost:
    """A CUDA card, `green`, and two of ROCm, `red` and `bad`.

    One variant of each library stands for what is built in: the runner is pointed at none of them.
    """
    gpus = [
        {"name": name, "pci_id": f"0000:0{n}:00.0", "total_memory": "8 GiB"}
        for n, name in enumerate(("green", "red", "bad"))
    ]
    variants = {
        "cuda_v13": {"library": "CUDA", "devices": ["green"]},
        "rocm": {"library": "ROCm", "devices": ["red", "bad"]},
    }
    return FakeHost({"gpu": gpus, "variant": variants})
