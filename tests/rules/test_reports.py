"""Reports: what a call leaves behind, with the names that others hold on to; and errors that travel."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest

from pytest_gpudiscover import errors
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.reports import SCHEMA, Phase, ProbeRecord, Reason, Rejection, Report, device_to_json

IDENTITY = ["id", "library", "variant", "name", "description", "filtered_id", "integrated", "pci_id"]
IDENTITY += ["total_memory", "free_memory", "compute", "driver", "library_path"]
DECISION = ["phase", "reason", "detail"]

DEVICE = DeviceInfo(
    id="0",
    library="ROCm",
    variant="rocm",
    name="ROCm0",
    description="W7900",
    filtered_id="3",
    pci_id="0000:01:00.0",
    total_memory=48,
    free_memory=47,
    compute_major=17,
    compute_minor=0,
    driver_major=6,
    driver_minor=3,
    library_path=("/lib", "/lib/rocm"),
    index=1,
)
WHOLE = Rejection(
    phase=Phase.ENUMERATE, reason=Reason.TIMEOUT, detail="It took too long.", variant="cuda_v13"
)
PROBE = ProbeRecord(
    phase=Phase.VERIFY,
    variant="rocm",
    mask={"ROCR_VISIBLE_DEVICES": "3"},
    started=0.1234567891,
    ready=0.2,
    ended=0.3,
    outcome="answered",
)
REPORT = Report(
    devices=(DEVICE,),
    rejected=(Rejection.of(DEVICE, Phase.VERIFY, Reason.CRASHED, "It crashed."), WHOLE),
    probes=(PROBE,),
    duration=1.23456789,
    masks={"CUDA_VISIBLE_DEVICES": "0"},
)


def test_the_json_form_has_exactly_its_documented_keys() -> None:
    form = REPORT.to_json()
    assert list(form) == ["schema", "devices", "rejected", "probes", "duration"]
    assert form["schema"] == SCHEMA == 1


def test_a_device_has_exactly_its_documented_keys() -> None:
    (device,) = REPORT.to_json()["devices"]
    assert sorted(device) == sorted([*IDENTITY, "stale"])
    assert device == device_to_json(DEVICE)
    assert (device["compute"], device["driver"], device["stale"]) == ("gfx1100", "6.3", False)
    assert (device["id"], device["filtered_id"], device["library_path"]) == ("0", "3", ["/lib", "/lib/rocm"])


def test_a_rejected_device_has_the_same_identity_and_its_decision() -> None:
    rejected = REPORT.to_json()["rejected"][0]
    assert sorted(rejected) == sorted(IDENTITY + DECISION)
    assert {key: rejected[key] for key in IDENTITY} == {key: device_to_json(DEVICE)[key] for key in IDENTITY}
    assert [rejected[key] for key in DECISION] == ["verify", "crashed", "It crashed."]


def test_a_variant_that_failed_as_a_whole_has_nothing_of_a_device() -> None:
    assert REPORT.to_json()["rejected"][1] == {
        "variant": "cuda_v13",
        "phase": "enumerate",
        "reason": "timeout",
        "detail": "It took too long.",
    }


def test_a_probe_has_exactly_its_documented_keys() -> None:
    (probe,) = REPORT.to_json()["probes"]
    assert probe == {
        "phase": "verify",
        "variant": "rocm",
        "mask": {"ROCR_VISIBLE_DEVICES": "3"},
        "started": 0.123457,
        "ready": 0.2,
        "ended": 0.3,
        "outcome": "answered",
        "exit_code": None,
        "signal": None,
        "stderr": "",
    }


def test_a_probe_that_never_answered_was_never_ready() -> None:
    failed = dataclasses.replace(PROBE, ready=None, outcome="crashed", signal="SIGSEGV")
    assert (failed.to_json()["ready"], failed.to_json()["signal"]) == (None, "SIGSEGV")


def test_the_json_form_is_plain_json() -> None:
    form = REPORT.to_json()
    assert json.loads(json.dumps(form)) == form


def test_an_empty_report_has_all_keys() -> None:
    assert Report().to_json() == {"schema": 1, "devices": [], "rejected": [], "probes": [], "duration": 0.0}


def test_phases_are_a_closed_list() -> None:
    assert [str(phase) for phase in Phase] == ["enumerate", "verify", "overlap", "duplicate", "refresh"]


def test_reasons_are_a_closed_list_of_single_words() -> None:
    assert [str(reason) for reason in Reason] == [
        "driver_missing",
        "unreadable",
        "not_started",
        "port_taken",
        "exited",
        "crashed",
        "timeout",
        "unsupported",
        "runner_error",
        "bad_answer",
        "bad_device",
        "no_memory",
        "cpu",
        "unusable",
        "not_listed",
        "mask_ignored",
        "overlap",
        "duplicate",
        "vanished",
        "appeared",
    ]


def test_a_rejection_names_its_device_or_nothing() -> None:
    rejection = REPORT.rejected[0]
    named = (rejection.library, rejection.id, rejection.pci_id, rejection.description, rejection.variant)
    assert named == ("ROCm", "0", "0000:01:00.0", "W7900", "rocm")
    assert (WHOLE.library, WHOLE.id, WHOLE.pci_id, WHOLE.description) == ("", "", "", "")


@pytest.mark.parametrize("value", [REPORT, DEVICE, WHOLE, PROBE], ids=lambda value: type(value).__name__)
def test_values_cannot_change_and_travel_between_processes(value: object) -> None:
    assert dataclasses.is_dataclass(value)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)
    assert pickle.loads(pickle.dumps(value)) == value


ERRORS = [
    errors.GpuDiscoverError("a"),
    errors.InstallationError("/path", "is bad"),
    errors.RunnerNotFoundError("/path", "is missing"),
    errors.RunnerNotUsableError("/path", "is a directory"),
    errors.LibraryRootError("/path", "cannot be read"),
    errors.VariantNotFoundError("cuda_v14", ("cuda_v13", "cuda_v12")),
    errors.VariantNotFoundError("cuda_v14", ()),
    errors.UsageError("not both"),
    errors.HostFileError("no such card"),
    errors.RequirementError("no size"),
    errors.LeaseError("held by nobody"),
    errors.BookError("/path", "cannot be written"),
    errors.UnmetLeaseError("2 devices", ("there is one",)),
    errors.LeaseTimeoutError("1 device", 3.0, ("somebody holds it",)),
    errors.ActivationError("another lease is active"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_travels_between_processes_with_its_fields(error: Exception, protocol: int) -> None:
    copy = pickle.loads(pickle.dumps(error, protocol))
    assert type(copy) is type(error)
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))
    # Also without its attributes: whoever rebuilds an error from `args` gets the whole of it.
    rebuilt = type(error)(*error.args)
    assert (str(rebuilt), vars(rebuilt)) == (str(error), vars(error))


def test_no_error_is_missing_from_this_list_and_all_share_one_root() -> None:
    defined = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    }
    assert defined == {type(error) for error in ERRORS}
    assert all(issubclass(error, errors.GpuDiscoverError) for error in defined)
