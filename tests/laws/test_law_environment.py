"""Laws of a probe's environment: each name once, our own paths first, the parent's unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.environment import LIBRARY_PATH, changed, library_paths

ROOT, ROCM = "/opt/lib/ollama", "/opt/lib/ollama/rocm"
SEARCH_PATHS = {"linux": "LD_LIBRARY_PATH", "darwin": "DYLD_LIBRARY_PATH", "win32": "PATH"}
SEPARATORS = {"linux": ":", "darwin": ":", "win32": ";"}

systems = st.sampled_from(sorted(SEPARATORS))
names = st.sampled_from(
    ["PATH", "Path", "path", "LD_LIBRARY_PATH", "ld_library_path", "DYLD_LIBRARY_PATH", "A", "a"]
)
paths = st.lists(st.sampled_from(["", "/a", "/b", ROOT, ROCM]), max_size=4)
environments = st.dictionaries(names, paths, max_size=5)
changes = st.dictionaries(names, st.none() | st.sampled_from(["", "new"]), max_size=3)


def as_compared(name: str, system: str) -> str:
    return name.upper() if system == "win32" else name


def joined(environment: Mapping[str, list[str]], system: str) -> Mapping[str, str]:
    """An environment that nobody can change."""
    return MappingProxyType({name: SEPARATORS[system].join(value) for name, value in environment.items()})


def one_of_each(environment: Mapping[str, list[str]], system: str) -> dict[str, list[str]]:
    """An environment as a system has it: Windows has no two names that differ in case alone."""
    names = {as_compared(name, system): name for name in environment}
    return {name: environment[name] for name in names.values()}


@given(environments, changes, systems)
def test_each_name_of_an_environment_appears_once_and_every_change_is_made(
    parent: dict[str, list[str]], wanted: dict[str, str | None], system: str
) -> None:
    """Caught in the reference: names compared without case on every system."""
    wanted = {name: wanted[name] for name in {as_compared(n, system): n for n in wanted}.values()}
    before = joined(parent, system)
    after = changed(before, MappingProxyType(wanted), system=system)
    compared = [as_compared(name, system) for name in after]
    assert len(compared) == len(set(compared))
    assert {name: after.get(name) for name in wanted} == wanted
    changed_names = {as_compared(name, system) for name in wanted}
    assert set(compared) - changed_names == {as_compared(name, system) for name in before} - changed_names


@given(environments, changes, systems)
def test_what_is_not_changed_in_an_environment_stays_as_it_was(
    parent: dict[str, list[str]], wanted: dict[str, str | None], system: str
) -> None:
    """Would have caught: a parent that is changed in place, or values that are put in order."""
    before = joined(one_of_each(parent, system), system)
    changed_names = {as_compared(name, system) for name in wanted}
    untouched = {
        name: value for name, value in before.items() if as_compared(name, system) not in changed_names
    }
    after = changed(before, MappingProxyType(wanted), system=system)
    assert untouched.items() <= after.items()


@given(environments, systems, paths, st.none() | st.just(ROCM))
def test_our_own_paths_come_first_and_then_the_users_in_their_order_each_once(
    parent: dict[str, list[str]], system: str, directories: list[str], rocm: str | None
) -> None:
    """Would have caught: the user's own CUDA before the one that belongs to the runner."""
    parent = one_of_each(parent, system)
    directories = [directory for directory in directories if directory]
    found = library_paths(
        joined(parent, system), system=system, root=ROOT, directories=directories, rocm=rocm
    )
    wanted = SEARCH_PATHS[system]
    users = next((value for name, value in parent.items() if as_compared(name, system) == wanted), [])
    every = [ROOT, *directories, *([rocm] if rocm else []), *users]
    # The empty entry, which means the working directory, is nobody's wish.
    expected = [entry for n, entry in enumerate(every) if entry and entry not in every[:n]]
    own = [ROOT, *directories]
    assert found == {
        wanted: SEPARATORS[system].join(expected),
        LIBRARY_PATH: SEPARATORS[system].join(entry for n, entry in enumerate(own) if entry not in own[:n]),
    }
