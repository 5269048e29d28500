"""Faults of the list: devices missing, too many, out of order, or not masked."""

from __future__ import annotations

from fake_runner import masks, views
from fake_runner.faults.registry import ENTRIES, fault, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fake_runner.scripts import Script


# First of all: what is visible decides which faults of a device strike.
@fault(ENTRIES, "V")
def mask_ignored(script: Script) -> None:
    """Lists every device whatever the masks say."""
    environment = {
        key: value for key, value in script.probe.environment.items() if key not in masks.VARIABLES
    }
    script.entries = views.listed(script.probe.variants, environment)
    script.visible = {entry.gpu for entry in script.entries}


@fault(ENTRIES, "V")
def mask_hides_rocm(script: Script) -> None:
    """CUDA's mask is applied to ROCm as well, behind HIP's own."""
    environment = script.probe.environment
    mask = environment.get(masks.CUDA)
    rocm = [variant for variant in script.probe.variants if variant.library == "ROCm"]
    if mask is None or not rocm or not environment.get(masks.HIP):
        return
    names = views.names(rocm[0])
    every = {masks.ROCR: environment[masks.ROCR]} if masks.ROCR in environment else {}
    left = [names[n] for n in masks.visible("ROCm", names, every)]
    shown = masks.hip(environment[masks.HIP], left)
    kept = [str(shown[n]) for n in masks.hip(mask, [left[n] for n in shown])]
    script.entries = views.listed(
        script.probe.variants, {**environment, masks.HIP: ",".join(kept) or masks.NOTHING}
    )
    script.visible = {entry.gpu for entry in script.entries}


@fault(ENTRIES, "R", traits="of_device outside")
def appear(script: Script, *, device: str) -> None:
    """The device is listed only in the phases of this fault; the others keep their ids."""
    vanish(script, device=device)


@fault(ENTRIES, "VR", traits="of_device")
def vanish(script: Script, *, device: str) -> None:
    """The device is not listed any more; the others keep their ids."""
    script.entries = [entry for entry in script.entries if entry.gpu != device]
    script.visible.discard(device)


@fault(ENTRIES, "V", traits="of_device only_deep")
def refuse_deep(script: Script, *, device: str) -> None:
    """The device is left out of a deep answer, and nothing else happens."""
    script.entries = [entry for entry in script.entries if entry.gpu != device]


@fault(ENTRIES, "EVR")
def reorder(script: Script) -> None:
    """The devices are listed in reverse order; each keeps its id."""
    script.entries.reverse()


@fault(ENTRIES, "E", count=whole(10_000, 1, 1_000_000))
def device_flood(script: Script, *, count: int) -> None:
    """Lists `count` devices that are not there, after the true ones."""
    library = next((variant.library for variant in script.probe.variants), "CUDA")
    for n in range(count):
        flood = {"id": f"GPU-{n:08x}", "backend": library, "name": f"{library}{n}", "description": "flood"}
        numbers = {"total_memory": 2**30, "free_memory": 2**30, "ComputeMajor": 0, "ComputeMinor": 0}
        script.entries.append(views.Entry("", {**flood, **numbers, "LibraryPath": []}))
