"""An installation of Ollama, and the directory of the leases."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pytest_gpudiscover.doctor.facts import LeaseFolder, Ollama
from pytest_gpudiscover.doctor.gathering.process import Visitor
from pytest_gpudiscover.doctor.gathering.tree import Tree
from pytest_gpudiscover.errors import BookError, InstallationError, RunnerNotFoundError
from pytest_gpudiscover.installations.ollama import OllamaInstallation, find_executable
from pytest_gpudiscover.leasing.machines import directory_of
from pytest_gpudiscover.surroundings import Surroundings


def ollama(tree: Tree, surroundings: Surroundings) -> Ollama | None:
    """Ollama as it is found on PATH; None when it is not there."""
    path = surroundings.environment.get("PATH", os.defpath)
    moved = os.pathsep.join(str(tree.below(entry)) for entry in path.split(os.pathsep) if entry)
    there = replace(surroundings, environment={**surroundings.environment, "PATH": moved})
    try:
        executable = find_executable("ollama", there)
    except RunnerNotFoundError:
        return None
    try:
        located = OllamaInstallation((executable,)).locate(there)
    except InstallationError as error:
        return Ollama(path=tree.inside(Path(executable)), problem=str(error))
    names = tuple(variant.name for variant in located.variants if variant.name)
    root = tree.inside(Path(located.root or ""))
    return Ollama(path=tree.inside(Path(executable)), root=root, variants=names)


def lease_folder(tree: Tree, given: Path | None, who: Visitor) -> LeaseFolder:
    """Where leases are written, and what is in the way of that.

    Args:
        tree: the machine.
        given: the directory that the user named; None: the one that all processes use.
        who: who looks.
    """
    try:
        path = directory_of(given)
    except BookError as error:
        return LeaseFolder(path=error.path, problem=error.problem)
    return LeaseFolder(path=str(path), problem=_in_the_way(tree.below(str(path)), who))


def _in_the_way(path: Path, who: Visitor) -> str:
    existing = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not existing.is_dir():
        return "it is no directory" if existing == path else f"{existing} is no directory"
    if not who.may(str(existing), os.W_OK | os.X_OK):
        return (
            "no permission to write there"
            if existing == path
            else f"it is not there, and {existing} forbids to make it"
        )
    return ""
