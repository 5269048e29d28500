"""The register of faults: a decorated function is a fault, its docstring the sentence that explains it.

A fault edits a `Script`; it performs nothing. Faults act in the order in which they are defined here, not in
that of the host file: those that change which devices are listed, then those that change the answer or the
process.
"""

from __future__ import annotations

from fake_runner.hosts import PHASES
from fake_runner.tables import choices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fake_runner.scripts import Script
    from fake_runner.tables import Table
    from fake_runner.triggers import PlannedFault

ENTRIES, CONDUCT = STAGES = ("entries", "conduct")
"""What a fault edits: the devices that are listed, or what is then made of them."""

LETTERS = {
    "S": "spawn",
    "E": "enumerate",
    "V": "verify",
    "O": "overlap",
    "D": "duplicate",
    "R": "refresh",
}
"""The phases of a discovery. A runner knows E, V and R only: a fault of S can strike at any of its starts."""

SIGNALS = ("SEGV", "ABRT", "BUS", "ILL", "FPE", "KILL", "TERM", "INT")


class Argument:
    """An argument of a fault: its default, and what is right, in words and as a test."""

    __slots__ = ("default", "expected", "is_right")

    def __init__(self, default: object, expected: str, is_right: Callable[[object], bool]) -> None:
        self.default = default
        self.expected = expected
        self.is_right = is_right

    def read(self, table: Table, name: str) -> object:
        """Take the argument `name` out of a fault's table."""
        value = table.take(name, self.default)
        if not self.is_right(value):
            raise table.refuse(name, self.expected)
        return value


def whole(default: int, lowest: int, highest: int) -> Argument:
    """A whole number in a range."""
    return Argument(
        default,
        f"a whole number from {lowest} to {highest}",
        lambda value: isinstance(value, int) and type(value) is not bool and lowest <= value <= highest,
    )


def duration(default: float) -> Argument:
    """A time, at most an hour."""
    return Argument(
        default,
        "seconds, from 0 to 3600",
        lambda value: isinstance(value, (int, float)) and type(value) is not bool and 0 <= value <= 3600,
    )


def text(default: str) -> Argument:
    """Any text."""
    return Argument(default, "a text", lambda value: isinstance(value, str))


def one_of(*names: str) -> Argument:
    """One of some names; the first is the default."""
    return Argument(names[0], f"one of {choices(names)}", lambda value: value in names)


class Fault:
    """A word of the vocabulary.

    Attributes:
        name: what a host file calls it.
        letters: the phases of a discovery that it concerns, by the keys of `LETTERS`.
        meaning: one sentence.
        arguments: its own arguments, by name.
        of_device: whether it must be told which GPU it strikes.
        per_device: whether it strikes every listed GPU, or the one it is told.
        outside: whether it acts in the phases that are not its own.
        remembers: whether its handler is told of earlier starts.
        only_deep: whether it strikes only where devices are initialised.
        stage: what it edits.
        handler: called with the script and the arguments (and `device`, when `of_device`).
    """

    __slots__ = (
        *("arguments", "handler", "letters", "meaning", "name", "of_device", "only_deep", "outside"),
        *("per_device", "remembers", "stage"),
    )

    def __init__(
        self,
        stage: str,
        letters: str,
        handler: Callable[..., None],
        arguments: dict[str, Argument],
        **traits: bool,
    ) -> None:
        self.stage = stage
        self.letters = letters
        self.handler = handler
        self.arguments = arguments
        self.of_device = traits.get("of_device", False)
        self.per_device = traits.get("per_device", False)
        self.only_deep = traits.get("only_deep", False)
        self.outside = traits.get("outside", False)
        self.remembers = traits.get("remembers", False)
        self.name = handler.__name__
        self.meaning = " ".join((handler.__doc__ or "").split())

    @property
    def sentence(self) -> str:
        """The meaning, and behind it the arguments with their defaults."""
        needed = ["device"] * self.of_device + ["device=all"] * self.per_device
        given = [f"{name}={argument.default}" for name, argument in self.arguments.items()]
        return f"{self.meaning} [{', '.join(needed + given)}]" if needed + given else self.meaning

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases of a runner in which it strikes, unless the host file says otherwise."""
        return PHASES if "S" in self.letters else tuple(p for p in PHASES if p[0].upper() in self.letters)

    def concerns(self, planned: PlannedFault, script: Script) -> bool:
        """Whether it can happen to this runner at all."""
        probe = script.probe
        return (
            (probe.phase in planned.phases) is not self.outside
            and (probe.deep or not self.only_deep)
            and (not planned.variants or any(variant.name in planned.variants for variant in probe.variants))
            and (not planned.device or planned.device in script.visible)
        )

    def happen(self, planned: PlannedFault, script: Script) -> None:
        """Let it edit the script, unless its trigger says that it passes this start by."""
        arguments = dict(planned.arguments)
        if self.of_device or self.per_device:
            arguments["device"] = planned.device
        if not planned.counts:
            self._strike(script, arguments)
            return
        earlier = script.earlier.get(planned.key, ())
        mark = script.marks.get(planned.key) or {"struck": planned.strikes(earlier)}
        script.marks[planned.key] = mark
        if self.remembers:
            mark.setdefault("free", {entry.gpu: entry.wire.get("free_memory", 0) for entry in script.entries})
            arguments["marks"] = (*earlier, mark)
        if mark["struck"]:
            self._strike(script, arguments)

    def _strike(self, script: Script, arguments: dict[str, object]) -> None:
        script.struck.append(self.name)
        self.handler(script, **arguments)


VOCABULARY: dict[str, Fault] = {}
"""Every fault by name, in the order in which they act."""


def fault(
    stage: str,
    letters: str,
    *,
    traits: str = "",
    **arguments: Argument,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a fault: its name is the fault's, its docstring the meaning.

    Args:
        stage: `ENTRIES` or `CONDUCT`.
        letters: the phases it concerns.
        traits: which of the traits that `Fault` documents it has, with blanks between. With `of_device` or
            `per_device` the function also takes `device` ("" for every one), with `remembers` the `marks` of
            earlier starts and of this one.
        arguments: its arguments; the function takes them as keywords.
    """

    def register(handler: Callable[..., None]) -> Callable[..., None]:
        new = Fault(stage, letters, handler, arguments, **dict.fromkeys(traits.split(), True))
        VOCABULARY[new.name] = new
        return handler

    return register


def apply(stage: str, planned: Iterable[PlannedFault], script: Script) -> None:
    """Let the planned faults of one stage edit the script, in the order of the vocabulary."""
    order = list(VOCABULARY)
    for plan in sorted(planned, key=lambda plan: order.index(plan.name)):
        word = VOCABULARY[plan.name]
        if word.stage == stage and word.concerns(plan, script):
            word.happen(plan, script)
