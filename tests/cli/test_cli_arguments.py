"""What a user may type, and what is said of the rest."""

from __future__ import annotations

import pytest

from pytest_gpudiscover.cli import main
from pytest_gpudiscover.cli.arguments import OVERLAP_POLICIES, Options, parse
from pytest_gpudiscover.errors import UsageError
from pytest_gpudiscover.selection import POLICIES


def test_without_arguments_the_devices_of_this_machine_are_listed() -> None:
    assert parse([]) == Options(command="list", runner="native", overlap="newest_covering", timeout=None)


def test_the_word_list_may_be_left_out() -> None:
    assert parse(["--json", "--runner", "fake"]) == parse(["list", "--json", "--runner", "fake"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--runner", "fake", "--without-variant", "a", "--without-variant", "b", "-v"],
        ["--runner", "fake", "--without-variant", "a", "--without-variant", "b", "-v", "list"],
        ["--without-variant", "a", "-v", "list", "--without-variant", "b", "--runner", "fake"],
    ],
)
def test_options_mean_the_same_before_and_after_the_command(arguments: list[str]) -> None:
    assert parse(arguments) == Options(runner="fake", without_variants=("a", "b"), verbosity=1)


def test_an_option_value_is_never_taken_for_the_command() -> None:
    options = parse(["--variant", "check", "--runner", "list"])
    assert (options.command, options.variant, options.runner) == ("list", "check", "list")


def test_check_reads_a_requirement() -> None:
    requirement = parse(
        ["check", "--min-devices", "2", "--library", "CUDA", "--min-memory", "16GiB", "--min-compute", "8.9"]
    ).requirement
    assert (requirement.count, requirement.library, requirement.min_memory) == (2, "CUDA", 16 << 30)
    assert requirement.min_compute is not None
    assert requirement.min_compute.level == (8, 9)


def test_check_without_a_number_wants_one_device() -> None:
    assert parse(["check"]).requirement.count == 1


def test_the_policies_offered_are_those_of_the_engine() -> None:
    assert OVERLAP_POLICIES == POLICIES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lisst"], "lisst"),
        (["list", "check"], "no command list check"),
        (["list", "--json", "check"], "no command list check"),
        (["--bo\ngus"], r"no option --bo\ngus"),
        (["--bogus"], "--bogus"),
        (["--run", "fake"], "--run"),
        (["--runner"], "--runner"),
        (["--overlap", "newest"], "newest"),
        (["--timeout", "0"], "positive number of seconds, got '0'"),
        (["--timeout", "-1"], "--timeout"),
        (["--timeout", "nan"], "got 'nan'"),
        (["--timeout", "inf"], "got 'inf'"),
        (["--timeout", "1e999"], "got '1e999'"),
        (["--timeout", "soon"], "got 'soon'"),
        (["--timeout", "two\nlines"], r"got 'two\\nlines'"),
        (["check", "--min-devices", "0"], "1 or more, got '0'"),
        (["check", "--min-devices", "9" * 5000], "1 or more"),
        (["check", "--min-memory", "much"], "'much' is no size"),
        (["check", "--min-compute", "new"], "'new' is no compute capability"),
        (["--min-devices", "1"], "--min-devices is for check"),
        (["list", "--library", "CUDA"], "--library is for check"),
        (["--min-memory", "1"], "--min-memory is for check"),
        (["--min-compute", "1"], "--min-compute is for check"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError):
        parse(arguments)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gpudiscover: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.parametrize("runner", ["native", "fake"])
def test_a_library_root_is_a_usage_error_where_there_can_be_none(
    runner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--runner", runner, "--library-root", "/"]) == 2
    assert "library root" in capsys.readouterr().err


def test_help_names_every_option_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    options = (
        "--json",
        "--runner",
        "--library-root",
        "--variant",
        "--without-variant",
        "--overlap",
        "--timeout",
    )
    requirements = ("--min-devices", "--library", "--min-memory", "--min-compute")
    for word in (*options, *requirements, "--verbose", "--version", "exit codes", "130"):
        assert word in text


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gpudiscover ")
