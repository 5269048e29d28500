"""Laws of the wire: no bytes do harm, what is printed is read again, and one bad device costs only itself."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from answers import holds
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.strategies import Body, bodies, body_of, damaged_bodies, mutated_bodies
from pytest_gpudiscover.wire import parse_answer, parse_devices

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
small = st.integers(-(2**31), 2**31 - 1)
any_device = st.builds(
    DeviceInfo,
    id=st.from_regex(r"[A-Za-z0-9/:._-]{1,128}", fullmatch=True),
    library=texts,
    name=texts,
    description=texts,
    integrated=st.booleans(),
    pci_id=texts,
    total_memory=st.just(2**64 - 1),
    free_memory=st.integers(0, 2**64 - 1),
    compute_major=small,
    compute_minor=small,
    driver_major=small,
    driver_minor=small,
    library_path=st.lists(texts, max_size=3).map(tuple),
    gfx_target=texts,
    index=st.none() | st.integers(0, 2**31 - 1),
)
"""Devices with any values that the wire can carry, real or not."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
KEYS = (
    *(
        "id",
        "backend",
        "name",
        "description",
        "integration",
        "pci_id",
        "total_memory",
        "free_memory",
        "index",
    ),
    *("ComputeMajor", "ComputeMinor", "driver_major", "driver_minor", "LibraryPath", "gfx_target"),
    *("filtered_id", "filter_id", "unusable"),
)

WRONG: dict[str, tuple[object, ...]] = {
    "id": ("", "a,b", "a b", "a=b", "\n", "x" * 129, "\ud800", 7, None),
    "description": ("\ud800", "\udfff.", 7, None, ["a text"]),
    "integration": (1, 0, "true", None),
    "total_memory": (0, -1, 2**64, 10**30, True, 1.5, "8 GiB", None),
    "free_memory": (-1, 2**64, False, 0.0, None),
    "ComputeMajor": (2**31, True, "9", None),
    "LibraryPath": ("a path", [7], ["\ud800"], None),
    "index": (-1, 2**31, True, "0", None),
    "unusable": ({}, {"reason": "cpu"}, {"detail": "no code for it"}, True, "no"),
}
"""By key, what no device can have there."""


@given(st.binary(max_size=200))
@example(b"[" * 5000)
@example(b'[{"id": "a", "total_memory": 1e400}]')
def test_no_bytes_raise(content: bytes) -> None:
    """Would have caught: a RecursionError of nesting, an OverflowError of 1e400."""
    holds(parse_answer(content))


@given(damaged_bodies())
def test_no_damaged_answer_raises(content: bytes) -> None:
    """Would have caught: half a surrogate pair that fails only when it is printed."""
    holds(parse_answer(content))


@given(bodies())
def test_every_way_to_write_an_answer_is_read_as_the_same_devices(body: Body) -> None:
    """Would have caught: keys compared with case, which Go's parser does not do."""
    assert parse_devices(body.content) == (body.whole, ())


@given(st.lists(any_device, max_size=3))
def test_what_is_printed_is_read_again(listed: list[DeviceInfo]) -> None:
    """Would have caught: an index of 0 taken for none, 64 bits for 63."""
    assert parse_devices(body_of(listed)) == (tuple(listed), ())


@given(mutated_bodies())
def test_a_bad_device_costs_only_itself(body: Body) -> None:
    """Would have caught: one refusal for all of an answer, as Go's parser has it."""
    answer = parse_answer(body.content)
    holds(answer)
    assert answer.refused is None
    left = iter(answer.devices)
    assert all(device in left for device in body.whole)


@given(mutated_bodies(), mutated_bodies())
def test_each_entry_is_read_for_itself_whatever_stands_beside_it(one: Body, other: Body) -> None:
    """Would have caught: a key that was seen in the entry before."""
    parts = [body.content[1:-1] for body in (one, other) if body.content != b"[]"]
    both = parse_answer(b"[" + b",".join(parts) + b"]").entries
    assert both == parse_answer(one.content).entries + parse_answer(other.content).entries


@given(any_device, st.sampled_from(KEYS), json_values)
def test_any_value_in_any_place_costs_its_own_device_only(good: DeviceInfo, key: str, value: object) -> None:
    """Would have caught: a list where a text was expected, and a set that cannot hold it."""
    whole = json.loads(body_of([good]))[0]
    answer = parse_answer(json.dumps([whole, whole | {key: value}, whole]).encode())
    holds(answer)
    if answer.refused is None:  # NaN and the infinities are no JSON at all
        assert len(answer.entries) == 3
        assert (answer.entries[0], answer.entries[2]) == (good, good)


@given(any_device)
def test_no_device_comes_of_an_entry_with_a_value_that_no_device_can_have(good: DeviceInfo) -> None:
    """Would have caught: half a surrogate pair that fails only when it is printed, true taken for 1."""
    whole = json.loads(body_of([good]))[0]
    wrong = [whole | {key: value} for key, values in WRONG.items() for value in values]
    wrong += [{key: value for key, value in whole.items() if key != lost} for lost in ("id", "total_memory")]
    answer = parse_answer(json.dumps([*wrong, whole]).encode())
    assert (answer.devices, len(answer.rejections)) == ((good,), len(wrong))


@given(any_device, st.integers(1, 2**64 - 1))
def test_no_device_has_more_memory_free_than_it_has(device: DeviceInfo, total: int) -> None:
    """Would have caught: a share of free memory above one, for whoever divides the two."""
    listed = replace(device, total_memory=total)
    assert parse_devices(body_of([listed])) == (
        (replace(listed, free_memory=min(device.free_memory, total)),),
        (),
    )


@given(any_device)
def test_no_device_comes_of_an_entry_that_says_one_thing_twice(good: DeviceInfo) -> None:
    """Would have caught: the last of two ids, where another parser takes the first."""
    whole = body_of([good])[1:-1]
    again = [json.dumps({key.upper(): value})[1:-1].encode() for key, value in json.loads(whole).items()]
    twice = [b"{" + pair + b"," + whole[1:] for pair in again]
    answer = parse_answer(b"[" + b",".join([*twice, whole]) + b"]")
    assert (answer.devices, len(answer.rejections)) == ((good,), len(twice))
