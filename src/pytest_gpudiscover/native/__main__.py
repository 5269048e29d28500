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

from pytest_gpudiscover.native.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
