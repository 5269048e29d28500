"""Masks that hide a whole library, as a discovery meets them, and whether they are said to be the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpudiscover import Report, discover
from pytest_gpudiscover.explaining import why_none, why_not
from pytest_gpudiscover.requirements import Requirement
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.surroundings import Surroundings

BOTH = FakeHost.of("RTX 4090", "MI300X")
CAUSE = "the cause: every"


def seen(host: FakeHost, **masks: str) -> Report:
    environment = {f"{name}_VISIBLE_DEVICES": value for name, value in masks.items()}
    installation = host.in_memory(without_variants=["cuda_v12"])
    return discover(installation, surroundings=Surroundings(environment=environment))


@pytest.mark.parametrize(
    ("library", "masks", "variable"),
    [
        ("CUDA", {"CUDA": ""}, 'CUDA_VISIBLE_DEVICES=""'),
        ("CUDA", {"CUDA": "-1"}, "CUDA_VISIBLE_DEVICES=-1"),
        ("CUDA", {"CUDA": "NoDevFiles"}, "CUDA_VISIBLE_DEVICES=NoDevFiles"),
        ("ROCm", {"ROCR": ""}, 'ROCR_VISIBLE_DEVICES=""'),
        ("ROCm", {"ROCR": "-1"}, "ROCR_VISIBLE_DEVICES=-1"),
        ("ROCm", {"HIP": "-1"}, "HIP_VISIBLE_DEVICES=-1"),
        ("ROCm", {"CUDA": "-1"}, "CUDA_VISIBLE_DEVICES=-1"),
        ("Vulkan", {"GGML_VK": ""}, 'GGML_VK_VISIBLE_DEVICES=""'),
    ],
)
def test_a_mask_that_hides_the_library_that_is_needed_is_the_cause(
    library: str, masks: dict[str, str], variable: str
) -> None:
    said = why_not(Requirement(library=library), seen(BOTH, **masks)).split("; ")
    assert said[2] == f"{variable} is {CAUSE} {library} device is hidden" or (
        said[2] == f"{variable} is {CAUSE} CUDA and {library} device is hidden"
    )


@pytest.mark.parametrize(
    ("needed", "masks"),
    [
        ("2xROCm", {"CUDA": ""}),
        ("ROCm>=1TiB", {"CUDA": "", "GGML_VK": ""}),
        ("2xCUDA", {"ROCR": "", "HIP": "-1"}),
        ("2xCUDA", {"CUDA": "0"}),
        ("Metal", {"CUDA": "-1", "GGML_VK": ""}),
    ],
)
def test_a_mask_that_hides_nothing_that_is_needed_is_not_the_cause(
    needed: str, masks: dict[str, str]
) -> None:
    said = why_not(Requirement.parse(needed), seen(BOTH, **masks))
    assert said.startswith("needed: ")
    assert CAUSE not in said


def test_a_library_whose_runner_crashes_is_not_hidden_by_its_mask() -> None:
    host = BOTH.with_fault("signal", variant="cuda_v13", signal="SEGV")
    said = why_not(Requirement(library="CUDA"), seen(host, CUDA=""))
    assert CAUSE not in said
    assert "cuda_v13: the runner was ended by SIGSEGV" in said


def test_a_library_that_no_runner_looks_for_is_not_hidden_by_its_mask() -> None:
    only_rocm = {"rocm": BOTH.document["variant"]["rocm"]}
    host = FakeHost({**BOTH.document, "variant": only_rocm, "fault": []})
    said = why_not(Requirement(library="CUDA"), seen(host, CUDA=""))
    assert CAUSE not in said
    assert 'CUDA_VISIBLE_DEVICES="" is set' in said


def test_no_device_at_all_is_explained_by_the_masks_that_hide_them() -> None:
    said = why_none(seen(BOTH, CUDA="-1", GGML_VK="")).removeprefix("no usable GPU was found: ").split("; ")
    assert said == [
        f"CUDA_VISIBLE_DEVICES=-1 is {CAUSE} CUDA and ROCm device is hidden",
        f'GGML_VK_VISIBLE_DEVICES="" is {CAUSE} Vulkan device is hidden',
        "3 runners started, and none listed a device",
    ]


def test_a_mask_that_hides_everything_from_real_runners_is_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    host = FakeHost.of("RTX 4090", "RTX 3090").save(tmp_path / "host.json")
    report = discover(host.installation(variant="cuda_v13"))
    assert why_not(Requirement.parse("2xCUDA>=16GiB"), report) == (
        "needed: 2 CUDA devices of 16.0 GiB or more; usable: 0 of 0 devices; "
        'CUDA_VISIBLE_DEVICES="" is the cause: every CUDA device is hidden; '
        "1 runner started, and none listed a device"
    )
