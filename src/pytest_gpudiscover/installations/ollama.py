"""Ollama's installation, or any runner that speaks its protocol."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from pytest_gpudiscover.errors import LibraryRootError, RunnerNotFoundError, RunnerNotUsableError
from pytest_gpudiscover.installations import Located, ordered
from pytest_gpudiscover.installations.layout import root_candidates, variant_names
from pytest_gpudiscover.probing import Prober
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant


@dataclass(frozen=True)
class OllamaInstallation:
    """A runner command and its library root.

    Attributes:
        command: the runner; the arguments of the protocol are appended. A name without a directory is looked
            up on PATH.
        library_root: the directory whose sub-directories are the variants; None: looked for where Ollama
            keeps it, beside the executable.
        variant: ask this variant only.
        without_variants: leave these out.
    """

    command: Sequence[str] = ("ollama",)
    library_root: str | os.PathLike[str] | None = None
    variant: str | None = None
    without_variants: Sequence[str] = field(default=())

    def locate(self, surroundings: Surroundings) -> Located:
        """Look the executable, the root and the variants up.

        Raises:
            RunnerNotFoundError: the executable does not exist.
            RunnerNotUsableError: it is a directory, or not executable.
            LibraryRootError: the root that was named does not exist or cannot be read.
            VariantNotFoundError: a variant that was named does not exist.
        """
        executable = find_executable(self.command[0] if self.command else "", surroundings)
        root = self._root(executable, surroundings)
        names, unreadable = _variants(root, surroundings.system)
        variants = [Variant(name=name, directories=(os.path.join(root, name),)) for name in names]  # noqa: PTH118
        rocm = os.path.join(root, "rocm")  # noqa: PTH118
        return Located(
            command=(executable, *self.command[1:]),
            root=root,
            # A runner with everything built in has no directories, and still gets asked.
            variants=ordered(variants) or (Variant(name=""),),
            rocm=rocm if Path(rocm).is_dir() else None,
            missing=unreadable,
        ).narrowed(self.variant, self.without_variants)

    def prober(self, located: Located, surroundings: Surroundings) -> AbstractAsyncContextManager[Prober]:  # noqa: ARG002
        """Start real processes, and ask them over HTTP."""
        from pytest_gpudiscover.probing.asking import HttpInfo
        from pytest_gpudiscover.probing.runners import runner_prober

        return runner_prober(located.command, HttpInfo())

    def _root(self, executable: str, surroundings: Surroundings) -> str:
        if self.library_root is not None:
            root = os.path.join(surroundings.working_directory, self.library_root)  # noqa: PTH118
            if not Path(root).is_dir():
                problem = "is not a directory" if Path(root).exists() else "does not exist"
                raise LibraryRootError(root, f"the library root {problem}; expected the directory that holds the variants")
            return os.path.abspath(root)  # noqa: PTH100 - symbolic links are the user's choice
        *candidates, last = root_candidates(
            os.path.realpath(executable), surroundings.working_directory, surroundings.system
        )
        return os.path.normpath(next((path for path in candidates if Path(path).is_dir()), last))


def find_executable(name: str, surroundings: Surroundings) -> str:
    """Find a runner as a shell would, and start it as it was given.

    Symbolic links stay: a virtual environment's python is a link, and must stay itself.

    Returns:
        an absolute path.

    Raises:
        RunnerNotFoundError: there is no such file.
        RunnerNotUsableError: there is one, and it cannot be started.
    """
    if not name:
        raise RunnerNotFoundError("runner", "the command is empty; expected a program, with its arguments")
    if os.path.dirname(name):  # noqa: PTH120
        path = os.path.abspath(os.path.join(surroundings.working_directory, os.path.expanduser(name)))  # noqa: PTH100, PTH111, PTH118
        return _startable(path)
    found = shutil.which(name, path=surroundings.environment.get("PATH", os.defpath))
    if found is None:
        raise RunnerNotFoundError(name, "no such program on PATH; install it, or name the runner with its directory")
    return os.path.abspath(found)  # noqa: PTH100


def _startable(path: str) -> str:
    if Path(path).is_dir():
        raise RunnerNotUsableError(path, "the runner is a directory; expected an executable file")
    if shutil.which(path) is not None:
        return path
    if Path(path).exists():
        raise RunnerNotUsableError(path, "the runner is not executable; chmod +x it, or name its interpreter first")
    raise RunnerNotFoundError(path, "the runner does not exist")


def _variants(root: str, system: str) -> tuple[list[str], tuple[Rejection, ...]]:
    """The variants below a root, and a rejection for each directory that cannot be read."""
    files: dict[str, list[str]] = {}
    missing: list[Rejection] = []
    for directory in _directories(root):
        try:
            files[directory] = os.listdir(os.path.join(root, directory))  # noqa: PTH118, PTH208
        except OSError as error:
            missing.append(_unreadable(directory, error))
    return variant_names(files, system), tuple(missing)


def _directories(root: str) -> Iterator[str]:
    try:
        with os.scandir(root) as entries:
            yield from sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as error:
        raise LibraryRootError(root, f"the library root cannot be read: {error.strerror}") from error


def _unreadable(directory: str, error: OSError) -> Rejection:
    detail = f"its directory cannot be read: {error.strerror}"
    return Rejection(phase=Phase.ENUMERATE, reason=Reason.UNREADABLE, detail=detail, variant=directory)
