"""What reports look like at a fixed width, without colours."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pytest_gpudiscover.cli.rendering import shown_check, shown_report
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.reports import Phase, Reason, Rejection, Report
from pytest_gpudiscover.requirements import Requirement

CARD = DeviceInfo(
    id="GPU-5d2a7c0e-93b1-4f6e-8a47-1c60e2b9d384",
    library="CUDA",
    variant="cuda_jetpack6",
    description="NVIDIA GeForce RTX 4090",
    pci_id="0000:01:00.0",
    total_memory=24 << 30,
    free_memory=23 << 30,
    compute_major=8,
    compute_minor=9,
    driver_major=13,
)
FACTS = (CARD.id, "CUDA", "cuda_jetpack6", CARD.description, CARD.pci_id, "23.0 of 24.0", "8.9", "13.0")


def shown(
    report: Report, width: int = 80, requirement: Requirement | None = None, encoding: str = "utf-8"
) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace", write_through=True)
    console = Console(file=file, width=width, color_system=None, markup=False, highlight=False)
    what = shown_check(requirement, report) if requirement else shown_report(report, console)
    for renderable in what:
        console.print(renderable)
    file.seek(0)
    return file.read()


def lines_with(text: str, *words: str) -> list[str]:
    return [line for line in text.splitlines() if all(word in line for word in words)]


def test_every_fact_of_a_device_is_whole_at_80_columns() -> None:
    text = shown(Report(devices=(CARD,)))
    assert all(fact in text for fact in FACTS)
    assert max(map(len, text.splitlines())) <= 80


def test_where_there_is_room_a_device_takes_one_line() -> None:
    text = shown(Report(devices=(CARD,)), width=150)
    assert len(lines_with(text, *FACTS)) == 1


def test_short_ids_leave_room_for_one_line_on_a_narrower_terminal() -> None:
    text = shown(Report(devices=(replace(CARD, id="0"),)), width=110)
    assert len(lines_with(text, "CUDA", CARD.description, CARD.pci_id)) == 1


def test_a_long_product_name_pushes_no_other_fact_out_of_its_line() -> None:
    long = replace(CARD, description="A product name that goes on for much longer than any column")
    text = shown(Report(devices=(long,)))
    assert len(lines_with(text, CARD.id, "cuda_jetpack6", "13.0", CARD.pci_id)) == 1
    assert "\u2026" not in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    detail = "the runner said a word that is very long: " + "z" * 300
    crash = Rejection.of(CARD, Phase.VERIFY, Reason.CRASHED, detail)
    text = shown(Report(devices=(CARD,), rejected=(crash,)), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("z") == 300


def test_square_brackets_from_outside_are_no_markup() -> None:
    crash = Rejection.of(CARD, Phase.VERIFY, Reason.CRASHED, "[bold]loud[/bold] and [/] :smile:")
    text = shown(Report(devices=(replace(CARD, description="[red]Card[/red]"),), rejected=(crash,)))
    assert "[red]Card[/red]" in text
    assert "[bold]loud[/bold] and [/] :smile:" in text


def test_a_terminal_without_unicode_gets_a_table_all_the_same() -> None:
    text = shown(Report(devices=(CARD,)), encoding="ascii")
    assert text == shown(Report(devices=(CARD,))).replace("\u2500", "-")


def test_the_masks_are_named_below_the_table() -> None:
    text = shown(Report(devices=(CARD,), masks={"CUDA_VISIBLE_DEVICES": "0"}))
    assert text.index(CARD.id) < text.index("CUDA_VISIBLE_DEVICES='0' is set")


def test_rejections_are_shown_below_the_table_with_reason_phase_variant_and_sentence() -> None:
    crash = Rejection.of(CARD, Phase.VERIFY, Reason.CRASHED, "the runner was ended by SIGSEGV")
    text = shown(Report(devices=(CARD,), rejected=(crash,)))
    assert text.index("1 usable GPU") < text.index(
        "crashed (verify, cuda_jetpack6): the runner was ended by SIGSEGV"
    )


def test_a_met_check_names_the_devices() -> None:
    text = shown(Report(devices=(CARD,)), requirement=Requirement())
    assert text.startswith("Met, needed: 1 device; usable: 1 of 1 device\n")
    assert CARD.id in text


def test_an_unmet_check_says_what_each_device_lacks_and_why_others_were_rejected() -> None:
    crash = Rejection.of(replace(CARD, id="GPU-b", pci_id=""), Phase.VERIFY, Reason.CRASHED, "it broke")
    report = Report(devices=(CARD,), rejected=(crash,))
    text = shown(report, requirement=Requirement(library="CUDA", min_memory=80 << 30), width=120)
    assert text.startswith("Not met, needed: 1 CUDA device of 80.0 GiB or more; usable: 0 of 1 device\n")
    assert lines_with(text, CARD.id, "it has 24.0 GiB")
    assert lines_with(text, "CUDA GPU-b")
    assert lines_with(text, "crashed (verify, cuda_jetpack6): it broke")
