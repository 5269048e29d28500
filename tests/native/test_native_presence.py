"""Whether a driver's library is on a machine, where a directory stands for the machine."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover.native.drivers import CUDA, DRIVERS, VULKAN
from pytest_gpudiscover.native.presence import absence

PACKAGE = str(Path(__file__).parents[2] / "src" / "pytest_gpudiscover")
NAMES = {"linux": "libvulkan.so.1", "darwin": "libvulkan.1.dylib", "win32": "vulkan-1.dll"}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """An empty machine."""
    root = tmp_path / "machine"
    root.mkdir()
    return root


def place(machine: Path, path: str, content: bytes = b"") -> None:
    """Put a file on a machine."""
    file = machine / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def is_absent(machine: Path, platform: str = "linux", **environment: str) -> bool:
    """Whether Vulkan is said to be absent."""
    prefix = machine / "opt/python"
    return (
        absence(VULKAN, platform=platform, environment=environment, root=machine, prefix=prefix) is not None
    )


@pytest.mark.parametrize("platform", NAMES)
def test_a_machine_without_the_library_gets_a_sentence_with_the_remedy(machine: Path, platform: str) -> None:
    sentence = absence(VULKAN, platform=platform, environment={}, root=machine, prefix=machine)
    assert sentence
    assert sentence.startswith(f"{NAMES[platform]} is not on this machine: install ")


def test_a_platform_that_nobody_thought_of_is_absence_in_words(machine: Path) -> None:
    sentence = absence(VULKAN, platform="plan9", environment={}, root=machine, prefix=machine)
    assert sentence == "Vulkan is not looked for on plan9: it is looked for on linux, win32, darwin"


@pytest.mark.parametrize(
    ("platform", "directory"),
    [
        ("linux", "usr/lib"),
        ("linux", "lib64"),
        ("linux", "usr/lib/aarch64-linux-gnu"),
        ("linux", "usr/lib/wsl/lib"),
        ("linux", "opt/python/lib"),
        ("darwin", "usr/local/lib"),
        ("darwin", "opt/homebrew/lib"),
        ("win32", "Windows/System32"),
    ],
)
def test_the_loaders_own_directories_are_searched(machine: Path, platform: str, directory: str) -> None:
    assert is_absent(machine, platform)
    place(machine, f"{directory}/{NAMES[platform]}")
    assert not is_absent(machine, platform)


@pytest.mark.parametrize(
    ("platform", "environment"),
    [
        ("linux", {"LD_LIBRARY_PATH": "/nowhere:/opt/gpu"}),
        ("linux", {"LD_LIBRARY_PATH": "/opt/gpu;/nowhere"}),
        ("darwin", {"DYLD_LIBRARY_PATH": "/opt/gpu"}),
        ("darwin", {"DYLD_FALLBACK_LIBRARY_PATH": "/opt/gpu"}),
    ],
)
def test_the_search_path_of_the_probe_counts(
    machine: Path, platform: str, environment: dict[str, str]
) -> None:
    place(machine, f"opt/gpu/{NAMES[platform]}")
    assert is_absent(machine, platform)
    assert not is_absent(machine, platform, **environment)


def test_a_directory_that_may_not_be_searched_has_nothing_in_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if "closed" in os.fspath(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *arguments, **options)

    place(machine, f"opt/gpu/{NAMES['linux']}")
    monkeypatch.setattr(os, "stat", stat)  # to root, permissions mean nothing
    assert is_absent(machine, LD_LIBRARY_PATH="/closed")
    assert not is_absent(machine, LD_LIBRARY_PATH="/closed:/opt/gpu")


def test_a_home_directory_is_searched_on_macos(machine: Path) -> None:
    place(machine, "Users/me/lib/libvulkan.1.dylib")
    assert not is_absent(machine, "darwin", HOME="/Users/me")


def test_windows_may_live_elsewhere_whatever_the_case_of_its_variable(machine: Path) -> None:
    place(machine, "WinNT/System32/vulkan-1.dll")
    assert not is_absent(machine, "win32", SystemRoot=r"D:\WinNT")


@pytest.mark.parametrize(
    "cache",
    [
        b"glibc-ld.so.cache1.1\0libvulkan.so.1\0/usr/lib/gpu/libvulkan.so.1\0",
        pytest.param(b"glibc-ld.so.cache1.1\0/usr/lib/gpu/libvulkan.so.1\0", id="one name ends another"),
    ],
)
def test_what_the_loaders_cache_knows_is_there(machine: Path, cache: bytes) -> None:
    place(machine, "etc/ld.so.cache", cache)
    assert not is_absent(machine)


@pytest.mark.parametrize("name", [b"libvulkan.so.1.3.239", b"libvulkan.so.12", b"mylibvulkan.so.1"])
def test_a_cache_that_knows_a_similar_name_says_nothing(machine: Path, name: bytes) -> None:
    place(machine, "etc/ld.so.cache", b"glibc-ld.so.cache1.1\0" + name + b"\0")
    assert is_absent(machine)


@pytest.mark.usefixtures("lavapipe")
def test_the_real_machine_is_searched_when_no_other_is_named() -> None:
    assert absence(VULKAN) is None


def test_neither_the_registry_nor_the_search_loads_a_library() -> None:
    source = "import sys, types\npackage = types.ModuleType('pytest_gpudiscover')\n"
    source += f"package.__path__ = [{PACKAGE!r}]\nsys.modules['pytest_gpudiscover'] = package\n"
    source += "from pytest_gpudiscover.native import drivers, presence\n"
    source += "[presence.absence(driver) for driver in drivers.DRIVERS.values()]\n"
    source += "assert 'ctypes' not in sys.modules and 'subprocess' not in sys.modules, sorted(sys.modules)"
    subprocess.run([sys.executable, "-I", "-S", "-c", source], check=True)


def test_every_driver_is_known_by_its_variant_and_has_a_remedy_for_each_platform() -> None:
    for variant, driver in DRIVERS.items():
        assert driver.variant == variant
        assert driver.libraries.keys() == driver.install.keys()


@pytest.mark.parametrize(
    ("platform", "path"),
    [
        ("linux", "usr/lib/x86_64-linux-gnu/libcuda.so.1"),
        ("linux", "usr/lib/wsl/lib/libcuda.so.1"),
        ("win32", "Windows/System32/nvcuda.dll"),
    ],
)
def test_cuda_is_found_where_nvidia_s_driver_puts_it(machine: Path, platform: str, path: str) -> None:
    ask = partial(absence, CUDA, platform=platform, environment={}, root=machine, prefix=machine)
    sentence = ask()
    assert sentence
    assert " is not on this machine: if there is an NVIDIA GPU, install NVIDIA's driver" in sentence
    place(machine, path)
    assert ask() is None


def test_cuda_is_not_looked_for_on_macos(machine: Path) -> None:
    sentence = absence(CUDA, platform="darwin", environment={}, root=machine, prefix=machine)
    assert sentence == "CUDA is not looked for on darwin: it is looked for on linux, win32"
