"""Faults of the answer: silence, slowness, broken HTTP."""

from __future__ import annotations

from fake_runner.faults.registry import CONDUCT, SIGNALS, duration, fault, one_of, text, whole
from fake_runner.scripts import MID_ANSWER, Answer, Death, Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fake_runner.scripts import Script


@fault(CONDUCT, "EVR", code=whole(500, 200, 599), body=text("no GPU today"))
def status(script: Script, *, code: int, body: str) -> None:
    """Answers with the status `code` and the text `body`."""
    script.routes["/info"] = Answer(body.encode(), code, "text/plain; charset=utf-8")


@fault(CONDUCT, "EVR")
def redirect(script: Script) -> None:
    """Answers 302: the true answer is elsewhere."""
    script.routes["/moved"] = script.answer
    script.routes["/info"] = Answer(b"", 302)
    script.answer.headers["Location"] = "/moved"


@fault(CONDUCT, "EV", driver=text("535.54"), needed=text("550.54"))
def driver_too_old(script: Script, *, driver: str, needed: str) -> None:
    """Answers 500, and says that the installed `driver` is too old: a newer one is `needed`."""
    said = f"the GPU driver is too old: found {driver}, this build needs {needed} or newer"
    script.routes["/info"] = Answer(said.encode(), 500, "text/plain; charset=utf-8")


@fault(CONDUCT, "EVR", pause=duration(0.2))
def slow_headers(script: Script, *, pause: float) -> None:
    """The head of the answer comes byte by byte, `pause` seconds apart."""
    script.answer.head_pace = Pace(1, pause)


@fault(CONDUCT, "EVR", pause=duration(0.2))
def drip(script: Script, *, pause: float) -> None:
    """The body comes byte by byte, `pause` seconds apart."""
    script.answer.body_pace = Pace(1, pause)


@fault(CONDUCT, "EVR", size=whole(7, 1, 2**20))
def slice(script: Script, *, size: int) -> None:  # noqa: A001 - the fault's name
    """The answer is good, and comes in pieces of so many bytes, one right after the other."""
    script.answer.head_pace = script.answer.body_pace = Pace(size, 0)


@fault(CONDUCT, "EVR")
def bad_chunk(script: Script) -> None:
    """The body comes in chunks, and the second one announces its size in words."""
    half = len(script.answer.body) // 2
    first, second = script.answer.body[:half], script.answer.body[half:]
    script.answer.body = b"%x\r\n%b\r\nmany\r\n%b\r\n0\r\n\r\n" % (half, first, second)
    script.answer.headers["Transfer-Encoding"] = "chunked"


@fault(CONDUCT, "EVR")
def short_body(script: Script) -> None:
    """The body ends in an orderly way, half-way to its announced length."""
    script.answer.announced = len(script.answer.body)
    script.answer.cut = len(script.answer.body) // 2


@fault(CONDUCT, "EVR")
def reset_mid_body(script: Script) -> None:
    """The connection is reset in the middle of the body."""
    script.answer.cut = len(script.answer.body) // 2
    script.answer.reset = True


@fault(CONDUCT, "EVR", signal=one_of(*SIGNALS))
def die_mid_response(script: Script, *, signal: str) -> None:
    """The runner is killed by `signal` in the middle of the body."""
    script.answer.cut = len(script.answer.body) // 2
    script.die(Death(MID_ANSWER, signal=signal))


@fault(CONDUCT, "EVR")
def empty_reply(script: Script) -> None:
    """The connection is closed without a word."""
    script.answer.raw = b""


@fault(CONDUCT, "EVR")
def accept_silent(script: Script) -> None:
    """Takes connections and never answers."""
    script.silent = True
