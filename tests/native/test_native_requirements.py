"""What the tests themselves need is never skipped where it must be there."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("required", "outcome"), [({}, {"skipped": 1}), ({"GPUDISCOVER_TESTS_REQUIRE": "1"}, {"errors": 1})]
)
def test_a_missing_compiler_skips_and_where_all_is_required_fails(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    required: dict[str, str],
    outcome: dict[str, int],
) -> None:
    monkeypatch.delenv("GPUDISCOVER_TESTS_REQUIRE", raising=False)
    for name, value in (required | {"PATH": "/nowhere"}).items():
        monkeypatch.setenv(name, value)
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile("def test_needs_gcc(gcc): pass")
    result = pytester.runpytest_subprocess("-rsE")
    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["*gcc is not on this machine: install a C compiler (Debian: gcc)*"])
