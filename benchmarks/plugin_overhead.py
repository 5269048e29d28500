"""What the plugin costs a run that uses no GPU: CPU time with it, and with `-p no:gpudiscover`.

Runs of both kinds are interleaved, so that a busy machine slows both. Read the ratios, not the milliseconds;
that of the fastest quarters is the quieter one. Where valgrind is installed, it counts the instructions of
one run of each kind: a ratio that is the same on a busy machine, though without the kernel's share.

The plugin has to be installed, as it is with its users: `tox run -e overhead`, or
`python benchmarks/plugin_overhead.py [ROUNDS [TESTS ...]]`.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

WITHOUT = ("-p", "no:gpudiscover")
"""What leaves an installed plugin out before anything of it is imported."""


def suite(directory: Path, tests: int) -> Path:
    """Write that many tests that do nothing."""
    file = directory / f"test_{tests}.py"
    file.write_text("\n".join(f"def test_{number}(): pass" for number in range(tests)), encoding="utf-8")
    return file


def environment() -> dict[str, str]:
    """This process's variables, but for those that change what pytest and Python load."""
    ours = ("GPUDISCOVER_", "PYTEST_", "PYTHON")
    # PYTHONDONTWRITEBYTECODE above all: pytest would compile every plugin anew in each run.
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def command_for(file: Path, options: Sequence[str]) -> list[str]:
    """The run of pytest that is measured."""
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, file.name]


def instructions(file: Path, options: Sequence[str]) -> float:
    """How many instructions one run executes outside the kernel; NaN without valgrind."""
    if not shutil.which("valgrind"):
        return float("nan")
    counting = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*counting, *command_for(file, options)],
        cwd=file.parent,
        env={**environment(), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    counted = re.search(r"I +refs: +([0-9,]+)", done.stderr)
    assert counted is not None
    return float(counted.group(1).replace(",", ""))


def cpu_seconds(file: Path, options: Sequence[str]) -> float:
    """User and system time of one run of pytest, its children included."""
    command = command_for(file, options)
    with subprocess.Popen(command, cwd=file.parent, env=environment(), stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} in {file.parent}: expected exit code 0, got {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def measured(file: Path, rounds: int) -> tuple[list[float], list[float]]:
    """CPU seconds of the runs with the plugin, and of those without it."""
    seconds: dict[tuple[str, ...], list[float]] = {(): [], WITHOUT: []}
    for options in seconds:
        cpu_seconds(file, options)  # warms up
    for number in range(rounds):
        # Whoever goes second finds warmer caches: they take turns.
        for options in sorted(seconds, reverse=number % 2 == 0):
            seconds[options].append(cpu_seconds(file, options))
    return seconds[()], seconds[WITHOUT]


def fastest(seconds: Sequence[float]) -> float:
    """The mean of the fastest quarter: what other programs on the machine disturb least."""
    return statistics.mean(sorted(seconds)[: max(len(seconds) // 4, 1)])


def row(file: Path, tests: int, rounds: int) -> str:
    """Measure, and give one line of the table."""
    with_plugin, without = measured(file, rounds)
    median, bare = statistics.median(with_plugin), statistics.median(without)
    counted = instructions(file, ()) / instructions(file, WITHOUT)
    ratios = f"{median / bare:10.3f} {fastest(with_plugin) / fastest(without):10.3f} {counted:13.3f}"
    return f"{tests:6} {median * 1000:10.1f} {bare * 1000:10.1f} {ratios}"


def main(rounds: int, counts: Sequence[int]) -> None:
    """Measure and print."""
    if not entry_points(group="pytest11", name="gpudiscover"):
        sys.exit("the plugin is not installed for this Python: pip install . first, or tox run -e overhead")
    print(f"CPU time of {rounds} runs each, medians in ms, and the ratios with / without")
    print(f"{'tests':>6} {'with':>10} {'without':>10} {'medians':>10} {'fastest':>10} {'instructions':>13}")
    with tempfile.TemporaryDirectory() as directory:
        for tests in counts:
            print(row(suite(Path(directory), tests), tests, rounds), flush=True)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(numbers[0] if numbers else 30, numbers[1:] or (1, 100, 1000))
