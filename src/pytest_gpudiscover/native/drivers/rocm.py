"""ROCm: which of AMD's GPUs the kernel shows, and whether HIP can put them to work.

On Linux the listing reads the kernel's files, and needs no library. Where the kernel shows nothing, under
WSL2 and on Windows, it is HIP that lists. A deep listing always goes through HIP; there a GPU is found by its
PCI id, because HIP counts only the GPUs that it supports.
"""

from __future__ import annotations

import os
import sys

from pytest_gpudiscover.native.drivers import ROCM, ROOT_VARIABLE, WSL_DEVICE
from pytest_gpudiscover.native.drivers import rocm_masks as masks
from pytest_gpudiscover.native.drivers.interface import DriverError, Entry, Unusable
from pytest_gpudiscover.native.drivers.loading import load
from pytest_gpudiscover.native.drivers.rocm_access import obstacle, why_none
from pytest_gpudiscover.native.drivers.rocm_deep import Verifier
from pytest_gpudiscover.native.drivers.rocm_hip import Hip
from pytest_gpudiscover.native.drivers.rocm_nodes import TOPOLOGY, Gpu, readable_nodes
from pytest_gpudiscover.native.drivers.rocm_without_kernel import list_through_hip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def list_devices(*, environment: Mapping[str, str], deep: bool) -> list[Entry]:
    """List the GPUs that the masks show, in their order.

    Args:
        environment: where the masks are read from, `HSA_OVERRIDE_GFX_VERSION`, and `GPUDISCOVER_ROOT`.
        deep: have each GPU fill memory and compare it, and mark those that fail.

    Raises:
        DriverError: AMD's driver is not there, or refuses as a whole.
    """
    root = environment.get(ROOT_VARIABLE, "")
    if sys.platform != "linux" or _is_wsl(root):
        return list_through_hip(load(ROCM, Hip), environment=environment, deep=deep)
    gpus = _gpus(root, environment)
    uuids = distinct([gpu.uuid for gpu in gpus])
    shown = masks.visible(uuids, environment)
    if gpus and not shown:
        _explain_nothing(len(gpus), environment)
    faults = _faults(root, [gpus[index] for index in shown], deep=deep)
    return [
        _entry(gpus[index], uuids[index], place, index, fault)
        for place, (index, fault) in enumerate(zip(shown, faults, strict=True))
    ]


def distinct(uuids: Sequence[str]) -> list[str]:
    """The same, with "" for those that name several GPUs: the parts of a card may share the card's own."""
    return [uuid if uuids.count(uuid) == 1 else "" for uuid in uuids]


def _gpus(root: str, environment: Mapping[str, str]) -> list[Gpu]:
    """Every GPU that the kernel shows for computing.

    Raises:
        DriverError: there is none, and a reason to say so.
    """
    nodes, withheld = readable_nodes(root)
    gpus = [Gpu(root, node, environment) for node in nodes if node.is_gpu]
    if gpus:
        return gpus
    if reason := why_none(root, withheld):
        raise DriverError(reason)
    if not _exists(root + TOPOLOGY):
        raise DriverError(f"there is no {TOPOLOGY}: {ROCM.install['linux']}")
    return []


def _explain_nothing(count: int, environment: Mapping[str, str]) -> None:
    """Stay silent when a mask hides every GPU on purpose.

    Raises:
        DriverError: the masks name what is not there.
    """
    in_force = masks.in_force(environment)
    if not any(map(masks.hides_on_purpose, in_force.values())):
        said = " and ".join(f"{name}={mask}" for name, mask in in_force.items())
        raise DriverError(
            f"{said} names none of the {count} GPUs that are there: expected numbers below {count}, or UUIDs"
            " as rocminfo shows them; the first entry that is neither ends the list. ROCm takes"
            f" {masks.CUDA} for its own where {masks.HIP} is not set"
        )


def _faults(root: str, gpus: Sequence[Gpu], *, deep: bool) -> list[str]:
    """Why each GPU is not for use; "" for those that are, as far as was asked."""
    faults = [obstacle(root, gpu.render_minor) for gpu in gpus]
    if deep and "" in faults:
        verifier = Verifier()
        faults = [fault or verifier.fault(gpu) for gpu, fault in zip(gpus, faults, strict=True)]
    return faults


def _entry(gpu: Gpu, uuid: str, place: int, index: int, fault: str) -> Entry:
    return Entry(
        id=uuid or str(place),
        backend=ROCM.library,
        name=f"ROCm{place}",
        description=gpu.description,
        index=index,
        integrated=gpu.integrated,
        pci_id=gpu.pci_id,
        total_memory=gpu.total,
        free_memory=gpu.free,
        compute=gpu.compute,
        driver=gpu.driver,
        unusable=Unusable("unusable", fault) if fault else None,
    )


def _is_wsl(root: str) -> bool:
    return _exists(root + WSL_DEVICE) and not _exists(root + TOPOLOGY)


def _exists(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - a probe does without pathlib
