"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gpudiscover.simulation import FakeHost
from runners import library_tree, write_runner

ANY_GPU = "def test_gpu(gpu_devices):\n    assert gpu_devices\n"
"""A test that needs a GPU."""


@pytest.fixture(autouse=True)
def _only_the_plugins_that_matter() -> None:
    """All that are installed: asynchronous tests are run here too."""


@pytest.fixture(autouse=True)
def _quiet(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:randomly\nasyncio_default_fixture_loop_scope = function\n")


def ini(pytester: pytest.Pytester, *lines: str) -> None:
    pytester.makeini("\n".join(["[pytest]", "asyncio_default_fixture_loop_scope = function", *lines]))


@pytest.fixture
def no_gpu(tmp_path: Path) -> list[str]:
    """Options that point the plugin at a runner which lists nothing."""
    return ["--gpudiscover-runner", " ".join(write_runner(tmp_path, "serve(OK)", devices=[]))]


def test_a_test_that_asks_for_gpus_gets_those_of_the_runner(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_gpus(gpu_devices, gpu_discovery):
            assert isinstance(gpu_devices, tuple)
            assert [device.library for device in gpu_devices] == ["CUDA", "CUDA", "ROCm", "Vulkan", "Vulkan"]
            assert gpu_discovery.devices == gpu_devices
            assert gpu_discovery.rejected
        """
    )
    result = pytester.runpytest("--gpudiscover-runner=fake")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["gpudiscover: 5 devices: CUDA NVIDIA GeForce RTX 4090 (24.0 GiB), *"])


def test_the_header_names_devices_only_when_a_test_of_this_run_asks_for_them(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(f"{ANY_GPU}\ndef test_other(): pass\n")
    result = pytester.runpytest("--gpudiscover-runner=fake", "-k", "other")
    assert "CUDA" not in result.stdout.str()
    assert "CUDA" not in pytester.runpytest("--gpudiscover-runner=fake", "--collect-only").stdout.str()


def test_what_is_called_as_the_marker_and_is_none_starts_no_discovery(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    host = FakeHost.of("L4").save(tmp_path / "host.json")
    folder = pytester.mkdir("gpu")
    (folder / "test_it.py").write_text("class gpu:\n    def test_it(self): pass\ndef test_it(): pass\n")
    options = ["--gpudiscover-runner=fake", f"--gpudiscover-host={host.path}", "-o", "python_classes=gpu"]
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=2)
    assert not host.calls


def test_the_leases_may_lie_in_the_home_directory(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERPROFILE" if sys.platform == "win32" else "HOME", str(tmp_path))
    monkeypatch.setenv("GPUDISCOVER_LEASES", "~/leases")
    pytester.makepyfile("def test_it(gpu_lease): pass")
    pytester.runpytest_inprocess("--gpudiscover-runner=fake").assert_outcomes(passed=1)
    assert (tmp_path / "leases").is_dir()


def test_a_place_of_leases_that_depends_on_where_a_run_starts_is_a_usage_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUDISCOVER_LEASES", "leases")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*expected an absolute path in GPUDISCOVER_LEASES, got 'leases'"])


def test_without_a_gpu_the_test_is_skipped_with_the_reason(
    pytester: pytest.Pytester, no_gpu: list[str]
) -> None:
    pytester.makepyfile(ANY_GPU)
    result = pytester.runpytest("-rs", *no_gpu)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED*no usable GPU was found: 1 runner started, and none listed a device*"]
    )
    assert "gpudiscover: 0 devices" not in result.stdout.str()


def test_the_reason_of_a_skip_names_every_device_that_was_lost(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    runner = " ".join(write_runner(tmp_path, "sys.exit('the driver is too old')"))
    pytester.makepyfile(ANY_GPU)
    result = pytester.runpytest("-rs", "--gpudiscover-runner", runner)
    result.stdout.fnmatch_lines(["SKIPPED*the runner ended with code 1 *the driver is too old*"])


@pytest.mark.parametrize("way", ["option", "ini", "environment"])
def test_strict_makes_that_a_failure(
    pytester: pytest.Pytester, no_gpu: list[str], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(ANY_GPU)
    options = ["--gpudiscover-strict"] if way == "option" else []
    if way == "ini":
        ini(pytester, "gpudiscover_strict = true")
    if way == "environment":
        monkeypatch.setenv("GPUDISCOVER_STRICT", "1")
    result = pytester.runpytest(*no_gpu, *options)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no usable GPU was found*"])


def test_a_runner_that_does_not_exist_is_an_error_that_names_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ANY_GPU)
    result = pytester.runpytest("--gpudiscover-runner=/no/such/runner")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*GPU discovery cannot run: /no/such/runner: the runner does not exist*"])


def test_the_option_is_preferred_to_the_environment_and_that_to_the_ini_file(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(ANY_GPU)
    ini(pytester, "gpudiscover_runner = /from/ini")
    assert "/from/ini: the runner" in pytester.runpytest().stdout.str()
    monkeypatch.setenv("GPUDISCOVER_RUNNER", "/from/environment")
    assert "/from/environment: the runner" in pytester.runpytest().stdout.str()
    assert "/from/option: the runner" in pytester.runpytest("--gpudiscover-runner=/from/option").stdout.str()


def test_a_library_root_in_the_ini_file_is_beside_that_file(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    library_tree(pytester.path / "lib", "cuda_v13")
    runner = " ".join(write_runner(tmp_path, "serve(OK)"))
    ini(pytester, f"gpudiscover_runner = {runner}", "gpudiscover_library_root = lib")
    below = pytester.mkdir("below")
    (below / "test_it.py").write_text(
        "def test_it(gpu_devices):\n    assert gpu_devices[0].variant == 'cuda_v13'\n"
    )
    os.chdir(below)
    pytester.runpytest("-c", str(pytester.path / "tox.ini"), "--rootdir", str(pytester.path)).assert_outcomes(
        passed=1
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gpudiscover-timeout=soon"], "expected seconds above 0, got 'soon'"),
        (["--gpudiscover-timeout=0"], "expected seconds above 0, got '0'"),
        (
            ["--gpudiscover-library-root=."],
            "a library root goes with the runner ollama or with a command line",
        ),
    ],
)
def test_an_option_that_makes_no_sense_ends_the_run_before_it_starts(
    pytester: pytest.Pytester, options: list[str], said: str
) -> None:
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{said}*"])


def test_a_timeout_bounds_the_probes(pytester: pytest.Pytester, tmp_path: Path) -> None:
    runner = " ".join(write_runner(tmp_path, "listen(); import time; time.sleep(3600)"))
    pytester.makepyfile(ANY_GPU)
    result = pytester.runpytest("-rs", "--gpudiscover-runner", runner, "--gpudiscover-timeout=0.3")
    result.stdout.fnmatch_lines(["SKIPPED*listing the devices took longer than 0.3 s*"])


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixtures_work_in_asynchronous_tests(
    pytester: pytest.Pytester, mode: str, tmp_path: Path
) -> None:
    host = FakeHost.of("L4").save(tmp_path / "host.json")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.asyncio
        async def test_fixture(gpu_devices):
            assert len(gpu_devices) == 1

        @pytest.mark.asyncio
        async def test_engine(gpu_engine):
            assert len(await gpu_engine.devices(rescan=True)) == 1

        def test_synchronous(gpu_devices):
            assert len(gpu_devices) == 1
        """
    )
    fake = ["--gpudiscover-runner=fake", f"--gpudiscover-host={host.path}"]
    result = pytester.runpytest(*fake, f"--asyncio-mode={mode}", "-W", "error")
    result.assert_outcomes(passed=3)


def test_a_session_discovers_once(pytester: pytest.Pytester, tmp_path: Path) -> None:
    host = FakeHost.of("Arc A770").save(tmp_path / "host.json")
    pytester.makepyfile("\n".join(f"def test_{n}(gpu_devices): assert gpu_devices" for n in range(4)))
    fake = ["--gpudiscover-runner=fake", f"--gpudiscover-host={host.path}"]
    pytester.runpytest(*fake).assert_outcomes(passed=4)
    assert [call.phase for call in host.calls] == ["enumerate", "verify"]


def test_rejections_are_told_however_often_the_engine_was_asked_before(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.asyncio
        async def test_engine(gpu_engine):
            await gpu_engine.devices()
            await gpu_engine.devices()
            assert gpu_engine.report.rejected == ()  # a refresh has nothing to say of what was left out

        def test_rejections(gpu_discovery):
            assert {r.phase for r in gpu_discovery.rejected} == {"verify", "overlap", "duplicate"}
        """
    )
    pytester.runpytest("-q", "--gpudiscover-runner=fake").assert_outcomes(passed=2)


def test_fake_gpu_host_builds_machines_from_names_hosts_and_documents(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from pytest_gpudiscover.errors import HostFileError
        from pytest_gpudiscover.simulation import FakeHost

        def test_hosts(fake_gpu_host, tmp_path):
            named = fake_gpu_host("RTX 4090", "Radeon 780M")
            again = fake_gpu_host(FakeHost.of("RTX 4090", "Radeon 780M"))
            written = fake_gpu_host(dict(named.document))
            assert named == again == written
            assert len({named.path, again.path, written.path}) == 3
            assert [device.library for device in named.discover().devices] == ["CUDA", "Vulkan"]
            assert [call.phase for call in named.calls].count("enumerate") == 4
            assert again.calls == ()

        def test_refused(fake_gpu_host):
            with pytest.raises(HostFileError, match="no card is called .RTX 4080 Ultra.; there is: .*4090"):
                fake_gpu_host("RTX 4080 Ultra")
        """
    )
    pytester.runpytest().assert_outcomes(passed=2)


def test_a_run_that_uses_no_gpu_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    program = (
        "import sys, pytest\n"
        "pytest.main(['-q', '-p', 'pytest_gpudiscover.plugin'])\n"
        "heavy = {'asyncio', 'httpx', 'httpcore', 'hypothesis', 'psutil', 'rich'}\n"
        "ours = {n for n in sys.modules if n.startswith(('pytest_gpudiscover', 'fake_runner'))}\n"
        "print(sorted(heavy & sys.modules.keys()), sorted(ours))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout
    modules = ["", ".plugin", ".plugin.fixtures", ".plugin.options", ".plugin.simulating"]
    assert done.stdout.splitlines()[-1] == f"[] {[f'pytest_gpudiscover{name}' for name in modules]}"
