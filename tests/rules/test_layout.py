"""Where an installation keeps its libraries, on every platform, as pure functions of names."""

from __future__ import annotations

import pytest

from pytest_gpudiscover.installations.layout import pure_path, root_candidates, variant_names


@pytest.mark.parametrize(
    ("system", "executable", "working_directory", "candidates"),
    [
        (
            "linux",
            "/usr/bin/ollama",
            "/home/me",
            ["/usr/lib/ollama", "/usr/bin/build/lib/ollama", "/home/me/build/lib/ollama", "/usr/bin"],
        ),
        (
            "darwin",
            "/Applications/Ollama.app/ollama",
            "/Users/me",
            [
                "/Applications/Ollama.app",
                "/Applications/Ollama.app/build/lib/ollama",
                "/Users/me/build/lib/ollama",
                "/Applications/Ollama.app",
            ],
        ),
        (
            "win32",
            r"C:\Programs\Ollama\ollama.exe",
            r"D:\work",
            [
                r"C:\Programs\Ollama\lib\ollama",
                r"C:\Programs\Ollama\build\lib\ollama",
                r"D:\work\build\lib\ollama",
                r"C:\Programs\Ollama",
            ],
        ),
    ],
)
def test_the_root_is_looked_for_beside_the_executable_and_last_it_is_its_directory(
    system: str, executable: str, working_directory: str, candidates: list[str]
) -> None:
    assert root_candidates(executable, working_directory, system) == candidates


def test_without_a_working_directory_nothing_is_looked_for_below_it() -> None:
    assert root_candidates("/opt/bin/ollama", "", "linux") == [
        "/opt/lib/ollama",
        "/opt/bin/build/lib/ollama",
        "/opt/bin",
    ]


def test_an_executable_in_the_root_directory_has_a_library_root() -> None:
    assert root_candidates("/ollama", "/", "linux")[0] == "/lib/ollama"


def test_a_path_is_read_as_its_platform_reads_it() -> None:
    assert pure_path(r"C:\a\b", "win32").name == "b"
    assert pure_path(r"C:\a\b", "linux").name == r"C:\a\b"


@pytest.mark.parametrize(
    "name", ["libggml-cuda.so", "ggml-hip.dll", "libggml-vulkan.so.0", "ggml-", ".ggml-cuda", "a\nggml-b"]
)
def test_a_directory_with_a_ggml_file_is_a_variant(name: str) -> None:
    assert variant_names({"cuda_v13": ["README", name]}, "linux") == ["cuda_v13"]


@pytest.mark.parametrize(
    "names", [[], ["libmlx.so"], ["libggml.so"], ["GGML-cuda.so"], ["ggml_cuda.so"], ["ggml"]]
)
def test_a_directory_without_one_is_none(names: list[str]) -> None:
    assert variant_names({"mlx_cuda_v13": names}, "linux") == []


def test_windows_finds_its_files_without_case() -> None:
    assert variant_names({"cuda_v13": ["GGML-CUDA.DLL"]}, "win32") == ["cuda_v13"]


@pytest.mark.parametrize("directory", [".hidden", "name with blanks", "[x]", "*", "rocm"])
def test_any_name_of_a_directory_will_do(directory: str) -> None:
    assert variant_names({directory: ["libggml-hip.so"]}, "linux") == [directory]
