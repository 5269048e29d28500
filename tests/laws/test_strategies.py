"""The strategies themselves: what they draw, what that shrinks to, how it prints, and what they refuse."""

from __future__ import annotations

import ast
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from fake_runner import views
from fake_runner.faults import VOCABULARY
from pytest_gpudiscover import DeviceID, DeviceInfo, strategies
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies import LOSSES, Body, Truth
from pytest_gpudiscover.strategies.faults import _argument as argument_of
from pytest_gpudiscover.wire import parse_devices
from truths import SHAPES, found

_Value = TypeVar("_Value")

EXAMPLES = 300
RARE = EXAMPLES // 60
"""How often the rarest shape must be among so many examples: five times."""

workstation = FakeHost.of("RTX 4090", "RX 7900 XTX")


def drawn(strategy: st.SearchStrategy[_Value], count: int = EXAMPLES) -> list[_Value]:
    """Many examples, the same ones at each run."""
    values: list[_Value] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: _Value) -> None:
        values.append(value)

    collect()
    return values


def shrunk(strategy: st.SearchStrategy[_Value], condition: Callable[[_Value], object]) -> _Value:
    return find(
        strategy,
        lambda value: bool(condition(value)),
        settings=settings(database=None, max_examples=2000),
        random=random.Random(0),
    )


def cards(host: FakeHost) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = host.document["gpu"]
    return found


def test_every_interesting_shape_of_a_machine_is_really_drawn() -> None:
    times = Counter(
        shape
        for host in drawn(strategies.hosts())
        for shape, is_there in SHAPES.items()
        if is_there(host, Truth.of(host))
    )
    assert {shape for shape in SHAPES if times[shape] < RARE} == set()


def test_masks_hold_numbers_uuids_whole_and_cut_short_and_garbage_or_nothing() -> None:
    names = {name for each in workstation.checked().variants.values() for name in views.names(each)}
    entries = [
        entry
        for masks in drawn(strategies.masks(workstation))
        for value in masks.values()
        for entry in value.split(",")
    ]
    short = {
        entry for entry in entries if entry not in names and any(name.startswith(entry) for name in names)
    }
    assert {"0", "1", "-1", "", *names} <= set(entries)
    assert any(len(entry) == len("GPU-01234567") for entry in short)


@pytest.mark.parametrize("name", VOCABULARY)
def test_every_fault_that_is_drawn_makes_sense(name: str) -> None:
    for fault in drawn(strategies.faults(workstation, names=[name]), 20):
        workstation.with_fault(**fault)


def test_every_word_of_a_faults_arguments_is_drawn() -> None:
    for name, word in VOCABULARY.items():
        for argument, rule in word.arguments.items():
            words = re.findall("'([^']*)'", rule.expected) if rule.expected.startswith("one of") else []
            assert set(words) <= set(drawn(argument_of(name, argument), 30) if words else [])


def test_a_machine_with_faults_has_some_and_they_are_those_that_were_asked_for() -> None:
    machines = drawn(strategies.hosts(with_faults=["crash_deep", "never_bind"]), 60)
    names = {fault["name"] for host in machines for fault in host.document.get("fault", ())}
    assert names == {"crash_deep", "never_bind"}


# What a failure shows.


def test_two_cards_shrink_to_two_plain_cards_of_one_kind() -> None:
    host = shrunk(strategies.hosts(), lambda host: len(cards(host)) == 2)
    (kind,) = {card["profile"] for card in cards(host)}
    free = Truth.of(host).gpus[0].free_memory >> 20
    assert cards(host) == [
        {"name": "gpu0", "profile": kind, "pci_id": "0000:01:00.0", "free_memory": f"{free} MiB"},
        {"name": "gpu1", "profile": kind, "pci_id": "0000:02:00.0", "free_memory": f"{free + 1} MiB"},
    ]


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(strategies.hosts(with_faults=True, min_gpus=1), id="hosts"),
        pytest.param(strategies.devices(), id="devices"),
        pytest.param(strategies.device_ids(), id="device_ids"),
        pytest.param(strategies.supported_maps(), id="supported_maps"),
        pytest.param(strategies.masks(), id="masks"),
        pytest.param(strategies.faults(workstation), id="faults"),
        pytest.param(strategies.mutated_bodies(), id="mutated_bodies"),
        pytest.param(strategies.damaged_bodies(), id="damaged_bodies"),
    ],
)
def test_what_is_printed_of_a_failure_is_code_that_rebuilds_the_value(
    strategy: st.SearchStrategy[Any],
) -> None:
    seen = []

    @settings(max_examples=5, database=None, phases=[Phase.generate])
    @given(strategy)
    def fails(value: object) -> None:
        seen.append(value)
        raise AssertionError

    with pytest.raises(AssertionError) as caught:
        fails()
    (shown,) = (note for note in caught.value.__notes__ if "fails(" in note)
    call = ast.parse(shown[shown.index("fails(") : shown.rindex(")") + 1], mode="eval").body
    assert isinstance(call, ast.Call)
    code = ast.unparse(call.keywords[0].value)
    names = {"FakeHost": FakeHost, "Body": Body, "DeviceID": DeviceID, "DeviceInfo": DeviceInfo}
    assert eval(code, names) == seen[-1]


# The truth.


@given(strategies.hosts())
def test_each_gpu_has_free_memory_of_its_own(host: FakeHost) -> None:
    free = [gpu.free_memory for gpu in Truth.of(host).gpus]
    assert len(set(free)) == len(free)


@given(strategies.hosts(lossy=False))
def test_without_losses_every_library_says_the_truth(host: FakeHost) -> None:
    for each in Truth.of(host).listed:
        said = each.device
        assert said.pci_id in (each.gpu.card, "" if each.gpu.card == each.gpu.name else None)
        assert (said.total_memory, said.integrated) == (each.gpu.total_memory, each.gpu.integrated)


@given(strategies.hosts())
def test_the_truth_knows_every_device_of_a_discovery(host: FakeHost) -> None:
    truth = Truth.of(host)
    for device in found(host).devices:
        behind = truth.behind(device)
        assert device.free_memory in (behind.free_memory, 7 if device.library == "CUDA" else None)


def test_the_truth_does_not_make_up_a_gpu_behind_a_device() -> None:
    with pytest.raises(LookupError, match="no variant of this machine lists"):
        Truth.of(workstation).behind(DeviceInfo(library="CUDA", id="0", name="CUDA9"))


@given(strategies.hosts())
def test_a_body_says_what_the_fake_runner_says(host: FakeHost) -> None:
    for variant in host.checked().variants.values():
        sent = [entry.wire for entry in views.listed([variant], {})]
        listed = (each.device for each in Truth.of(host).by(variant.name))
        assert json.loads(strategies.body_of(listed)) == sent


# What is asked for.


def test_a_machine_is_as_large_and_by_those_makers_as_was_asked_for() -> None:
    for host in drawn(strategies.hosts(min_gpus=2, max_gpus=3, vendors=["AMD"], max_variants=1), 60):
        assert 2 <= len(cards(host)) <= 3
        libraries = Counter(view["library"] for view in host.document["variant"].values())
        assert libraries.keys() <= {"ROCm", "Vulkan"}
        assert all(count == 1 for count in libraries.values())


def test_numbers_that_differ_between_the_variants_of_a_library_are_drawn_only_when_named() -> None:
    def differ(host: FakeHost) -> bool:
        truth = Truth.of(host)
        keys = {(each.device.library, each.device.id, each.gpu.name) for each in truth.listed}
        return len({key[:2] for key in keys}) < len(keys)

    assert not any(map(differ, drawn(strategies.hosts(vendors=["AMD"]), 100)))
    assert any(map(differ, drawn(strategies.hosts(vendors=["AMD"], lossy=LOSSES), 100)))


@pytest.mark.parametrize(
    ("strategy", "complaint"),
    [
        (lambda: strategies.hosts(min_gpus=3, max_gpus=2), "max_gpus <= 64, got 3 and 2"),
        (
            lambda: strategies.hosts(vendors=["nvidia"]),
            "vendors: expected some of NVIDIA, AMD.* got 'nvidia'",
        ),
        (lambda: strategies.hosts(vendors="AMD"), r"vendors: expected several names, such as \['AMD'\]"),
        (lambda: strategies.hosts(vendors=["Apple"], min_gpus=2), "no machine has 2 cards or more by Apple"),
        (lambda: strategies.hosts(vendors=[], min_gpus=1), "no machine has 1 cards or more by nobody"),
        (lambda: strategies.hosts(lossy=["blurred"]), "lossy: expected some of no_pci_ids"),
        (lambda: strategies.hosts(with_faults=["gremlins"]), "with_faults: expected some of .*'gremlins'"),
        (lambda: strategies.faults(names=["gremlins"]), "names: expected some of .*'gremlins'"),
        (lambda: strategies.faults(names=["crash_deep"]), "expected faults that need no GPU"),
        (lambda: strategies.masks(libraries=["Metal"]), "libraries: expected some of CUDA, ROCm, Vulkan"),
        (lambda: strategies.devices(libraries=["OpenCL"]), "libraries: expected some of .*'OpenCL'"),
        (lambda: strategies.devices(libraries=[]), "libraries: expected one or more of CUDA, .* got none"),
        (lambda: strategies.faults(names=[]), "names: expected one or more of .* got none"),
        (lambda: strategies.bodies(max_devices=-1), "max_devices: expected 0 or more, got -1"),
        (lambda: strategies.mutated_bodies(max_devices=0), "max_devices: expected 1 or more, got 0"),
        (lambda: strategies.damaged_bodies(max_devices=0), "max_devices: expected 1 or more, got 0"),
        (lambda: strategies.supported_maps(max_devices=9), "max_devices: expected 0 to 8, got 9"),
        (lambda: strategies.supported_maps(max_variants=-1), "max_variants: expected 0 or more, got -1"),
        (lambda: strategies.supported_maps(max_libraries=-1), "max_libraries: expected 0 or more, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    strategy: Callable[[], st.SearchStrategy[Any]], complaint: str
) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        strategy()


# What is imported.


def result_of(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


FROM_TYPES = """
import inspect, sys
{imports}
from hypothesis import HealthCheck, given, settings

@settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck))
@given(...)
def draw(name: DeviceID, device: DeviceInfo, host: FakeHost):
    from pytest_gpudiscover.strategies import LIBRARIES
    print(name.library in LIBRARIES, device.library in LIBRARIES, *host.document)

draw()
assert "A simulated machine" in inspect.getsource(inspect.getmodule(FakeHost))
"""
OURS = (
    "from pytest_gpudiscover import DeviceID, DeviceInfo; from pytest_gpudiscover.simulation import FakeHost"
)
LIGHT = (
    "assert not any(name.startswith('pytest_gpudiscover.sim') for name in sys.modules), 'imported too early'"
)


@pytest.mark.parametrize("imports", [f"{OURS}; import hypothesis", f"import hypothesis; {LIGHT}; {OURS}"])
def test_our_types_are_drawn_whether_they_or_hypothesis_are_imported_first(imports: str) -> None:
    assert result_of(FROM_TYPES.format(imports=imports)).split() == ["True", "True", "gpu", "variant"]


@pytest.mark.parametrize("first", [".strategies", ".strategies.bodies", ".strategies.body", ".simulation"])
def test_any_of_our_modules_may_be_the_first_that_is_imported(first: str) -> None:
    """While the strategies are imported, Hypothesis is, and at the end of that it asks for our types."""
    program = f"""
import pytest_gpudiscover{first}
from hypothesis import Phase, find, settings
from hypothesis.strategies import from_type
from pytest_gpudiscover import DeviceInfo
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies import Body
first = settings(phases=[Phase.generate], deadline=None, database=None)
every = (Body, DeviceInfo, FakeHost)
print(*(type(find(from_type(each), lambda _: True, settings=first)).__name__ for each in every))
"""
    assert result_of(program).split() == ["Body", "DeviceInfo", "FakeHost"]


@given(...)
def test_an_answer_that_is_drawn_by_its_type_is_what_it_says(body: Body) -> None:
    assert parse_devices(body.content) == (body.whole, ())


def test_who_does_not_ask_for_strategies_imports_no_hypothesis() -> None:
    program = """
import sys, pytest_gpudiscover, pytest_gpudiscover.plugin, pytest_gpudiscover.registering
from pytest_gpudiscover import *
from pytest_gpudiscover.simulation import *
print("hypothesis" in sys.modules)
"""
    assert result_of(program).split() == ["False"]


# The page.

PAGE = (Path(__file__).parents[2] / "docs" / "property-testing.md").read_text(encoding="utf-8")


def test_the_pages_example_is_a_law_that_holds(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    example, conftest = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    pytester.makepyfile(test_example=example)
    pytester.makeconftest(conftest)
    # In a process of its own: the profile that it loads would be that of the tests to come.
    assert pytester.runpytest_subprocess().parseoutcomes() == {"passed": 1}


def test_the_page_names_every_public_name_and_every_loss() -> None:
    # What only annotations need is named where it is returned.
    public = {name for name in strategies.__all__ if name not in ("Fault", "Masks", "Supported", "body_of")}
    constants = {"LIBRARIES", "LOSSES", "MASKED", "VENDORS"}
    assert [name for name in sorted(public - constants) if f"`{name}" not in PAGE] == []
    assert [loss for loss in LOSSES if f"| `{loss}` |" not in PAGE] == []
