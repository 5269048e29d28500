"""One call of a discovery: everything its phases need to ask a runner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_gpudiscover.environment import DEEP, PHASE, changed, library_paths
from pytest_gpudiscover.installations import Located
from pytest_gpudiscover.masks import VARIABLES, UserMasks
from pytest_gpudiscover.probing import Prober, ProbeRequest, ProbeResult
from pytest_gpudiscover.recording import Recording
from pytest_gpudiscover.reports import Phase
from pytest_gpudiscover.selection import Policy
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a `Discovery` was told.

    Attributes:
        enumerate_timeout: seconds for each enumerate probe.
        verify_timeout: seconds for each verify probe.
        refresh_timeout: seconds for each runner in use, and for all refresh probes together.
        max_parallel: how many runners may live at once.
        overlap: the overlap policy.
    """

    enumerate_timeout: float
    verify_timeout: float
    refresh_timeout: float
    max_parallel: int
    overlap: Policy


@dataclass(frozen=True, kw_only=True)
class Call:
    """What the phases of one call share.

    Attributes:
        prober: whatever answers probes.
        located: the installation as it was found.
        surroundings: the process's environment and platform, as they were at the bootstrap.
        masks: the user's masks among that environment.
        settings: what the discovery was told.
        recording: what becomes the report.
    """

    prober: Prober
    located: Located
    surroundings: Surroundings
    masks: UserMasks
    settings: Settings
    recording: Recording

    async def ask(
        self,
        phase: Phase,
        variant: Variant,
        changes: Mapping[str, str | None],
        timeout: float,  # noqa: ASYNC109
    ) -> ProbeResult:
        """Ask one runner.

        Args:
            phase: what for.
            variant: which one.
            changes: the masks to set; None takes a variable out.
            timeout: seconds.
        """
        every = {**self._paths(variant), **variant.environment, **changes, PHASE: str(phase)}
        if phase is Phase.VERIFY:
            every |= DEEP
        request = ProbeRequest(
            phase=phase,
            variant=variant,
            mask={name: value for name, value in changes.items() if value is not None and name in VARIABLES},
            environment=changed(self.surroundings.environment, every, system=self.surroundings.system),
            timeout=timeout,
        )
        return await self.recording.probe(self.prober, request, every)

    def _paths(self, variant: Variant) -> dict[str, str]:
        if self.located.root is None:
            return {}
        return library_paths(
            self.surroundings.environment,
            system=self.surroundings.system,
            root=self.located.root,
            directories=variant.directories,
            rocm=self.located.rocm,
        )
