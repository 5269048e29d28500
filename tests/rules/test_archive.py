"""The archive of a discovery: whatever is written is read back, and nothing else is."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.archive import ARCHIVE, SCHEMA, Snapshot, dumps, loads
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.reports import Phase, ProbeRecord, Reason, Rejection, Report

# Also the halves of surrogate pairs that os.environ has for bytes which are no text.
texts = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.characters(categories=["Cs"], min_codepoint=0xDC80, max_codepoint=0xDCFF)
)
numbers = st.integers(-(1 << 70), 1 << 70)
seconds = st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 1 << 40)
mappings: st.SearchStrategy[Mapping[str, str]] = st.dictionaries(texts, texts, max_size=3)
phases, reasons = st.sampled_from(Phase), st.sampled_from(Reason)
devices = st.builds(
    DeviceInfo,
    id=texts,
    library=texts,
    variant=texts,
    name=texts,
    description=texts,
    filtered_id=texts,
    integrated=st.booleans(),
    pci_id=texts,
    total_memory=numbers,
    free_memory=numbers,
    compute_major=numbers,
    compute_minor=numbers,
    driver_major=numbers,
    driver_minor=numbers,
    library_path=st.lists(texts, max_size=3).map(tuple),
    stale=st.booleans(),
    index=st.none() | numbers,
    gfx_target=texts,
)
rejections = st.builds(
    Rejection, phase=phases, reason=reasons, detail=texts, variant=texts, device=st.none() | devices
)
probes = st.builds(
    ProbeRecord,
    phase=phases,
    variant=texts,
    mask=mappings,
    started=seconds,
    ready=st.none() | seconds,
    ended=seconds,
    outcome=texts,
    exit_code=st.none() | numbers,
    signal=st.none() | texts,
    stderr=texts,
)
reports = st.builds(
    Report,
    devices=st.lists(devices, max_size=2).map(tuple),
    rejected=st.lists(rejections, max_size=2).map(tuple),
    probes=st.lists(probes, max_size=2).map(tuple),
    duration=seconds,
    masks=mappings,
)
snapshots = st.builds(Snapshot, report=reports, listed=st.lists(devices, max_size=2).map(tuple))

DEVICE = DeviceInfo(id="GPU-a", library="CUDA", library_path=("/lib",), index=1)
SNAPSHOT = Snapshot(
    report=Report(
        devices=(DEVICE,),
        rejected=(Rejection.of(DEVICE, Phase.VERIFY, Reason.CRASHED, "It crashed."),),
        probes=(ProbeRecord(phase=Phase.VERIFY, variant="v", started=0.5, ended=1.5, outcome="answered"),),
        duration=2.5,
        masks={"CUDA_VISIBLE_DEVICES": "0"},
    ),
    listed=(DEVICE,),
)


@given(snapshots)
def test_what_was_written_is_read_back_as_it_was(snapshot: Snapshot) -> None:
    assert loads(dumps(snapshot)) == snapshot


@given(snapshots)
def test_an_archive_is_one_line_of_ascii(snapshot: Snapshot) -> None:
    text = dumps(snapshot)
    assert text.isascii()
    assert text.isprintable()


def test_values_come_back_with_their_types() -> None:
    back = loads(dumps(SNAPSHOT))
    (rejection,) = back.report.rejected
    assert isinstance(rejection.phase, Phase)
    assert isinstance(rejection.reason, Reason)
    assert isinstance(back.report.devices, tuple)
    assert isinstance(back.listed[0].library_path, tuple)
    assert hash(back.listed) == hash(SNAPSHOT.listed)


def test_nothing_zero_and_the_empty_text_are_told_apart() -> None:
    for nothing, number, text in ((None, None, None), (None, 0, ""), (0.0, 0, "")):
        probe = replace(SNAPSHOT.report.probes[0], ready=nothing, exit_code=number, signal=text)
        snapshot = Snapshot(report=Report(probes=(probe,)), listed=(replace(DEVICE, index=number),))
        assert loads(dumps(snapshot)) == snapshot


def test_a_mapping_of_any_kind_is_written() -> None:
    masks = MappingProxyType({"CUDA_VISIBLE_DEVICES": "0"})
    assert loads(dumps(Snapshot(report=Report(masks=masks)))).report.masks == masks


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_time_that_is_no_number_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dumps(Snapshot(report=Report(duration=number)))


@given(st.data(), snapshots)
def test_a_text_that_was_tampered_with_is_a_snapshot_or_a_value_error(
    data: st.DataObject, snapshot: Snapshot
) -> None:
    text = dumps(snapshot)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 20, len(text))))
    put = data.draw(st.text('{}[]":,0123456789eE.-+ntfaulrse \\u', max_size=5) | st.text(max_size=3))
    with contextlib.suppress(ValueError):
        assert isinstance(loads(text[:start] + put + text[end:]), Snapshot)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(plain: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: what holds it, and its key."""
    keys = plain if isinstance(plain, dict) else range(len(plain)) if isinstance(plain, list) else ()
    return [place for key in keys for place in [(plain, key), *places(plain[key])]]


@given(st.data(), values)
def test_a_value_of_another_type_is_a_value_error_wherever_it_stands(data: st.DataObject, value: Any) -> None:
    plain = json.loads(dumps(SNAPSHOT))
    holder, key = data.draw(st.sampled_from(places(plain)))
    holder[key] = value
    with contextlib.suppress(ValueError):
        read = loads(json.dumps(plain))
        assert json.loads(dumps(read)) == plain


@given(st.text() | values.map(json.dumps))
def test_any_other_text_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^no snapshot of a discovery: "):
        loads(text)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, f"[{'1,' * 5000}", "NaN", "\ud800", "\0"]
)
def test_what_breaks_a_parser_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^no snapshot of a discovery: "):
        loads(text)


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    plain = json.loads(dumps(SNAPSHOT))
    change(plain)
    return json.dumps(plain)


def device_of(plain: dict[str, Any]) -> dict[str, Any]:
    device: dict[str, Any] = plain["snapshot"]["listed"][0]
    return device


def report_of(plain: dict[str, Any]) -> dict[str, Any]:
    report: dict[str, Any] = plain["snapshot"]["report"]
    return report


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda plain: plain.update(schema=SCHEMA + 1),
            f"expected '{ARCHIVE}' of schema {SCHEMA}, got '{ARCHIVE}' of schema {SCHEMA + 1}",
        ),
        (lambda plain: plain.update(schema=True), "got .* of schema True"),
        (lambda plain: plain.update(schema=1.0), r"got .* of schema 1\.0"),
        (lambda plain: plain.update(archive="other"), "got 'other' of schema 1"),
        (lambda plain: plain.update(extra=1), "archive: fields that are missing, or too many: extra"),
        (lambda plain: device_of(plain).pop("index"), r"archive\.snapshot\.listed\[0\]: .*: index"),
        (lambda plain: device_of(plain).update(id=3), r"listed\[0\]\.id: expected a text, got 3"),
        (lambda plain: device_of(plain).update(total_memory=True), "total_memory: expected .*, got True"),
        (lambda plain: device_of(plain).update(total_memory=1.5), r"total_memory: expected .*, got 1\.5"),
        (lambda plain: device_of(plain).update(stale=0), "stale: expected true or false, got 0"),
        (lambda plain: device_of(plain).update(index="1"), "index: expected .*, got '1'"),
        (lambda plain: device_of(plain).update(library_path="/lib"), "library_path: expected a list"),
        (lambda plain: device_of(plain).update(library_path=[1]), r"library_path\[0\]: expected a text"),
        (lambda plain: report_of(plain).update(duration="1"), "duration: expected a finite number"),
        (lambda plain: report_of(plain).update(duration=math.inf), "duration: expected a finite number"),
        (lambda plain: report_of(plain).update(duration=10**400), "duration: expected a finite number"),
        (lambda plain: report_of(plain).update(masks=[]), r"masks: expected an object, got \[\]"),
        (lambda plain: report_of(plain).update(masks={"A": None}), r"masks\.A: expected a text, got None"),
        (
            lambda plain: report_of(plain)["rejected"][0].update(reason="bad"),
            "reason: expected one of driver_m",
        ),
        (
            lambda plain: report_of(plain)["rejected"][0].update(phase=None),
            "phase: expected one of enumerate,",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: Callable[[dict[str, Any]], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        loads(changed(change))


def test_what_is_shown_of_a_hostile_archive_is_safe_to_show() -> None:
    hostile = "\x1b[2J" * 1000
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda plain: plain.update(archive=hostile),
        lambda plain: plain.update({hostile: 1}),
        lambda plain: device_of(plain).update(id=[hostile]),
        lambda plain: report_of(plain).update(masks={hostile: 1}),
    ]
    for change in changes:
        with pytest.raises(ValueError, match="no snapshot of a discovery") as caught:
            loads(changed(change))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600
