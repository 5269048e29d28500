"""Ollama's installation, looked up in real directories."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover.errors import (
    InstallationError,
    LibraryRootError,
    RunnerNotFoundError,
    RunnerNotUsableError,
    VariantNotFoundError,
)
from pytest_gpudiscover.installations import Located
from pytest_gpudiscover.installations.ollama import OllamaInstallation
from pytest_gpudiscover.reports import Phase, Reason
from pytest_gpudiscover.surroundings import Surroundings


class Machine:
    """A machine in a directory: a runner in `bin`, and beside it whatever a test puts there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runner = self.file("bin/ollama", mode=0o755)

    def file(self, name: str, mode: int = 0o644) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
        return path

    def variants(self, root: str, *names: str) -> Path:
        for name in names:
            self.file(f"{root}/{name}/libggml-{name}.so")
        return self.directory / root

    def surroundings(self, **environment: str) -> Surroundings:
        search = {"PATH": str(self.directory / "bin")}
        return Surroundings(environment=search | environment, working_directory=str(self.directory))

    def locate(self, *command: str | Path, root: str | Path | None = None, **choice: Any) -> Located:
        words = [str(word) for word in command or (self.runner,)]
        return OllamaInstallation(words, library_root=root, **choice).locate(self.surroundings())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def names(located: Located) -> list[str]:
    return [variant.name for variant in located.variants]


def test_the_root_is_found_beside_the_executable_and_its_variants_newest_first(machine: Machine) -> None:
    root = machine.variants(
        "lib/ollama", "vulkan", "cuda_v9", "rocm", "cuda_v13", "rocm_v7_2", "cuda_v12", "cuda_v13_1"
    )
    located = machine.locate()
    assert located.root == str(root)
    assert names(located) == ["cuda_v13_1", "cuda_v13", "cuda_v12", "cuda_v9", "rocm_v7_2", "rocm", "vulkan"]
    assert located.variants[0].directories == (str(root / "cuda_v13_1"),)
    assert located.rocm == str(root / "rocm")
    assert (located.command, located.missing) == ((str(machine.runner),), ())


@pytest.mark.parametrize("root", ["bin/build/lib/ollama", "build/lib/ollama"])
def test_a_build_is_found_beside_the_executable_or_below_the_working_directory(
    machine: Machine, root: str
) -> None:
    machine.variants(root, "cuda_v13")
    assert machine.locate().root == str(machine.directory / root)


def test_an_installed_root_comes_before_a_build(machine: Machine) -> None:
    machine.variants("build/lib/ollama", "cuda_v12")
    machine.variants("lib/ollama", "cuda_v13")
    assert names(machine.locate()) == ["cuda_v13"]


def test_with_no_root_anywhere_the_executables_directory_is_taken(machine: Machine) -> None:
    assert machine.locate().root == str(machine.directory / "bin")


def test_a_root_that_is_a_file_is_passed_over_when_looking(machine: Machine) -> None:
    machine.file("lib/ollama")
    assert machine.locate().root == str(machine.directory / "bin")


@pytest.mark.parametrize(
    "installed", ["../odd/*[a-z]? {x}", "with blanks/lib/ollama", "./x/../lib/ollama/", "sub/.."]
)
def test_a_root_that_is_named_may_be_relative_and_hold_any_characters(
    machine: Machine, installed: str
) -> None:
    machine.directory /= "work"
    machine.variants("sub", "unused")
    machine.variants("x", "unused")
    machine.variants(installed, "cuda_v13")
    located = machine.locate(root=installed)
    assert located.root == f"{machine.directory}/{installed}"
    assert "cuda_v13" in names(located)
    assert all(Path(d).is_absolute() for variant in located.variants for d in variant.directories)


def test_a_root_may_be_a_path_object_or_a_link_and_stays_itself(machine: Machine) -> None:
    root = machine.variants("real", "cuda_v13")
    link = machine.directory / "link"
    link.symlink_to(root)
    assert machine.locate(root=link).root == str(link)
    assert names(machine.locate(root=link)) == ["cuda_v13"]


def test_a_variant_that_is_a_link_to_a_directory_counts(machine: Machine) -> None:
    root = machine.variants("lib/ollama", "cuda_v12")
    elsewhere = machine.variants("elsewhere", "cuda_v13")
    (root / "cuda_v13").symlink_to(elsewhere / "cuda_v13")
    assert names(machine.locate()) == ["cuda_v13", "cuda_v12"]


def test_a_link_that_leads_nowhere_or_to_itself_costs_nothing(machine: Machine) -> None:
    root = machine.variants("lib/ollama", "cuda_v13")
    (root / "broken").symlink_to(root / "missing")
    (root / "loop").symlink_to(root / "loop")
    assert (names(machine.locate()), machine.locate().missing) == (["cuda_v13"], ())


def test_files_in_the_root_itself_are_no_variant(machine: Machine) -> None:
    machine.file("lib/ollama/libggml-cpu-haswell.so")
    assert (names(machine.locate()), machine.locate().missing) == ([""], ())


def test_directories_without_a_ggml_file_are_no_variants(machine: Machine) -> None:
    machine.variants("lib/ollama", "cuda_v13")
    machine.file("lib/ollama/mlx_cuda_v13/libmlx.so")
    machine.file("lib/ollama/cuda_v12/deeper/libggml-cuda.so")
    assert names(machine.locate()) == ["cuda_v13"]


def test_with_nothing_found_a_runner_with_everything_built_in_is_still_asked(machine: Machine) -> None:
    (machine.directory / "lib/ollama").mkdir(parents=True)
    (variant,) = machine.locate().variants
    assert (variant.name, variant.directories) == ("", ())


def test_a_rocm_directory_counts_even_when_it_is_no_variant(machine: Machine) -> None:
    machine.file("lib/ollama/rocm/librocblas.so")
    located = machine.locate()
    assert located.rocm == str(machine.directory / "lib/ollama/rocm")
    assert names(located) == [""]


def test_without_a_rocm_directory_there_is_none(machine: Machine) -> None:
    machine.variants("lib/ollama", "cuda_v13")
    machine.file("lib/ollama/rocm")
    assert machine.locate().rocm is None


def test_a_linked_executable_is_started_as_given_and_resolved_for_its_root(machine: Machine) -> None:
    root = machine.variants("lib/ollama", "cuda_v13")
    link = machine.directory / "elsewhere/bin/my-ollama"
    link.parent.mkdir(parents=True)
    link.symlink_to(machine.runner)
    located = machine.locate(link, "--flag")
    assert located.command == (str(link), "--flag")
    assert located.root == str(root)


def test_a_name_without_a_directory_is_looked_up_on_the_path_of_the_surroundings(machine: Machine) -> None:
    assert machine.locate("ollama").command == (str(machine.runner),)


def test_a_relative_runner_is_relative_to_the_working_directory(machine: Machine) -> None:
    assert machine.locate("bin/ollama").command == (str(machine.runner),)
    assert machine.locate("./bin/../bin/ollama").command == (f"{machine.directory}/./bin/../bin/ollama",)


def test_two_dots_behind_a_link_lead_where_the_system_says(machine: Machine) -> None:
    root = machine.variants("real/lib", "cuda_v13")
    runner = machine.file("real/bin/run", mode=0o755)
    (machine.directory / "real/deep").mkdir()
    (machine.directory / "link").symlink_to("real/deep")
    located = machine.locate("link/../bin/run", root="link/../lib")
    assert Path(located.command[0]).samefile(runner)
    assert located.root is not None
    assert Path(located.root).samefile(root)
    assert names(located) == ["cuda_v13"]


def test_one_text_where_several_are_meant_is_refused() -> None:
    with pytest.raises(TypeError, match=r"command: expected a sequence of texts, such as \('python3',\)"):
        OllamaInstallation("python3")
    with pytest.raises(TypeError, match="without_variants: expected a sequence of texts"):
        OllamaInstallation(without_variants="vulkan")


def test_a_runner_in_the_home_directory_is_found(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(machine.directory))
    assert machine.locate("~/bin/ollama").command == (str(machine.runner),)


def failure(machine: Machine, *command: str | Path, **options: Any) -> InstallationError:
    with pytest.raises(InstallationError) as caught:
        machine.locate(*command, **options)
    return caught.value


def test_a_missing_runner_is_an_error_that_names_it(machine: Machine) -> None:
    error = failure(machine, machine.directory / "bin/missing")
    assert isinstance(error, RunnerNotFoundError)
    assert str(machine.directory / "bin/missing") in str(error)
    error = failure(machine, "no-such-runner")
    assert isinstance(error, RunnerNotFoundError)
    assert "no-such-runner" in str(error)
    assert "PATH" in str(error)


@pytest.mark.parametrize("command", [(), ("",)])
def test_an_empty_command_is_an_error(machine: Machine, command: tuple[str, ...]) -> None:
    with pytest.raises(RunnerNotFoundError, match="empty"):
        OllamaInstallation(command).locate(machine.surroundings())


def test_a_runner_that_is_a_directory_is_an_error_that_says_so(machine: Machine) -> None:
    error = failure(machine, machine.directory / "bin")
    assert isinstance(error, RunnerNotUsableError)
    assert "directory" in str(error)


def test_a_runner_that_is_not_executable_is_an_error_that_says_so(machine: Machine) -> None:
    error = failure(machine, machine.file("bin/plain", mode=0o644))
    assert isinstance(error, RunnerNotUsableError)
    assert "not executable" in str(error)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "ollama/below/a/file"])
def test_a_runner_that_cannot_even_be_looked_up_is_missing(machine: Machine, name: str) -> None:
    assert isinstance(failure(machine, machine.directory / "bin" / name), RunnerNotFoundError)
    assert isinstance(failure(machine, name.replace("/", "-")), RunnerNotFoundError)


def test_a_link_to_a_missing_runner_is_missing(machine: Machine) -> None:
    link = machine.directory / "bin/link"
    link.symlink_to(machine.directory / "nowhere")
    assert isinstance(failure(machine, link), RunnerNotFoundError)


@pytest.mark.parametrize("name", ["missing", "x" * 300, "a\0b", "bin/ollama/below/a/file"])
def test_a_root_that_does_not_exist_is_an_error_that_names_it(machine: Machine, name: str) -> None:
    error = failure(machine, root=name)
    assert isinstance(error, LibraryRootError)
    assert "does not exist" in str(error)
    assert name in error.path


def test_a_root_that_is_a_file_is_an_error_that_says_so(machine: Machine) -> None:
    error = failure(machine, root="bin/ollama")
    assert isinstance(error, LibraryRootError)
    assert "not a directory" in str(error)


def refusing(call: Callable[..., Any], refused: Path) -> Callable[..., Any]:
    """Tests run as root, who may read everything: this stands in for the kernel's refusal."""

    def guarded(path: Any = ".") -> Any:
        if Path(path) == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return call(path)

    return guarded


def test_a_root_that_cannot_be_read_is_an_error_that_says_so(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine.variants("lib/ollama", "cuda_v13")
    monkeypatch.setattr(os, "scandir", refusing(os.scandir, root))
    error = failure(machine)
    assert isinstance(error, LibraryRootError)
    assert "Permission denied" in str(error)


def test_a_directory_that_cannot_be_read_costs_only_itself(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine.variants("lib/ollama", "cuda_v12", "cuda_v13")
    monkeypatch.setattr(os, "listdir", refusing(os.listdir, root / "cuda_v13"))
    located = machine.locate()
    assert names(located) == ["cuda_v12"]
    (rejection,) = located.missing
    assert (rejection.variant, rejection.phase, rejection.reason) == (
        "cuda_v13",
        Phase.ENUMERATE,
        Reason.UNREADABLE,
    )
    assert "Permission denied" in rejection.detail


def test_one_variant_can_be_asked_for(machine: Machine) -> None:
    machine.variants("lib/ollama", "cuda_v12", "cuda_v13", "rocm")
    located = machine.locate(variant="cuda_v12")
    assert names(located) == ["cuda_v12"]
    assert located.rocm is not None


def test_variants_can_be_left_out(machine: Machine) -> None:
    machine.variants("lib/ollama", "cuda_v12", "cuda_v13", "rocm")
    assert names(machine.locate(without_variants=["cuda_v13", "rocm"])) == ["cuda_v12"]
    assert names(machine.locate(variant="rocm", without_variants=["cuda_v13"])) == ["rocm"]


def test_an_unreadable_variant_that_nobody_asked_for_is_not_mentioned(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine.variants("lib/ollama", "cuda_v12", "cuda_v13")
    monkeypatch.setattr(os, "listdir", refusing(os.listdir, root / "cuda_v13"))
    assert machine.locate(variant="cuda_v12").missing == ()
    assert machine.locate(without_variants=["cuda_v13"]).missing == ()
    assert [missing.variant for missing in machine.locate(variant="cuda_v13").missing] == ["cuda_v13"]


def test_a_variant_that_does_not_exist_is_an_error_that_names_those_that_do(machine: Machine) -> None:
    machine.variants("lib/ollama", "cuda_v12", "cuda_v13")
    error = failure(machine, variant="cuda_v14")
    assert isinstance(error, VariantNotFoundError)
    assert error.available == ("cuda_v13", "cuda_v12")
    assert str(error) == "'cuda_v14': no variant of that name; there is: cuda_v13, cuda_v12"


@pytest.fixture
def _no_working_directory(tmp_path: Path) -> Iterator[None]:
    before = Path.cwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    yield
    os.chdir(before)


@pytest.mark.usefixtures("_no_working_directory")
def test_without_a_working_directory_whole_paths_still_work_and_relative_ones_are_errors(
    machine: Machine,
) -> None:
    root = machine.variants("lib/ollama", "cuda_v13")
    nowhere = Surroundings(environment={"PATH": str(machine.directory / "bin")}, working_directory="")
    assert OllamaInstallation(["ollama"], library_root=root).locate(nowhere).root == str(root)
    with pytest.raises(RunnerNotFoundError, match="working directory"):
        OllamaInstallation(["./ollama"]).locate(nowhere)
    with pytest.raises(LibraryRootError, match="working directory"):
        OllamaInstallation(["ollama"], library_root="lib/ollama").locate(nowhere)
