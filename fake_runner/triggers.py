"""When a fault strikes: what a host file says about it, and the decision for one start of a runner.

Pure: what happened at earlier starts is an argument, and chance is a hash of the seed and the ordinal.
"""

from __future__ import annotations

from fake_runner.hashing import fraction
from fake_runner.hosts import PHASES
from fake_runner.tables import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fake_runner.tables import Table

Mark = dict[str, object]
"""What is remembered of one start that a fault's variant, device and phase matched: whether it `struck`, and,
for faults that need it, the free memory that was true then (`free`: bytes by GPU)."""


class PlannedFault:
    """A fault of the host file: its name, when it acts, and its arguments.

    Attributes:
        name: a name of the vocabulary.
        variants: the variants it acts in; () for all.
        device: the physical GPU that must be visible; "" for any or none.
        phases: the phases it acts in.
        after: how many starts that match all of the above pass before it may strike.
        times: how often it strikes, and then no more; 0 for always.
        probability: of striking, from 0 to 1.
        seed: of the chance.
        sticky: whether it strikes always, once it has struck.
        arguments: the fault's own.
    """

    __slots__ = (
        *("after", "arguments", "device", "name", "phases", "probability", "seed", "sticky", "times"),
        "variants",
    )

    def __init__(self, name: str, *, device: str, phases: tuple[str, ...]) -> None:
        self.name = name
        self.variants: tuple[str, ...] = ()
        self.device = device
        self.phases = phases
        self.after = 0
        self.times = 0
        self.probability: float = 1
        self.seed = 0
        self.sticky = False
        self.arguments: dict[str, object] = {}

    @property
    def key(self) -> str:
        """What its memory is kept under: all that is said about it, so one that is changed begins anew."""
        return " ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)

    @property
    def counts(self) -> bool:
        """Whether it depends on earlier starts."""
        from fake_runner.faults import VOCABULARY

        return bool(self.after or self.times) or self.probability != 1 or VOCABULARY[self.name].remembers

    def strikes(self, earlier: Sequence[Mark]) -> bool:
        """Whether it strikes at this start.

        Args:
            earlier: the marks of the earlier starts, in order.
        """
        struck = sum(mark["struck"] is True for mark in earlier)
        if self.sticky and struck:
            return True
        if len(earlier) < self.after or 0 < self.times <= struck:
            return False
        return fraction(f"{self.seed} {self.name} {len(earlier)}") < self.probability


def planned(
    tables: Iterable[Table], gpus: Iterable[str], variants: Mapping[str, object]
) -> tuple[PlannedFault, ...]:
    """Read the faults of a host file.

    Raises:
        HostError: an unknown name, a wrong type, or a trigger that contradicts itself.
    """
    return tuple(_planned(table, gpus, variants) for table in tables)


def _planned(table: Table, gpus: Iterable[str], variants: Mapping[str, object]) -> PlannedFault:
    from fake_runner.faults import VOCABULARY

    word = VOCABULARY[table.choice("name", VOCABULARY)]
    table.place += f" ({word.name})"
    device = table.choice("device", gpus) if word.of_device or "device" in table else ""
    fault = PlannedFault(word.name, device=device, phases=table.chosen("phase", PHASES) or word.phases)
    fault.variants = table.chosen("variant", variants)
    _read_counts(fault, table)
    fault.arguments = {name: argument.read(table, name) for name, argument in word.arguments.items()}
    table.take("device")
    table.finish()
    return fault


def _read_counts(fault: PlannedFault, table: Table) -> None:
    fault.after = table.whole("after", 0, lowest=0)
    fault.times = table.whole("times", 0, lowest=1)
    fault.probability = table.number("probability", 1, lowest=0, highest=1)
    fault.seed = table.whole("seed", 0, lowest=0)
    fault.sticky = table.flag("sticky", default=False)
    if "seed" in table and "seed" not in _arguments_of(fault) and "probability" not in table:
        raise HostError(table.where("seed"), "is of no use: expected `probability` beside it")
    if fault.sticky and "probability" not in table and "times" not in table:
        problem = "is of no use, it strikes always as it is: expected `probability` or `times` beside it"
        raise HostError(table.where("sticky"), problem)


def _arguments_of(fault: PlannedFault) -> Iterable[str]:
    from fake_runner.faults import VOCABULARY

    return VOCABULARY[fault.name].arguments
