"""Changes to a machine as functions: a document in, a changed one out. Nothing is checked but names.

Whether the whole makes sense is for whoever builds a host of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fake_runner import hosts as host_files
from fake_runner.tables import HostError, Table
from pytest_gpudiscover.errors import HostFileError
from pytest_gpudiscover.simulation.profiles import document_of

Document = Mapping[str, Any]


def with_figures(document: Document, gpu: str, **figures: Any) -> dict[str, Any]:
    """Another figure or more of one GPU."""
    _check_gpu(document, gpu)
    gpus = [{**table, **figures} if table["name"] == gpu else table for table in document["gpu"]]
    return {**document, "gpu": gpus}


def without_gpu(document: Document, gpu: str) -> dict[str, Any]:
    """The machine without one GPU: no variant lists it, and no fault strikes it."""
    _check_gpu(document, gpu)
    variants = {
        name: {**table, "devices": [listed for listed in table.get("devices", ()) if _gpu_of(listed) != gpu]}
        for name, table in document.get("variant", {}).items()
    }
    return {
        **document,
        "gpu": [table for table in document["gpu"] if table["name"] != gpu],
        "variant": variants,
        "fault": [fault for fault in document.get("fault", ()) if fault.get("device") != gpu],
    }


def with_card(document: Document, card: str, **figures: Any) -> dict[str, Any]:
    """The machine with one more card in the first free slot. Each variant for such cards lists it last.

    Raises:
        HostFileError: there is no profile of that name.
    """
    gpus = list(document.get("gpu", ()))
    slot = len(gpus)
    # Its name and its PCI id are those that it would have as the last of a machine full of such cards.
    while _taken(added := document_of([card] * (slot + 1)), gpus):
        slot += 1
    slot_name = added["gpu"][-1]["name"]
    new = {**added["gpu"][-1], **figures}
    variants = dict(document.get("variant", {}))
    for name, table in added["variant"].items():
        variant = variants.get(name, {**table, "devices": []})
        listed = [_renamed(entry, new["name"]) for entry in table["devices"] if _gpu_of(entry) == slot_name]
        variants[name] = {**variant, "devices": [*variant.get("devices", ()), *listed]}
    faults = [
        {**fault, "device": new["name"]} for fault in added["fault"] if fault.get("device") == slot_name
    ]
    return {
        **document,
        "gpu": [*gpus, new],
        "variant": variants,
        "fault": [*document.get("fault", ()), *faults],
    }


def with_fault(document: Document, name: str, **details: Any) -> dict[str, Any]:
    """The machine with one more fault."""
    return {**document, "fault": [*document.get("fault", ()), {"name": name, **details}]}


def without_faults(document: Document, **matching: Any) -> dict[str, Any]:
    """The machine without the faults that match in all of this.

    Raises:
        HostFileError: none does.
    """
    faults = document.get("fault", ())
    left = [fault for fault in faults if not matching.items() <= fault.items()]
    if matching and len(left) == len(faults):
        wanted = ", ".join(f"{key}={value!r}" for key, value in matching.items())
        present = ", ".join(dict.fromkeys(fault["name"] for fault in faults)) or "none"
        raise HostFileError(f"no fault of this machine has {wanted}; it has the faults: {present}")
    return {**document, "fault": left}


def size_of(text: int | str, what: str) -> int:
    """Bytes, from a number or from a text such as `20 GiB`, read as in a host file.

    Raises:
        HostFileError: it is neither.
    """
    try:
        return Table({what: text}, "").size(what)
    except HostError as error:
        raise HostFileError(str(error)) from error


def memory_of(host: host_files.Host, gpu: str) -> tuple[int, int]:
    """The free and the total memory of one GPU, in bytes.

    Raises:
        HostFileError: there is no GPU of that name.
    """
    _check_name(gpu, host.gpus)
    figures = host.gpus[gpu].figures
    free, total = figures["free_memory"], figures["total_memory"]
    assert isinstance(free, int)
    assert isinstance(total, int)
    return free, total


def _gpu_of(listed: str | Mapping[str, Any]) -> Any:
    return listed if isinstance(listed, str) else listed["gpu"]


def _renamed(listed: str | Mapping[str, Any], gpu: str) -> str | Mapping[str, Any]:
    return gpu if isinstance(listed, str) else {**listed, "gpu": gpu}


def _taken(added: Document, gpus: list[Mapping[str, Any]]) -> bool:
    new = added["gpu"][-1]
    return any(
        new["name"] == gpu["name"] or (new["pci_id"] and new["pci_id"] == gpu.get("pci_id")) for gpu in gpus
    )


def _check_gpu(document: Document, gpu: str) -> None:
    _check_name(gpu, [table["name"] for table in document.get("gpu", ())])


def _check_name(gpu: str, known: Any) -> None:
    if gpu not in known:
        raise HostFileError(
            f"no GPU of this machine is called {gpu!r}; there is: {', '.join(known) or 'none'}"
        )
