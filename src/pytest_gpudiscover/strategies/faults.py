"""Strategies for what goes wrong: a fault of the vocabulary, its arguments, and when it strikes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from fake_runner.faults import VOCABULARY
from fake_runner.faults.registry import SIGNALS
from fake_runner.hosts import PHASES
from fake_runner.scripts import REQUEST, START
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies.checking import some_of
from pytest_gpudiscover.strategies.choices import mostly

Fault = dict[str, Any]
"""A fault as it stands in a host file: `host.with_fault(**fault)`, or `host.inject(**fault)`."""

_SEEDS = st.integers(0, 2**32)
_SECONDS = st.sampled_from([0.0, 0.05, 1.0, 60.0])
_MEBIBYTES = st.sampled_from([1, 10])

_FORMS: Mapping[str, tuple[str, ...]] = {
    "bad_int": ("digits", "negative", "huge", "float", "bool"),
    "bad_json": ("broken", "trailing"),
    "bad_utf8": ("bytes", "utf16", "surrogate"),
    "hostile_strings": ("nul", "escape", "long"),
    "integrated_free_garbage": ("huge", "none", "one"),
    "pci_odd": ("missing", "upper", "wide_domain", "short", "wrong"),
    "wrong_shape": ("null", "object", "text", "null_entry", "list_entry", "missing_id", "null_id"),
}
_ARGUMENTS: Mapping[str, st.SearchStrategy[Any]] = {
    "body": st.sampled_from(["no GPU today", ""]),
    "calls": st.integers(1, 3),
    "code": st.sampled_from([1, 0, 255]),
    "count": st.integers(1, 300),
    "driver": st.just("535.54"),
    "levels": st.sampled_from([1, 1000, 100_000]),
    "mebibytes": _MEBIBYTES,
    "needed": st.just("550.54"),
    "original": st.sampled_from(["exits", "stays"]),
    "pause": _SECONDS,
    "percent": st.integers(1, 100),
    "seconds": _SECONDS,
    "seed": _SEEDS,
    "signal": st.sampled_from(SIGNALS),
    "size": st.sampled_from([1, 7, 1024]),
    "value": st.sampled_from(["", "10.3.0"]),
    "variable": st.sampled_from(["HSA_OVERRIDE_GFX_VERSION", "HOME"]),
    "when": st.sampled_from([START, REQUEST]),
}
_ARGUMENTS_OF: Mapping[tuple[str, str], st.SearchStrategy[Any]] = {
    ("nan", "value"): st.sampled_from(["NaN", "Infinity", "-Infinity", "1e999"]),
    ("status", "code"): st.sampled_from([500, 404, 503, 200, 302, 429]),
}
"""Where an argument of that name means something else."""


def faults(host: FakeHost | None = None, *, names: Collection[str] | None = None) -> st.SearchStrategy[Fault]:
    """Faults that make sense on a machine, with and without triggers.

    They shrink towards those that strike always and everywhere, with their default arguments.

    Args:
        host: the machine, as it is when this is called; None: faults for any machine, which name no GPU and
            no variant.
        names: which ones (`fake-runner faults` lists them); None: all that the machine can have.

    Raises:
        InvalidArgument: there is no such fault, or the machine can have none of them.
    """
    wanted = some_of("names", VOCABULARY if names is None else names, VOCABULARY)
    possible = possible_on(host, wanted)
    if not possible:
        raise InvalidArgument(f"expected faults that need no GPU, as there is none, got {', '.join(wanted)}")
    now = host.checked() if host else None
    gpus, variants = (tuple(now.gpus), tuple(now.variants)) if now else ((), ())
    return st.sampled_from(possible).flatmap(lambda name: _fault(name, gpus, variants))


def possible_on(host: FakeHost | None, names: Iterable[str]) -> list[str]:
    """Those of some faults that a machine can have: without a GPU there is none of a GPU."""
    gpus = host.checked().gpus if host else ()
    return [name for name in names if gpus or not VOCABULARY[name].of_device]


@lru_cache(maxsize=4096)
def _fault(name: str, gpus: tuple[str, ...], variants: tuple[str, ...]) -> st.SearchStrategy[Fault]:
    word = VOCABULARY[name]
    needed: dict[str, st.SearchStrategy[Any]] = {"name": st.just(name)}
    optional = {argument: _argument(name, argument) for argument in word.arguments}
    if gpus:
        (needed if word.of_device else optional)["device"] = st.sampled_from(gpus)
    if variants:
        optional["variant"] = st.sampled_from(variants)
    triggers = _COUNTED if "seed" in word.arguments else _COUNTED | _CHANCES
    # Most faults strike always: what hardly ever strikes shows little.
    return st.builds(_joined, st.fixed_dictionaries(needed, optional=optional), mostly(_ALWAYS, triggers, 2))


def _argument(fault: str, name: str) -> st.SearchStrategy[Any]:
    if name == "form":
        return st.sampled_from(_FORMS[fault])
    return _ARGUMENTS_OF.get((fault, name), _ARGUMENTS[name])


_ALWAYS: st.SearchStrategy[Fault] = st.just({})
_COUNTED: st.SearchStrategy[Fault] = st.fixed_dictionaries(
    {}, optional={"phase": st.sampled_from(PHASES), "after": st.integers(1, 3), "times": st.integers(1, 3)}
)
_CHANCES: st.SearchStrategy[Fault] = st.fixed_dictionaries(
    {"probability": st.sampled_from([0.5, 0.1, 0.9])}, optional={"seed": _SEEDS, "sticky": st.booleans()}
)


def _joined(fault: Fault, trigger: Fault) -> Fault:
    return {"name": fault["name"], **fault, **trigger}
