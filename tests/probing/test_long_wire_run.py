"""The long run of hostile bodies, in small: it passes, and it notices what it is there for."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pytest_gpudiscover.probing import asking
from pytest_gpudiscover.wire import Answer, parse_answer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def long_run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, as a module."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("long_wire_run")


def raising(body: bytes) -> Answer:
    """A reader that does not catch what a deep answer raises."""
    if b"[[[" in body:
        raise RecursionError
    return parse_answer(body)


def losing(body: bytes) -> Answer:
    """A reader that loses one device of three."""
    entries = parse_answer(body).entries
    return Answer(entries[:2] if len(entries) == 3 else entries)


def mixing_up(body: bytes) -> Answer:
    """A reader that loses its place."""
    return Answer(parse_answer(body).entries[::-1])


def keeping(make: Callable[[], object]) -> Callable[[bytes], Answer]:
    """A reader that keeps something for each body, as long as it lives itself."""
    kept = []

    def read(body: bytes) -> Answer:
        kept.append(make())
        return parse_answer(body)

    return read


def test_hostile_bodies_do_no_harm_in_memory_and_over_the_wire(
    long_run: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = long_run.main(["--bodies", "2000", "--over-the-wire", "50", "--keep", str(tmp_path)])
    shown = capsys.readouterr()
    assert (done, shown.err, [*tmp_path.iterdir()]) == (0, "", [])
    assert "in memory: 2000 bodies" in shown.out
    assert "in memory, printed: 2000 bodies" in shown.out
    assert "over the wire: 50 bodies" in shown.out


@pytest.mark.parametrize("broken", [raising, losing, mixing_up])
def test_a_reader_that_is_broken_is_told_with_the_number_of_the_body_which_is_kept_and_read_again(
    long_run: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    broken: Callable[[bytes], Answer],
) -> None:
    monkeypatch.setattr(long_run, "SERVED", replace(long_run.SERVED, parse=broken))
    small = ["--over-the-wire", "0", "--keep", str(tmp_path), "--seed", "7"]
    assert long_run.main(["--bodies", "2000", *small]) == 1
    (kept,) = tmp_path.iterdir()
    number = kept.stem.rpartition("-")[2]
    told = f"in memory: seed 7, number {number} failed: "
    assert told in capsys.readouterr().out
    assert long_run.HostileBodies(7, long_run.SERVED)[int(number)].content == kept.read_bytes()
    assert long_run.main(["--replay", number, *small]) == 1
    assert told in capsys.readouterr().out


def test_a_reader_of_what_is_printed_that_is_broken_is_told_too(
    long_run: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(long_run, "PRINTED", replace(long_run.PRINTED, parse=losing))
    assert long_run.main(["--bodies", "500", "--over-the-wire", "0", "--keep", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "in memory: 500 bodies" in shown
    assert "in memory, printed: seed 0, number " in shown


def test_what_raises_over_the_wire_only_is_told_with_the_number_of_the_body(
    long_run: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(asking, "parse_answer", len)
    assert long_run.main(["--bodies", "10", "--over-the-wire", "10", "--keep", str(tmp_path)]) == 1
    (kept,) = tmp_path.iterdir()
    number = kept.stem.rpartition("-")[2]
    assert f"over the wire: seed 0, number {number} failed: AttributeError" in capsys.readouterr().out


@pytest.mark.parametrize(
    "make", [pytest.param(lambda: b"x" * 20_000, id="memory"), pytest.param(socket.socket, id="descriptors")]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the sockets that were kept
def test_a_reader_that_keeps_what_it_has_read_is_told(
    long_run: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[], object],
) -> None:
    monkeypatch.setattr(long_run, "SERVED", replace(long_run.SERVED, parse=keeping(make)))
    assert long_run.main(["--bodies", "600", "--over-the-wire", "0"]) == 1
    assert "in memory: seed 0: the process has grown: " in capsys.readouterr().out
