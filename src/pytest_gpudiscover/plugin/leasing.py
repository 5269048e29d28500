"""What the fixture `gpu_lease` does: ask, wait and say so, see that what it got is well, and give it back."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import LeaseError, LeaseTimeoutError, UnmetLeaseError
from pytest_gpudiscover.leasing.book import Book, Entry, book_for, holder_here, machine_of
from pytest_gpudiscover.leasing.cards import card_name
from pytest_gpudiscover.leasing.leases import Lease
from pytest_gpudiscover.leasing.reach import everything_listed
from pytest_gpudiscover.leasing.waiting import acquire
from pytest_gpudiscover.leasing.wording import duration, in_the_way_in_words
from pytest_gpudiscover.plugin import health
from pytest_gpudiscover.plugin.asked import Asked
from pytest_gpudiscover.plugin.discovering import SessionDiscovery, session_discovery, session_report
from pytest_gpudiscover.plugin.holding import Holding, hold
from pytest_gpudiscover.plugin.marking import requirement_of, watch
from pytest_gpudiscover.plugin.refusing import Unmet, refuse
from pytest_gpudiscover.requirements import Requirement

OWN = pytest.StashKey[Lease]()
"""What a worker holds for its life."""


@contextlib.contextmanager
def leased(item: pytest.Item) -> Iterator[Lease]:
    """Hold what a test asks for, until it has ended in whatever way."""
    watch(item.config)
    session_report(item.config)
    begun = time.monotonic()
    lease = _Request(item).granted()
    holding = Holding(session_discovery(item.config), lease, item.nodeid, time.monotonic() - begun)
    try:
        hold(item, holding)
        holding.begin()
        yield lease
    finally:
        holding.end()


class _Request:
    """A test that asks for devices."""

    def __init__(self, item: pytest.Item) -> None:
        self._config = item.config
        self._test = item.nodeid
        self._session = session_discovery(item.config)
        self._asked = requirement_of(item) or Asked()
        self._deadline = time.monotonic() + self._session.settings.lease_timeout

    def granted(self) -> Lease:
        """Wait for devices that are well; the test is refused where there are none, and fails in the end."""
        self._insist()
        if (own := self._config.stash.get(OWN, None)) is not None:
            return _Lent(own)
        try:
            while True:
                if (lease := self._acquired()) is not None:
                    return lease
        except UnmetLeaseError as error:
            refuse(self._config, str(error))
        except LeaseTimeoutError as error:
            # It may have been the last of several attempts.
            timeout = self._session.settings.lease_timeout
            problem = str(LeaseTimeoutError(error.needed, timeout, error.in_the_way))
        except LeaseError as error:
            problem = str(error)
        raise Unmet(problem)

    def _insist(self) -> None:
        """Refuse the test unless the devices that are left can meet what it asks for."""
        if reason := self._session.unmet(self._asked.requirement):
            refuse(self._config, reason)

    def _acquired(self) -> Lease | None:
        """Wait for devices; None when they were found lost, and others may do."""
        lease = obtained(
            self._config,
            self._asked.requirement,
            self._session.seen().devices,
            share=self._asked.share,
            who=self._test,
            timeout=max(0.0, self._deadline - time.monotonic()),
            without=self._withdrawn,
        )
        if lease is None:
            self._insist()
        return lease

    def _withdrawn(self) -> Collection[str]:
        """The cards that were found lost since we began to wait; it is no use to wait for too few others."""
        if not (lost := self._session.quarantined()):
            return ()
        self._insist()
        return {card_name(rejection.device) for rejection in lost.values() if rejection.device}


def obtained(
    config: pytest.Config,
    requirement: Requirement,
    devices: Sequence[DeviceInfo],
    *,
    share: bool,
    who: str,
    timeout: float,
    without: Callable[[], Collection[str]] = tuple,
) -> Lease | None:
    """Wait for devices, say so, and verify those that their last holder did not give back.

    Args:
        config: of the session.
        requirement: what is needed.
        devices: what may be taken.
        share: whether to hold `min_memory` of each only.
        who: the test's id, for those who wait.
        timeout: seconds to wait at the most.
        without: names the cards that will not do, each time anew.

    Returns:
        the lease; None when one of its devices was found lost, and is in quarantine now.

    Raises:
        LeaseError: there is none to be had.
    """
    session = session_discovery(config)
    book = _book(session)
    lease = acquire(
        book,
        requirement,
        devices,
        share=share,
        masks=session.masks,
        holder=holder_here(who, session.folder.uid),
        timeout=timeout,
        everything=everything_listed(session.report()),
        without=without,
        waiting=_notice(config, who, str(requirement)),
    )
    with _released_on_error(lease):
        if health.are_well(session, book, lease.devices):
            return lease
    lease.release()
    return None


@contextlib.contextmanager
def _released_on_error(lease: Lease) -> Iterator[None]:
    try:
        yield
    except BaseException:  # Ctrl-C, and what skips a test, are errors here
        lease.release()
        raise


class _Lent(Lease):
    """A worker's own lease, lent to one of its tests: the process is masked already, and stays so."""

    def __init__(self, own: Lease) -> None:
        super().__init__(
            devices=own.devices,
            cards=own.cards,
            env=own.env,
            torch_devices=own.torch_devices,
            memory=None,
            waited=0.0,
            ticket=own.ticket,
        )

    def activate(self) -> None:
        """Do nothing: the worker's masks are set."""

    def release(self) -> None:
        """Do nothing: the worker keeps its device."""


def _book(session: SessionDiscovery) -> Book:
    directory = session.settings.leases
    return book_for(machine_of(session.installation), Path(directory) if directory else None)


def _notice(config: pytest.Config, who: str, needs: str) -> Callable[[float, list[Entry]], None]:
    """What tells a person that somebody waits, and for whom."""

    def tell(waited: float, in_the_way: list[Entry]) -> None:
        others = in_the_way_in_words(in_the_way, now=time.time(), host=platform.node())
        _say(config, f"{who} has waited {duration(waited)} for {needs}: {'; '.join(others)}")

    return tell


def _say(config: pytest.Config, text: str) -> None:
    """Write a line to stderr, in spite of capture; in a worker that is the controller's."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        # pytest may be in the middle of a line.
        sys.stderr.write(f"\ngpudiscover: {text}\n")
        sys.stderr.flush()
