"""Our own runner, which asks the GPU drivers of this machine directly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from pytest_gpudiscover.devices import is_number
from pytest_gpudiscover.errors import RunnerNotFoundError
from pytest_gpudiscover.installations import Located, http_prober, ordered, texts
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.native.drivers import DRIVERS, Driver
from pytest_gpudiscover.native.presence import absence
from pytest_gpudiscover.probing import Prober
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant

DRIVER_VARIABLE = "GPUDISCOVER_DRIVER"
"""What tells the native runner which driver to ask."""

_PROGRAM = Path(__file__).parent.parent / "native"


@dataclass(frozen=True)
class NativeInstallation:
    """The native runner: one variant for each driver it knows. A driver that is not here costs no process.

    Attributes:
        variant: ask this variant only.
        without_variants: leave these out.
    """

    variant: str | None = None
    without_variants: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse one text where several are meant."""
        object.__setattr__(self, "without_variants", texts("without_variants", self.without_variants))

    def locate(self, surroundings: Surroundings) -> Located:
        """Look which drivers this machine has.

        Raises:
            VariantNotFoundError: a variant that was named does not exist.
        """
        if not sys.executable:
            raise RunnerNotFoundError(
                "python", "this interpreter does not know its own path, so it cannot start a runner"
            )
        # What this platform never has is missed only by those who ask for it.
        drivers = {
            name: driver
            for name, driver in DRIVERS.items()
            if name == self.variant or driver.library_names(surroundings.system)
        }
        absent = {
            name: sentence
            for name, driver in drivers.items()
            if (
                sentence := absence(
                    driver, platform=surroundings.system, environment=surroundings.environment
                )
            )
        }
        return Located(
            # Isolated: neither the working directory nor PYTHONPATH can put a module in the runner's way. And
            # without site-packages, which no driver needs so far: that is a tenth of the runner's time.
            command=(sys.executable, "-I", "-S", str(_PROGRAM)),
            variants=ordered(
                Variant(name=name, environment={DRIVER_VARIABLE: name} | _order(driver, surroundings))
                for name, driver in drivers.items()
                if name not in absent
            ),
            missing=tuple(
                Rejection(phase=Phase.ENUMERATE, reason=Reason.DRIVER_MISSING, detail=sentence, variant=name)
                for name, sentence in absent.items()
            ),
        ).narrowed(self.variant, self.without_variants)

    def prober(
        self,
        located: Located,
        surroundings: Surroundings,  # noqa: ARG002 - `located` has all that a probe needs
    ) -> AbstractAsyncContextManager[Prober]:
        """Start real processes, and ask them over HTTP."""
        return http_prober(located)


def _order(driver: Driver, surroundings: Surroundings) -> dict[str, str]:
    """The variables that fix a driver's order, unless the user has set one or counts in the driver's own."""
    masks = UserMasks.read(surroundings.environment, surroundings.system)
    counts = any(is_number(token) for token in masks.tokens.get(driver.library, ()))
    return {} if counts or driver.order.keys() & surroundings.environment.keys() else dict(driver.order)
