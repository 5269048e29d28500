"""Run as `python -m pytest_gpudiscover.cli`."""

import sys

from pytest_gpudiscover.cli import main

if __name__ == "__main__":
    sys.exit(main())
