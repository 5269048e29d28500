"""Start by path: `python /path/to/fake_runner runner --ollama-engine --port N`, from any directory."""

import sys


def become_the_package(directory: str) -> None:
    """Make the modules in `directory` importable as the package `fake_runner`, and from nowhere else.

    Started by path, Python puts the directory itself in front of the standard library, where a module of ours
    could hide one of Python's. Its parent would be worse: whatever lies beside us would hide them.
    """
    if directory in sys.path:
        sys.path.remove(directory)
    package = type(sys)("fake_runner")
    package.__path__ = [directory]
    sys.modules["fake_runner"] = package


if not __package__:
    become_the_package(__file__.rpartition("__main__.py")[0].rstrip("/\\") or ".")

from fake_runner.program import main  # noqa: E402 - the package is there only now

if __name__ == "__main__":
    sys.exit(main())
