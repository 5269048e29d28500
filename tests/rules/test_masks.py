"""Masks: each library's own variable and syntax, behind whatever the user had set."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.masks import (
    CUDA,
    HIP,
    LEVEL_ZERO,
    ROCR,
    VARIABLES,
    VULKAN,
    UserMasks,
    enumerate_masks,
    mask_token,
    mask_variable,
    show_only,
)
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.wire import Answer

SYSTEMS = ["linux", "win32", "darwin"]
NO_MASKS = UserMasks.read({}, "linux")


def device(library: str, device_id: str, index: int | None = None) -> DeviceInfo:
    return DeviceInfo(library=library, id=device_id, index=index)


def translated(
    environment: dict[str, str], *entries: DeviceInfo | Rejection, system: str = "linux"
) -> list[DeviceInfo]:
    return list(UserMasks.read(environment, system).translated(Answer(entries)).devices)


def tokens(library: str, environment: dict[str, str], system: str = "linux") -> tuple[str, ...] | None:
    return UserMasks.read(environment, system).tokens.get(library)


@pytest.mark.parametrize(
    ("library", "system", "variable"),
    [
        ("CUDA", "linux", "CUDA_VISIBLE_DEVICES"),
        ("CUDA", "win32", "CUDA_VISIBLE_DEVICES"),
        ("ROCm", "linux", "ROCR_VISIBLE_DEVICES"),
        ("ROCm", "win32", "HIP_VISIBLE_DEVICES"),
        ("ROCm", "darwin", "HIP_VISIBLE_DEVICES"),
        ("Vulkan", "linux", "GGML_VK_VISIBLE_DEVICES"),
        ("Vulkan", "win32", "GGML_VK_VISIBLE_DEVICES"),
        ("Metal", "darwin", None),
        ("Level Zero", "linux", "ZE_AFFINITY_MASK"),
        ("", "linux", None),
    ],
)
def test_each_library_has_its_own_variable(library: str, system: str, variable: str | None) -> None:
    assert mask_variable(library, system) == variable


def test_a_uuid_masks_itself_and_a_number_is_the_drivers_own() -> None:
    assert mask_token(device("CUDA", "GPU-a")) == "GPU-a"
    assert mask_token(device("ROCm", "2")) == "2"
    assert mask_token(replace(device("ROCm", "0"), filtered_id="2")) == "2"


def test_vulkan_is_masked_by_its_raw_position_and_never_by_a_uuid() -> None:
    assert mask_token(device("Vulkan", "00000000-uuid", index=4)) == "4"
    (noted,) = translated({}, device("Vulkan", "00000000-uuid"))
    assert show_only([noted], NO_MASKS) == {VULKAN: "0"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0,2", ("0", "2")),
        ("0,2,-1,1", ("0", "2")),
        ("-1", ()),
        ("", ()),
        (" ", ()),
        (" 0 , 1 ", ("0", "1")),
        ("GPU-1fd4,MIG-77ab,3", ("GPU-1fd4", "MIG-77ab", "3")),
        ("none", ()),
        ("1,,0", ("1",)),
        ("1,\u0663", ("1",)),
        ("1," + "9" * 5000, ("1",)),
        ("GPU-a,0;1,+3,2x", ("GPU-a", "0", "3", "2")),
        ("+-1", ()),
    ],
)
def test_cudas_mask_ends_at_the_first_invalid_entry(value: str, expected: tuple[str, ...]) -> None:
    assert tokens("CUDA", {CUDA: value}) == expected


def test_a_mask_that_is_not_set_is_no_mask() -> None:
    assert UserMasks.read({"PATH": "/bin"}, "linux") == UserMasks(in_force={}, tokens={}, system="linux")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({ROCR: "1,0"}, ("1", "0")),
        ({ROCR: "GPU-cafe,0"}, ("GPU-cafe", "0")),
        ({ROCR: "0,1,0,2"}, ("0", "1")),
        ({ROCR: "0,-1,2"}, ("0",)),
        ({ROCR: ""}, ()),
        ({ROCR: "MIG-a"}, ()),
        ({HIP: "1,0"}, ("1", "0")),
        ({HIP: ""}, None),
        ({HIP: "0, 1"}, ("0",)),
        ({HIP: "01"}, ()),
        ({HIP: "-1"}, ()),
        ({HIP: "1,1"}, ("1",)),
        ({CUDA: "1"}, ("1",)),
        ({CUDA: "-1"}, ()),
        ({CUDA: ""}, None),
        ({CUDA: "1", HIP: "0"}, ("0",)),
        ({CUDA: "1", HIP: ""}, ("1",)),
        ({ROCR: "4,5,6", HIP: "2,0"}, ("6", "4")),
        ({ROCR: "4,5,6", HIP: "2,3,0"}, ("6",)),
        ({ROCR: "4,5", CUDA: "1"}, ("5",)),
        ({ROCR: "GPU-a,GPU-b", HIP: "1"}, ("GPU-b",)),
        ({ROCR: "", HIP: "0"}, ()),
        ({ROCR: "4,5", HIP: ""}, ("4", "5")),
    ],
)
def test_on_linux_hip_counts_within_what_rocr_left(
    environment: dict[str, str], expected: tuple[str, ...] | None
) -> None:
    assert tokens("ROCm", environment) == expected
    composed = UserMasks.read(environment, "linux").composed_for_rocm()
    assert composed == {ROCR: None if expected is None else ",".join(expected), HIP: None, CUDA: None}


def test_elsewhere_rocr_does_not_exist_and_nothing_is_composed() -> None:
    for system in ("win32", "darwin"):
        assert tokens("ROCm", {ROCR: "4,5,6", HIP: "2,0"}, system) == ("2", "0")
        assert tokens("ROCm", {ROCR: "4"}, system) is None
        assert UserMasks.read({HIP: "1", CUDA: "0"}, system).composed_for_rocm() == {}


def test_without_a_mask_of_the_user_nothing_is_composed() -> None:
    assert NO_MASKS.composed_for_rocm() == {}
    assert UserMasks.read({VULKAN: "1"}, "linux").composed_for_rocm() == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2,0", ("2", "0")),
        ("2 0", ("2", "0")),
        (" 1 ", ("1",)),
        ("", ()),
        ("-1", ()),
        ("1,x,0", ("1",)),
        ("01", ("1",)),
        ("+2,1x,0", ("2", "1")),
    ],
)
def test_vulkans_mask_holds_raw_positions(value: str, expected: tuple[str, ...]) -> None:
    assert tokens("Vulkan", {VULKAN: value}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", ("1",)),
        ("3,0", ("0", "3")),
        ("10,9", ("9", "10")),
        ("2,2", ("2",)),
        ("1.0,1.1,0", ("0", "1")),
        (" 1 , 0x2", ("1", "2")),
        ("x,1,,GPU-a", ("1",)),
        ("-1", ()),
        (" ", ()),
        ("", None),
        ("default", None),
    ],
)
def test_level_zeros_mask_is_a_set_of_numbers_and_an_empty_one_is_none(
    value: str, expected: tuple[str, ...] | None
) -> None:
    assert tokens("Level Zero", {LEVEL_ZERO: value}) == expected


def test_level_zero_is_masked_by_its_raw_position_behind_the_users_mask() -> None:
    listed = [device("Level Zero", "uuid-b"), device("Level Zero", "1")]
    first, second = translated({LEVEL_ZERO: "4,2"}, *listed)
    assert [(d.index, d.filtered_id) for d in (first, second)] == [(2, ""), (4, "4")]
    assert show_only([second, first], NO_MASKS) == {LEVEL_ZERO: "4,2"}
    (known,) = translated({LEVEL_ZERO: "4,2"}, device("Level Zero", "uuid-b", index=7))
    assert mask_token(known) == "7"


def test_level_zero_is_hidden_by_a_number_that_no_device_has() -> None:
    card = device("CUDA", "GPU-a")
    hidden = show_only([card], NO_MASKS, ["Level Zero"])
    assert hidden == {CUDA: "GPU-a", LEVEL_ZERO: "-1"}
    assert tokens("Level Zero", {LEVEL_ZERO: "-1"}) == ()


@pytest.mark.parametrize(
    ("system", "hidden"),
    [
        ("linux", {ROCR: "", VULKAN: "", LEVEL_ZERO: "-1"}),
        ("win32", {HIP: "-1", VULKAN: "-1", LEVEL_ZERO: "-1"}),
    ],
)
def test_what_hides_a_library_is_no_mask_that_its_driver_takes_for_none(
    system: str, hidden: dict[str, str]
) -> None:
    """Windows has no empty variables, and HIP and Level Zero take an empty mask for none."""
    masks = UserMasks.read({}, system)
    assert show_only([device("CUDA", "GPU-a")], masks, ["ROCm", "Vulkan", "Level Zero"]) == {
        CUDA: "GPU-a",
        **hidden,
    }


def test_a_runners_number_is_a_position_in_the_users_list() -> None:
    found = translated({ROCR: "5,3"}, device("ROCm", "0"), device("ROCm", "1"))
    assert [(d.id, d.filtered_id) for d in found] == [("0", "5"), ("1", "3")]
    found = translated({CUDA: "GPU-b,GPU-a"}, device("CUDA", "1"))
    assert [d.filtered_id for d in found] == ["GPU-a"]


def test_without_a_mask_a_number_is_its_own_token() -> None:
    assert [d.filtered_id for d in translated({}, device("ROCm", "7"), device("ROCm", "\u0663"))] == ["7", ""]


def test_a_number_beyond_the_users_list_is_its_own_token() -> None:
    assert [d.filtered_id for d in translated({ROCR: "5"}, device("ROCm", "9" * 128))] == ["9" * 128]


def test_a_uuid_needs_no_translation() -> None:
    sent = replace(device("CUDA", "GPU-a"), filtered_id="a runner's own idea")
    assert [d.filtered_id for d in translated({CUDA: "3"}, sent)] == [""]


def test_a_vulkan_device_has_the_raw_position_that_its_runner_knows() -> None:
    found = translated({VULKAN: "9,8"}, device("Vulkan", "0", index=3), device("Vulkan", "uuid", index=5))
    assert [(d.index, d.filtered_id, mask_token(d)) for d in found] == [(3, "3", "3"), (5, "", "5")]


def test_an_index_that_a_runner_of_another_library_sends_stays_as_it_is() -> None:
    found = translated({CUDA: "9,8"}, device("CUDA", "1", index=3), device("CUDA", "GPU-b", index=5))
    assert [(d.filtered_id, d.index) for d in found] == [("8", 3), ("", 5)]


def test_without_it_the_place_in_the_answer_is_translated_and_refused_entries_hold_theirs() -> None:
    refusal = Rejection.of(device("Vulkan", "0"), Phase.ENUMERATE, Reason.CPU, "a CPU")
    entries: list[DeviceInfo | Rejection] = [
        device("CUDA", "GPU-a"),
        device("Vulkan", "uuid"),
        refusal,
        device("Vulkan", "2"),
    ]
    assert [(d.index, d.filtered_id) for d in translated({}, *entries)] == [(None, ""), (0, ""), (2, "2")]
    assert [d.index for d in translated({VULKAN: "4,7,6"}, *entries)][1:] == [4, 6]


def test_translation_keeps_refused_entries_in_their_places() -> None:
    refusal = Rejection.of(device("CUDA", "x"), Phase.ENUMERATE, Reason.BAD_DEVICE, "bad")
    answer = NO_MASKS.translated(Answer((device("CUDA", "GPU-a"), refusal)))
    assert answer.entries == (device("CUDA", "GPU-a"), refusal)


def test_a_probe_shows_just_its_devices_in_order_by_library() -> None:
    chosen = [
        device("CUDA", "GPU-b"),
        device("Vulkan", "x", index=2),
        device("CUDA", "GPU-a"),
        device("Metal", "0"),
    ]
    assert show_only(chosen, NO_MASKS) == {CUDA: "GPU-b,GPU-a", VULKAN: "2"}
    assert show_only([], NO_MASKS) == {}


def test_a_rocm_probe_on_linux_has_one_mask_and_the_users_others_are_taken_out() -> None:
    environment = {ROCR: "4,5,6", HIP: "2,0", CUDA: "0"}
    (first, second) = translated(environment, device("ROCm", "0"), device("ROCm", "1"))
    masks = UserMasks.read(environment, "linux")
    assert show_only([second], masks) == {ROCR: "4", HIP: None, CUDA: None}
    assert show_only([first, second], masks) == {ROCR: "6,4", HIP: None, CUDA: None}


def test_a_rocm_probe_elsewhere_is_masked_by_hip() -> None:
    environment = {HIP: "1,0"}
    (found,) = translated(environment, device("ROCm", "0"), system="win32")
    assert show_only([found], UserMasks.read(environment, "win32")) == {HIP: "1"}


def test_the_users_mask_for_cuda_stays_when_cuda_and_rocm_are_shown_together() -> None:
    masks = UserMasks.read({CUDA: "0,1"}, "linux")
    shown = show_only([device("CUDA", "GPU-a"), device("ROCm", "0")], masks)
    # HIP has a mask of its own then: without one it would take CUDA's.
    assert (shown[CUDA], shown[ROCR], shown[HIP]) == ("GPU-a", "0", "0")


@pytest.mark.parametrize("variant", ["rocm", "rocm_v7_2", "rocm_v6"])
def test_an_unmasked_probe_of_rocm_gets_the_composed_mask(variant: str) -> None:
    masks = UserMasks.read({ROCR: "4,5", HIP: "1"}, "linux")
    assert enumerate_masks(variant, masks) == {ROCR: "5", HIP: None, CUDA: None}


@pytest.mark.parametrize("variant", ["cuda_v13", "vulkan", ""])
def test_an_unmasked_probe_of_another_variant_leaves_the_users_masks_alone(variant: str) -> None:
    assert enumerate_masks(variant, UserMasks.read({ROCR: "4", HIP: "0", CUDA: "1"}, "linux")) == {}


def test_the_users_masks_are_reported_as_they_were_set() -> None:
    environment = {CUDA: " 0 ,x", HIP: "", "PATH": "/bin", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert UserMasks.read(environment, "linux").in_force == {CUDA: " 0 ,x", HIP: ""}


pieces = st.sampled_from(
    [
        "0",
        "1",
        "-1",
        " ",
        "",
        "GPU-",
        "MIG-x",
        "9" * 5000,
        "00",
        "\u0663",
        "\u00b2",
        "x",
        "0x1",
        "\t2",
        "1 2",
        "\0",
    ]
)
odd_masks = st.dictionaries(
    st.sampled_from(VARIABLES), st.lists(pieces, max_size=5).map(",".join) | st.text(max_size=10), max_size=4
)
listed = st.lists(
    st.builds(
        device,
        library=st.sampled_from(["CUDA", "ROCm", "Vulkan", "Level Zero", "Metal", ""]),
        device_id=st.sampled_from(["0", "1", "12", "9" * 128, "GPU-a", "\u0663"]),
        index=st.none() | st.integers(0, 2**31 - 1),
    ),
    max_size=4,
)


@given(odd_masks, listed, st.sampled_from(SYSTEMS))
@example({HIP: "9" * 5000}, [device("ROCm", "0")], "linux")
@example({VULKAN: "9" * 5000}, [device("Vulkan", "0")], "linux")
@example({LEVEL_ZERO: "9" * 5000}, [device("Level Zero", "0")], "linux")
def test_odd_masks_never_raise_and_never_hide_what_a_probe_shows(
    environment: dict[str, str], devices: list[DeviceInfo], system: str
) -> None:
    masks = UserMasks.read(environment, system)
    found = masks.translated(Answer(tuple(devices))).devices
    assert [(d.library, d.id) for d in found] == [(d.library, d.id) for d in devices]
    for one in found:
        variable = mask_variable(one.library, system)
        shown = show_only([one], masks)
        assert variable is None or shown[variable] == mask_token(one) != ""
        assert {name for name, value in shown.items() if value is not None} <= {variable}
    enumerate_masks("rocm", masks)


def rocm_masks(**environment: str) -> UserMasks:
    return UserMasks.read({f"{name}_VISIBLE_DEVICES": value for name, value in environment.items()}, "linux")


def test_hips_uuids_are_passed_on_to_rocr() -> None:
    masks = rocm_masks(HIP="GPU-1a2b,0")
    assert masks.composed_for_rocm()["ROCR_VISIBLE_DEVICES"] == "GPU-1a2b,0"


@pytest.mark.parametrize("rocr", ["GPU-1a2b,1", "GPU-1a,GPU-1a2b"])
def test_where_rocrs_list_may_end_at_a_card_that_it_has_already_only_the_driver_can_count(rocr: str) -> None:
    assert rocm_masks(ROCR=rocr, HIP="1").uncertain
    assert not rocm_masks(ROCR="GPU-1a2b,GPU-3c", HIP="1").uncertain


def test_hips_uuids_within_rocrs_uuids_are_those_that_both_show() -> None:
    assert rocm_masks(ROCR="gpu-1a,GPU-77", HIP="GPU-77ff").tokens["ROCm"] == ("GPU-77ff",)
    assert rocm_masks(ROCR="gpu-1a,GPU-77", HIP="GPU-99").tokens["ROCm"] == ()


def test_masks_that_only_the_driver_can_compose_are_left_as_they_are_until_it_has_listed() -> None:
    masks = rocm_masks(ROCR="0,1", HIP="GPU-1a2b,1")
    assert masks.uncertain
    assert masks.composed_for_rocm() == {}
    listed = masks.translated(
        Answer((DeviceInfo(id="0", library="ROCm"), DeviceInfo(id="1", library="ROCm")))
    )
    assert [device.filtered_id for device in listed.devices] == ["GPU-1a2b", "1"]
    assert show_only([listed.devices[0]], masks) == {
        "ROCR_VISIBLE_DEVICES": "GPU-1a2b",
        "HIP_VISIBLE_DEVICES": None,
        "CUDA_VISIBLE_DEVICES": None,
    }


def test_a_uuid_cut_short_in_either_mask_names_the_same_card() -> None:
    assert rocm_masks(ROCR="GPU-cafe,GPU-beef", HIP="GPU-be").tokens["ROCm"] == ("GPU-beef",)


@pytest.mark.parametrize(
    ("value", "numbers"),
    [("0x1,+2", ("1", "2")), ("0x1f,0X10", ("31", "16")), ("012,08,1", ("10",)), ("gpu-a,1", ("gpu-a", "1"))],
)
def test_rocr_reads_the_numbers_of_c_and_uuids_in_either_case(value: str, numbers: tuple[str, ...]) -> None:
    assert rocm_masks(ROCR=value).tokens["ROCm"] == numbers


@pytest.mark.parametrize("value", ["1 0", ",1,,0", " 1,0 ,"])
def test_vulkans_numbers_stand_between_commas_or_blanks(value: str) -> None:
    assert UserMasks.read({"GGML_VK_VISIBLE_DEVICES": value}, "linux").tokens["Vulkan"] == ("1", "0")


def test_an_entry_of_no_readable_library_takes_up_a_place() -> None:
    refused = Rejection.of(
        DeviceInfo(id="", library=""), Phase.ENUMERATE, Reason.BAD_DEVICE, "a device must be an object"
    )
    device = DeviceInfo(id="uuid", library="Vulkan")
    masks = UserMasks.read({}, "linux")
    (listed,) = masks.translated(Answer((refused, device))).devices
    assert listed.index == 1


def test_the_users_masks_behind_rocrs_are_taken_out_on_linux_alone_and_for_rocm_alone() -> None:
    users = {HIP: "1", CUDA: "0"}
    card = device("ROCm", "0")
    assert show_only([card], UserMasks.read(users, "linux")) == {ROCR: "0", HIP: None, CUDA: None}
    assert show_only([card], NO_MASKS) == {ROCR: "0"}
    assert show_only([device("CUDA", "GPU-a")], UserMasks.read(users, "linux")) == {CUDA: "GPU-a"}
    assert UserMasks.read({VULKAN: "0"}, "linux").without_users_rocm_masks() == {}
    for system in ("win32", "darwin"):
        assert UserMasks.read(users, system).without_users_rocm_masks() == {}


def test_hips_mask_beside_cudas_names_every_card_that_rocr_shows() -> None:
    shown = show_only([device("CUDA", "GPU-a"), device("ROCm", "4"), device("ROCm", "7")], NO_MASKS)
    assert shown == {CUDA: "GPU-a", ROCR: "4,7", HIP: "0,1"}


def test_of_a_library_that_is_to_be_hidden_nothing_is_shown_unless_its_device_is_asked_for() -> None:
    hidden = ["CUDA", "ROCm", "Metal", "Vulkan"]
    linux, windows = (UserMasks.read({VULKAN: "3"}, system) for system in ("linux", "win32"))
    card = device("CUDA", "GPU-a")
    assert show_only([card], linux, hidden) == {CUDA: "GPU-a", ROCR: "", VULKAN: ""}
    assert show_only([card], windows, hidden) == {CUDA: "GPU-a", HIP: "-1", VULKAN: "-1"}
    assert show_only([], windows, ["ROCm"]) == {HIP: "-1"}


def test_of_two_uuids_that_are_cut_short_the_longer_is_passed_on_whatever_their_case() -> None:
    assert rocm_masks(ROCR="gpu-be", HIP="GPU-BEEF").tokens["ROCm"] == ("GPU-BEEF",)
    assert rocm_masks(ROCR="GPU-BEEF", HIP="GPU-b").tokens["ROCm"] == ("GPU-BEEF",)


def test_a_number_of_a_mask_may_have_nine_digits() -> None:
    assert tokens("ROCm", {HIP: "123456789"}) == ("123456789",)
    assert tokens("ROCm", {HIP: "1234567890"}) == ()
    assert tokens("CUDA", {CUDA: "123456789,1234567890,1"}) == ("123456789",)


def test_an_answer_that_was_refused_as_a_whole_is_translated_and_what_follows_keeps_its_place() -> None:
    whole = Rejection(phase=Phase.ENUMERATE, reason=Reason.BAD_ANSWER, detail="not JSON")
    assert NO_MASKS.translated(Answer((whole,))).entries == (whole,)
    assert [d.index for d in translated({}, whole, device("Vulkan", "uuid"))] == [1]


def test_only_vulkan_and_level_zero_are_masked_by_a_position_and_only_by_one_that_is_known() -> None:
    assert mask_token(device("CUDA", "GPU-a", index=4)) == "GPU-a"
    assert mask_token(device("Vulkan", "2")) == "2"
    assert mask_token(device("Level Zero", "uuid", index=4)) == "4"
