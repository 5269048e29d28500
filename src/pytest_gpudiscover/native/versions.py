"""Versions: which of them are those of a driver."""

from __future__ import annotations

_FIRST_MAJOR = 100
"""Below it is no version of NVIDIA's driver: the `libcuda.so.1.1` of a Jetson has one of its own."""


def is_of_nvidia_s_driver(version: str) -> bool:
    """Whether this is a version of NVIDIA's driver, `550.54.14`, and not of a library alone."""
    major, dot, _ = version.partition(".")
    return bool(dot) and major.isascii() and major.isdigit() and int(major) >= _FIRST_MAJOR
