"""Activation: the masks of a lease in this very process."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from lessees import cards, enter
from pytest_gpudiscover.errors import ActivationError
from pytest_gpudiscover.leasing import activation
from pytest_gpudiscover.leasing.book import Book
from pytest_gpudiscover.leasing.leases import Lease
from pytest_gpudiscover.masks import CUDA, ROCR


class Torch:
    """PyTorch, as far as it is asked."""

    def __init__(self) -> None:
        self.initialised = False
        self.cuda = SimpleNamespace(is_initialized=lambda: self.initialised)


@pytest.fixture(autouse=True)
def _nothing_active(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "_process", activation._Process())
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Torch:
    module = Torch()
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def lease(book: Book, card: str) -> Lease:
    return Lease(
        devices=(cards(1)[0],),
        cards=(card,),
        env={CUDA: card, ROCR: ""},
        torch_devices=("cuda:0",),
        memory=None,
        waited=0.0,
        ticket=enter(book, card),
    )


def test_masks_are_set_until_the_lease_is_released(book: Book) -> None:
    os.environ[CUDA] = "0,1"
    held = lease(book, "GPU-a")
    held.activate()
    assert (os.environ[CUDA], os.environ[ROCR]) == ("GPU-a", "")
    held.release()
    assert os.environ[CUDA] == "0,1"
    assert ROCR not in os.environ


def test_activating_twice_or_releasing_twice_changes_nothing(book: Book) -> None:
    with lease(book, "GPU-a") as held:
        held.activate()
        held.activate()
    os.environ[CUDA] = "mine"
    held.release()
    assert os.environ[CUDA] == "mine"


def test_the_release_of_a_lease_that_is_not_active_leaves_the_one_that_is(book: Book) -> None:
    with lease(book, "GPU-a") as active:
        active.activate()
        lease(book, "GPU-b").release()
        assert os.environ[CUDA] == "GPU-a"


def test_one_lease_is_active_at_a_time(book: Book) -> None:
    with lease(book, "GPU-a") as active, lease(book, "GPU-b") as other:
        active.activate()
        with pytest.raises(ActivationError, match="<Lease of GPU-a> is active in this process"):
            other.activate()
        assert os.environ[CUDA] == "GPU-a"
        active.release()
        other.activate()
        assert os.environ[CUDA] == "GPU-b"


def test_after_pytorch_has_initialised_cuda_masks_come_too_late(book: Book, torch: Torch) -> None:
    torch.initialised = True
    with lease(book, "GPU-a") as held:
        with pytest.raises(ActivationError, match="PyTorch has initialised CUDA"):
            held.activate()
        assert CUDA not in os.environ


def test_a_later_lease_of_what_pytorch_shows_anyway_is_no_error(book: Book, torch: Torch) -> None:
    with lease(book, "GPU-a") as first:
        first.activate()
        torch.initialised = True
    with lease(book, "GPU-a") as again:
        again.activate()
        assert os.environ[CUDA] == "GPU-a"
    with lease(book, "GPU-b") as other, pytest.raises(ActivationError):
        other.activate()


def test_what_pytorch_shows_is_what_was_set_when_it_was_initialised(book: Book, torch: Torch) -> None:
    with lease(book, "GPU-a") as before:
        before.activate()
    with lease(book, "GPU-b") as first:
        first.activate()
        torch.initialised = True
    with lease(book, "GPU-b") as again:
        again.activate()
    with lease(book, "GPU-a") as other, pytest.raises(ActivationError):
        other.activate()


def test_pytorch_that_was_initialised_between_leases_shows_none_of_them(book: Book, torch: Torch) -> None:
    with lease(book, "GPU-a") as first:
        first.activate()
    torch.initialised = True
    with lease(book, "GPU-a") as again, pytest.raises(ActivationError):
        again.activate()


def test_pytorch_without_cuda_is_no_obstacle(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    with lease(book, "GPU-a") as held:
        held.activate()
