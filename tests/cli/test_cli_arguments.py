"""What a user may type, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpudiscover.cli import main
from pytest_gpudiscover.cli.arguments import OVERLAP_POLICIES, Options, parse
from pytest_gpudiscover.cli.arguments.offers import COMMANDS, OPTIONS, Option
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


def test_run_reads_what_to_hold_and_what_to_run() -> None:
    ours = ["--gpus", "2", "--library", "ROCm", "--share", "--wait", "0", "--leases", "d", "-v"]
    options = parse(["run", *ours, "--min-memory", "1GiB", "--", "python", "train.py", "--gpus", "9"])
    assert options.program == ("python", "train.py", "--gpus", "9")
    assert (options.requirement.count, options.requirement.library) == (2, "ROCm")
    assert (options.share, options.wait, options.leases, options.verbosity) == (True, 0.0, Path("d"), 1)


def test_run_without_options_holds_one_whole_card_and_waits_as_long_as_it_takes() -> None:
    options = parse(["run", "--", "true"])
    assert (options.requirement.count, options.share, options.wait, options.leases) == (1, False, None, None)


@pytest.mark.parametrize(
    "program",
    [
        ["--"],
        ["sh", "--", "-c"],
        ["x", "--help"],
        ["-h"],
        ["--version"],
        ["--bogus"],
        ["list"],
        ["run"],
        [""],
    ],
)
def test_what_stands_behind_the_dashes_is_never_read(program: list[str]) -> None:
    assert parse(["run", "--gpus", "2", "--", *program]).program == tuple(program)
    assert parse(["--gpus", "2", "run", "--", *program]).program == tuple(program)


def test_elsewhere_what_stands_behind_the_dashes_is_words() -> None:
    assert parse(["--json", "--", "check"]).command == "check"


def test_leases_and_matrix_read_their_options() -> None:
    leases = parse(["leases", "--json", "--leases", "d", "--runner", "fake"])
    assert leases == Options(command="leases", json=True, leases=Path("d"), runner="fake")
    assert parse(["--variant", "a", "matrix"]) == Options(command="matrix", variant="a")


def test_doctor_reads_the_options_of_a_discovery_and_where_leases_are() -> None:
    asked = ["--runner", "ollama", "--library-root", "r", "--variant", "a", "--timeout", "2"]
    options = parse(["doctor", "--json", "--leases", "d", *asked])
    assert options == Options(
        command="doctor",
        json=True,
        leases=Path("d"),
        runner="ollama",
        library_root="r",
        variant="a",
        timeout=2.0,
    )


VALUES = {
    "--overlap": ["ollama"],
    "--timeout": ["1"],
    "--min-devices": ["1"],
    "--gpus": ["1"],
    "--min-memory": ["1"],
    "--min-compute": ["1"],
    "--wait": ["1"],
    "--json": [],
    "--share": [],
    "--verbose": [],
    "--version": [],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_a_command_takes_its_own_options_and_says_whose_the_others_are(command: str, option: Option) -> None:
    arguments = [command, option.flag, *VALUES.get(option.flag, ["x"])]
    arguments += ["--min-memory", "1", "--", "true"] if command == "run" else []
    if command in option.commands:
        assert parse(arguments).command in (command, "version")
    else:
        with pytest.raises(
            UsageError, match=rf"^{option.flag} is for {option.commands[0]}\b.*: expected gpud"
        ):
            parse(arguments)


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
        (
            ["--min-compute", "1"],
            "--min-compute is for check and run: expected gpudiscover check --min-compute",
        ),
        (["check", "--gpus", "1"], "--gpus is for run: expected gpudiscover run --gpus ..."),
        (["run", "--json", "--", "x"], "--json is for list, check, leases, doctor, matrix and frameworks"),
        (["run"], "run takes its command behind --: expected gpudiscover run [options] -- COMMAND ..."),
        (["run", "--gpus", "1", "--"], "gpudiscover run [options] -- COMMAND ..."),
        (["run", "nvidia-smi", "-L"], "gpudiscover run [options] -- nvidia-smi ..."),
        (["run", "python", "--version"], "gpudiscover run [options] -- python ..."),
        (["run", "python", "x.py", "--json"], "gpudiscover run [options] -- python ..."),
        (["run", "a\nb", "--", "c"], r"gpudiscover run [options] -- a\nb ..."),
        (["--", "run", "x"], "no command run x"),
        (["--", "run"], "run takes its command behind --"),
        (["run", "-L", "--", "x"], "there is no option -L"),
        (["run", "--share", "--", "x"], "gpudiscover run --share --min-memory SIZE"),
        (["run", "--gpus", "0", "--", "x"], "1 or more, got '0'"),
        (["run", "--wait", "-1", "--", "x"], "--wait"),
        (["run", "--wait", "ever", "--", "x"], "number of seconds, 0 or more, got 'ever'"),
        (["run", "--wait", "inf", "--", "x"], "number of seconds, 0 or more, got 'inf'"),
        (["leases", "--leases", ""], "expected a directory, got ''"),
        (["leases", "--timeout", "1"], "--timeout is for list, check, run, doctor, matrix and frameworks"),
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


def test_help_names_every_command_every_option_and_every_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    words = (*COMMANDS, *(flag for option in OPTIONS for flag in option.flags), "exit codes", "130")
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("order", [1, -1])
def test_the_help_of_a_command_names_its_own_options_only(
    command: str, order: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"][::order]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {COMMANDS[command].usage}\n")
    shown = {option.flag for option in OPTIONS if f"{option.flag} " in text.partition("options:")[2]}
    assert shown == {option.flag for option in OPTIONS if command in option.commands}


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in ([], *([name] for name in COMMANDS)):
        assert main([*command, "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gpudiscover ")
