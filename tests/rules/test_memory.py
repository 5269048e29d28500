"""The system's available memory, as the tightest control group leaves it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.memory import available_memory

GIB = 1 << 30
UNLIMITED_V1 = 9223372036854771712


@pytest.fixture(autouse=True)
def _hundred_gibibytes_are_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100 * GIB))


class Machine:
    """A tree that stands in for `/proc` and `/sys`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def belongs_to(self, *lines: str) -> None:
        self._write("proc/self/cgroup", "".join(f"{line}\n" for line in lines))

    def v2(self, group: str, limit: object = "max", used: object = 0, inactive: int | None = None) -> None:
        self._write(f"sys/fs/cgroup{group}/memory.max", f"{limit}\n")
        self._write(f"sys/fs/cgroup{group}/memory.current", f"{used}\n")
        if inactive is not None:
            stat = f"anon 7\nfile 9\ninactive_file {inactive}\nactive_file 3\n"
            self._write(f"sys/fs/cgroup{group}/memory.stat", stat)

    def v1(self, group: str, limit: int = UNLIMITED_V1, used: int = 0, inactive: int | None = None) -> None:
        self._write(f"sys/fs/cgroup/memory{group}/memory.limit_in_bytes", f"{limit}\n")
        self._write(f"sys/fs/cgroup/memory{group}/memory.usage_in_bytes", f"{used}\n")
        if inactive is not None:
            stat = f"cache 1\ninactive_file 1\ntotal_inactive_file {inactive}\n"
            self._write(f"sys/fs/cgroup/memory{group}/memory.stat", stat)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def _write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    @property
    def available(self) -> int:
        return available_memory(self.root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_control_groups_the_kernels_word_counts(machine: Machine) -> None:
    assert machine.available == 100 * GIB


def test_the_limit_of_ones_own_group_counts(machine: Machine) -> None:
    machine.belongs_to("0::/pod/box")
    machine.v2("/pod/box", limit=8 * GIB, used=3 * GIB)
    assert machine.available == 5 * GIB


def test_the_tightest_of_nested_groups_counts(machine: Machine) -> None:
    machine.belongs_to("0::/pod/box")
    machine.v2("/pod/box", limit=50 * GIB, used=1 * GIB)
    machine.v2("/pod", limit=10 * GIB, used=8 * GIB)
    machine.v2("", limit=90 * GIB, used=60 * GIB)
    assert machine.available == 2 * GIB


def test_page_cache_that_a_group_gives_back_is_counted_back(machine: Machine) -> None:
    machine.belongs_to("0::/box")
    machine.v2("/box", limit=8 * GIB, used=7 * GIB, inactive=4 * GIB)
    assert machine.available == 5 * GIB


def test_a_limit_above_what_the_kernel_has_changes_nothing(machine: Machine) -> None:
    machine.belongs_to("0::/box")
    machine.v2("/box", limit=500 * GIB, used=1 * GIB)
    assert machine.available == 100 * GIB


def test_max_is_no_limit(machine: Machine) -> None:
    machine.belongs_to("0::/box")
    machine.v2("/box", limit="max", used=3 * GIB)
    assert machine.available == 100 * GIB


def test_a_group_above_its_limit_leaves_nothing_and_never_less(machine: Machine) -> None:
    machine.belongs_to("0::/box")
    machine.v2("/box", limit=8 * GIB, used=9 * GIB)
    assert machine.available == 0


def test_in_a_container_whose_group_is_not_mounted_the_mount_counts(machine: Machine) -> None:
    machine.belongs_to("0::/kubepods/pod1/abc")
    machine.v2("", limit=4 * GIB, used=1 * GIB)
    assert machine.available == 3 * GIB


@pytest.mark.parametrize("group", ["/../../elsewhere", "/..", "/"])
def test_a_group_outside_the_mount_leads_to_no_file_outside_it(machine: Machine, group: str) -> None:
    machine.belongs_to(f"0::{group}")
    machine.v2("", limit=4 * GIB, used=1 * GIB)
    machine.v2("/../../elsewhere", limit=1, used=0)
    machine.v2("/..", limit=2, used=0)
    assert machine.available == 3 * GIB


def test_a_group_name_may_hold_colons_blanks_and_other_scripts(machine: Machine) -> None:
    machine.belongs_to("0::/my box:1/b\u00f6x")
    machine.v2("/my box:1/b\u00f6x", limit=8 * GIB, used=3 * GIB)
    assert machine.available == 5 * GIB


@pytest.mark.parametrize("missing", ["memory.current", "memory.max"])
def test_a_group_with_a_missing_file_is_passed_over(machine: Machine, missing: str) -> None:
    machine.belongs_to("0::/pod/box")
    machine.v2("/pod/box", limit=1 * GIB)
    machine.v2("/pod", limit=10 * GIB, used=8 * GIB)
    machine.remove(f"sys/fs/cgroup/pod/box/{missing}")
    assert machine.available == 2 * GIB


@pytest.mark.parametrize("used", ["", "junk", "-5", "\u0663", "1 2"])
def test_a_group_whose_figures_cannot_be_read_is_passed_over(machine: Machine, used: str) -> None:
    machine.belongs_to("0::/box")
    machine.v2("/box", limit=1 * GIB, used=used)
    assert machine.available == 100 * GIB


@pytest.mark.parametrize("line", ["", "junk", "0", "0:", "x:y", "5:cpu:/box", "1:name=systemd:/box"])
def test_lines_that_name_no_memory_group_are_passed_over(machine: Machine, line: str) -> None:
    machine.belongs_to(line)
    machine.v2("/box", limit=1 * GIB)
    machine.v1("/box", limit=1 * GIB)
    assert machine.available == 100 * GIB


def test_version_1_has_its_own_files_and_counts_with_its_children(machine: Machine) -> None:
    machine.belongs_to("12:cpu,cpuacct:/cpu", "7:memory:/docker/box", "0::/")
    machine.v1("/docker/box", limit=8 * GIB, used=7 * GIB, inactive=4 * GIB)
    machine.v1("/docker", limit=50 * GIB, used=7 * GIB)
    assert machine.available == 5 * GIB


def test_version_1_may_share_its_hierarchy(machine: Machine) -> None:
    machine.belongs_to("7:hugetlb,memory:/box")
    machine.v1("/box", limit=8 * GIB, used=7 * GIB)
    assert machine.available == 1 * GIB


def test_the_largest_number_of_version_1_means_unlimited(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**64))
    machine.belongs_to("7:memory:/box")
    machine.v1("/box", limit=UNLIMITED_V1, used=1 * GIB)
    assert machine.available == 2**64
    machine.v1("/box", limit=UNLIMITED_V1 - 4096, used=0)
    assert machine.available == UNLIMITED_V1 - 4096


@given(st.lists(st.tuples(*[st.integers(0, 200 * GIB)] * 3), min_size=1, max_size=3))
def test_what_is_available_is_never_below_0_nor_above_any_bound(
    tmp_path_factory: pytest.TempPathFactory, groups: list[tuple[int, int, int]]
) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    name, bounds = "", [100 * GIB]
    for limit, used, inactive in groups:
        name += "/group"
        machine.v2(name, limit, used, inactive)
        bounds.append(limit - (used - inactive))
    machine.belongs_to(f"0::{name}")
    assert machine.available == max(0, min(bounds))


def test_a_system_that_does_not_tell_is_an_os_error(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise RuntimeError("no /proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    with pytest.raises(OSError, match="no /proc/meminfo"):
        assert machine.available


def test_the_memory_of_this_machine_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 0 < available_memory() <= psutil.virtual_memory().total
