"""Reading a machine: files below a root directory, the environment, and what this process may do.

A directory with `/proc`, `/sys`, `/dev` and the rest below it is a machine to this package: tests build such.
Only files are read, links followed and permissions asked for; no node is opened, and no library loaded.
"""

from __future__ import annotations

from pathlib import Path

from pytest_gpudiscover.doctor.facts import Machine
from pytest_gpudiscover.doctor.gathering.container import container, memory_limit
from pytest_gpudiscover.doctor.gathering.kernel import cards, modules, rocm
from pytest_gpudiscover.doctor.gathering.libraries import libraries
from pytest_gpudiscover.doctor.gathering.nodes import nodes
from pytest_gpudiscover.doctor.gathering.process import Visitor, limits, visitor
from pytest_gpudiscover.doctor.gathering.programs import lease_folder, ollama
from pytest_gpudiscover.doctor.gathering.tree import Tree
from pytest_gpudiscover.doctor.rules.container import PASSED
from pytest_gpudiscover.doctor.rules.variables import EFFECTS, FILES
from pytest_gpudiscover.masks import VARIABLES
from pytest_gpudiscover.surroundings import Surroundings

__all__ = ["VARIABLES_LOOKED_AT", "Visitor", "gathered"]

VARIABLES_LOOKED_AT = (*VARIABLES, PASSED, *EFFECTS)


def gathered(
    surroundings: Surroundings,
    *,
    root: Path = Path("/"),
    leases: Path | None = None,
    who: Visitor | None = None,
) -> Machine:
    """Read everything that a discovery depends on.

    Args:
        surroundings: the environment, and the platform.
        root: the directory that stands for the root of the file system.
        leases: the directory of the leases; None: the one that all processes of the machine use.
        who: who looks; None: this process.
    """
    tree = Tree(root)
    looking = visitor() if who is None else who
    environment = surroundings.environment
    return Machine(
        system=surroundings.system,
        user=looking.name,
        kernel=tree.text("/proc/sys/kernel/osrelease").strip(),
        modules=modules(tree),
        cards=cards(tree),
        rocm=rocm(tree),
        nodes=nodes(tree, looking),
        libraries=libraries(tree, environment),
        variables={name: environment[name] for name in VARIABLES_LOOKED_AT if name in environment},
        absent_files=_absent_files(tree, surroundings),
        container=container(tree),
        limits=limits(memory_limit(tree)),
        ollama=ollama(tree, surroundings),
        leases=lease_folder(tree, leases, looking),
    )


def _absent_files(tree: Tree, surroundings: Surroundings) -> tuple[str, ...]:
    separator = ";" if surroundings.system == "win32" else ":"
    values = (surroundings.environment.get(name, "") for name in FILES)
    named = [path for value in values for path in value.split(separator) if path]
    return tuple(path for path in named if not tree.has(path))
