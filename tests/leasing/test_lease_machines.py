"""Machines: which book a discovery's leases stand in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_gpudiscover import NativeInstallation, OllamaInstallation
from pytest_gpudiscover.errors import BookError
from pytest_gpudiscover.leasing.book import book_for, holder_here, machine_of
from pytest_gpudiscover.leasing.machines import handed_down, inherited_tickets
from pytest_gpudiscover.simulation import FakeHost


def test_all_real_installations_look_at_this_machine() -> None:
    assert machine_of(NativeInstallation()) == machine_of(OllamaInstallation()) == "this-machine"


def test_a_simulated_machine_is_told_by_its_file_whatever_happens_to_it(tmp_path: Path) -> None:
    host = FakeHost.of("L4").save(tmp_path / "host.json")
    machine = machine_of(host.installation())
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "host.json")

    assert machine.startswith("simulated-")
    assert machine_of(host.fill("gpu0", "1 GiB").installation()) == machine
    assert machine_of(host.in_memory()) == machine
    assert machine_of(FakeHost.load(link).installation()) == machine
    assert machine_of(FakeHost.of("L4").save(tmp_path / "other.json").installation()) != machine


def test_a_machine_without_a_file_is_told_by_what_it_is() -> None:
    machine = machine_of(FakeHost.of("L4").in_memory())
    assert machine_of(FakeHost.of("L4").in_memory()) == machine
    assert machine_of(FakeHost.of("L4", "L4").in_memory()) != machine


def test_the_books_lie_where_they_are_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUDISCOVER_LEASES", str(tmp_path / "environment"))
    assert book_for("m").directory == tmp_path / "environment" / "m"
    assert book_for("m", tmp_path / "given").directory == tmp_path / "given" / "m"
    monkeypatch.chdir(tmp_path)
    assert book_for("m", Path("given")).directory == tmp_path / "given" / "m"


def test_a_place_in_the_home_directory_may_be_named_by_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERPROFILE" if sys.platform == "win32" else "HOME", str(tmp_path))
    monkeypatch.setenv("GPUDISCOVER_LEASES", "~/leases")
    assert book_for("m").directory == book_for("m", Path("~/leases")).directory == tmp_path / "leases" / "m"


def test_the_environment_names_the_same_place_in_every_working_directory_or_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GPUDISCOVER_LEASES", "leases")
    with pytest.raises(BookError, match="GPUDISCOVER_LEASES has to be an absolute path"):
        book_for("m")


def test_the_links_of_the_user_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert book_for("m", tmp_path / "link").directory == tmp_path / "real" / "m"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has another place")
def test_all_users_find_one_place_whatever_their_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    assert book_for("m").directory == Path("/tmp/gpudiscover-leases/m")
    monkeypatch.setenv("GPUDISCOVER_LEASES", "")
    assert book_for("m").directory == Path("/tmp/gpudiscover-leases/m")


def test_a_holder_is_this_process() -> None:
    holder = holder_here("test_x", "run-1")
    assert (holder.pid, holder.purpose, holder.run) == (os.getpid(), "test_x", "run-1")
    assert holder.user


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    assert holder_here("").user == "987654"


def test_a_command_knows_the_tickets_that_were_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in handed_down(tmp_path / "book:1", [7, 12]).items():
        monkeypatch.setenv(name, value)
    assert inherited_tickets(tmp_path / "book:1") == {7, 12}
    assert inherited_tickets(tmp_path / "another") == frozenset()


@pytest.mark.parametrize("numbers", ["", "7,", "-1", "x", "7 8", "9" * 5000])
def test_what_names_no_tickets_is_no_inheritance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: str
) -> None:
    monkeypatch.setenv("GPUDISCOVER_HELD", f"{numbers}:{tmp_path}")
    assert inherited_tickets(tmp_path) == frozenset()
