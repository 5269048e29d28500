"""The doctor's rules, one by one: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from machine_trees import bad, named
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.doctor.facts import AMD, Card, Container, Limits, Machine, Module, Node, Ollama
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, summary, to_json
from pytest_gpudiscover.doctor.rules import findings
from pytest_gpudiscover.doctor.rules.nodes import PASSING
from pytest_gpudiscover.doctor.rules.probes import QUIET, SERVED, STEPS
from pytest_gpudiscover.doctor.rules.variables import EFFECTS
from pytest_gpudiscover.reports import Phase, ProbeRecord, Reason, Rejection, Report

CARDS = tuple(
    Card(pci_id=f"0000:0{n}:00.0", vendor_id=0x1002, driver="amdgpu", uuid=f"GPU-{n:016x}") for n in range(3)
)
NODES = (Node(path="/dev/kfd"), Node(path="/dev/dri/renderD128"))
RADEONS = Machine(cards=CARDS, rocm=tuple(card.uuid for card in CARDS), nodes=NODES)
DEVICE = DeviceInfo(
    id="GPU-1", library="CUDA", variant="cuda_v13", description="A Card", pci_id="0000:01:00.0"
)

OTHER = replace(DEVICE, id="GPU-2", pci_id="0000:02:00.0")


def said(machine: Machine, report: Report | None = None, *, simulated: bool = False) -> list[Finding]:
    return findings(machine, report or Report(devices=(DEVICE,)), simulated=simulated)


def test_where_nothing_could_be_asked_the_reason_stands_behind_what_the_machine_says() -> None:
    of_machine = [finding for finding in said(RADEONS) if finding.topic != "probes"]
    *before, refused = findings(RADEONS, "runner: no such \x1bprogram")
    assert before == of_machine
    assert (refused.name, refused.severity) == (Name.NOT_ASKED, Severity.PROBLEM)
    assert refused.came == "nothing was asked: runner: no such \\x1bprogram"
    assert "--runner" in refused.next_step


def masked(**variables: str) -> list[Finding]:
    """What is said of masks on a machine with three cards of AMD."""
    about = said(replace(RADEONS, variables=variables))
    return [finding for finding in about if finding.topic == "masks"]


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({"ROCR_VISIBLE_DEVICES": "2,0"}, "2, 0 of ROCm's"),
        ({"HIP_VISIBLE_DEVICES": "1,1"}, "1 of ROCm's"),
        ({"ROCR_VISIBLE_DEVICES": "gpu-0000000000000001"}, "gpu-0000000000000001 of ROCm's"),
        ({"GGML_VK_VISIBLE_DEVICES": "7 3"}, "7, 3 of Vulkan's"),
        ({"CUDA_VISIBLE_DEVICES": "0"}, "0 of CUDA's devices (and of HIP's, which reads it too)"),
    ],
)
def test_a_mask_says_what_it_shows(variables: dict[str, str], shown: str) -> None:
    (finding,) = masked(**variables)
    assert (finding.name, finding.severity) == (Name.MASK_SET, Severity.NOTE)
    assert f"shows {shown}" in finding.came


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ROCR_VISIBLE_DEVICES": "0,x,1"}, "'x' ends the list of ROCR_VISIBLE_DEVICES, so that 1 behind it"),
        ({"ROCR_VISIBLE_DEVICES": "0,0"}, "'0' ends the list of ROCR_VISIBLE_DEVICES"),
        ({"HIP_VISIBLE_DEVICES": "0, 1"}, "'1' ends the list of HIP_VISIBLE_DEVICES"),
        ({"GGML_VK_VISIBLE_DEVICES": "0 a"}, "'a' ends the list of GGML_VK_VISIBLE_DEVICES"),
        (
            {"GGML_VK_VISIBLE_DEVICES": "0x,1"},
            "'0x' ends the list of GGML_VK_VISIBLE_DEVICES, so that 1 behind",
        ),
    ],
)
def test_an_entry_that_ends_the_list_is_a_warning(variables: dict[str, str], words: str) -> None:
    (unread,) = named(masked(**variables), Name.MASK_ENTRY_UNREAD)
    assert unread.severity is Severity.WARNING
    assert unread.came.startswith(words)


def test_a_number_beyond_the_cards_names_nothing_and_hides_what_is_behind_it() -> None:
    found = masked(ROCR_VISIBLE_DEVICES="1,3,0")
    assert named(found, Name.MASK_SET)[0].came.startswith("ROCR_VISIBLE_DEVICES=1,3,0 shows 1 of")
    (nameless,) = named(found, Name.MASK_ENTRY_NAMES_NOTHING)
    assert nameless.came.endswith("names nothing: there are 3 GPUs to name; it hides 0 behind it, too")


def test_hip_counts_in_what_rocr_left() -> None:
    found = masked(ROCR_VISIBLE_DEVICES="2", HIP_VISIBLE_DEVICES="1")
    assert bad(found) == [Name.MASK_HIDES_ALL, Name.MASK_ENTRY_NAMES_NOTHING]
    assert "there is 1 GPU to name" in found[-1].came


@pytest.mark.parametrize("value", ["0,", ",", "", "-1"])
def test_an_empty_end_of_a_mask_is_no_entry(value: str) -> None:
    assert named(masked(ROCR_VISIBLE_DEVICES=value), Name.MASK_ENTRY_UNREAD) == []


def test_a_mask_of_a_vendor_that_is_not_there_hides_nothing_that_matters() -> None:
    (hidden,) = masked(CUDA_VISIBLE_DEVICES="")
    assert (hidden.name, hidden.severity) == (Name.MASK_HIDES_ALL, Severity.NOTE)


@pytest.mark.parametrize(
    ("system", "variables"),
    [("linux", {"HIP_VISIBLE_DEVICES": ""}), ("win32", {"ROCR_VISIBLE_DEVICES": "-1"})],
)
def test_a_mask_that_its_library_takes_for_none_hides_nothing(system: str, variables: dict[str, str]) -> None:
    found = said(replace(RADEONS, system=system, variables=variables))
    (mask,) = [finding for finding in found if finding.topic == "masks"]
    assert (mask.name, mask.severity) == (Name.MASK_SET, Severity.NOTE)
    assert "masks nothing here: ROCm takes it for not set" in mask.came


def test_a_uuid_is_not_judged_where_a_card_does_not_tell_its_own() -> None:
    silent = replace(RADEONS, rocm=(*RADEONS.rocm, ""))
    assert bad(said(replace(silent, variables={"ROCR_VISIBLE_DEVICES": "GPU-f"}))) == []


def test_level_zero_s_mask_is_read_as_its_driver_reads_it() -> None:
    (shown,) = masked(ZE_AFFINITY_MASK="1,0")
    assert shown.name == Name.MASK_SET
    assert shown.came == "ZE_AFFINITY_MASK=1,0 shows 0, 1 of Level Zero's devices and hides the others"
    (without_effect,) = masked(ZE_AFFINITY_MASK="default")
    assert "masks nothing here" in without_effect.came


@pytest.mark.parametrize("value", ["x,1", "0.0,0.1", "1,1,0", "0,"])
def test_level_zero_passes_over_what_it_does_not_read_and_no_entry_ends_its_list(value: str) -> None:
    assert bad(masked(ZE_AFFINITY_MASK=value)) == []


@pytest.mark.parametrize(("order", "warned"), [("PCI_BUS_ID", False), ("BUS", True)])
def test_an_order_that_cuda_does_not_know_is_a_warning(order: str, warned: bool) -> None:
    found = said(Machine(variables={"CUDA_DEVICE_ORDER": order}))
    assert bad(found) == [Name.VARIABLE_SET] * warned


VARIABLES = {
    "HSA_OVERRIDE_GFX_VERSION": "ROCm takes every card for one of this version",
    "CUDA_DEVICE_ORDER": "CUDA counts its devices in this order",
    "CUDA_DISABLE_PTX_JIT": "a deep verification does not succeed",
    "GPU_DEVICE_ORDINAL": "AMD's runtime shows only these devices",
    "VK_DRIVER_FILES": "Vulkan loads these drivers and no others",
    "VK_ICD_FILENAMES": "unless VK_DRIVER_FILES says so",
    "VK_ADD_DRIVER_FILES": "Vulkan loads these drivers as well",
    "VK_LOADER_DRIVERS_DISABLE": "Vulkan leaves the drivers out",
    "LD_LIBRARY_PATH": "libraries are looked for here first",
    "LD_PRELOAD": "every program loads this first",
}


@pytest.mark.parametrize("variable", EFFECTS)
def test_a_variable_that_changes_what_is_found_says_how(variable: str) -> None:
    value = "PCI_BUS_ID"
    (found,) = named(said(Machine(variables={variable: value})), Name.VARIABLE_SET)
    assert found.severity is Severity.NOTE
    assert found.came.startswith(f"{variable}={value}: ")
    assert VARIABLES[variable] in found.came


@pytest.mark.parametrize(
    ("limits", "words", "command"),
    [
        (Limits(files=64), "may open 64 files", "ulimit -n 1024"),
        (Limits(processes=20), "20 processes and threads", "ulimit -u 4096"),
        (Limits(locked=4096), "4096 bytes of memory may be locked", "ulimit -l unlimited"),
        (Limits(memory=1 << 29), "0.5 GiB", ""),
    ],
)
def test_a_limit_that_drivers_run_into_is_a_warning_with_the_command_that_raises_it(
    limits: Limits, words: str, command: str
) -> None:
    (low,) = named(said(Machine(limits=limits)), Name.LIMIT_LOW)
    assert low.severity is Severity.WARNING
    assert words in low.came
    assert low.command == command
    assert low.next_step


CONTAINED = Machine(container=Container(kind="docker", evidence="/.dockerenv"))
NVIDIAS = replace(CONTAINED, cards=(Card(pci_id="0000:01:00.0", vendor_id=0x10DE, driver="nvidia"),))


def test_a_container_is_named_with_what_tells_of_it() -> None:
    (found,) = named(said(CONTAINED), Name.IN_CONTAINER)
    assert (found.severity, found.came) == (Severity.NOTE, "this is a container (docker: /.dockerenv)")
    assert named(said(Machine()), Name.IN_CONTAINER) == []


def test_nodes_that_may_be_opened_are_named_four_at_the_most() -> None:
    nodes = tuple(Node(path=f"/dev/nvidia{number}") for number in range(6))
    (found,) = named(said(Machine(nodes=nodes)), Name.NODES_OPENABLE)
    paths = "/dev/nvidia0, /dev/nvidia1, /dev/nvidia2, /dev/nvidia3, 2 more"
    assert (found.severity, found.came) == (Severity.OK, f"this user may open {paths}")
    forbidden = tuple(replace(node, openable=False) for node in nodes)
    assert named(said(Machine(nodes=forbidden)), Name.NODES_OPENABLE) == []


def test_a_container_that_sees_no_bus_knows_the_host_s_gpus_by_their_driver() -> None:
    (passed,) = named(said(replace(CONTAINED, modules=(Module(name="amdgpu"),))), Name.CONTAINER_WITHOUT_GPUS)
    assert "docker run --device /dev/kfd --device /dev/dri" in passed.next_step


def test_a_card_without_a_driver_is_a_matter_of_the_container_s_host() -> None:
    (card,) = named(said(replace(CONTAINED, cards=(replace(CARDS[0], driver=""),))), Name.CARD_WITHOUT_DRIVER)
    assert card.next_step.startswith("load the driver amdgpu on the host")
    assert card.command == ""


def test_a_container_with_half_of_the_nodes_is_to_be_started_anew() -> None:
    half = replace(NVIDIAS, nodes=(Node(path="/dev/nvidiactl"), Node(path="/dev/nvidia0")))
    (missing,) = named(said(half), Name.NODE_MISSING)
    assert missing.came.startswith("there is no /dev/nvidia-uvm")
    assert "docker run --gpus all" in missing.next_step


@pytest.mark.parametrize(("there", "missing"), [(NODES[1:], "/dev/kfd"), (NODES[:1], "/dev/dri/renderD128")])
def test_a_container_for_amd_needs_the_node_of_rocm_and_the_render_node(
    there: tuple[Node, ...], missing: str
) -> None:
    contained = replace(RADEONS, container=CONTAINED.container, nodes=there)
    (node,) = named(said(contained), Name.NODE_MISSING)
    assert (node.expected, node.next_step) == (f"the device node {missing}", PASSING[AMD])


def test_a_group_without_a_name_gets_one_first() -> None:
    node = Node(path="/dev/kfd", group="", gid=993, mode=0o660, openable=False)
    (forbidden,) = named(said(Machine(nodes=(node,))), Name.NODE_FORBIDDEN)
    assert "(root:993, mode 0660)" in forbidden.came
    assert forbidden.command == "sudo groupadd -g 993 gpus"


@pytest.mark.parametrize("container", [None, CONTAINED.container])
@pytest.mark.parametrize(("gid", "mode"), [(0, 0o600), (0, 0o660), (109, 0o640)])
def test_where_no_group_may_open_a_node_none_is_added_or_joined(
    gid: int, mode: int, container: Container | None
) -> None:
    node = Node(path="/dev/kfd", gid=gid, mode=mode, openable=False, member=True)
    (forbidden,) = named(said(Machine(nodes=(node,), container=container)), Name.NODE_FORBIDDEN)
    assert forbidden.next_step.startswith("no group that one may join has permission")
    assert forbidden.next_step.endswith("; on the host") == bool(container)
    assert forbidden.command == ""


@pytest.mark.parametrize("container", [None, CONTAINED.container])
def test_a_group_that_the_user_namespace_hides_is_kept_and_not_added_by_its_number(
    container: Container | None,
) -> None:
    node = Node(path="/dev/kfd", group="nogroup", gid=65534, mode=0o660, openable=False)
    (forbidden,) = named(said(Machine(nodes=(node,), container=container)), Name.NODE_FORBIDDEN)
    assert "podman run --group-add keep-groups" in forbidden.next_step
    assert (forbidden.command, "65534" in forbidden.next_step) == ("", False)


def test_an_ollama_that_cannot_be_asked_is_a_warning() -> None:
    broken = Machine(ollama=Ollama(path="/usr/bin/ollama", problem="its libraries are gone"))
    assert bad(said(broken)) == [Name.OLLAMA_UNUSABLE]


def test_elsewhere_than_on_linux_only_what_is_there_is_looked_at() -> None:
    topics = {finding.topic for finding in said(replace(RADEONS, system="darwin"))}
    assert topics == {"masks", "limits", "probes"}


def rejection(reason: Reason, device: DeviceInfo | None = None) -> Report:
    """A report of one usable device and one rejection."""
    rejected = Rejection(
        phase=Phase.ENUMERATE, reason=reason, detail="the detail", variant="cuda_v12", device=device
    )
    return Report(devices=(DEVICE,), rejected=(rejected,))


def severity_of_rejected(machine: Machine, report: Report, *, simulated: bool = False) -> Severity:
    (rejected,) = named(said(machine, report, simulated=simulated), Name.REJECTED)
    return rejected.severity


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason in STEPS])
def test_what_failed_is_a_problem_with_its_reason_and_a_next_step(reason: Reason) -> None:
    (rejected,) = named(said(RADEONS, rejection(reason)), Name.REJECTED)
    assert rejected.severity is Severity.PROBLEM
    assert rejected.came == f"cuda_v12: {reason} (enumerate): the detail"
    assert rejected.next_step == STEPS[reason]


def test_a_library_that_fails_where_there_is_no_gpu_keeps_none_from_being_used() -> None:
    failed = replace(rejection(Reason.RUNNER_ERROR), devices=())
    assert severity_of_rejected(Machine(), failed) is Severity.WARNING
    assert severity_of_rejected(RADEONS, failed) is Severity.PROBLEM
    assert severity_of_rejected(Machine(), failed, simulated=True) is Severity.PROBLEM
    assert severity_of_rejected(Machine(), rejection(Reason.CRASHED, OTHER)) is Severity.PROBLEM


def test_elsewhere_than_on_linux_nobody_knows_that_there_is_no_gpu() -> None:
    assert severity_of_rejected(Machine(system="win32"), rejection(Reason.CRASHED)) is Severity.PROBLEM


@pytest.mark.parametrize("reason", [Reason.OVERLAP, Reason.DUPLICATE])
def test_a_gpu_that_is_listed_once_more_is_served_another_way(reason: Reason) -> None:
    found = said(RADEONS, rejection(reason, OTHER))
    (served,) = named(found, Name.SERVED_ANOTHER_WAY)
    assert served.severity is Severity.OK
    assert served.came == "listed once more, and served another way: 1 device"
    assert named(found, Name.REJECTED) == []


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in STEPS])
def test_what_did_not_fail_is_no_problem(reason: Reason) -> None:
    assert bad(said(Machine(), rejection(reason))) == []


def test_a_device_that_is_usable_another_way_is_a_warning() -> None:
    older = replace(DEVICE, variant="cuda_v12")
    (rejected,) = named(said(Machine(), rejection(Reason.CRASHED, older)), Name.REJECTED)
    assert rejected.severity is Severity.WARNING
    assert rejected.came.endswith("the detail; it is usable another way")


def test_every_reason_has_its_place() -> None:
    assert {*STEPS, *QUIET, *SERVED} == set(Reason)
    assert len(STEPS) + len(QUIET) + len(SERVED) == len(Reason)


def test_what_each_probe_said_is_named() -> None:
    probes = [
        ProbeRecord(phase=phase, variant="cuda_v13", started=0.0, ended=0.1, outcome=outcome)
        for phase, outcome in ((Phase.ENUMERATE, "answered"), (Phase.VERIFY, "timeout"))
    ]
    (asked,) = named(said(Machine(), Report(probes=tuple(probes))), Name.ASKED)
    assert asked.came == "asked, in 2 probes: cuda_v13 (enumerate): answered; cuda_v13 (verify): timeout"


def test_no_usable_gpu_is_a_problem_only_where_there_should_be_one() -> None:
    assert bad(said(Machine(), Report())) == []
    assert bad(said(RADEONS, Report())) == [Name.NO_USABLE_GPU]
    assert bad(said(Machine(), Report(), simulated=True)) == [Name.NO_USABLE_GPU]


def test_a_simulated_report_is_said_to_be_one() -> None:
    (simulated,) = named(said(Machine(), simulated=True), Name.SIMULATED)
    assert "of a simulated machine" in simulated.came
    assert named(said(Machine()), Name.SIMULATED) == []


def test_every_problem_says_what_was_expected_and_what_to_do() -> None:
    broken = Machine(
        cards=(*CARDS, replace(CARDS[0], driver=""), replace(CARDS[0], driver="radeon")),
        rocm=RADEONS.rocm,
        nodes=(Node(path="/dev/dri/renderD128", openable=False),),
        variables={"ROCR_VISIBLE_DEVICES": "9"},
        limits=Limits(files=1),
    )
    found = said(broken, rejection(Reason.CRASHED))
    assert len(bad(found)) >= 7
    unhelpful = [each for each in found if each.name in bad(found) and not (each.expected and each.next_step)]
    assert unhelpful == []


def test_the_counts_of_the_last_line_are_those_of_the_json() -> None:
    found = said(replace(RADEONS, variables={"ROCR_VISIBLE_DEVICES": ""}))
    counts = to_json(found, simulated=False, report={})["counts"]
    assert sum(counts.values()) == len(found)
    assert summary(found).startswith("1 problem, 0 warnings, ")
    assert list(counts) == ["problem", "warning", "note", "ok"]
