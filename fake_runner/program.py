"""The command line of the fake runner: `runner`, `faults` and `check`."""
# ruff: noqa: PTH100, PTH118, PTH120
# pathlib would cost more than the rest of the start.

from __future__ import annotations

import os
import sys

from fake_runner import hosts
from fake_runner.tables import HostError, OtherReleaseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fake_runner.live import LiveHost

USAGE = """\
usage: fake-runner runner --ollama-engine --port N   answer like a GPU runner, as FAKE_RUNNER_HOST says
       fake-runner gpu-discover --lib-dir DIR...     the same for a host that speaks `gpu-discover`
       fake-runner faults                            print the fault vocabulary
       fake-runner check FILE                        check a host file
"""


COMMANDS = "`runner --ollama-engine --port N`, `gpu-discover --lib-dir DIR...`, `faults` or `check FILE`"


class UsageError(Exception):
    """The command line makes no sense."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 2 when the command line, the environment or the host file is wrong.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return command(list(arguments))
    except (UsageError, HostError) as error:
        line = " ".join(str(error).split())
        sys.stderr.write(f"fake-runner: {line}\n")
        return 2
    except OtherReleaseError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1


def command(arguments: list[str]) -> int:
    """Find the command and carry it out."""
    match arguments:
        case ["runner", *options]:
            return run(port_of(options), os.environ)
        case ["gpu-discover", *options]:
            return discover(directories_of(options), os.environ)
        case ["faults"]:
            return print_faults()
        case ["check", path]:
            return check(path)
        case ["--help" | "-h"]:
            say([USAGE])
            return 0
        case _:
            given = " ".join(arguments) or "nothing"
            raise UsageError(f"expected {COMMANDS}, got {given}; see --help")


def port_of(options: list[str]) -> int:
    """The port, from `--ollama-engine --port N` in any order."""
    left = [option for option in options if option != "--ollama-engine"]
    if len(options) != len(left) + 1:
        raise UsageError("`runner` expects `--ollama-engine` once: only that engine's protocol is simulated")
    match left:
        case ["--port", number] if number.isascii() and number.isdecimal() and 0 < int(number) < 65536:
            return int(number)
        case _:
            raise UsageError(
                f"`runner` expects `--port N`, N from 1 to 65535, got {' '.join(left) or 'nothing'}"
            )


def directories_of(options: list[str]) -> list[str]:
    """The directories, from `--lib-dir DIR` any number of times."""
    if len(options) % 2 or any(option != "--lib-dir" for option in options[::2]):
        raise UsageError(f"`gpu-discover` expects `--lib-dir DIR...`, got {' '.join(options)}")
    return options[1::2]


def run(port: int, environment: Mapping[str, str]) -> int:
    """Be a runner."""
    live = started(environment, hosts.INFO)
    from fake_runner import serving

    return serving.perform(live, port)


def discover(directories: Sequence[str], environment: Mapping[str, str]) -> int:
    """Print what a runner would answer that was pointed at these directories."""
    live = started({**environment, "OLLAMA_LIBRARY_PATH": os.pathsep.join(directories)}, hosts.GPU_DISCOVER)
    from fake_runner import printing

    return printing.perform(live)


def started(environment: Mapping[str, str], speech: str) -> LiveHost:
    """Read the host, and record the start."""
    path = environment.get("FAKE_RUNNER_HOST", "")
    if not path:
        showcase = os.path.join(os.path.dirname(os.path.abspath(__file__)), "showcase.toml")
        raise HostError(
            "FAKE_RUNNER_HOST", f"is not set: set it to the path of a host file, such as {showcase}"
        )
    from fake_runner.live import LiveHost

    live = LiveHost(path, environment, speech)
    if live.host.calls:
        from fake_runner import recording

        recording.start(live.host.calls, live.script)
    return live


def print_faults() -> int:
    """Print the vocabulary: name, phases, meaning and arguments, one fault a line."""
    from fake_runner.faults import VOCABULARY

    width = max(map(len, VOCABULARY))
    say(
        f"{fault.name:{width}}  {' '.join(fault.letters):7}  {fault.sentence}\n"
        for fault in VOCABULARY.values()
    )
    return 0


def check(path: str) -> int:
    """Check a host file, and say what it holds."""
    host = hosts.load(path)
    counts = ((len(host.gpus), "GPU"), (len(host.variants), "variant"), (len(host.faults), "fault"))
    held = ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in counts)
    say([f"{path}: {held}\n"])
    return 0


def say(lines: Iterable[str]) -> None:
    """Write lines to stdout, as many as somebody wants to read."""
    try:
        sys.stdout.writelines(lines)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python writes what is left when it ends, and would complain of the same pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
