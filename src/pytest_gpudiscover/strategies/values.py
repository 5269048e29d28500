"""Strategies for single devices."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceID, DeviceInfo
from pytest_gpudiscover.simulation import PROFILES, Profile
from pytest_gpudiscover.strategies.checking import some_of
from pytest_gpudiscover.strategies.choices import built

LIBRARIES = ("CUDA", "ROCm", "Vulkan", "Metal", "Level Zero")
"""The libraries that devices are drawn from."""

UUIDS = tuple(f"{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}" for digit in "0123")
"""The UUIDs of drawn devices, which CUDA and ROCm write with a `GPU-` before them."""

_VARIANTS = {"CUDA": "cuda_v13", "ROCm": "rocm", "Vulkan": "vulkan", "Metal": "", "Level Zero": "level_zero"}
_MAKERS = {"CUDA": "NVIDIA", "ROCm": "AMD", "Metal": "Apple", "Level Zero": "Intel"}
_CARDS = {
    library: st.sampled_from(
        [
            profile
            for profile in PROFILES.values()
            if (profile.vulkan if library == "Vulkan" else profile.vendor == _MAKERS[library])
        ]
    )
    for library in LIBRARIES
}
_NUMBERS = st.none() | st.integers(0, 3)
_UUIDS = st.sampled_from(UUIDS)
_PCI_IDS = st.sampled_from(
    ("0000:01:00.0", "00000000:01:00.0", "01:00.0", "0001:01:00.0", "0000:c1:00.0", "0000:C1:00.0", "")
)
_TAKEN = st.integers(0, 4096)
_FLAGS = st.booleans()
_PATHS = st.sampled_from(((), ("/lib/ollama",), ("/lib/ollama", "/lib/ollama/Gr\u00fc\u00dfe")))


def devices(*, libraries: Collection[str] = LIBRARIES) -> st.SearchStrategy[DeviceInfo]:
    """Devices as a discovery returns them, each for itself: `hosts` draws what fits together.

    Their ids, UUIDs and PCI ids are few, so that two of them are often one GPU.

    Args:
        libraries: of `LIBRARIES`.

    Raises:
        InvalidArgument: there is no such library.
    """
    return _devices(st.sampled_from(some_of("libraries", libraries, LIBRARIES)))


def device_ids(*, libraries: Collection[str] = LIBRARIES) -> st.SearchStrategy[DeviceID]:
    """What names a device among the survivors of a discovery: the library, and the id within it.

    Args:
        libraries: of `LIBRARIES`.

    Raises:
        InvalidArgument: there is no such library.
    """
    return built(lambda device: device.device_id, devices(libraries=libraries))


@st.composite
def _devices(draw: st.DrawFn, libraries: st.SearchStrategy[str]) -> DeviceInfo:
    library = draw(libraries)
    profile = draw(_CARDS[library])
    number = draw(_NUMBERS)
    tells_versions = library in ("CUDA", "ROCm")
    compute = _compute(profile) if tells_versions else (0, 0)
    driver = _two_numbers(profile.driver) if tells_versions else (0, 0)
    return DeviceInfo(
        id=_uuid(library, draw(_UUIDS)) if number is None else str(number),
        library=library,
        variant=_VARIANTS[library],
        name=f"{library}{number or 0}",
        description=profile.vulkan if library == "Vulkan" else profile.description,
        filtered_id="" if number is None else str(number + draw(_FLAGS)),
        integrated=profile.integrated,
        pci_id=draw(_PCI_IDS),
        total_memory=profile.memory,
        free_memory=profile.memory - draw(_TAKEN) * 2**20,
        compute_major=compute[0],
        compute_minor=compute[1],
        driver_major=driver[0],
        driver_minor=driver[1],
        library_path=draw(_PATHS),
        stale=draw(_FLAGS),
        index=number if library == "Vulkan" else None,
    )


def _uuid(library: str, uuid: str) -> str:
    return f"GPU-{uuid}" if library in ("CUDA", "ROCm") else uuid


def _compute(profile: Profile) -> tuple[int, int]:
    if profile.compute.startswith("gfx"):
        return int(profile.compute[3:-2], 16), int(profile.compute[-2:], 16)
    return _two_numbers(profile.compute)


def _two_numbers(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major or 0), int(minor or 0)
