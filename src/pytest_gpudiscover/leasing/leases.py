"""A lease: devices that are held, and what makes programs see just these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.leasing.activation import activate, deactivate
from pytest_gpudiscover.leasing.book import Ticket


class Lease:
    """Devices that nobody else on this machine holds, or bytes of them, until `release`.

    As a context manager it is released at the end of the block. It also ends with its process, however that
    ends.

    Attributes:
        devices: what is held, in the order of the discovery.
        cards: what the book calls them, in the same order.
        env: the masks that show a program just these devices; they only set variables, so that
            `{**os.environ, **lease.env}` is the environment of a program.
        torch_devices: what PyTorch calls them behind these masks, such as `cuda:0`, in the same order.
        memory: the bytes that are held of each; None: all, nobody else has a part.
        waited: how long that took, in seconds.
        ticket: what holds them, for a program that is to hold them instead (`Ticket.pass_on`).
    """

    def __init__(
        self,
        *,
        devices: tuple[DeviceInfo, ...],
        cards: tuple[str, ...],
        env: Mapping[str, str],
        torch_devices: tuple[str, ...],
        memory: int | None,
        waited: float,
        ticket: Ticket,
    ) -> None:
        self.devices = devices
        self.cards = cards
        self.env = dict(env)
        self.torch_devices = torch_devices
        self.memory = memory
        self.waited = waited
        self.ticket = ticket

    def __repr__(self) -> str:
        return f"<Lease of {', '.join(self.cards)}>"

    def activate(self) -> None:
        """Set the masks for this process, too, until the lease is released.

        To be called before anything initialises the GPUs: a driver reads its mask once.

        Raises:
            ActivationError: PyTorch has initialised CUDA in this process, or another lease is active in it.
        """
        activate(self, self.env)

    def release(self) -> None:
        """Give the devices back; nothing happens when that was done before."""
        deactivate(self)
        self.ticket.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
