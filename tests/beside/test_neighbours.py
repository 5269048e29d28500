"""The plugin beside the plugins that its users have: `tox run -e beside`.

They are not installed where the other tests run, because some of them change every run they are loaded in.
"""

from __future__ import annotations

import pytest

from company import RIGHT, Run, assert_right
from pytest_gpudiscover.simulation import FakeHost

ASYNCIO = ("-o", "asyncio_default_fixture_loop_scope=function")
"""Without it pytest-asyncio warns."""

NEIGHBOURS = {
    "xdist": ("xdist", "-n2"),
    "xdist, one worker for each GPU": ("xdist", "-nauto", "--gpudiscover-workers=count"),
    "xdist, no workers": ("xdist", "-n0"),
    "randomly": ("randomly",),
    "timeout": ("timeout", "--timeout=300"),
    "timeout in a thread": ("timeout", "--timeout=300", "--timeout-method=thread"),
    "cov": ("pytest_cov", "--cov=.", "--cov-report=term"),
    "asyncio, auto": ("asyncio", "--asyncio-mode=auto", *ASYNCIO),
    "asyncio, strict": ("asyncio", "--asyncio-mode=strict", *ASYNCIO),
    "anyio": ("anyio",),
    "rerunfailures": ("rerunfailures", "--reruns=2"),
}
"""Each plugin by its entry point, with the options that put it to work."""


@pytest.mark.parametrize(
    ("neighbour", "options"), [(name, rest) for name, *rest in NEIGHBOURS.values()], ids=[*NEIGHBOURS]
)
def test_beside_one_plugin_all_is_right(run_beside: Run, neighbour: str, options: list[str]) -> None:
    assert_right(run_beside(neighbour, *options))


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_beside_all_of_them_at_once_all_is_right(run: Run, workers: str, mode: str) -> None:
    options = ("--timeout=300", "--cov=.", "--reruns=1", f"--asyncio-mode={mode}")
    assert_right(run(*ASYNCIO, workers, *options))


@pytest.mark.parametrize(
    ("neighbour", "mark"), [("asyncio", "asyncio"), ("anyio", "anyio")], ids=["asyncio", "anyio"]
)
def test_a_lease_holds_in_an_asynchronous_test(
    run_beside: Run, pytester: pytest.Pytester, neighbour: str, mark: str
) -> None:
    pytester.makepyfile(
        test_asynchronous=f"""
        import pytest

        @pytest.mark.{mark}
        @pytest.mark.gpu(count=2)
        async def test_lease(gpu_lease, gpu_devices):
            assert gpu_lease.devices == gpu_devices
        """
    )
    more = ASYNCIO if neighbour == "asyncio" else ("-k", "asyncio or not test_asynchronous")
    assert_right(run_beside(neighbour, *more), passed=8)


def test_a_test_that_is_run_again_leases_again(run_beside: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_flaky="""
        import pytest

        tries = []

        @pytest.mark.gpu(count=2)
        def test_flaky(gpu_lease):
            tries.append(gpu_lease)
            assert len(gpu_lease.devices) == 2
            assert len(tries) == 3, "not yet"
        """
    )
    result = run_beside("rerunfailures", "--reruns=2")
    assert_right(result, passed=8)
    assert result.parseoutcomes()["rerun"] == 2


@pytest.mark.parametrize(
    ("method", "workers"),
    [("signal", []), ("thread", ["-pxdist", "-n1"])],
    ids=["by a signal", "with its worker"],
)
def test_a_test_that_hangs_in_its_lease_is_ended_and_the_next_one_gets_it(
    run_beside: Run, pytester: pytest.Pytester, method: str, workers: list[str]
) -> None:
    pytester.makepyfile(
        test_hanging=f"""
        import threading
        import pytest

        @pytest.mark.timeout(1, method="{method}", func_only=True)
        @pytest.mark.gpu(count=2)
        def test_hangs(gpu_lease):
            threading.Event().wait()
        """
    )
    result = run_beside("timeout", *workers)
    result.assert_outcomes(**RIGHT, failed=1)
    assert "warning" not in result.stdout.str().lower()


def test_whoever_leaves_the_plugin_out_has_none_of_it(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_other="def test_other(): pass")
    result = run(*ASYNCIO, "-p", "no:gpudiscover", "test_other.py")
    result.assert_outcomes(passed=1)
    assert "gpudiscover" not in result.stdout.str()
    assert run(*ASYNCIO, "-p", "no:gpudiscover", "--fixtures").stdout.str().count("gpu_lease") == 0


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_whoever_only_collects_starts_no_discovery(run: Run, machine: FakeHost, workers: str) -> None:
    result = run(*ASYNCIO, workers, "--collect-only")
    result.stdout.fnmatch_lines(["*<Function test_lease>"])
    assert result.ret == pytest.ExitCode.OK
    assert result.stderr.lines == []
    assert machine.calls == ()


def test_another_project_s_marker_of_the_same_name_is_tolerated(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = gpu: needs a GPU\naddopts = --strict-markers")
    assert_right(run(*ASYNCIO, "-n2"))
