"""CUDA: which devices NVIDIA's driver shows, and what it says of them.

Facts are from NVIDIA's CUDA driver API reference. The driver itself reads `CUDA_VISIBLE_DEVICES` and
`CUDA_DEVICE_ORDER` when it is initialised: what it lists is what the mask shows. Listing makes no context;
free memory is NVML's, and where that does not know, all of it, until a context can ask the driver. What CUDA
hides behind a slice of a card is listed as NVML knows it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import byref

from pytest_gpudiscover.native.drivers import CUDA, WSL_DEVICE
from pytest_gpudiscover.native.drivers import cuda_api as api
from pytest_gpudiscover.native.drivers.asking import Asked
from pytest_gpudiscover.native.drivers.cuda_advice import ASK_NVML, NO_DEVICE, in_words, nvml_in_words
from pytest_gpudiscover.native.drivers.cuda_deep import compute_and_compare
from pytest_gpudiscover.native.drivers.cuda_slices import LOST, UUIDS, entry_of, hidden_behind, problem
from pytest_gpudiscover.native.drivers.hiding import hides_everything
from pytest_gpudiscover.native.drivers.interface import DeviceError, DriverError, Entry, Unusable, grouped
from pytest_gpudiscover.native.drivers.loading import load
from pytest_gpudiscover.native.drivers.nvml import LOST as NVML_LOST
from pytest_gpudiscover.native.drivers.nvml import Nvml, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MASK = "CUDA_VISIBLE_DEVICES"

_NAME_SIZE = 256
_PCI_ID_SIZE = 32


def list_devices(*, environment: Mapping[str, str], deep: bool) -> list[Entry]:
    """List the devices that the driver shows behind the mask, in its order, and then those it hides.

    Args:
        environment: where it is looked up whether there is a mask; the driver reads the mask itself.
        deep: run a kernel on each device and compare its result, and mark those that fail. A device that
            CUDA hides cannot be put to work here, and is left out.

    Raises:
        DriverError: there is no library, or the driver refuses as a whole.
    """
    cuda = load(CUDA, api.Cuda)
    count, version = ctypes.c_int(), ctypes.c_int()
    mask = environment.get(MASK)
    try:
        cuda.cuInit(0)
        cuda.cuDriverGetVersion(byref(version))
        cuda.cuDeviceGetCount(byref(count))
    except api.CudaError as error:
        return _instead(error, mask)
    driver = (version.value // 1000, version.value % 1000 // 10)
    with opened(sys.platform) as nvml:
        shown = [Device(cuda, place).entry(driver, nvml, deep=deep) for place in range(count.value)]
        lost = [entry.id for entry in shown if entry.unusable and entry.unusable.detail == LOST]
        hidden = [] if deep else hidden_behind([entry.id for entry in shown], nvml.cards(), mask, lost)
    return shown + [entry_of(card, place, driver) for place, card in enumerate(hidden, start=len(shown))]


def _instead(error: api.CudaError, mask: str | None) -> list[Entry]:
    """What there is to say when the driver refuses: nothing is shown, no card can be used, or a failure."""
    if error.result == NO_DEVICE and mask is not None and hides_everything(mask, UUIDS):
        return []
    also = f"; {MASK} is set: check that it names what is there" if mask is not None else ""
    if error.result in ASK_NVML:
        with opened(sys.platform) as nvml:
            cards = nvml.cards()
            also += nvml_in_words(nvml.state, lost=any(card.lost for card in cards))
        useless = [card for card in hidden_behind((), cards, mask) if problem(card)]
        if useless and error.result == NO_DEVICE:
            return [entry_of(card, place, (0, 0)) for place, card in enumerate(useless)]
    raise DriverError(_in_words(error) + also) from None


class Device(Asked):
    """One device. A question that the driver refuses leaves its answer empty, and the device unusable."""

    def __init__(self, cuda: api.Cuda, place: int) -> None:
        super().__init__()
        self._cuda = cuda
        self._place = place
        self._handle = ctypes.c_int(place)
        self._ask(cuda.cuDeviceGet, byref(self._handle), place)

    def entry(self, driver: tuple[int, int], nvml: Nvml, *, deep: bool) -> Entry:
        """What the answer says of it.

        Args:
            driver: major and minor version of CUDA that the driver speaks.
            nvml: what is asked for its free memory.
            deep: whether to put it to work.
        """
        description = self._text(self._cuda.cuDeviceGetName, _NAME_SIZE)
        uuid = self._uuid(slice_of_card=" MIG " in description)
        pci_id = self._text(self._cuda.cuDeviceGetPCIBusId, _PCI_ID_SIZE).lower()
        compute = self._attribute(api.ATTRIBUTE_COMPUTE_MAJOR), self._attribute(api.ATTRIBUTE_COMPUTE_MINOR)
        integrated = bool(self._attribute(api.ATTRIBUTE_INTEGRATED))
        total = self._total_memory()
        counted, unusable = self._put_to_work(compute, deep=deep)
        result, memory = nvml.memory_of(uuid, pci_id)
        known = None if result else int(memory.free)
        return Entry(
            id=uuid or str(self._place),
            backend=CUDA.library,
            name=f"CUDA{self._place}",
            description=description,
            index=self._place,
            integrated=integrated,
            pci_id=pci_id,
            total_memory=total,
            free_memory=next(figure for figure in (known, counted, total) if figure is not None),
            compute=compute,
            driver=driver,
            unusable=Unusable("unusable", LOST) if result == NVML_LOST else unusable,
        )

    def _put_to_work(self, compute: tuple[int, int], *, deep: bool) -> tuple[int | None, Unusable | None]:
        """Find out how many bytes the driver counts as free, if it was asked, and why it is not for use."""
        try:
            if self._refusal:
                raise self._refusal
            return (compute_and_compare(self._cuda, self._handle.value, compute) if deep else None), None
        except api.CudaError as error:
            return None, Unusable("unusable", _in_words(error))
        except DeviceError as error:
            return None, Unusable("unusable", str(error))

    def _text(self, function: Callable[..., object], size: int) -> str:
        text = ctypes.create_string_buffer(size)
        self._ask(function, text, size, self._handle)
        return text.value.decode(errors="replace")

    def _uuid(self, *, slice_of_card: bool) -> str:
        """The UUID as nvidia-smi and the mask write it; "" where there is none."""
        raw = (ctypes.c_uint8 * 16)()
        self._ask(self._cuda.cuDeviceGetUuid, byref(raw), self._handle)
        uuid = grouped(bytes(raw))
        return uuid and f"{'MIG' if slice_of_card else 'GPU'}-{uuid}"

    def _attribute(self, attribute: int) -> int:
        value = ctypes.c_int()
        self._ask(self._cuda.cuDeviceGetAttribute, byref(value), attribute, self._handle)
        return value.value

    def _total_memory(self) -> int:
        size = ctypes.c_size_t()
        self._ask(self._cuda.cuDeviceTotalMem, byref(size), self._handle)
        return size.value


def _in_words(error: api.CudaError) -> str:
    wsl = os.path.exists(WSL_DEVICE)  # noqa: PTH110 - a probe does without pathlib
    return in_words(error, platform=sys.platform, wsl=wsl)
