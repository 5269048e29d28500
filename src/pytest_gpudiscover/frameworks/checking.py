"""Which questions frameworks are asked: all devices at once, and then each alone."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpudiscover.blocking import run_in_thread
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.environment import changed
from pytest_gpudiscover.frameworks.asking import ask
from pytest_gpudiscover.frameworks.comparing import Answer, Outcome, Verdict, differences
from pytest_gpudiscover.leasing.reach import everything_listed
from pytest_gpudiscover.leasing.showing import lease_env
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.probing.launching import launcher
from pytest_gpudiscover.probing.processes import Launcher
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.text import printable

FRAMEWORKS = ("torch", "cupy", "jax")
TIMEOUT = 120.0
"""Seconds for each process: from a cold disk torch alone takes half a minute to import."""


def check_frameworks(
    report: Report,
    *,
    frameworks: Sequence[str] = FRAMEWORKS,
    timeout: float = TIMEOUT,
    surroundings: Surroundings | None = None,
) -> tuple[Verdict, ...]:
    """Compare what frameworks see behind our masks with what a discovery has found.

    Each question is a process of its own, one after another: two that initialise one GPU at once would fight
    over its memory. A framework that is not installed costs one short process.

    Args:
        report: what the discovery found.
        frameworks: which ones to ask.
        timeout: seconds for each process.
        surroundings: those of the discovery; None: those of this process.
    """
    around = surroundings or Surroundings.current()

    async def judged() -> tuple[Verdict, ...]:
        async with launcher() as start:
            check = _Check(report, around, timeout, start)
            return tuple([await check.verdict(name) for name in frameworks])

    return run_in_thread(judged)


class _Check:
    """Questions about one discovery."""

    def __init__(self, report: Report, surroundings: Surroundings, timeout: float, start: Launcher) -> None:
        self._report = report
        self._surroundings = surroundings
        self._masks = UserMasks.read(surroundings.environment, surroundings.system)
        self._timeout = timeout
        self._start = start

    async def verdict(self, framework: str) -> Verdict:
        """Ask one framework everything."""
        first = await self._ask(framework, self._report.devices)
        if not first.installed:
            return Verdict(framework=framework, outcome=Outcome.NOT_INSTALLED)
        if first.failure:
            return Verdict(framework=framework, outcome=Outcome.FAILED, problems=(first.failure,))
        expected = [device for device in self._report.devices if device.library == first.library]
        several = len(expected) > 1
        # CUDA shows a process one slice at most: several are there for several processes.
        asked = [] if several and any(map(_is_slice, expected)) else [("all at once", first, expected)]
        if several:
            asked += [(f"{one.id} alone", await self._ask(framework, [one]), [one]) for one in expected]
        problems = [problem for question in asked for problem in _problems(*question)]
        failed = any(answer.failure for _, answer, _ in asked)
        return Verdict(
            framework=framework,
            outcome=_outcome(first, problems, failed=failed),
            version=first.version,
            library=first.library,
            devices=len(expected),
            problems=tuple(problems),
        )

    async def _ask(self, framework: str, shown: Sequence[DeviceInfo]) -> Answer:
        masks = lease_env(shown, everything_listed(self._report), self._masks)
        around = self._surroundings
        environment = changed(around.environment, masks, system=around.system)
        return await ask(self._start, framework, environment, self._timeout)


def _is_slice(device: DeviceInfo) -> bool:
    return device.id.startswith("MIG-")


def _problems(shown: str, answer: Answer, expected: Sequence[DeviceInfo]) -> list[str]:
    found = [answer.failure] if answer.failure else differences(answer.devices, expected)
    return [f"{printable(shown, 80)}: {problem}" for problem in found]


def _outcome(first: Answer, problems: Sequence[str], *, failed: bool) -> Outcome:
    if problems:
        return Outcome.FAILED if failed else Outcome.DIFFERS
    return Outcome.AGREES if first.library else Outcome.NO_GPU_SUPPORT
