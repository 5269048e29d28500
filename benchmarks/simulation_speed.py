"""How many whole discoveries a second one core simulates, another seed each time.

Other programs slow it down: read the best of the rounds. `python benchmarks/simulation_speed.py [ROUNDS]`.
"""

from __future__ import annotations

import itertools
import sys
import time

from pytest_gpudiscover.simulation import FakeHost, simulate

MACHINES = (
    ["RTX 4090"],
    ["RTX 4090", "RTX 4090"],
    ["RTX 4090", "RX 7900 XTX"],
    ["A100 40GB"] * 8,
)
DISCOVERIES = 200
"""Of one round."""


def main(rounds: int) -> None:
    """Measure and print."""
    print(f"discoveries a second of CPU time, the best of {rounds} rounds")
    for cards in MACHINES:
        host, seeds = FakeHost.of(*cards), itertools.count()
        probes = len(simulate(host, seed=0).report.probes)
        rates = []
        for _ in range(rounds):
            began = time.process_time()
            for seed in itertools.islice(seeds, DISCOVERIES):
                simulate(host, seed=seed)
            rates.append(DISCOVERIES / (time.process_time() - began))
        print(f"{max(rates):6.0f}  {probes:2} probes  {', '.join(cards)}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
