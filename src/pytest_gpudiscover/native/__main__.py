"""The native runner's program: `python -I <this directory> runner --ollama-engine --port N`."""

import os
import sys
from types import ModuleType

if "pytest_gpudiscover" not in sys.modules:
    # Started by path. A bare stand-in for the package gives the modules beside this one their full names,
    # without running the package's own `__init__`, which imports the whole engine.
    _package = ModuleType("pytest_gpudiscover")
    _package.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]  # noqa: PTH100, PTH120 - slow
    sys.modules["pytest_gpudiscover"] = _package

from pytest_gpudiscover.native import interruption


def run(arguments: list[str]) -> int:
    """Run the program; Ctrl-C may come while it is still being imported.

    Args:
        arguments: the command line, without the program.

    Returns:
        The exit code.
    """
    try:
        interruption.watch()
        from pytest_gpudiscover.native.program import main

        return main(arguments)
    except KeyboardInterrupt:
        return interruption.INTERRUPTED


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
