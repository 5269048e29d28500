"""Faults of the process: it dies, hangs, hides, or will not go."""

from __future__ import annotations

from fake_runner.faults.registry import CONDUCT, SIGNALS, duration, fault, one_of, text, whole
from fake_runner.scripts import AFTER_ANSWER, REQUEST, START, Answer, Death

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from fake_runner.scripts import Script
    from fake_runner.triggers import Mark


@fault(CONDUCT, "SEV", code=whole(1, 0, 255))
def exit_early(script: Script, *, code: int) -> None:
    """Ends with the exit code `code` before it binds its port."""
    script.die(Death(START, code=code))


@fault(CONDUCT, "SEVR", signal=one_of(*SIGNALS), when=one_of(START, REQUEST))
def signal(script: Script, *, signal: str, when: str) -> None:
    """Is killed by a genuine `signal`, at its `start` or at the first `request`."""
    script.die(Death(when, signal=signal))


@fault(CONDUCT, "S")
def never_bind(script: Script) -> None:
    """Lives, and never binds its port."""
    script.binds = False


@fault(CONDUCT, "S", seconds=duration(1.0))
def slow_start(script: Script, *, seconds: float) -> None:
    """Binds its port only after so many `seconds`."""
    script.delay += seconds


@fault(CONDUCT, "S", traits="remembers", seconds=duration(1.0))
def slow_first(script: Script, *, marks: Sequence[Mark], seconds: float) -> None:
    """The first start binds its port only after so many `seconds`; later ones are quick."""
    if len(marks) == 1:
        script.delay += seconds


@fault(CONDUCT, "S")
def port_taken(script: Script) -> None:
    """Behaves as if its port were taken: says so, and exits with 1."""
    script.port_taken = True


@fault(CONDUCT, "EVR")
def port_squatter(script: Script) -> None:
    """Another process takes its port first and lists a device that is not there; the runner exits with 1."""
    device = {"id": "GPU-00000000", "backend": "CUDA", "name": "CUDA0", "description": "squatter"}
    memory = {"total_memory": 2**40, "free_memory": 2**40, "ComputeMajor": 9, "ComputeMinor": 0}
    script.squatter = Answer(script.encoded([{**device, **memory, "LibraryPath": []}]))


@fault(CONDUCT, "E", count=whole(2, 1, 1000))
def refuse_then_accept(script: Script, *, count: int) -> None:
    """The first `count` requests are answered with a reset of their connection, the next one properly."""
    script.refusals = count


@fault(CONDUCT, "EV", variable=text("HSA_OVERRIDE_GFX_VERSION"), value=text(""))
def needs_variable(script: Script, *, variable: str, value: str) -> None:
    """Exits with 1 and names the `variable`, unless it is set, and to the `value` where that is not empty."""
    found = script.probe.environment.get(variable, "")
    if not found or (value and found != value):
        script.stderr += f"fake-runner: this GPU is not supported unless {variable} is {value or 'set'}\n"
        script.die(Death(START, code=1))


@fault(CONDUCT, "S")
def ignore_sigterm(script: Script) -> None:
    """Ignores SIGTERM."""
    script.ignored_signals += ("TERM",)


@fault(CONDUCT, "S", mebibytes=whole(10, 1, 1024))
def stderr_flood(script: Script, *, mebibytes: int) -> None:
    """Writes so many `mebibytes` to stderr before it binds its port, without one newline."""
    script.stderr += "flood " * (mebibytes * 2**20 // 6)


@fault(CONDUCT, "S")
def grandchild_holds_pipe(script: Script) -> None:
    """Leaves a child behind that holds its stderr open and does not end."""
    script.leaves_grandchild = True


@fault(CONDUCT, "S", original=one_of("exits", "stays"))
def daemonise(script: Script, *, original: str) -> None:
    """Forks twice into a session of its own; the `original` process exits, or stays and serves beside it."""
    script.daemonises = original


@fault(CONDUCT, "S")
def stop_self(script: Script) -> None:
    """Stops itself (SIGSTOP) before it binds its port."""
    script.stops_itself = True


@fault(CONDUCT, "E", traits="of_device", signal=one_of(*SIGNALS), when=one_of(REQUEST, START))
def crash_enumerate(script: Script, *, device: str, signal: str, when: str) -> None:
    """The device takes its whole library down with a `signal` as soon as it is listed."""
    script.stderr += f"fake-runner: listing {device}: unrecoverable error\n"
    script.die(Death(when, signal=signal))


@fault(CONDUCT, "V", traits="of_device only_deep", signal=one_of(*SIGNALS), when=one_of(REQUEST, START))
def crash_deep(script: Script, *, device: str, signal: str, when: str) -> None:
    """The runner is killed by `signal` while it initialises the device."""
    script.stderr += f"fake-runner: initialising {device}: unrecoverable error\n"
    script.die(Death(when, signal=signal))


@fault(CONDUCT, "V", traits="of_device only_deep", when=one_of(REQUEST, START))
def hang_deep(script: Script, *, device: str, when: str) -> None:
    """The runner hangs while it initialises the device."""
    script.stderr += f"fake-runner: initialising {device}\n"
    script.silent = True
    script.binds = when != START and script.binds


@fault(CONDUCT, "V", signal=one_of(*SIGNALS))
def answer_then_crash(script: Script, *, signal: str) -> None:
    """Is killed by `signal` after a whole answer, before the connection is closed."""
    script.die(Death(AFTER_ANSWER, signal=signal))
