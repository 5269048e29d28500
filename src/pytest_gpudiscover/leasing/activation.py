"""The masks of a lease in the environment of this very process.

A driver reads its mask when it is initialised, and never again. So whoever comes later gets an error, unless
it is for what the driver shows anyway.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_gpudiscover.errors import ActivationError


@dataclass
class _Process:
    """What is active in this process.

    Attributes:
        owner: the lease that is active, if there is one.
        earlier: what its masks have replaced; None: the variable was not set.
        settled: the masks with which PyTorch has initialised CUDA, if those were a lease's.
    """

    owner: object = None
    active: dict[str, str] = field(default_factory=dict)
    earlier: dict[str, str | None] = field(default_factory=dict)
    settled: dict[str, str] | None = None


_process = _Process()


def activate(owner: object, env: Mapping[str, str]) -> None:
    """Set masks in `os.environ`.

    Args:
        owner: whose they are; for the one that is active already nothing happens.
        env: the masks.

    Raises:
        ActivationError: PyTorch has initialised CUDA with other masks, or another owner's are set.
    """
    if _process.owner is owner:
        return
    if _process.owner is not None:
        raise ActivationError(
            f"{_process.owner!r} is active in this process: expected one lease at a time; release it first"
        )
    if _initialised() and _process.settled != dict(env):
        raise ActivationError(
            "PyTorch has initialised CUDA in this process, and does not read masks again: "
            "expected activate() before the first use of torch.cuda; or start a process with the lease's env"
        )
    _process.owner, _process.active = owner, dict(env)
    _process.earlier = {name: os.environ.get(name) for name in env}
    os.environ.update(env)


def deactivate(owner: object) -> None:
    """Put the environment back as it was; nothing happens when this owner is not active."""
    if owner is None or _process.owner is not owner:
        return
    if _initialised():
        _process.settled = _process.active
    for name, value in _process.earlier.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _process.owner, _process.active, _process.earlier = None, {}, {}


def _initialised() -> bool:
    """Whether PyTorch has initialised CUDA; it is not imported for that."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return bool(cuda and cuda.is_initialized())
