"""Run the commands of the README as they stand there: what it promises must work in a fresh clone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """The lines after a `$` in the README's console blocks."""
    return [line[2:] for block in BLOCK.findall(text) for line in block.splitlines() if line.startswith("$ ")]


def main() -> None:
    """Run the first two: one shows a discovery, one passes the tests."""
    found = commands((ROOT / "README.md").read_text(encoding="utf-8"))[:2]
    if len(found) != 2:
        sys.exit(f"README.md: expected two commands in console blocks, found {len(found)}")
    for command in found:
        print(f"$ {command}", flush=True)
        subprocess.run(command, shell=True, check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
