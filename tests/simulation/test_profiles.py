"""The catalogue of cards against facts that were written down from their sources, and against its page.

The facts: NVIDIA's tables of compute capabilities, Gentoo's list of `amdgpu_targets`, and the memory that
nvidia-smi, rocminfo, rocm-smi, vulkaninfo and llama.cpp print.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fake_runner import hosts
from fake_runner.profiles import PROFILES
from fake_runner.tables import size_in_bytes
from pytest_gpudiscover import DeviceInfo, Phase, Reason, Report, discover
from pytest_gpudiscover.errors import HostFileError
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.simulation.profiles import BUILDS, document_of

PAGE = Path(__file__).parents[2] / "docs" / "profiles.md"
FACTS = {
    "GTX 1060": ("6.1", "6144 MiB"),
    "RTX 2080 Ti": ("7.5", "11264 MiB"),
    "RTX 3090": ("8.6", "24576 MiB"),
    "RTX 4060 Laptop": ("8.9", "8188 MiB"),
    "RTX 4090": ("8.9", "24564 MiB"),
    "RTX 5090": ("12.0", "32607 MiB"),
    "A100 40GB": ("8.0", "40960 MiB"),
    "A100 80GB": ("8.0", "81920 MiB"),
    "A100": ("8.0", "81920 MiB"),
    "H100": ("9.0", "81559 MiB"),
    "H200": ("9.0", "143771 MiB"),
    "B200": ("10.0", "183359 MiB"),
    "L4": ("8.9", "23034 MiB"),
    "Jetson Orin": ("8.7", "61.4 GiB"),
    "DGX Spark": ("12.1", "128501256192 B"),
    "MI210": ("gfx90a", f"{67092480 * 1024} B"),
    "MI300X": ("gfx942", "206141652992 B"),
    "RX 6700 XT": ("gfx1031", f"{12566528 * 1024} B"),
    "RX 7900 XTX": ("gfx1100", "24560 MiB"),
    "Radeon 780M": ("gfx1103", "47104 MiB"),
    "Radeon 8060S": ("gfx1151", "118111600640 B"),
    "Arc A770": ("", "17079205888 B"),
    "Arc B580": ("", "12216 MiB"),
    "UHD Graphics 770": ("", "32606 MiB"),
    "Apple M2 Max": ("", "73728 MiB"),
}
"""By card: its compute capability or gfx target, and its memory as it was printed."""
UNITS = {"bytes": "B", "MiB": "MiB", "0.1 GiB": "GiB"}


def failing(*cards: str, variants: tuple[str, ...]) -> set[tuple[str, str]]:
    """Which variant fails on which card."""
    document = document_of(cards, variants=variants)
    return {(fault["variant"], cards[int(fault["device"][3:])]) for fault in document["fault"]}


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_catalogue_has_exactly_the_cards_that_were_checked() -> None:
    assert set(PROFILES) == set(FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_a_card_has_the_compute_capability_and_the_memory_of_its_sources(name: str) -> None:
    compute, printed = FACTS[name]
    assert PROFILES[name].compute == compute
    assert PROFILES[name].memory == size_in_bytes(printed)


@pytest.mark.parametrize("name", FACTS)
def test_a_card_says_how_precisely_its_memory_is_known(name: str) -> None:
    printed = FACTS[name][1]
    assert printed.endswith(f" {UNITS[PROFILES[name].precision]}")


@pytest.mark.parametrize("name", FACTS)
def test_a_card_has_a_source_on_one_line_that_says_what_printed_its_memory_and_where(name: str) -> None:
    assert re.fullmatch(r".{10,80}, (in|beside) .{10,80}", PROFILES[name].source)


@pytest.mark.parametrize("name", FACTS)
def test_the_figures_of_a_card_are_what_a_host_file_may_say_of_a_gpu(name: str) -> None:
    host = hosts.parse({"gpu": [{"name": "it", **PROFILES[name].figures}]})
    figures = host.gpus["it"].figures
    assert figures["description"] == PROFILES[name].description
    assert figures["total_memory"] == figures["free_memory"] == PROFILES[name].memory
    assert figures["integrated"] == PROFILES[name].integrated
    assert ("compute" in figures, "driver" in figures) == (
        bool(PROFILES[name].compute),
        bool(PROFILES[name].driver),
    )


def test_an_integrated_gpu_shares_the_system_s_memory() -> None:
    assert all(profile.unified for profile in PROFILES.values() if profile.integrated)
    assert {name for name, profile in PROFILES.items() if profile.unified and not profile.integrated} == {
        "Apple M2 Max"
    }


def test_a_runner_that_names_no_card_does_not_read_the_catalogue() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import fake_runner.scripts, fake_runner.hosts\n"
        "fake_runner.hosts.parse({'gpu': [{'name': 'a', 'total_memory': 1}]})\n"
        "print('fake_runner.profiles' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(PAGE.parents[1])], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_cuda_13_dropped_what_came_before_turing() -> None:
    assert failing("GTX 1060", "RTX 2080 Ti", "B200", "RTX 5090", "DGX Spark", variants=("cuda_v13",)) == {
        ("cuda_v13", "GTX 1060")
    }


def test_a_build_before_cuda_12_8_without_ptx_ends_at_hopper() -> None:
    cards = ("GTX 1060", "RTX 4090", "H200", "B200", "RTX 5090", "DGX Spark")
    assert failing(*cards, variants=("cuda_v12",)) == {
        ("cuda_v12", "B200"),
        ("cuda_v12", "RTX 5090"),
        ("cuda_v12", "DGX Spark"),
    }


def test_ollama_s_own_build_for_cuda_12_covers_every_nvidia_card() -> None:
    cards = [name for name, card in PROFILES.items() if card.vendor == "NVIDIA" and not card.jetson]
    assert failing(*cards, variants=("cuda_v12_8", "cuda_v11")) == set()


def test_a_binary_runs_on_a_higher_minor_of_its_major_and_not_on_a_lower_one() -> None:
    ada, ampere = PROFILES["RTX 4090"], PROFILES["A100"]
    build = type(BUILDS["cuda_v12"])(library="CUDA", binaries=("8.6",))
    assert build.supports(ada)
    assert not build.supports(ampere)
    assert not build.supports(PROFILES["H100"])


def test_rocm_has_kernels_for_some_targets_only_and_rocm_7_for_the_780m_too() -> None:
    cards = [name for name, card in PROFILES.items() if card.vendor == "AMD"]
    assert failing(*cards, variants=("rocm", "rocm_v7_2")) == {
        ("rocm", "RX 6700 XT"),
        ("rocm", "Radeon 780M"),
        ("rocm_v7_2", "RX 6700 XT"),
    }


def test_a_jetson_is_listed_by_the_cuda_of_its_own_board_and_by_nothing_else() -> None:
    assert list(FakeHost.of("Jetson Orin", "RTX 4090").document["variant"]) == [
        "cuda_v13",
        "cuda_v12",
        "cuda_jetpack6",
        "vulkan",
    ]
    document = document_of(["Jetson Orin", "RTX 4090"], variants=list(BUILDS))
    listing = {name for name, variant in document["variant"].items() if "gpu0" in variant["devices"]}
    assert listing == {"cuda_jetpack5", "cuda_jetpack6"}


@pytest.mark.parametrize(
    ("card", "variants"),
    [
        ("RTX 4090", ["cuda_v13", "cuda_v12", "vulkan"]),
        ("MI300X", ["rocm"]),
        ("RX 7900 XTX", ["rocm", "vulkan"]),
        ("Arc B580", ["vulkan"]),
        ("Apple M2 Max", [""]),
    ],
)
def test_a_card_is_listed_by_the_libraries_that_know_its_maker(card: str, variants: list[str]) -> None:
    assert list(FakeHost.of(card).document["variant"]) == variants


def kept(report: Report) -> list[tuple[str, str, str]]:
    return [(device.library, device.variant, device.description) for device in report.devices]


def first(report: Report) -> DeviceInfo:
    return report.devices[0]


def test_partial_coverage_splits_two_generations_over_two_variants() -> None:
    report = discover(FakeHost.of("GTX 1060", "RTX 5090").in_memory(without_variants=["vulkan"]))
    assert sorted(kept(report)) == [
        ("CUDA", "cuda_v12", "NVIDIA GeForce GTX 1060 6GB"),
        ("CUDA", "cuda_v13", "NVIDIA GeForce RTX 5090"),
    ]
    assert {(r.phase, r.reason, r.variant, r.description) for r in report.rejected} == {
        (Phase.VERIFY, Reason.CRASHED, "cuda_v13", "NVIDIA GeForce GTX 1060 6GB"),
        (Phase.VERIFY, Reason.CRASHED, "cuda_v12", "NVIDIA GeForce RTX 5090"),
    }


def test_vulkan_calls_a_radeon_by_its_driver_s_name_for_it() -> None:
    host = FakeHost.of("Radeon 8060S")
    assert kept(discover(host.in_memory())) == [("ROCm", "rocm", "AMD Radeon Graphics")]
    assert kept(discover(host.in_memory(variant="vulkan"))) == [
        ("Vulkan", "vulkan", "Radeon 8060S Graphics (RADV GFX1151)")
    ]


def test_a_discovered_card_shows_the_figures_of_its_profile() -> None:
    device = first(discover(FakeHost.of("MI210").in_memory()))
    assert (device.compute, device.total_memory, device.driver) == ("gfx90a", 68702699520, "60342.13")
    device = first(discover(FakeHost.of("H200").in_memory()))
    assert (device.compute, device.total_memory, device.driver) == ("9.0", 143771 << 20, "13.0")


def test_an_unknown_card_or_variant_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(HostFileError, match=r"no card is called 'RTX 4080'; there is: GTX 1060, .*A100$"):
        FakeHost.of("RTX 4080")
    with pytest.raises(HostFileError, match=r"no variant is called 'cuda_v9'; there is: cuda_v13, .*, ''$"):
        document_of(["RTX 4090"], variants=["cuda_v9"])


def test_the_page_shows_every_card_with_its_figures_and_its_source() -> None:
    assert table("Cards") == [
        [
            name,
            profile.description,
            str(profile.memory),
            profile.precision,
            profile.compute,
            profile.driver,
            ("the system" if profile.unified else "the card") + ", integrated" * profile.integrated,
            profile.source,
        ]
        for name, profile in PROFILES.items()
        if name != "A100"
    ]


def test_the_page_shows_what_every_variant_was_built_for() -> None:
    shown = [row[:4] for row in table("Variants")]
    assert shown == [
        ["`" + (name or '""') + "`", build.library, ", ".join(build.binaries), build.ptx]
        for name, build in BUILDS.items()
    ]


def test_the_page_gives_vulkan_s_name_where_it_is_another() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    for profile in PROFILES.values():
        assert f"`{profile.vulkan}`" in page or profile.vulkan in ("", profile.description)
