"""Simulated machines: ready-made ones, a file for the whole run, one test on several machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_gpudiscover import Discovery, Phase, Reason, discover
from pytest_gpudiscover.plugin import FakeGpuHosts
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.text import GIB

HOST_FILE = """
[[gpu]]
name = "only"
description = "Only Card"
total_memory = "8 GiB"

[variant.cuda_v13]
library = "CUDA"
devices = ["only"]
"""
ONLY_CARD = "def test_it(gpu_devices): assert [gpu.description for gpu in gpu_devices] == ['Only Card']\n"


@pytest.fixture(autouse=True)
def _quiet(pytester: pytest.Pytester) -> None:
    ini(pytester)


def ini(pytester: pytest.Pytester, *lines: str) -> None:
    pytester.makeini("\n".join(["[pytest]", *lines]))


@pytest.fixture
def host_file(tmp_path: Path) -> Path:
    path = tmp_path / "host.toml"
    path.write_text(HOST_FILE, encoding="utf-8")
    return path


# Ready-made machines


def test_on_the_crashing_machine_the_healthy_card_survives(crashing_gpu_host: FakeHost) -> None:
    report = crashing_gpu_host.discover()
    assert [(device.library, device.pci_id) for device in report.devices] == [("CUDA", "0000:01:00.0")]
    assert [(r.phase, r.reason, r.variant, r.pci_id) for r in report.rejected] == [
        (Phase.ENUMERATE, Reason.CRASHED, "rocm", ""),
        (Phase.VERIFY, Reason.CRASHED, "cuda_v13", "0000:02:00.0"),
    ]
    assert [r.detail.split()[5] for r in report.rejected] == ["SIGABRT", "SIGSEGV"]


def test_the_crashing_machine_can_be_healed(crashing_gpu_host: FakeHost) -> None:
    assert len(discover(crashing_gpu_host.heal().in_memory()).devices) == 3


def test_on_the_slow_machine_the_hanging_card_is_lost_and_the_slow_one_is_not(
    slow_gpu_host: FakeHost,
) -> None:
    report = discover(slow_gpu_host.in_memory(), enumerate_timeout=20, verify_timeout=2)
    assert [device.library for device in report.devices] == ["CUDA", "ROCm"]
    assert [(r.phase, r.reason, r.pci_id) for r in report.rejected] == [
        (Phase.VERIFY, Reason.TIMEOUT, "0000:02:00.0")
    ]


def test_on_the_slow_machine_a_short_timeout_loses_the_slow_variant_too(slow_gpu_host: FakeHost) -> None:
    report = discover(slow_gpu_host.in_memory(), enumerate_timeout=0.2, verify_timeout=0.2)
    assert [(r.phase, r.variant, r.pci_id) for r in report.rejected] == [
        (Phase.ENUMERATE, "rocm", ""),
        (Phase.VERIFY, "cuda_v13", "0000:02:00.0"),
    ]


def test_on_the_duplicate_machine_one_gpu_is_used_once_and_twins_are_two(
    duplicate_gpu_host: FakeHost,
) -> None:
    report = duplicate_gpu_host.discover()
    assert [device.library for device in report.devices] == ["CUDA", "Vulkan", "Vulkan"]
    assert [device.pci_id for device in report.devices] == ["0000:01:00.0", "", ""]
    assert [(r.phase, r.library) for r in report.rejected] == [(Phase.DUPLICATE, "Vulkan")]


def test_on_the_integrated_machine_shared_memory_is_the_system_s(integrated_gpu_host: FakeHost) -> None:
    surroundings = Surroundings(available_memory=lambda: 100 * GIB)
    report = integrated_gpu_host.discover(surroundings=surroundings)
    assert [(device.library, device.integrated, device.free_memory) for device in report.devices] == [
        ("CUDA", True, 100 * GIB),
        ("CUDA", False, 23 * GIB),
        ("Vulkan", True, 14 * GIB),
    ]
    assert report.rejected == ()


async def test_a_ready_made_machine_is_a_value_that_changes_and_can_be_adapted(
    crashing_gpu_host: FakeHost, fake_gpu_host: FakeGpuHosts
) -> None:
    worse = fake_gpu_host(crashing_gpu_host.with_fault("status", variant="cuda_v13"))
    assert worse.path != crashing_gpu_host.path
    assert (await Discovery(worse.in_memory()).devices()) == ()
    discovery = Discovery(crashing_gpu_host.in_memory())
    (healthy,) = await discovery.devices()
    crashing_gpu_host.set_free_memory("healthy", "1 GiB")
    assert [device.free_memory for device in await discovery.devices()] == [GIB] != [healthy.free_memory]


# A host file for the whole run


@pytest.mark.parametrize("way", ["option", "environment", "ini", "variable of the fake runner"])
def test_a_whole_run_can_use_the_machine_of_a_host_file(
    pytester: pytest.Pytester, host_file: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = []
    if way == "option":
        options = [f"--gpudiscover-host={host_file}"]
    elif way == "ini":
        ini(pytester, f"gpudiscover_host = {os.path.relpath(host_file, pytester.path)}")
    else:
        monkeypatch.setenv("GPUDISCOVER_HOST" if way == "environment" else "FAKE_RUNNER_HOST", str(host_file))
    pytester.makepyfile(ONLY_CARD)
    os.chdir(pytester.mkdir("elsewhere"))
    below = ["-c", str(pytester.path / "tox.ini"), str(pytester.path)]
    pytester.runpytest("--gpudiscover-runner=fake", *options, *below).assert_outcomes(passed=1)


def test_a_host_that_is_named_wins_over_the_variable_of_the_fake_runner(
    pytester: pytest.Pytester, host_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_RUNNER_HOST", "/no/such/host.toml")
    pytester.makepyfile(ONLY_CARD)
    result = pytester.runpytest("--gpudiscover-runner=fake", f"--gpudiscover-host={host_file}")
    result.assert_outcomes(passed=1)


def refusal(pytester: pytest.Pytester, *options: str) -> str:
    """What a run says that is refused before its first test."""
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.startswith("ERROR: ")]
    return line


@pytest.mark.parametrize("runner", ["native", "ollama", "./my-runner"])
def test_a_host_file_goes_with_no_other_runner(
    pytester: pytest.Pytester, host_file: Path, runner: str
) -> None:
    said = refusal(pytester, "--gpudiscover-runner", runner, f"--gpudiscover-host={host_file}")
    assert said == f"ERROR: gpudiscover: a host file goes with the runner fake, not with {runner}"


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (
            HOST_FILE.replace('["only"]', '["lonely"]'),
            "variant.'cuda_v13'.devices[0].gpu: expected one of 'only'",
        ),
        (HOST_FILE + "[[fault]]\nname = 'melt'", "fault[0].name: expected one of 'mask_ignored', "),
        ("gpu = 1 = 2", "is no TOML"),
        (None, "cannot be read: No such file or directory"),
    ],
    ids=["name", "fault", "syntax", "missing"],
)
def test_a_broken_host_file_is_refused_with_its_place_and_what_would_be_right(
    pytester: pytest.Pytester, host_file: Path, contents: str | None, said: str
) -> None:
    host_file.unlink() if contents is None else host_file.write_text(contents, encoding="utf-8")
    line = refusal(pytester, "--gpudiscover-runner=fake", f"--gpudiscover-host={host_file}")
    assert line.startswith(f"ERROR: gpudiscover: {host_file}: {said}")


def test_a_broken_file_of_the_fake_runner_s_variable_is_refused_with_the_variable(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_RUNNER_HOST", "/no/such/host.toml")
    line = refusal(pytester, "--gpudiscover-runner=fake")
    assert line.startswith("ERROR: gpudiscover: FAKE_RUNNER_HOST: /no/such/host.toml: cannot be read")


# One test on several machines


def test_one_test_runs_on_several_machines_and_says_on_which(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from pytest_gpudiscover import discover
        from pytest_gpudiscover.simulation import FakeHost

        MACHINES = [
            "jetson",
            ("RTX 4090", "MI300X"),
            ["L4", "L4"],
            FakeHost.of("L4").with_fault("reorder"),
            {"gpu": [], "variant": {}},
            (),
        ]

        @pytest.mark.parametrize("gpu_host", MACHINES, indirect=True)
        def test_it(gpu_host):
            assert gpu_host.path.exists()
            assert len(discover(gpu_host.in_memory()).devices) == len(gpu_host.document["gpu"])

        @pytest.mark.parametrize("other", [("a", "b")])
        def test_other(other): pass
        """
    )
    result = pytester.runpytest("-v")
    result.assert_outcomes(passed=7)
    names = [line.partition("[")[2].partition("]")[0] for line in result.outlines if "PASSED" in line]
    assert names == [
        "jetson",
        "RTX 4090, MI300X",
        "2x L4",
        "NVIDIA L4, reorder",
        "gpu_host4",
        "no GPU",
        "other0",
    ]


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        (
            "'toaster'",
            "gpu_host: no machine is called 'toaster'; there is: hybrid_laptop, *, or a tuple of cards*",
        ),
        ("('RTX 4080 Ultra',)", "gpu_host: no card is called 'RTX 4080 Ultra'; there is: *RTX 4090*"),
        ("7", "gpu_host: no machine is called 7; there is: *"),
    ],
)
def test_a_machine_that_does_not_exist_is_refused_with_those_that_do(
    pytester: pytest.Pytester, parameter: str, said: str
) -> None:
    pytester.makepyfile(
        f"import pytest\n@pytest.mark.parametrize('gpu_host', [{parameter}], indirect=True)\n"
        "def test_it(gpu_host): pass\n"
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])


def test_a_test_that_forgets_the_machines_is_told_how(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(gpu_host): pass")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["gpu_host needs a machine: @pytest.mark.parametrize(*"])
