"""A runner's answer: strict about types and ranges, and one bad device never costs the good ones."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from dataclasses import replace
from typing import Any

import pytest

from answers import GIB, L4
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.wire import MAX_DEVICES, Answer, parse_answer, parse_devices

GOOD: dict[str, Any] = {
    "id": "GPU-good",
    "backend": "CUDA",
    "name": "CUDA0",
    "description": "NVIDIA L4",
    "integration": True,
    "pci_id": "0000:01:00.0",
    "total_memory": 24 * GIB,
    "free_memory": 23 * GIB,
    "ComputeMajor": 8,
    "ComputeMinor": 9,
    "driver_major": 13,
    "driver_minor": 1,
    "LibraryPath": ["/lib/ollama", "/lib/ollama/cuda_v13"],
    "gfx_target": "sm_89",
    "index": 3,
}
GOOD_DEVICE = replace(L4, library_path=("/lib/ollama", "/lib/ollama/cuda_v13"), gfx_target="sm_89", index=3)


def body(*entries: object) -> bytes:
    return json.dumps(entries).encode()


def raw(members: str) -> bytes:
    """An answer of a good device, one whose members are as written, and the good one again."""
    good = json.dumps(GOOD)
    return f'[{good}, {{"id": "GPU-bad", "total_memory": 5, {members}}}, {good}]'.encode()


def bad_device(answer: bytes) -> Rejection:
    """The one refused entry between two good ones."""
    devices, rejections = parse_devices(answer)
    assert devices == (GOOD_DEVICE, GOOD_DEVICE)
    (rejection,) = rejections
    assert (rejection.phase, rejection.reason) == (Phase.ENUMERATE, Reason.BAD_DEVICE)
    assert rejection.device is not None
    return rejection


def whole(answer: bytes) -> Rejection:
    """The refusal of an answer as a whole."""
    devices, rejections = parse_devices(answer)
    assert devices == ()
    (rejection,) = rejections
    assert (rejection.reason, rejection.device) == (Reason.BAD_ANSWER, None)
    assert parse_answer(answer).refused == rejection
    return rejection


def test_a_valid_device_is_read_field_by_field() -> None:
    assert parse_devices(body(GOOD)) == ((GOOD_DEVICE,), ())


def test_nothing_to_list_is_a_valid_answer() -> None:
    assert parse_devices(b" [ ] \n") == ((), ())


def test_what_may_be_left_out_has_its_documented_default() -> None:
    needed = ("id", "name", "description", "total_memory", "ComputeMajor", "ComputeMinor", "LibraryPath")
    (device,) = parse_devices(body({key: GOOD[key] for key in needed}))[0]
    assert (device.library, device.integrated, device.pci_id, device.free_memory) == ("", False, "", 0)
    assert (device.driver_major, device.driver_minor, device.gfx_target, device.index) == (0, 0, "", None)


def test_keys_are_matched_without_case() -> None:
    for change in (str.upper, str.lower, str.title):
        assert parse_devices(body({change(key): value for key, value in GOOD.items()})) == (
            (GOOD_DEVICE,),
            (),
        )


def test_unknown_keys_are_ignored_whatever_they_hold() -> None:
    extra = {"uuid": None, "deep": {"a": [1.5, {"b": {}}]}, "": "\ud800", "total memory": -1}
    for entry in (GOOD | extra, extra | GOOD):
        assert parse_devices(body(entry)) == ((GOOD_DEVICE,), ())


@pytest.mark.parametrize("key", ["filtered_id", "filter_id", "Filter_ID"])
def test_both_spellings_of_filtered_id_are_read(key: str) -> None:
    (device,) = parse_devices(body(GOOD | {key: "2"}))[0]
    assert device.filtered_id == "2"


def test_good_and_refused_entries_keep_their_order() -> None:
    entries = parse_answer(body(GOOD, None, GOOD, {"id": 7})).entries
    assert [isinstance(entry, DeviceInfo) for entry in entries] == [True, False, True, False]


def test_256_devices_are_believed_and_257_are_refused_as_a_whole() -> None:
    assert MAX_DEVICES == 256
    assert len(parse_devices(body(*[GOOD] * 256))[0]) == 256
    assert "257" in whole(body(*[GOOD] * 257)).detail
    whole(body(*[None] * 10_000))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[",
        b"[{}",
        b'[{"id": "a"},]',
        b"[] []",
        b"[]x",
        b"\x00",
        b'["\x01"]',
        b"<html></html>",
        b"{'id': 1}",
    ],
)
def test_what_is_not_json_is_refused_as_a_whole(answer: bytes) -> None:
    assert "not JSON" in whole(answer).detail


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"null", "null"),
        (b"{}", "an object"),
        (b"3", "an integer"),
        (b'"x"', "a string"),
        (b"true", "a boolean"),
    ],
)
def test_an_answer_that_is_no_list_is_refused_as_a_whole(answer: bytes, expected: str) -> None:
    assert whole(answer).detail == f"expected a list of devices, got {expected}"


@pytest.mark.parametrize(
    "answer", [b"\xff\xfe[\x00]\x00", b'[{"id": "\xff"}]', "[]".encode("utf-16"), b'[{"id": "\xed\xa0\x80"}]']
)
def test_what_is_not_utf_8_is_refused_as_a_whole(answer: bytes) -> None:
    assert "UTF-8" in whole(answer).detail


def test_a_byte_order_mark_is_refused_as_a_whole() -> None:
    whole(b"\xef\xbb\xbf[]")
    whole("[]".encode("utf-16-le"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("key", ["total_memory", "free_memory", "anything"])
def test_numbers_that_are_none_are_refused_as_a_whole(key: str, number: str) -> None:
    whole(f'[{{"id": "a", "{key}": {number}}}]'.encode())


@pytest.mark.parametrize(
    "number",
    ["9" * 4301, "-" + "9" * 4301, "-1", str(2**64), "1.0", "1e3", "true", '"5"', "null", "[]", "{}"],
)
@pytest.mark.parametrize("key", ["free_memory", "FREE_MEMORY"])
def test_a_size_that_is_none_costs_its_device_only(key: str, number: str) -> None:
    assert bad_device(raw(f'"{key}": {number}')).detail.startswith(f"{key}: ")


@pytest.mark.parametrize("number", ["9" * 4301, str(2**31), str(-(2**31) - 1), "1.5", "false", '"5"', "null"])
@pytest.mark.parametrize("key", ["ComputeMajor", "ComputeMinor", "driver_major", "driver_minor"])
def test_a_version_that_is_none_costs_its_device_only(key: str, number: str) -> None:
    bad_device(raw(f'"{key}": {number}'))


@pytest.mark.parametrize("number", ["-1", "2147483648", "1.0", '"1"', "true"])
def test_an_index_that_is_none_costs_its_device_only(number: str) -> None:
    bad_device(raw(f'"index": {number}'))


def test_sizes_reach_up_to_64_bits_and_compute_below_zero() -> None:
    (device,) = parse_devices(
        body(GOOD | {"total_memory": 2**64 - 1, "ComputeMajor": -1, "ComputeMinor": -1})
    )[0]
    assert (device.total_memory, device.compute_major, device.compute) == (2**64 - 1, -1, "sm_89")


def test_an_unknown_key_may_hold_an_integer_of_any_length() -> None:
    devices, rejections = parse_devices(raw(f'"anything": {"9" * 4301}'))
    assert (len(devices), rejections) == (3, ())


@pytest.mark.parametrize("value", ["null", "1", "1.5", "true", "[]", "{}", '"\\ud800"', '"\\udc00\\ud800"'])
@pytest.mark.parametrize("key", ["backend", "name", "description", "pci_id", "filtered_id", "gfx_target"])
def test_a_text_that_is_none_costs_its_device_only(key: str, value: str) -> None:
    bad_device(raw(f'"{key}": {value}'))


@pytest.mark.parametrize("value", ["null", '"/lib"', "{}", "[1]", "[null]", '["\\ud800"]', '[["/lib"]]'])
def test_a_library_path_that_is_none_costs_its_device_only(value: str) -> None:
    bad_device(raw(f'"LibraryPath": {value}'))


@pytest.mark.parametrize("value", ["null", "0", "1", '"true"'])
def test_a_flag_that_is_none_costs_its_device_only(value: str) -> None:
    bad_device(raw(f'"integration": {value}'))


@pytest.mark.parametrize("entry", [None, 1, 1.5, True, "GPU", [], [GOOD]])
def test_an_entry_that_is_no_object_costs_itself_only(entry: object) -> None:
    bad_device(body(GOOD, entry, GOOD))


def test_a_device_without_an_id_costs_itself_only() -> None:
    without = {key: value for key, value in GOOD.items() if key != "id"}
    rejection = bad_device(body(GOOD, without, GOOD))
    assert (rejection.detail, rejection.description) == ("id: missing", "NVIDIA L4")


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "a,b",
        "a b",
        " ",
        "a\tb",
        "a\0b",
        "a=b",
        "a\x1b",
        "a\u00a0b",
        "a\u2028b",
        "a\u202eb",
        "x" * 129,
        "x" * 200,
    ],
)
def test_an_id_that_would_break_a_mask_is_refused(identifier: str) -> None:
    rejection = bad_device(body(GOOD, GOOD | {"id": identifier}, GOOD))
    assert rejection.detail.isprintable()
    assert len(rejection.detail) < 400


@pytest.mark.parametrize(
    "identifier", ["0", "GPU-1fd4", "MIG-GPU-1fd4/1/0", "x" * 128, "\u0663", "gpu\u00e9"]
)
def test_an_id_that_fits_into_a_mask_is_taken(identifier: str) -> None:
    assert parse_devices(body(GOOD | {"id": identifier}))[0][0].id == identifier


@pytest.mark.parametrize(
    "members",
    [
        '"name": "a", "name": "a"',
        '"name": "a", "NAME": "b"',
        '"x": 1, "X": 2',
        '"id": "GPU-bad"',
        '"index": 1, "index": 1',
    ],
)
def test_a_key_given_twice_costs_its_device_only(members: str) -> None:
    assert "given twice" in bad_device(raw(members)).detail


def test_keys_that_are_one_in_upper_case_alone_are_two() -> None:
    assert parse_devices(body(GOOD | {"stra\u00dfe": 1, "strasse": 2})) == ((GOOD_DEVICE,), ())


@pytest.mark.parametrize("members", ['"reason": "cpu", "Reason": "other"', '"": 1, "": 2'])
def test_a_key_given_twice_within_unusable_costs_its_device_only(members: str) -> None:
    assert "given twice" in bad_device(raw(f'"unusable": {{{members}}}')).detail


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"id": "a", "x": ' + "["])
def test_deep_nesting_is_refused_without_recursion(opening: str) -> None:
    whole(opening.encode() * 100_000)
    whole(b"[" * 100_000 + b"]" * 100_000)


def test_nested_unknown_keys_of_any_depth_never_raise() -> None:
    for depth in (10, 900, 1_100, 20_000):
        parse_devices(f'[{{"id": "a", "total_memory": 1, "x": {"[" * depth}{"]" * depth}}}]'.encode())


def test_free_memory_above_the_total_is_clamped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pytest_gpudiscover.wire"):
        (device,) = parse_devices(body(GOOD | {"free_memory": 25 * GIB, "backend": "CUDA\x1b[2J"}))[0]
    assert device.free_memory == device.total_memory == 24 * GIB
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(25 * GIB) in record.getMessage()
    assert record.getMessage().isprintable()


def test_free_memory_of_all_there_is_needs_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    parse_devices(body(GOOD | {"free_memory": 24 * GIB}))
    assert caplog.records == []


@pytest.mark.parametrize(
    "memory", [{"total_memory": 0}, {"total_memory": 0, "free_memory": 0}, {"TOTAL_MEMORY": 0}]
)
def test_a_pseudo_device_without_memory_is_dropped(memory: dict[str, int]) -> None:
    entry = {key: value for key, value in GOOD.items() if key != "total_memory"} | memory
    (rejection,) = parse_devices(body(entry))[1]
    assert rejection.reason is Reason.NO_MEMORY


def test_a_device_that_never_says_how_much_memory_it_has_is_dropped() -> None:
    (rejection,) = parse_devices(body({"id": "GPU-a", "name": "x", "description": "y"}))[1]
    assert rejection.reason is Reason.NO_MEMORY


@pytest.mark.parametrize(
    ("verdict", "reason", "detail"),
    [
        ({"reason": "cpu", "detail": "llvmpipe is a CPU"}, Reason.CPU, "llvmpipe is a CPU"),
        ({"Reason": "broken", "Detail": "it says 802"}, Reason.UNUSABLE, "it says 802"),
        ({"reason": "broken"}, Reason.UNUSABLE, "broken"),
        ({}, Reason.UNUSABLE, "the runner says so, and not why"),
        ({"reason": "cpu", "detail": "\x1b[2J\nroot#"}, Reason.CPU, "\\x1b[2J\\nroot#"),
        ({"reason": 5}, Reason.BAD_DEVICE, "unusable: a string was expected, got an integer"),
        (True, Reason.BAD_DEVICE, "unusable: an object with reason and detail was expected, got a boolean"),
    ],
)
def test_a_device_that_its_runner_calls_unusable_is_rejected(
    verdict: object, reason: Reason, detail: str
) -> None:
    devices, (rejection,) = parse_devices(body(GOOD, GOOD | {"id": "GPU-u", "unusable": verdict}))
    assert devices == (GOOD_DEVICE,)
    assert (rejection.reason, rejection.detail, rejection.id) == (reason, detail, "GPU-u")
    assert rejection.phase is Phase.ENUMERATE


def test_an_unusable_device_needs_no_memory_to_be_named() -> None:
    (rejection,) = parse_devices(body({"id": "0", "total_memory": 0, "unusable": {"reason": "cpu"}}))[1]
    assert rejection.reason is Reason.CPU


def test_an_answer_is_marked_with_the_variant_and_the_phase_it_served() -> None:
    answer = parse_answer(body(GOOD, None)).of_variant("cuda_v13", Phase.VERIFY)
    assert [device.variant for device in answer.devices] == ["cuda_v13"]
    (rejection,) = answer.rejections
    assert rejection.device is not None
    assert (rejection.variant, rejection.device.variant, rejection.phase) == (
        "cuda_v13",
        "cuda_v13",
        Phase.VERIFY,
    )
    refused = parse_answer(b"no").of_variant("cuda_v13", Phase.REFRESH).refused
    assert refused is not None
    assert (refused.variant, refused.phase) == ("cuda_v13", Phase.REFRESH)


HOSTILE = ["\0", "\x1b]0;owned\x07", "\r\n", "\u202e", "\x9b2J", "x" * 1_000_000, "\x1b" * 100_000, "\ud800"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_never_come_out_of_a_detail_raw(text: str) -> None:
    unusable = {"reason": text, "detail": text}
    entries: list[object] = [GOOD | {key: text} for key in GOOD]
    entries += [{text: 1, text + " ": 2}, GOOD | {text: 1}, GOOD | {"unusable": unusable}, text, [text]]
    for answer in (
        body(*entries),
        json.dumps(text).encode(),
        raw(f"{json.dumps(text)}: 1, {json.dumps(text)}: 2"),
    ):
        for rejection in parse_devices(answer)[1]:
            assert rejection.detail.isprintable()
            assert len(rejection.detail) < 1000
            rejection.detail.encode()


def test_a_flood_of_problems_does_not_make_a_flood_of_detail() -> None:
    members = ", ".join(f'"k{n}": 1, "k{n}": 2' for n in range(10_000))
    detail = bad_device(raw(members)).detail
    assert "given twice" in detail
    assert len(detail) < 1000


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b'[{"id": "\xff"}]', "the answer is not UTF-8: byte 9 cannot be read"),
        (b"[", "the answer is not JSON: Expecting value: line 1 column 2 (char 1)"),
        (b"[" * 100_000, "the answer nests deeper than any list of devices"),
        (b"[NaN]", "the answer is not JSON: it holds NaN"),
        (b"[1e999]", "the answer holds a number that is too large: 1e999"),
        (b"[-1e999]", "the answer holds a number that is too large: -1e999"),
        (b"[" + b"9" * 400 + b".0]", f"the answer holds a number that is too large: {'9' * 39}…"),
        (b"1.5", "expected a list of devices, got a fraction"),
        (body(*[None] * 257), "the answer lists 257 devices; more than 256 are not believed"),
    ],
)
def test_an_answer_that_is_refused_as_a_whole_says_what_it_is(answer: bytes, detail: str) -> None:
    rejection = whole(answer)
    assert (rejection.phase, rejection.detail) == (Phase.ENUMERATE, detail)


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ('"name": 1', "name: a string was expected, got an integer"),
        ('"NAME": 1.5', "NAME: a string was expected, got a fraction"),
        ('"name": []', "name: a string was expected, got a list"),
        ('"name": {}', "name: a string was expected, got an object"),
        ('"name": true', "name: a string was expected, got a boolean"),
        ('"name": null', "name: a string was expected, got null"),
        ('"name": "\\ud800"', "name: a string holds half a surrogate pair"),
        ('"integration": "yes"', "integration: true or false was expected, got a string"),
        ('"LibraryPath": "/lib"', "LibraryPath: a list of strings was expected, got a string"),
        ('"LibraryPath": ["/lib", 1]', "LibraryPath: a string was expected, got an integer"),
        ('"free_memory": "5"', "free_memory: an integer was expected, got a string"),
        (
            f'"free_memory": {"9" * 21}',
            "free_memory: an integer was expected, got an integer of more than 20 digits",
        ),
        (
            f'"free_memory": {"9" * 20}',
            f"free_memory: {'9' * 20} is out of range: 0 to {2**64 - 1} was expected",
        ),
        (
            f'"free_memory": -{"9" * 20}',
            f"free_memory: -{'9' * 20} is out of range: 0 to {2**64 - 1} was expected",
        ),
        ('"index": -1', f"index: -1 is out of range: 0 to {2**31 - 1} was expected"),
        ('"index": 2147483648', f"index: {2**31} is out of range: 0 to {2**31 - 1} was expected"),
        (
            '"ComputeMajor": -2147483649',
            f"ComputeMajor: {-(2**31) - 1} is out of range: {-(2**31)} to {2**31 - 1} was expected",
        ),
        ('"name": "a", "NAME": "b"', "NAME: given twice"),
        (f'"{"k" * 50}": 1, "{"k" * 50}": 2', f"{'k' * 39}…: given twice"),
        ('"unusable": 1', "unusable: an object with reason and detail was expected, got an integer"),
        ('"Unusable": {"detail": null}', "unusable: a string was expected, got null"),
        ('"unusable": {"reason": "a", "REASON": "b"}', "unusable: REASON: given twice"),
        (
            f'"unusable": {{"{"k" * 50}": 1, "{"k" * 50}": 2}}',
            f"unusable: {'k' * 39}…: given twice",
        ),
        (
            '"name": 1, "gfx_target": null',
            "name: a string was expected, got an integer; gfx_target: a string was expected, got null",
        ),
    ],
)
def test_a_device_that_is_refused_says_what_is_wrong_with_it(members: str, detail: str) -> None:
    rejection = bad_device(raw(members))
    assert (rejection.detail, rejection.id) == (detail, "GPU-bad")


@pytest.mark.parametrize(
    ("identifier", "detail"),
    [
        ("", "id: an id of 1 to 128 characters was expected, got 0"),
        ("x" * 129, "id: an id of 1 to 128 characters was expected, got 129"),
        ("a,b", "id: an id must fit into a mask, and 'a,b' does not"),
        (7, "id: a string was expected, got an integer"),
    ],
)
def test_an_id_that_is_refused_says_why(identifier: object, detail: str) -> None:
    assert bad_device(body(GOOD, GOOD | {"id": identifier}, GOOD)).detail == detail


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (None, "null"),
        (1, "an integer"),
        (1.5, "a fraction"),
        (True, "a boolean"),
        ("GPU", "a string"),
        ([], "a list"),
    ],
)
def test_an_entry_that_is_no_object_says_what_it_is(entry: object, kind: str) -> None:
    rejection = bad_device(body(GOOD, entry, GOOD))
    assert rejection.detail == f"a device must be an object, got {kind}"
    assert (rejection.id, rejection.library) == ("", "")


def test_five_problems_of_a_device_are_named_and_the_rest_is_counted() -> None:
    keys = ["name", "description", "pci_id", "gfx_target", "backend", "filtered_id", "LibraryPath"]
    named = [f"{key}: a string was expected, got null" for key in keys]
    for count, more in ((5, []), (6, ["and 1 more"]), (7, ["and 2 more"])):
        detail = bad_device(raw(", ".join(f'"{key}": null' for key in keys[:count]))).detail
        assert detail == "; ".join([*named[:5], *more])


def test_the_edges_of_every_range_are_within_it() -> None:
    edges = {"ComputeMajor": -(2**31), "ComputeMinor": 2**31 - 1, "index": 2**31 - 1, "free_memory": 0}
    (device,) = parse_devices(body(GOOD | edges))[0]
    assert (device.compute_major, device.compute_minor) == (-(2**31), 2**31 - 1)
    assert (device.index, device.free_memory) == (2**31 - 1, 0)
    (device,) = parse_devices(body(GOOD | {"index": 0}))[0]
    assert device.index == 0


def test_a_device_without_memory_says_what_that_means() -> None:
    (rejection,) = parse_devices(body(GOOD | {"total_memory": 0, "free_memory": 0}))[1]
    assert rejection.phase is Phase.ENUMERATE
    assert rejection.detail == "it reports no memory at all, so it is no device that could be used"
    assert rejection.id == "GPU-good"


def test_the_warning_of_more_free_memory_than_there_is_names_the_device_and_the_figures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "pytest_gpudiscover.wire"):
        parse_devices(body(GOOD | {"total_memory": 5, "free_memory": 7}))
    assert caplog.messages == [
        "CUDA GPU-good reports more free memory (7 bytes) than it has (5): taken as all free"
    ]


def test_an_answer_that_was_read_where_little_was_left_of_the_stack_is_read_again_elsewhere() -> None:
    body = b'[{"id": "GPU-1", "backend": "CUDA", "total_memory": 1}, {"id": "GPU-2", "backend": "CUDA"}]'

    def below(frames: int) -> Answer:
        return below(frames - 1) if frames else parse_answer(body)

    def deepest() -> Answer | None:
        for frames in range(sys.getrecursionlimit(), 0, -1):
            with contextlib.suppress(RecursionError):
                return below(frames)
        return None

    assert (refused := deepest())
    assert refused.refused
    assert [device.id for device in parse_answer(body).devices] == ["GPU-1"]
