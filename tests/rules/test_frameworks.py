"""What a framework sees against what is shown to it, as data and in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.frameworks.comparing import Answer, Outcome, Seen, Verdict, differences
from pytest_gpudiscover.frameworks.wording import in_words

GIB = 1 << 30
L4 = DeviceInfo(
    id="GPU-0a000000-0102",
    library="CUDA",
    description="NVIDIA L4",
    pci_id="0000:0a:00.0",
    total_memory=20 * GIB,
)
H100 = replace(L4, id="GPU-c1000000-0102", description="NVIDIA H100", pci_id="0001:c1:00.0")


def seen(device: DeviceInfo) -> Seen:
    """A device as a framework that says everything describes it."""
    return Seen(
        name=device.description,
        uuid=device.id.removeprefix("GPU-").upper(),
        pci_id=device.pci_id,
        memory=device.total_memory,
    )


@pytest.mark.parametrize("unsaid", ["name", "uuid", "pci_id", "memory"])
def test_what_a_framework_does_not_say_is_no_difference(unsaid: str) -> None:
    silent = [replace(seen(one), **{unsaid: getattr(Seen(), unsaid)}) for one in (L4, H100)]
    assert differences(silent, [L4, H100]) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uuid": "0b000000-0102"}, "device 0: its UUID is 0b000000-0102 where GPU-0a000000-0102 is shown"),
        ({"pci_id": "0000:0b:00.0"}, "device 0: its PCI id is 0000:0b:00.0 where 0000:0a:00.0 is shown"),
        ({"name": "T4\x1b"}, "device 0: it is called 'T4\\\\x1b' where 'NVIDIA L4' is shown"),
        ({"memory": 10 * GIB}, "device 0: it has 10.0 GiB of memory where 20.0 GiB are shown"),
    ],
)
def test_what_it_says_otherwise_is_named(change: dict[str, Any], said: str) -> None:
    assert differences([replace(seen(L4), **change)], [L4]) == [said]


def test_of_an_integrated_gpu_s_memory_everybody_has_a_figure_of_their_own() -> None:
    shared = replace(L4, integrated=True)
    assert differences([replace(seen(L4), memory=GIB)], [shared]) == []


@pytest.mark.parametrize("share", [0.91, 1.09])
def test_memory_that_drivers_keep_for_themselves_is_no_difference(share: float) -> None:
    assert differences([replace(seen(L4), memory=int(20 * GIB * share))], [L4]) == []


def test_no_framework_says_the_function_of_a_pci_id() -> None:
    assert differences([seen(L4)], [replace(L4, pci_id="0000:0A:00.1")]) == []


def test_another_order_is_called_so() -> None:
    assert [text.partition("; ")[2] for text in differences([seen(H100), seen(L4)], [L4, H100])] == [
        "it is the one that is shown as device 1",
        "it is the one that is shown as device 0",
    ]


def test_too_few_are_counted_and_named() -> None:
    assert differences([seen(L4)], [L4, H100]) == ["it sees 1 device (NVIDIA L4) where 2 are shown to it"]
    assert differences([], [L4]) == ["it sees 0 devices where 1 are shown to it"]


def test_names_and_uuids_of_rocm_s_devices_are_nobody_s_business() -> None:
    radeon = replace(L4, library="ROCm")
    assert differences([Seen(name="gfx1100", uuid="5f1a", memory=20 * GIB)], [radeon]) == []


def test_an_answer_is_read_as_it_was_written() -> None:
    assert Answer.read({"installed": False}) == Answer(installed=False)
    written = {"version": "2.9", "library": "CUDA", "devices": [{"name": "NVIDIA L4", "memory": 5}]}
    devices = (Seen(name="NVIDIA L4", memory=5),)
    assert Answer.read(written) == Answer(version="2.9", library="CUDA", devices=devices)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_verdict_is_bad_where_the_framework_cannot_use_what_was_found(outcome: Outcome) -> None:
    verdict = Verdict(framework="torch", outcome=outcome, problems=("a", "b"))
    assert verdict.bad == (outcome in ("differs", "failed"))
    assert verdict.to_json() == {
        "framework": "torch",
        "outcome": str(outcome),
        "version": "",
        "library": "",
        "devices": 0,
        "problems": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("verdict", "lines"),
    [
        (
            Verdict(framework="torch", outcome=Outcome.AGREES, version="2.9", library="CUDA", devices=2),
            ["torch 2.9 (CUDA) sees what is shown to it: 2 devices, together and each alone"],
        ),
        (
            Verdict(framework="torch", outcome=Outcome.AGREES, version="2.9", library="CUDA", devices=0),
            ["torch 2.9 (CUDA) sees no device, and none was found for it"],
        ),
        (
            Verdict(framework="jax", outcome=Outcome.DIFFERS, problems=("a\x1b[0m", "b")),
            ["jax does not see what is shown to it", "    a\\x1b[0m", "    b"],
        ),
    ],
)
def test_verdicts_are_said_in_words(verdict: Verdict, lines: list[str]) -> None:
    assert list(in_words([verdict])) == lines
