"""A simulated machine as an installation: real processes of the fake runner."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from pytest_gpudiscover.installations import Located, http_prober, ordered, printing_prober, texts
from pytest_gpudiscover.probing import Prober
from pytest_gpudiscover.probing.speech import Heard, Speech
from pytest_gpudiscover.simulation.hosts import FAKE_RUNNER, FakeHost
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant

ROOT = "/simulated/lib/ollama"
"""The library root that simulated variants lie under. Nothing is there: only its name is looked at."""


def simulated(host: FakeHost, command: tuple[str, ...], environment: dict[str, str]) -> Located:
    """A host's variants as an installation has them."""
    names = list(host.checked().variants)
    return Located(
        command=command,
        root=ROOT,
        heard=Heard(Speech(host.checked().speaks)),
        variants=ordered(
            Variant(name=name, directories=(f"{ROOT}/{name}",) if name else (), environment=environment)
            for name in names
        ),
    )


@dataclass(frozen=True)
class FakeInstallation:
    """Discovers a simulated machine through real processes of the fake runner.

    Attributes:
        host: the machine; it needs a file.
        variant: ask this variant only.
        without_variants: leave these out.
    """

    host: FakeHost
    variant: str | None = None
    without_variants: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse one text where several are meant."""
        object.__setattr__(self, "without_variants", texts("without_variants", self.without_variants))

    def locate(self, surroundings: Surroundings) -> Located:  # noqa: ARG002
        """Name the host's variants.

        Raises:
            HostFileError: the host has no file.
            VariantNotFoundError: it has no variant of a name that was given.
        """
        # Isolated and without site-packages: it starts faster, and needs the standard library alone. By its
        # file: given the directory, Python would load `runpy`, which takes as long as all the rest.
        command = (sys.executable, "-I", "-S", str(FAKE_RUNNER / "__main__.py"))
        located = simulated(self.host, command, self.host.environment)
        return located.narrowed(self.variant, self.without_variants)

    def prober(self, located: Located, surroundings: Surroundings) -> AbstractAsyncContextManager[Prober]:  # noqa: ARG002
        """Start real processes, and ask them as the host's runners answer."""
        return http_prober(located) if located.heard.speech is Speech.INFO else printing_prober(located)
