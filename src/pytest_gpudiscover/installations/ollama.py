"""Ollama's installation, or any runner that speaks its protocol."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import PurePath

from pytest_gpudiscover.errors import LibraryRootError, RunnerNotFoundError, RunnerNotUsableError
from pytest_gpudiscover.installations import (
    Located,
    either_prober,
    http_prober,
    ordered,
    printing_prober,
    texts,
)
from pytest_gpudiscover.installations.layout import root_candidates, variant_names
from pytest_gpudiscover.probing import Prober
from pytest_gpudiscover.probing.speech import Heard, Speech
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant

_OLLAMA = ("ollama", "ollama.exe")


@dataclass(frozen=True)
class OllamaInstallation:
    """A runner command and its library root.

    Attributes:
        command: the runner; the arguments of the protocol are appended. A name without a directory is looked
            up on PATH. A program called `ollama`, with nothing behind it, is asked as its release answers;
            behind the word `gpu-discover`, as releases from 0.30 on do; any other as those before them.
        library_root: the directory whose sub-directories are the variants; None: looked for where Ollama
            keeps it, beside the executable.
        variant: ask this variant only.
        without_variants: leave these out.
    """

    command: Sequence[str] = ("ollama",)
    library_root: str | os.PathLike[str] | None = None
    variant: str | None = None
    without_variants: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        """Refuse one text where several are meant."""
        object.__setattr__(self, "command", texts("command", self.command))
        object.__setattr__(self, "without_variants", texts("without_variants", self.without_variants))

    def locate(self, surroundings: Surroundings) -> Located:
        """Look the executable, the root and the variants up.

        Raises:
            RunnerNotFoundError: the executable does not exist.
            RunnerNotUsableError: it is a directory, or not executable.
            LibraryRootError: the root that was named does not exist or cannot be read.
            VariantNotFoundError: a variant that was named does not exist.
        """
        speech, command = _speech(self.command)
        executable = find_executable(command[0] if command else "", surroundings)
        root = self._root(executable, surroundings)
        names, unreadable = _variants(root, surroundings.system)
        variants = [Variant(name=name, directories=(os.path.join(root, name),)) for name in names]  # noqa: PTH118
        rocm = os.path.join(root, "rocm")  # noqa: PTH118
        return Located(
            command=(executable, *command[1:]),
            root=root,
            # A runner with everything built in has no directories, and still gets asked.
            variants=ordered(variants) or (Variant(name=""),),
            rocm=rocm if _is_directory(rocm) else None,
            missing=unreadable,
            heard=Heard(speech),
        ).narrowed(self.variant, self.without_variants)

    def prober(self, located: Located, surroundings: Surroundings) -> AbstractAsyncContextManager[Prober]:  # noqa: ARG002
        """Start real processes, and ask them as they answer."""
        match located.heard.speech:
            case Speech.INFO:
                return http_prober(located)
            case Speech.GPU_DISCOVER:
                return printing_prober(located)
            case None:
                return either_prober(located)

    def _root(self, executable: str, surroundings: Surroundings) -> str:
        if self.library_root is not None:
            return _named_root(os.fspath(self.library_root), surroundings)
        *candidates, last = root_candidates(
            os.path.realpath(executable), surroundings.working_directory, surroundings.system
        )
        return next((path for path in candidates if _is_directory(path)), last)


def _speech(command: Sequence[str]) -> tuple[Speech | None, Sequence[str]]:
    """How a runner answers, None where that is to be found out; and its command, without the word for it."""
    if command[-1:] == (Speech.GPU_DISCOVER,):
        return Speech.GPU_DISCOVER, command[:-1]
    name = PurePath(command[0]).name.lower() if command else ""
    return (None if len(command) == 1 and name in _OLLAMA else Speech.INFO), command


def _named_root(name: str, surroundings: Surroundings) -> str:
    root = _absolute(name, surroundings)
    if root is None:
        raise LibraryRootError(
            name, "the working directory no longer exists; name the library root by its whole path"
        )
    if not _is_directory(root):
        problem = "is not a directory" if os.path.exists(root) else "does not exist"  # noqa: PTH110
        raise LibraryRootError(root, f"the library root {problem}; expected the directory of the variants")
    return root


def _is_directory(path: str) -> bool:
    # Unlike a Path's, these never raise: what cannot be looked up (a name too long, say) is not there.
    return os.path.isdir(path)  # noqa: PTH112


def _absolute(path: str, surroundings: Surroundings) -> str | None:
    """A path seen from the working directory, its symbolic links kept; None when that no longer exists."""
    # Only joined: behind a symbolic link, `..` is not what the path without both would be.
    whole = os.path.join(surroundings.working_directory, path)  # noqa: PTH118
    return whole if os.path.isabs(whole) else None  # noqa: PTH117


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
        return _startable(_whole(os.path.expanduser(name), surroundings))  # noqa: PTH111
    found = shutil.which(name, path=surroundings.environment.get("PATH", os.defpath))
    if found is None:
        raise RunnerNotFoundError(
            name, "no such program on PATH; install it, or name the runner with its directory"
        )
    return _whole(found, surroundings)


def _whole(name: str, surroundings: Surroundings) -> str:
    path = _absolute(name, surroundings)
    if path is None:
        raise RunnerNotFoundError(
            name, "the working directory no longer exists; name the runner by its whole path"
        )
    return path


def _startable(path: str) -> str:
    if _is_directory(path):
        raise RunnerNotUsableError(path, "the runner is a directory; expected an executable file")
    if shutil.which(path) is not None:
        return path
    if os.path.exists(path):  # noqa: PTH110
        raise RunnerNotUsableError(
            path, "the runner is not executable; chmod +x it, or name its interpreter first"
        )
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
            yield from sorted(entry.name for entry in entries if _is_directory(entry.path))
    except OSError as error:
        raise LibraryRootError(root, f"the library root cannot be read: {error.strerror}") from error


def _unreadable(directory: str, error: OSError) -> Rejection:
    detail = f"its directory cannot be read: {error.strerror}"
    return Rejection(phase=Phase.ENUMERATE, reason=Reason.UNREADABLE, detail=detail, variant=directory)
