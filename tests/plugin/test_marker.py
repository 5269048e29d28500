"""The marker: what it may say, which one decides, and what becomes of a test that it is on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover.errors import RequirementError
from pytest_gpudiscover.plugin.asked import Asked
from pytest_gpudiscover.requirements import Compute, Requirement
from pytest_gpudiscover.simulation import FakeHost
from runners import write_runner
from suites import on, pytest_alone, with_ini


@pytest.fixture(autouse=True)
def _quiet(pytester: pytest.Pytester) -> None:
    with_ini(pytester)


@pytest.fixture
def two_l4(tmp_path: Path) -> list[str]:
    """Options that give a run two cards of 24 GB."""
    return on(FakeHost.of("L4", "L4"), tmp_path)


@pytest.fixture
def no_discovery() -> list[str]:
    """Options with which discovery cannot run: who discovers all the same is found out."""
    return ["--gpudiscover-runner=/no/such/runner"]


def asked(*args: Any, **kwargs: Any) -> Asked:
    return Asked.by(pytest.mark.gpu(*args, **kwargs).mark)


def test_a_bare_marker_asks_for_one_whole_device_of_any_kind() -> None:
    assert Asked.by(pytest.mark.gpu.mark) == asked() == Asked()
    assert asked().requirement == Requirement(count=1)
    assert not asked().share


def test_arguments_may_be_given_by_position_or_by_name() -> None:
    by_name = asked(count=2, library="CUDA", min_memory=16 << 30, min_compute="8.9", exclusive=True)
    assert asked(2, "CUDA", 16 << 30, "8.9", True) == by_name
    assert by_name.exclusive
    assert by_name.requirement == Requirement(
        count=2, library="CUDA", min_memory=16 << 30, min_compute=Compute.parse("8.9")
    )


def test_only_memory_without_exclusive_shares_a_device() -> None:
    assert asked(min_memory="1GiB").share
    assert not asked(min_memory="1GiB", exclusive=True).share
    assert not asked(count=2).share


@pytest.mark.parametrize("size", ["16GiB", "16 gib", "17179869184", 17179869184])
def test_memory_is_bytes_or_text_with_a_unit(size: str | int) -> None:
    assert asked(min_memory=size).requirement.min_memory == 16 << 30


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("8.9", (8, 9)),
        (8.9, (8, 9)),
        (8.10, (8, 1)),
        ("8.10", (8, 10)),
        (9, (9, 0)),
        (12.0, (12, 0)),
        ((8, 9), (8, 9)),
    ],
)
def test_compute_is_text_or_a_number_or_a_pair(written: Any, level: tuple[int, int]) -> None:
    compute = asked(min_compute=written).requirement.min_compute
    assert compute
    assert (compute.rocm, compute.level) == (False, level)


def test_a_compute_of_rocm_is_its_target() -> None:
    compute = asked(min_compute="gfx90a").requirement.min_compute
    assert compute
    assert (compute.rocm, compute.level) == (True, (9, 0x0A))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"count": 0}, "count: expected a whole number above 0, got 0"),
        ({"count": True}, "count: expected a whole number above 0, got True"),
        ({"count": 2.0}, "count: expected a whole number above 0, got 2.0"),
        ({"count": "a100"}, "count: expected a whole number above 0, got 'a100'"),
        ({"library": 3}, "library: expected a name such as 'CUDA', or None for any, got 3"),
        ({"library": " "}, "library: expected a name such as 'CUDA', or None for any, got ' '"),
        ({"min_memory": "16 apples"}, "min_memory: '16 apples' is no size: expected bytes, or a number with"),
        (
            {"min_memory": 16e9},
            "min_memory: expected bytes as a whole number, or text such as '16GiB', got 1600",
        ),
        (
            {"min_memory": True},
            "min_memory: expected bytes as a whole number, or text such as '16GiB', got True",
        ),
        (
            {"min_memory": 16},
            "min_memory: expected 1 MiB or more, as bytes or as text such as '16GiB', got 16",
        ),
        (
            {"min_memory": "16"},
            "min_memory: expected 1 MiB or more, as bytes or as text such as '16GiB', got '16'",
        ),
        ({"min_memory": -(1 << 30)}, "min_memory: expected 1 MiB or more"),
        (
            {"min_compute": "new"},
            r"min_compute: expected '8.9', 8.9, \(8, 9\), or 'gfx90a' for ROCm, got 'new'",
        ),
        ({"min_compute": 8.95}, "min_compute: .* got 8.95"),
        ({"min_compute": True}, "min_compute: .* got True"),
        ({"min_compute": (8, 9, 0)}, r"min_compute: .* got \(8, 9, 0\)"),
        ({"min_compute": (8, True)}, r"min_compute: .* got \(8, True\)"),
        ({"min_compute": float("nan")}, "min_compute: .* got nan"),
        ({"exclusive": 1}, "exclusive: expected True or False, got 1"),
        ({"counts": 1}, "got an unexpected keyword argument 'counts'"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(RequirementError, match=said):
        asked(**arguments)


def test_too_many_arguments_are_refused() -> None:
    with pytest.raises(RequirementError, match="too many positional arguments"):
        asked(1, None, None, None, False, 1)


WRONG = """
    import pytest

    def test_fine(): pass

    @pytest.mark.gpu(counts=2)
    def test_unknown(): pass

    @pytest.mark.gpu(count=0)
    @pytest.mark.parametrize("n", range(3))
    def test_none(n): pass
"""


@pytest.mark.parametrize("options", [[], ["--collect-only"], ["-q"], ["-n2"]], ids=str)
def test_a_wrong_marker_is_one_usage_error_that_names_its_tests(
    pytester: pytest.Pytester, options: list[str], tmp_path: Path
) -> None:
    pytester.makepyfile(test_it=WRONG)
    machine = on(FakeHost.of("L4"), tmp_path)
    result = pytest_alone(pytester, *options, *machine)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.errlines if line.strip()]
    unknown, none, hint = errors
    assert unknown == (
        "ERROR: test_it.py::test_unknown: @pytest.mark.gpu: got an unexpected keyword argument 'counts'"
    )
    assert none == (
        "ERROR: test_it.py::test_none[0] and 2 more: @pytest.mark.gpu: "
        "count: expected a whole number above 0, got 0"
    )
    assert hint.startswith("ERROR: gpudiscover: expected @pytest.mark.gpu(count=1, library=None, ")
    assert "gpudiscover_marker" in hint
    assert "passed" not in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()
    assert "node down" not in result.stdout.str()
    assert not FakeHost.load(tmp_path / "machine.json").calls


def test_a_wrong_marker_on_a_test_that_was_deselected_is_no_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=WRONG)
    pytester.runpytest("-k", "fine").assert_outcomes(passed=1, deselected=4)


def test_a_test_that_its_marker_admits_runs_and_any_other_is_skipped_with_the_reason(
    pytester: pytest.Pytester, two_l4: list[str]
) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.gpu
        def test_one(): pass

        @pytest.mark.gpu(2, "cuda", "20GiB", 8.9)
        def test_two(): pass

        @pytest.mark.gpu(count=3)
        def test_three(): pass

        @pytest.mark.gpu(library="ROCm")
        def test_rocm(): pass

        @pytest.mark.gpu(min_memory="80GiB")
        def test_large(): pass

        @pytest.mark.gpu(min_compute="9.0")
        def test_new(): pass
        """
    )
    result = pytester.runpytest("-rs", *two_l4)
    result.assert_outcomes(passed=2, skipped=4)
    result.stdout.fnmatch_lines(
        [
            "gpudiscover: 2 devices: CUDA NVIDIA L4 *",
            "SKIPPED [[]1[]] test_it.py:9: needed: 3 devices; usable: 2 of 2 devices*",
            "SKIPPED [[]1[]] test_it.py:12: needed: 1 ROCm device; usable: 0 of 2 *: its library is CUDA*",
            "SKIPPED [[]1[]] test_it.py:15: needed: 1 device of 80.0 GiB or more; *: it has 22.* GiB*",
            "SKIPPED [[]1[]] test_it.py:18: *with compute 9.0 or higher; *its compute capability is 8.9*",
        ]
    )


def test_the_reason_names_why_each_rejected_device_was_rejected(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    host = FakeHost.of("L4", "RTX 3090").with_fault("crash_deep", device="gpu1", signal="SEGV")
    pytester.makepyfile("import pytest\n@pytest.mark.gpu(2)\ndef test_it(): pass\n")
    result = pytester.runpytest("-rs", *on(host, tmp_path))
    result.stdout.fnmatch_lines(["SKIPPED*needed: 2 devices; usable: 1 of 1 device; *RTX 3090*SIGSEGV*"])


def test_an_empty_mask_is_named_as_the_cause(
    pytester: pytest.Pytester, two_l4: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    pytester.makepyfile("import pytest\n@pytest.mark.gpu(library='CUDA')\ndef test_it(): pass\n")
    result = pytester.runpytest("-rs", *two_l4)
    result.stdout.fnmatch_lines(["SKIPPED*needed: 1 CUDA device*CUDA_VISIBLE_DEVICES=-1 is the cause*"])


def test_the_nearest_marker_decides_alone(pytester: pytest.Pytester, two_l4: list[str]) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        pytestmark = pytest.mark.gpu(count=9)

        def test_module_says_nine(): pass

        class TestBase:
            pytestmark = pytest.mark.gpu(count=1)
            def test_class_says_one(self): pass
            @pytest.mark.gpu(count=9)
            def test_function_says_nine(self): pass

        class TestHeir(TestBase):
            pytestmark = pytest.mark.gpu(count=9)

        @pytest.mark.gpu(count=9)
        @pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.gpu(count=2))])
        def test_parameter(n): pass

        @pytest.mark.gpu(count=1)
        @pytest.mark.gpu(count=9)
        def test_the_upper_of_two_says_one(): pass

        @pytest.mark.gpu(library="CUDA")
        def test_nothing_is_merged_in(): pass
        """
    )
    result = pytester.runpytest("-v", *two_l4)
    result.stdout.fnmatch_lines(
        [
            "*::test_module_says_nine SKIPPED*",
            "*::TestBase::test_class_says_one PASSED*",
            "*::TestBase::test_function_says_nine SKIPPED*",
            "*::TestHeir::test_class_says_one SKIPPED*",
            "*::TestHeir::test_function_says_nine SKIPPED*",
            "*::test_parameter[[]1[]] SKIPPED*",
            "*::test_parameter[[]2[]] PASSED*",
            "*::test_the_upper_of_two_says_one PASSED*",
            "*::test_nothing_is_merged_in PASSED*",
        ]
    )


def test_markers_work_on_tests_of_every_kind(pytester: pytest.Pytester, two_l4: list[str]) -> None:
    pytester.makeconftest(
        """
        import pytest

        class Spec(pytest.File):
            def collect(self):
                for word in self.path.read_text().split():
                    item = Case.from_parent(self, name=word)
                    item.add_marker(pytest.mark.gpu(count=int(word)))
                    yield item

        class Case(pytest.Item):
            def runtest(self): pass

        def pytest_collect_file(file_path, parent):
            return Spec.from_parent(parent, path=file_path) if file_path.suffix == ".gpus" else None

        def pytest_collection_modifyitems(items):
            for item in items:
                if item.name == "test_it.function":
                    item.add_marker(pytest.mark.gpu(count=9))
        """
    )
    pytester.makefile(".gpus", "2 9")
    pytester.makepyfile(
        test_it='''
        import unittest
        import pytest

        @pytest.mark.gpu(count=2)
        class TestCase(unittest.TestCase):
            def test_method_runs(self): pass
            @pytest.mark.gpu(count=9)
            def test_method_cannot(self): pass

        @pytest.mark.asyncio
        @pytest.mark.gpu(count=9)
        async def test_asynchronous_cannot(): pass

        def function():
            """
            >>> 1 + 1
            2
            """
        '''
    )
    result = pytester.runpytest("-v", "-rs", "--doctest-modules", *two_l4)
    result.assert_outcomes(passed=2, skipped=4)
    result.stdout.fnmatch_lines_random(
        ["*::2 PASSED*", "*::9 SKIPPED*", "*::test_method_runs PASSED*", "*::test_it.function SKIPPED*"]
    )


def test_no_fixture_is_set_up_for_a_test_that_cannot_run(
    pytester: pytest.Pytester, two_l4: list[str]
) -> None:
    pytester.makeconftest(
        """
        import pytest

        def pytest_runtest_setup(item):
            assert "cannot" not in item.name

        @pytest.fixture(autouse=True, scope="session")
        def expensive(request):
            raise RuntimeError("set up")
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.gpu(count=9)
        def test_cannot(): pass
        """
    )
    pytester.runpytest(*two_l4).assert_outcomes(skipped=1)


def test_a_test_that_is_skipped_anyway_asks_for_nothing(
    pytester: pytest.Pytester, no_discovery: list[str]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.gpu
        @pytest.mark.skip(reason="for another day")
        def test_it(): pass
        """
    )
    result = pytester.runpytest("-rs", "-q", "--gpudiscover-strict", *no_discovery)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*for another day"])


def test_a_plan_of_the_setup_asks_for_nothing(pytester: pytest.Pytester, no_discovery: list[str]) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.gpu\ndef test_it(tmp_path): pass\n")
    result = pytester.runpytest("-q", "--setup-plan", *no_discovery)
    result.stdout.fnmatch_lines(["*SETUP*F tmp_path*"])


def test_a_test_that_needs_no_gpu_is_left_alone(pytester: pytest.Pytester, no_discovery: list[str]) -> None:
    pytester.makepyfile(
        """
        import pytest

        def test_plain(): pass

        @pytest.mark.gpu
        def test_it(): pass
        """
    )
    pytester.runpytest(*no_discovery).assert_outcomes(passed=1, errors=1)


def test_exclusive_holds_a_lease_before_any_other_fixture(
    pytester: pytest.Pytester, two_l4: list[str]
) -> None:
    pytester.makeconftest(
        """
        import pytest

        held = []

        @pytest.fixture
        def gpu_lease(request):
            held.append(request.node.name)
            yield
            held.clear()

        @pytest.fixture(autouse=True)
        def model():
            return [*held]
        """
    )
    pytester.makepyfile(
        """
        import unittest
        import pytest

        @pytest.mark.gpu(exclusive=True)
        @pytest.mark.parametrize("n", [1, 2])
        def test_alone(model, n): assert model == [f"test_alone[{n}]"]

        @pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.gpu(exclusive=True))])
        def test_one_of_two(model, n): assert model == ([] if n == 1 else ["test_one_of_two[2]"])

        @pytest.mark.gpu
        def test_any(model): assert model == []

        @pytest.mark.gpu(exclusive=True)
        class TestCase(unittest.TestCase):
            def test_method(self):
                from conftest import held
                assert held == ["test_method"]
        """
    )
    pytester.runpytest("-q", *two_l4).assert_outcomes(passed=6)


def test_exclusive_on_what_can_use_no_fixture_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        class Case(pytest.Item):
            def runtest(self): pass

        def pytest_collection_modifyitems(session, items):
            items.append(Case.from_parent(session, name="odd"))
            items[-1].add_marker(pytest.mark.gpu(exclusive=True))
        """
    )
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *odd: @pytest.mark.gpu: exclusive: expected a test that can use fixtures*"]
    )


@pytest.mark.parametrize("strict", ["--strict-markers", "-q"])
def test_a_marker_of_the_same_name_that_a_project_has_registered_does_no_harm(
    pytester: pytest.Pytester, two_l4: list[str], strict: str
) -> None:
    with_ini(pytester, "markers = gpu: needs a GPU")
    pytester.makeconftest(
        "def pytest_configure(config): config.addinivalue_line('markers', 'gpu: ours as well')\n"
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.gpu
        def test_it(): pass
        """
    )
    result = pytest_alone(pytester, strict, "-m", "gpu", *two_l4)
    result.assert_outcomes(passed=1)
    assert "warning" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("way", ["ini", "environment"])
def test_our_marker_can_have_another_name(
    pytester: pytest.Pytester, two_l4: list[str], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_ini(pytester, "markers = gpu: theirs", *(["gpudiscover_marker = needs_gpu"] if way == "ini" else []))
    if way == "environment":
        monkeypatch.setenv("GPUDISCOVER_MARKER", "needs_gpu")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.gpu("a100", anything=True)
        def test_theirs(): pass

        @pytest.mark.needs_gpu(count=9)
        def test_ours(): pass
        """
    )
    result = pytester.runpytest("--strict-markers", *two_l4)
    result.assert_outcomes(passed=1, skipped=1)
    pytester.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.needs_gpu(count=1, library=None, *"])


def test_a_name_that_no_marker_can_have_is_a_usage_error(pytester: pytest.Pytester) -> None:
    with_ini(pytester, "gpudiscover_marker = needs-gpu")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: gpudiscover_marker: expected a name as in @pytest.mark.NAME, got 'needs-gpu'"]
    )


def test_a_run_in_which_nothing_needs_a_gpu_registers_no_hook_per_test(
    pytester: pytest.Pytester, two_l4: list[str]
) -> None:
    # What is called like the marker is none.
    pytester.makepyfile(
        test_gpu="""
        import pytest

        def hooks(config):
            names = [name for name, _ in config.pluginmanager.list_name_plugin()]
            return [name for name in names if name.startswith("gpudiscover-")]

        def test_gpu(pytestconfig): assert not hooks(pytestconfig)

        @pytest.mark.gpu
        def test_marked(pytestconfig): assert hooks(pytestconfig)
        """,
    )
    pytester.runpytest("-k", "test_gpu and not marked").assert_outcomes(passed=1, deselected=1)
    pytester.runpytest("-k", "marked", *two_l4).assert_outcomes(passed=1, deselected=1)


def test_tests_that_are_not_admitted_are_skipped_in_workers_too(
    pytester: pytest.Pytester, two_l4: list[str]
) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.gpu(count=2)
        def test_two(): pass

        @pytest.mark.gpu(count=9)
        def test_nine(): pass
        """
    )
    result = pytester.runpytest("-n2", "-rs", *two_l4)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]1[]] test_it.py:*: needed: 9 devices; usable: 2 of 2 devices*"])


def test_a_discovery_that_cannot_run_fails_the_test_whether_strict_or_not(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.gpu\n@pytest.mark.xfail\ndef test_it(): pass\n")
    result = pytester.runpytest("--gpudiscover-runner", "/no/such/runner")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["GPU discovery cannot run: /no/such/runner: the runner does not exist"])
    runner = " ".join(write_runner(tmp_path, "serve(OK)", devices=[]))
    pytester.runpytest("--gpudiscover-runner", runner).assert_outcomes(skipped=1)
