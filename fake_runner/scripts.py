"""What a runner will do, decided before it does anything: a `Script` is data, and `script` writes it.

Whatever performs a script, the program or a simulation in memory, decides nothing.
"""

from __future__ import annotations

from fake_runner import hosts, plain_json, views

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fake_runner.hosts import Host
    from fake_runner.triggers import Mark

START, REQUEST, MID_ANSWER, AFTER_ANSWER = MOMENTS = ("start", "request", "mid_answer", "after_answer")
"""When something happens: before the port is bound, when a request was read, when the answer was cut
(`Answer.cut`), when the answer was sent whole and the connection is still open."""


class Death:
    """How and when a runner ends by itself: by an exit code, or by a signal (`SEGV`)."""

    __slots__ = ("code", "signal", "when")

    def __init__(self, when: str, *, code: int = 0, signal: str = "") -> None:
        self.when = when
        self.code = code
        self.signal = signal


class Pace:
    """Sending slowly: so many bytes, then so many seconds of silence."""

    __slots__ = ("pause", "piece")

    def __init__(self, piece: int, pause: float) -> None:
        self.piece = piece
        self.pause = pause


class Answer:
    """What is sent for one path.

    Attributes:
        status: the HTTP status.
        headers: beside `Content-Length` (which a `Transfer-Encoding` replaces) and `Connection`, by name.
        body: bytes.
        announced: the `Content-Length`, when it is not the body's true length.
        cut: how many bytes of the body are sent; None for all.
        reset: whether the connection then ends with a reset instead of an orderly close.
        endless: whether the body is sent over and over, with no length announced.
        raw: bytes sent instead of any HTTP; b"" closes without a word.
        head_pace: how the head is sent; None at once.
        body_pace: how the body is sent; None at once.
    """

    __slots__ = (
        "announced",
        "body",
        "body_pace",
        "cut",
        "endless",
        "head_pace",
        "headers",
        "raw",
        "reset",
        "status",
    )

    def __init__(self, body: bytes, status: int = 200, content_type: str = "application/json") -> None:
        self.status = status
        self.headers: dict[str, str] = {"Content-Type": content_type}
        self.body = body
        self.announced: int | None = None
        self.cut: int | None = None
        self.reset = False
        self.endless = False
        self.raw: bytes | None = None
        self.head_pace: Pace | None = None
        self.body_pace: Pace | None = None


class Script:
    """What one runner will do, in the order of the attributes.

    Attributes:
        probe: what was asked of it.
        entries: the devices it lists.
        visible: the physical GPUs it looks at, by name, whether it then lists them or not.
        ignored_signals: signals it does not heed (`TERM`).
        daemonises: "" or what becomes of the process that was started, when the runner leaves its session:
            it `exits`, and the daemon serves; or it `stays` and serves, and the daemon lingers.
        leaves_grandchild: whether it starts a process that holds on to its stderr.
        stderr: what it writes there.
        stops_itself: whether it then stops (`SIGSTOP`).
        delay: seconds until it binds its port.
        binds: whether it ever does.
        squatter: what a process that takes its port before it answers to everything; None without one.
        port_taken: whether it gives up, as if its port were taken.
        refusals: how many requests it answers with a reset before it answers one.
        silent: whether it takes connections and never answers.
        routes: the answer for each path; any other path is a 404.
        death: how and when it ends by itself; None when it serves until it is ended.
        encoding: how the body is written; "" as JSON wants it.
        literals: what stands in the body for texts that `json` cannot write, by those texts.
        earlier: by the key of a fault, what is remembered of earlier starts.
        marks: by the key of a fault, what is to be remembered of this one.
        struck: the faults that have edited this script, by name, in the order in which they did.
    """

    __slots__ = (
        *("binds", "daemonises", "death", "delay", "earlier", "encoding", "entries", "ignored_signals"),
        *("leaves_grandchild", "literals", "marks", "port_taken", "probe", "refusals", "routes", "silent"),
        *("squatter", "stderr", "stops_itself", "struck", "visible"),
    )

    def __init__(self, probe: views.Probe) -> None:
        self.probe = probe
        self.encoding = ""
        self.literals: dict[str, bytes] = {}
        self.earlier: Mapping[str, Sequence[Mark]] = {}
        self.marks: dict[str, Mark] = {}
        self.struck: list[str] = []
        self.entries = views.listed(probe.variants, probe.environment)
        self.visible = {entry.gpu for entry in self.entries}
        self.ignored_signals: tuple[str, ...] = ()
        self.daemonises = ""
        self.leaves_grandchild = False
        self.stderr = ""
        self.stops_itself = False
        self.delay = 0.0
        self.binds = True
        self.squatter: Answer | None = None
        self.port_taken = False
        self.refusals = 0
        self.silent = False
        self.routes: dict[str, Answer] = {}
        self.death: Death | None = None

    @property
    def answer(self) -> Answer:
        """The answer to `GET /info`, or what is printed in its place."""
        return self.routes["/info"]

    def die(self, death: Death) -> None:
        """Plan an end; of two, the earlier one comes to pass."""
        if self.death is None or MOMENTS.index(death.when) < MOMENTS.index(self.death.when):
            self.death = death

    def literal(self, value: bytes) -> str:
        """A text that stands for a value that JSON does not have; `encoded` puts the value in its place."""
        placeholder = f"(literal {len(self.literals)})"
        self.literals[placeholder] = value
        return placeholder

    def encoded(self, value: object) -> bytes:
        """A value as JSON, with what `literal` was told."""
        body = plain_json.dumps(value)
        for placeholder, value in self.literals.items():
            body = body.replace(f'"{placeholder}"'.encode(), value)
        return body.decode("latin-1").encode(self.encoding) if self.encoding else body


def script(
    host: Host,
    variant: str,
    environment: Mapping[str, str],
    *,
    earlier: Mapping[str, Sequence[Mark]] | None = None,
    marks: Mapping[str, Mark] | None = None,
) -> Script:
    """Decide what a runner of `host` does.

    Args:
        host: the simulated host.
        variant: a variant of the host; anything else is a runner with everything built in.
        environment: its variables: masks, `GGML_CUDA_INIT`, `GPUDISCOVER_PHASE`, `OLLAMA_LIBRARY_PATH`.
        earlier: by the key of a fault, the marks of earlier starts.
        marks: those that this start has left already, when it is decided again on a host that has changed.

    Raises:
        HostError: `GPUDISCOVER_PHASE` names no phase.
    """
    planned = Script(views.Probe(host, variant, environment))
    if not host.faults:
        planned.routes["/info"] = _listing(planned, host)
        return planned
    from fake_runner import faults

    planned.earlier, planned.marks = earlier or {}, dict(marks or {})
    faults.apply(faults.ENTRIES, host.faults, planned)
    planned.routes["/info"] = _listing(planned, host)
    faults.apply(faults.CONDUCT, host.faults, planned)
    return planned


def _listing(planned: Script, host: Host) -> Answer:
    if host.speaks == hosts.INFO:
        return Answer(planned.encoded([entry.wire for entry in planned.entries]))
    from fake_runner import printing

    return Answer(planned.encoded(printing.listing(planned.entries)))


def gave_up(port: int, problem: str = "address already in use") -> str:
    """What a runner says that could not bind its port; it then exits with 1."""
    return f"fake-runner: listen tcp 127.0.0.1:{port}: bind: {problem}\n"
