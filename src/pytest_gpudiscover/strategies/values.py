"""Strategies for single values."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceID, DeviceInfo

LIBRARIES = ("CUDA", "ROCm", "Vulkan", "Metal", "Level Zero")


def devices(*, libraries: Collection[str] = LIBRARIES) -> st.SearchStrategy[DeviceInfo]:
    """Devices, each as some library may report it."""
    return st.builds(DeviceInfo, id=st.just("0"), library=st.sampled_from(sorted(libraries)))


def device_ids(*, libraries: Collection[str] = LIBRARIES) -> st.SearchStrategy[DeviceID]:
    """What names a device among the survivors of a discovery."""
    return devices(libraries=libraries).map(lambda device: device.device_id)
