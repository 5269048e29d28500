"""`gpudiscover run`: hold GPUs for a command, and become it."""

from __future__ import annotations

import shlex

from pytest_gpudiscover.cli.arguments import Options
from pytest_gpudiscover.cli.discovering import discovered, installation
from pytest_gpudiscover.cli.starting import StartError, check, given_environment, start
from pytest_gpudiscover.cli.streams import complain
from pytest_gpudiscover.cli.waiting import shown_waiting
from pytest_gpudiscover.errors import LeaseTimeoutError, UnmetLeaseError
from pytest_gpudiscover.explaining import why_not
from pytest_gpudiscover.leasing.book import book_for, holder_here, machine_of
from pytest_gpudiscover.leasing.leases import Lease
from pytest_gpudiscover.leasing.reach import everything_listed, within_reach
from pytest_gpudiscover.leasing.waiting import acquire
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.surroundings import Surroundings

NOT_MET = 1
WAITED_TOO_LONG = 124
"""What timeout(1) answers when it has waited long enough."""


def hold_and_run(options: Options) -> int:
    """Hold what is needed, and become the command; everything that comes to nothing is said on stderr.

    Returns:
        the exit code where the command did not start; on Windows also that of the command.

    Raises:
        GpuDiscoverError: discovery could not run, or there can be no leases here.
    """
    try:
        check(options.program[0])
        report = within_reach(discovered(options))
        if reasons := why_not(options.requirement, report):
            return _given_up(reasons, NOT_MET)
        with _lease(options, report) as lease:
            inherited = lease.ticket.pass_on()
            return start(options.program, given_environment() | lease.env | inherited)
    except StartError as error:
        return _given_up(str(error), error.status)
    except UnmetLeaseError as error:
        return _given_up(str(error), NOT_MET)
    except LeaseTimeoutError as error:
        return _given_up(str(error), WAITED_TOO_LONG)


def _lease(options: Options, report: Report) -> Lease:
    surroundings = Surroundings.current()
    with shown_waiting(str(options.requirement)) as waiting:
        return acquire(
            book_for(machine_of(installation(options)), options.leases),
            options.requirement,
            report.devices,
            share=options.share,
            masks=UserMasks.read(surroundings.environment, surroundings.system),
            holder=holder_here(shlex.join(options.program)),
            timeout=options.wait,
            everything=everything_listed(report),
            waiting=waiting,
        )


def _given_up(why: str, status: int) -> int:
    complain(why)
    return status
