"""Installations: a runner command, its library root, and the variants found below it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from pytest_gpudiscover.errors import VariantNotFoundError
from pytest_gpudiscover.probing import Prober
from pytest_gpudiscover.probing.speech import Heard, Speech
from pytest_gpudiscover.reports import Rejection
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant, in_order


@dataclass(frozen=True, kw_only=True)
class Located:
    """An installation as it was found on this machine.

    Attributes:
        command: how the runner is started; the arguments of the protocol are appended.
        root: the library root, absolute; None for a runner that needs no libraries of ours.
        variants: in the order they are asked.
        rocm: the directory that ROCm's libraries share, absolute, if there is one.
        missing: the variants that cannot be asked, and why.
        heard: how the runner answers, as far as that is known.
    """

    command: tuple[str, ...]
    root: str | None = None
    variants: tuple[Variant, ...] = ()
    rocm: str | None = None
    missing: tuple[Rejection, ...] = ()
    heard: Heard = field(default_factory=lambda: Heard(Speech.INFO), compare=False)

    def narrowed(self, only: str | None, without: Sequence[str]) -> Located:
        """Keep one variant, or leave some out; one that is to be left out need not be there.

        Raises:
            VariantNotFoundError: there is no variant to keep of that name.
        """
        if only is None and not without:
            return self
        names = [variant.name for variant in self.variants] + [missing.variant for missing in self.missing]
        if only is not None and only not in names:
            raise VariantNotFoundError(only, tuple(in_order(names)))

        def wanted(name: str) -> bool:
            return only in (None, name) and name not in without

        return replace(
            self,
            variants=tuple(variant for variant in self.variants if wanted(variant.name)),
            missing=tuple(missing for missing in self.missing if wanted(missing.variant)),
        )


class Installation(Protocol):
    """What a `Discovery` discovers with."""

    def locate(self, surroundings: Surroundings) -> Located:
        """Look the runner and its variants up.

        Raises:
            InstallationError: discovery cannot run with what was found.
        """

    def prober(self, located: Located, surroundings: Surroundings) -> AbstractAsyncContextManager[Prober]:
        """Open whatever asks the runner, for one call of a discovery."""


def http_prober(located: Located) -> AbstractAsyncContextManager[Prober]:
    """What starts an installation's command as real processes, and asks them over HTTP."""
    from pytest_gpudiscover.probing.asking import HttpInfo
    from pytest_gpudiscover.probing.runners import runner_prober

    return runner_prober(located.command, HttpInfo())


def printing_prober(located: Located) -> AbstractAsyncContextManager[Prober]:
    """What starts an installation's command as real processes, and reads what they print."""
    from pytest_gpudiscover.probing.printing import GpuDiscover
    from pytest_gpudiscover.probing.runners import runner_prober

    return runner_prober(located.command, GpuDiscover(located.root or ""))


@asynccontextmanager
async def either_prober(located: Located) -> AsyncIterator[Prober]:
    """What asks an installation's command either way, as it answers; what is found out stays in `located`."""
    from pytest_gpudiscover.probing.either import EitherWay

    async with http_prober(located) as asking, printing_prober(located) as reading:
        yield EitherWay(located.heard, {Speech.INFO: asking, Speech.GPU_DISCOVER: reading})


def texts(name: str, given: Sequence[str]) -> tuple[str, ...]:
    """Take several texts as an installation's attribute of that name.

    Raises:
        TypeError: it is one text, which would silently be taken apart into its letters.
    """
    if isinstance(given, str):
        raise TypeError(f"{name}: expected a sequence of texts, such as ({given!r},), got the text {given!r}")
    return tuple(given)


def ordered(variants: Iterable[Variant]) -> tuple[Variant, ...]:
    """Put variants into the order they are asked."""
    by_name = {variant.name: variant for variant in variants}
    return tuple(by_name[name] for name in in_order(by_name))
