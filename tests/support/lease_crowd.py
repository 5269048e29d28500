"""A crowd of processes that take leases, hold them for moments, and are killed at random.

`lease_crowd.py DIRECTORY GRANTS SEED` prints one JSON object: how often each kind of lease was granted, how
many processes were killed, and every clash. What is a clash is found from outside: each process says when it
began to hold and when it was about to let go, by a clock that all share. Who was killed held at least until
then.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pytest_gpudiscover.leasing.arbitration import Wish
from pytest_gpudiscover.leasing.book import Book, holder_here

CARDS = ("A", "B", "C")
ROOM = 24
AT_WORK = 6
KINDS = {
    "one": Wish(alternatives=(CARDS,), count=1),
    "two": Wish(alternatives=(("A", "B"), ("B", "C")), count=2),
    "small": Wish(alternatives=(CARDS,), count=1, memory=8),
    "large": Wish(alternatives=(CARDS,), count=1, memory=20),
}
MIX = ("one", "two", "small", "small", "small", "large")


def work(book: Book, say: int, seed: int) -> None:
    """Take one lease after the other, for ever."""
    chance = random.Random(seed)
    while True:
        kind = chance.choice(MIX)
        ticket = book.enter(
            KINDS[kind],
            holder_here(kind),
            needs=kind,
            capacities=dict.fromkeys(CARDS, ROOM),
            names={},
        )
        while not (cards := ticket.grant()):
            time.sleep(0.003)
        line = {"pid": os.getpid(), "kind": kind, "cards": cards, "ticket": ticket.number}
        os.write(say, (json.dumps({**line, "from": time.monotonic()}) + "\n").encode())
        if chance.random() < 0.1 and not os.fork():
            # A child that outlives whoever is killed.
            signal.pause()
        time.sleep(chance.random() * 0.004)
        os.write(say, (json.dumps({**line, "to": time.monotonic()}) + "\n").encode())
        ticket.release()


class Crowd:
    """The processes at work, and what they said."""

    def __init__(self, book: Book, seed: int) -> None:
        self.book = book
        self.chance = random.Random(seed)
        self.hears, self.say = os.pipe()
        self.at_work: list[int] = []
        self.leases: dict[int, dict[str, Any]] = {}
        self.killed: dict[int, float] = {}

    def hire(self) -> None:
        """Start one more."""
        seed = self.chance.random()
        pid = os.fork()
        if not pid:
            work(self.book, self.say, int(seed * 1e9))
        self.at_work.append(pid)

    def kill(self) -> None:
        """Kill one of them. Whatever it holds, it holds until now."""
        victim = self.at_work.pop(self.chance.randrange(len(self.at_work)))
        self.killed[victim] = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)

    def run(self, grants: int) -> None:
        """Let them work until so many leases were granted."""
        for _ in range(AT_WORK):
            self.hire()
        with os.fdopen(self.hears, encoding="ascii") as said:
            while len(self.leases) < grants:
                line = json.loads(said.readline())
                lease = self.leases.setdefault(line["ticket"], line)
                lease.update(line)
                if "to" not in line and len(self.leases) % 12 == 0:
                    self.kill()
                    self.hire()
        while self.at_work:
            self.kill()

    def clashes(self) -> list[Any]:
        """Cards that were held by several who may not hold them together."""
        found = []
        for card in CARDS:
            there = [lease for lease in self.leases.values() if card in lease["cards"]]
            for moment in there:
                others = [other for other in there if other is not moment]
                together = [moment, *(other for other in others if self.holds(other, moment["from"]))]
                sizes = [KINDS[other["kind"]].memory for other in together]
                if len(sizes) > 1 and (None in sizes or sum(size or 0 for size in sizes) > ROOM):
                    found.append([card, together])
        return found

    def holds(self, lease: dict[str, Any], when: float) -> bool:
        """Whether a lease was surely held then."""
        return bool(lease["from"] <= when < lease.get("to", self.killed.get(lease["pid"], when)))


def main() -> None:
    """Run, and print what happened."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    crowd = Crowd(Book(Path(sys.argv[1])), int(sys.argv[3]))
    crowd.run(int(sys.argv[2]))
    kinds = [lease["kind"] for lease in crowd.leases.values()]
    result = {
        "granted": {kind: kinds.count(kind) for kind in KINDS},
        "killed": len(crowd.killed),
        "clashes": crowd.clashes(),
        "left": [entry.number for entry in crowd.book.entries()],
    }
    sys.stdout.write(json.dumps(result))
    sys.stdout.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # The children that were left behind, and this process: it has nothing more to say.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
