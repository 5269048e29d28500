"""The fixtures that simulate machines. They use no GPU of this machine, and ignore the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_gpudiscover.simulation import FakeHost


class FakeGpuHosts:
    """Builds simulated hosts below one directory: what the fixture `fake_gpu_host` gives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._built = 0

    def __call__(self, *cards: str | FakeHost | Mapping[str, Any]) -> FakeHost:
        """Build a host, and write its file.

        Args:
            cards: names of cards (`PROFILES`), or one host, or one host file's contents.

        Raises:
            HostFileError: it makes no sense.
        """
        host = _host(cards).save(self._directory / f"gpu-host-{self._built}.json")
        self._built += 1
        return host


def _host(cards: Sequence[str | FakeHost | Mapping[str, Any]]) -> FakeHost:
    from pytest_gpudiscover.errors import HostFileError
    from pytest_gpudiscover.simulation import FakeHost

    names = [card for card in cards if isinstance(card, str)]
    if len(names) == len(cards):
        return FakeHost.of(*names)
    if len(cards) != 1:
        raise HostFileError("expected names of cards, or one host alone")
    document = cards[0].document if isinstance(cards[0], FakeHost) else cards[0]
    assert not isinstance(document, str)
    return FakeHost(document)


@pytest.fixture
def fake_gpu_host(tmp_path: Path) -> FakeGpuHosts:
    """A function that builds simulated hosts.

    `host = fake_gpu_host("RTX 4090", "Radeon 780M")`, and then for instance `host.discover()`.
    """
    return FakeGpuHosts(tmp_path)


@pytest.fixture
def crashing_gpu_host(fake_gpu_host: FakeGpuHosts) -> FakeHost:
    """A machine with a healthy card, one that crashes when it is initialised, and a variant that dies.

    A correct engine uses `healthy` through CUDA. It rejects `crashing` in the phase verify and the variant
    `rocm` in the phase enumerate, both as crashed.
    """
    from pytest_gpudiscover.simulation.troubled import crashing

    return fake_gpu_host(crashing())


@pytest.fixture
def slow_gpu_host(fake_gpu_host: FakeGpuHosts) -> FakeHost:
    """A machine with a healthy card, one that hangs when it is initialised, and a variant that starts slowly.

    Given a second for each probe, a correct engine uses `healthy` through CUDA and `slow` through ROCm, and
    rejects `hanging` in the phase verify for its timeout. In memory, with 0.1 seconds, it loses `rocm` too.
    """
    from pytest_gpudiscover.simulation.troubled import slow

    return fake_gpu_host(slow())


@pytest.fixture
def duplicate_gpu_host(fake_gpu_host: FakeGpuHosts) -> FakeHost:
    """A machine with a card that CUDA and Vulkan list, and two equal cards without PCI id that Vulkan lists.

    A correct engine uses `both` through CUDA, rejects it in Vulkan as a duplicate, and uses both twins.
    """
    from pytest_gpudiscover.simulation.troubled import duplicate

    return fake_gpu_host(duplicate())


@pytest.fixture
def integrated_gpu_host(fake_gpu_host: FakeGpuHosts) -> FakeHost:
    """A machine with an integrated CUDA GPU, which takes the page cache for used, a card, and an APU.

    A correct engine uses all three. For `shared` it reports the memory that the system has available, and
    for the others what their libraries say.
    """
    from pytest_gpudiscover.simulation.troubled import integrated

    return fake_gpu_host(integrated())


@pytest.fixture
def gpu_host(request: pytest.FixtureRequest, fake_gpu_host: FakeGpuHosts) -> FakeHost:
    """A machine for each parameter: `@pytest.mark.parametrize("gpu_host", [...], indirect=True)`.

    A parameter is a name of `MACHINES`, a tuple of cards, a `FakeHost`, or a host file's contents.
    """
    from pytest_gpudiscover.errors import HostFileError

    problem = 'gpu_host needs a machine: @pytest.mark.parametrize("gpu_host", ["jetson", ...], indirect=True)'
    if hasattr(request, "param"):
        try:
            return fake_gpu_host(*_machine(request.param))
        except HostFileError as error:
            problem = f"gpu_host: {error}"
    pytest.fail(problem, pytrace=False)


def _machine(parameter: Any) -> tuple[Any, ...]:
    """What `fake_gpu_host` takes for a parameter of `gpu_host`."""
    from pytest_gpudiscover.errors import HostFileError
    from pytest_gpudiscover.simulation import MACHINES, FakeHost

    match parameter:
        case str() if parameter in MACHINES:
            return (MACHINES[parameter](),)
        case tuple() | list():
            return tuple(parameter)
        case FakeHost() | Mapping():
            return (parameter,)
        case _:
            known = ", ".join(MACHINES)
            raise HostFileError(
                f"no machine is called {parameter!r}; there is: {known}, or a tuple of cards, or a FakeHost"
            )


def id_of_machine(parameter: object) -> str | None:
    """How a parameter of `gpu_host` stands in the name of a test; None to leave that to pytest."""
    from pytest_gpudiscover.simulation import FakeHost
    from pytest_gpudiscover.simulation.hosts import in_words

    match parameter:
        case FakeHost():
            return str(parameter)
        case tuple() | list():
            return in_words([str(card) for card in parameter]) or "no GPU"
        case _:
            return None
