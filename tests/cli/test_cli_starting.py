"""How `gpudiscover run` becomes its command: nothing of Python is left, and failures are those of shells."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gpudiscover.cli import starting
from pytest_gpudiscover.cli.starting import StartError, check

posix = pytest.mark.skipif(sys.platform == "win32", reason="on Windows the command is a child")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

BECOME = """
import sys
from pytest_gpudiscover.cli.starting import given_environment, start
sys.stdout.write(sys.argv[1])
start(tuple(sys.argv[2:]), given_environment())
"""
Become = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def become(clean_environment: dict[str, str]) -> Become:
    """Start a Python process that becomes a command; keyword arguments change its environment."""
    clean_environment["PYTHONUNBUFFERED"] = ""  # or nothing could be left unwritten

    def run(
        *program: str, said: str = "", ignoring: int | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", BECOME, said, *program],
            env=clean_environment | variables,
            capture_output=True,
            text=True,
            preexec_fn=(lambda: signal.signal(ignoring, signal.SIG_IGN)) if ignoring else None,
        )

    return run


def refusal(program: str) -> tuple[int, str]:
    with pytest.raises(StartError) as caught:
        check(program)
    return caught.value.status, str(caught.value)


@posix
def test_the_exit_code_is_the_commands(become: Become) -> None:
    assert become("sh", "-c", "exit 7").returncode == 7


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGPIPE", "SIGXFSZ"])
def test_a_signal_does_to_the_command_what_it_does_to_programs(become: Become, name: str) -> None:
    number = getattr(signal, name)
    assert become("sh", "-c", f"kill -{name[3:]} $$; echo survived").returncode == -number


@posix
def test_a_signal_that_our_starter_ignores_is_ignored_by_the_command(become: Become) -> None:
    done = become("sh", "-c", "kill -INT $$; echo survived", ignoring=signal.SIGINT)
    assert done.stdout == "survived\n"


@posix
def test_what_was_written_before_comes_before_what_the_command_writes(become: Become) -> None:
    assert become("echo", "second", said="first\n").stdout == "first\nsecond\n"


@linux
def test_the_command_inherits_the_standard_streams_and_no_other_file(become: Become) -> None:
    # The last one is ls's own: the directory that it reads.
    assert become("ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


@linux
@pytest.mark.parametrize(
    "variables", [{}, {"LC_CTYPE": "C.UTF-8"}, {"LC_ALL": "C", "LC_CTYPE": "en_GB.UTF-8"}]
)
def test_the_environment_is_the_one_we_were_given(
    become: Become, clean_environment: dict[str, str], variables: dict[str, str]
) -> None:
    for name in ("LANG", "LC_CTYPE"):
        clean_environment.pop(name, None)
    given = clean_environment | variables
    shown = become("env", "-0", **variables).stdout.rstrip("\0").split("\0")
    assert dict(entry.split("=", 1) for entry in shown) == given


def test_a_command_that_does_not_exist_is_127() -> None:
    assert refusal("no-such-command") == (127, "'no-such-command': no such command on PATH")
    assert refusal("/no/such\ncommand") == (127, r"'/no/such\ncommand': no such file")
    assert refusal("") == (127, "'': no such command on PATH")


@posix
def test_a_file_that_is_no_program_is_126(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes").write_text("nothing to run")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    assert refusal("notes") == (126, f"'{tmp_path}/notes': is not executable")
    assert refusal("./notes") == (126, "'notes': is not executable")
    assert refusal(str(tmp_path)) == (126, f"'{tmp_path}': is a directory")


def test_a_command_that_can_be_started_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    check(sys.executable)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    check(Path(sys.executable).name)


@posix
@pytest.mark.parametrize(
    ("first_line", "status", "said"),
    [
        ("echo hello", 126, "Exec format error: a script needs a first line such as #!/bin/sh"),
        ("#!/no/such/interpreter", 127, "the interpreter that its first line names is not there"),
    ],
)
def test_what_the_system_refuses_has_the_status_of_shells(
    tmp_path: Path, first_line: str, status: int, said: str
) -> None:
    script = tmp_path / "script"
    script.write_text(f"{first_line}\n")
    script.chmod(0o755)
    check(str(script))
    before = signal.getsignal(signal.SIGPIPE)
    with pytest.raises(StartError, match=said) as caught:
        starting.start((str(script),), {})
    assert caught.value.status == status
    assert signal.getsignal(signal.SIGPIPE) is before


def test_where_a_command_cannot_take_our_place_it_is_a_child_with_its_own_exit_code() -> None:
    code = "import os, sys; sys.exit(int(os.environ['CODE']))"
    environment = dict(os.environ) | {"CODE": "7"}
    assert starting.as_child((sys.executable, "-c", code), environment) == 7


@posix
def test_an_interrupt_is_the_childs_business(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    code = f"import sys; open({str(ready)!r}, 'w').close(); sys.stdin.read(); sys.exit(7)"
    reading, writing = os.pipe()

    def interrupt() -> None:
        ready.read_bytes()
        os.kill(os.getpid(), signal.SIGINT)
        os.close(writing)

    interrupter = threading.Thread(target=interrupt)
    stdin = os.dup(0)
    os.dup2(reading, 0)
    try:
        interrupter.start()
        assert starting.as_child((sys.executable, "-c", code), os.environ) == 7
    finally:
        os.dup2(stdin, 0)
        interrupter.join()
        os.close(stdin)
        os.close(reading)
