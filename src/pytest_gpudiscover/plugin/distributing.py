"""What the controller of xdist's workers tells them, and what it learns from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpudiscover.plugin.options import CARRIED, of_the_suite
from pytest_gpudiscover.plugin.reporting import LEARNED, reporting

if TYPE_CHECKING:
    from execnet import XSpec
    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

REMOTE = "gpudiscover_remote"
"""The key of a worker's input that says that it runs on another host than its controller."""
REFUSED = "gpudiscover_refused"
"""The key of a worker's output for what is wrong with markers of its tests."""

_ABROAD = pytest.StashKey[bool]()


def prepare(config: pytest.Config, specs: Iterable[XSpec]) -> None:
    """Be ready for workers that are about to start."""
    config.stash[_ABROAD] = all(map(_is_remote, specs))
    reporting(config)


def send(node: WorkerController) -> None:
    """Tell a worker where it is, and what this environment says of the tests: it may not inherit that."""
    node.workerinput |= {REMOTE: _is_remote(node.gateway.spec), CARRIED: of_the_suite()}


def _is_remote(spec: XSpec) -> bool:
    return not spec.popen or bool(spec.via)


def receive(node: WorkerController) -> None:
    """Take over what a worker found out.

    Raises:
        pytest.UsageError: markers of its tests make no sense.
    """
    output: dict[str, Any] = getattr(node, "workeroutput", {})  # one that died has none
    reporting(node.config).learn(output.get(LEARNED, {}))
    if refused := output.get(REFUSED):
        raise pytest.UsageError(*refused)


def answers_for_its_host(config: pytest.Config) -> bool:
    """Whether this process says for its host whether the GPUs are there that the run requires.

    A worker does so on another host than its controller's; on the same one the controller has done it before.
    A controller does not whose workers are all elsewhere.
    """
    if (sent := getattr(config, "workerinput", None)) is not None:
        return bool(sent[REMOTE])
    return not config.stash.get(_ABROAD, False)
