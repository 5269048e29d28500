"""The environment of a probe: the parent's, with the search paths of one variant in front."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from pytest_gpudiscover.environment import changed, library_paths, search_path_variable

ROOT, VARIANT, ROCM = "/opt/lib/ollama", "/opt/lib/ollama/cuda_v13", "/opt/lib/ollama/rocm"


def paths(
    parent: dict[str, str], *directories: str, system: str = "linux", rocm: str | None = None
) -> dict[str, str]:
    return library_paths(
        MappingProxyType(parent), system=system, root=ROOT, directories=directories, rocm=rocm
    )


@pytest.mark.parametrize(
    ("system", "variable"), [("linux", "LD_LIBRARY_PATH"), ("darwin", "DYLD_LIBRARY_PATH"), ("win32", "PATH")]
)
def test_each_platform_has_its_own_search_path(system: str, variable: str) -> None:
    assert search_path_variable(system) == variable
    assert set(paths({}, system=system)) == {variable, "OLLAMA_LIBRARY_PATH"}


def test_root_variant_rocm_and_then_the_users_own_make_the_search_path() -> None:
    found = paths({"LD_LIBRARY_PATH": "/home/a:/home/b"}, VARIANT, rocm=ROCM)
    assert found["LD_LIBRARY_PATH"] == f"{ROOT}:{VARIANT}:{ROCM}:/home/a:/home/b"


def test_the_runners_own_path_is_root_and_variant_only() -> None:
    found = paths({"LD_LIBRARY_PATH": "/home/a", "OLLAMA_LIBRARY_PATH": "/old"}, VARIANT, rocm=ROCM)
    assert found["OLLAMA_LIBRARY_PATH"] == f"{ROOT}:{VARIANT}"


def test_a_variant_without_directories_leaves_the_root() -> None:
    assert paths({}) == {"LD_LIBRARY_PATH": ROOT, "OLLAMA_LIBRARY_PATH": ROOT}


def test_each_directory_is_named_once_in_its_first_place() -> None:
    found = paths({"LD_LIBRARY_PATH": f"/a:{ROOT}:{ROCM}:/a:/b"}, ROCM, rocm=ROCM)
    assert found == {"LD_LIBRARY_PATH": f"{ROOT}:{ROCM}:/a:/b", "OLLAMA_LIBRARY_PATH": f"{ROOT}:{ROCM}"}


@pytest.mark.parametrize("value", ["", ":", "::/a:", ":/a"])
def test_empty_entries_would_mean_the_working_directory_and_are_dropped(value: str) -> None:
    assert "" not in paths({"LD_LIBRARY_PATH": value})["LD_LIBRARY_PATH"].split(":")


def test_windows_separates_by_semicolons_and_finds_its_path_without_case() -> None:
    found = paths({"Path": r"C:\Windows;C:\bin"}, r"C:\o\cuda_v13", system="win32")
    assert found["PATH"] == rf"{ROOT};C:\o\cuda_v13;C:\Windows;C:\bin"
    assert found["OLLAMA_LIBRARY_PATH"] == rf"{ROOT};C:\o\cuda_v13"


def test_elsewhere_a_search_path_of_other_case_is_another_variable() -> None:
    assert paths({"ld_library_path": "/a"})["LD_LIBRARY_PATH"] == ROOT


def test_changes_replace_add_and_take_out() -> None:
    parent = {"KEEP": "1", "CHANGE": "1", "DROP": "1"}
    result = changed(parent, {"CHANGE": "2", "DROP": None, "ADD": "3", "NEVER": None}, system="linux")
    assert result == {"KEEP": "1", "CHANGE": "2", "ADD": "3"}


def test_windows_compares_names_without_case_and_only_windows() -> None:
    parent = {"Path": "a", "Cuda_Visible_Devices": "0"}
    changes = {"PATH": "b", "CUDA_VISIBLE_DEVICES": None}
    assert changed(parent, changes, system="win32") == {"PATH": "b"}
    assert changed(parent, changes, system="linux") == parent | {"PATH": "b"}


def test_windows_has_each_name_once_even_when_its_parent_has_it_twice() -> None:
    result = changed({"Path": "a", "PATH": "b", "Other": "c", "OTHER": "d"}, {"PATH": "e"}, system="win32")
    assert sorted(name.upper() for name in result) == ["OTHER", "PATH"]
