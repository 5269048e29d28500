"""Which installation a user means by the word, or the command line, that options take."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.choosing import chosen_installation
from pytest_gpudiscover.errors import UsageError
from pytest_gpudiscover.installations.native import NativeInstallation
from pytest_gpudiscover.installations.ollama import OllamaInstallation


def command(line: str) -> list[str]:
    installation = chosen_installation(line)
    assert isinstance(installation, OllamaInstallation)
    return list(installation.command)


def test_native_is_the_default_and_takes_the_choice_of_variants() -> None:
    assert chosen_installation(variant="cuda", without_variants=["rocm"]) == NativeInstallation(
        variant="cuda", without_variants=["rocm"]
    )


def test_fake_is_the_built_in_host() -> None:
    installation = chosen_installation("fake", variant="cuda_v13")
    assert not isinstance(installation, NativeInstallation | OllamaInstallation)


def test_ollama_is_looked_up_on_the_path() -> None:
    installation = chosen_installation("ollama", library_root="/lib/ollama", variant="rocm")
    assert installation == OllamaInstallation(
        ["ollama"], library_root="/lib/ollama", variant="rocm", without_variants=()
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has its own way to quote")
def test_anything_else_is_a_command_line() -> None:
    assert command("./my-runner") == ["./my-runner"]
    assert command("python 'fake runner' --flag=\"a b\"") == ["python", "fake runner", "--flag=a b"]


def test_on_windows_a_backslash_stays_and_quotes_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert command(r'"C:\Program Files\ollama.exe" C:\new') == [r"C:\Program Files\ollama.exe", r"C:\new"]


@pytest.mark.parametrize("runner", ["native", "fake"])
def test_a_library_root_goes_with_neither_of_our_own_runners(runner: str) -> None:
    with pytest.raises(UsageError, match=f"not with {runner}"):
        chosen_installation(runner, library_root="/lib")


@pytest.mark.parametrize("line", ["", "   "])
def test_an_empty_runner_is_a_usage_error(line: str) -> None:
    with pytest.raises(UsageError, match="expected native, ollama, fake"):
        chosen_installation(line)


def test_a_quote_that_never_closes_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no command line"):
        chosen_installation("'/opt/my runner")


@given(st.text(max_size=12))
def test_any_text_is_an_installation_or_a_usage_error_that_can_be_shown(line: str) -> None:
    try:
        chosen_installation(line)
    except UsageError as error:
        shown = str(error)
    else:
        shown = ""
    assert shown.isprintable()
