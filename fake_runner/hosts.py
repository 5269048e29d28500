"""Simulated hosts: what a host file says, read and checked.

`parse` is pure; `load` reads the file. The format is described in docs/fake-runner.md.
"""
# ruff: noqa: PTH100, PTH118, PTH120
# pathlib would cost more than the rest of the start.

from __future__ import annotations

import os

from fake_runner import plain_json
from fake_runner.hashing import fnv
from fake_runner.tables import HostError, Table, choices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fake_runner.triggers import PlannedFault


PHASES = ("enumerate", "verify", "refresh")


class Gpu:
    """A physical GPU: the truth, whatever the libraries say of it.

    Attributes:
        name: how the host file refers to it.
        figures: what a library shows unless a view overrides it, by their keys in the host file.
    """

    __slots__ = ("figures", "name")

    def __init__(self, name: str, figures: dict[str, object]) -> None:
        self.name = name
        self.figures = figures


class Listing:
    """One device of a variant's raw enumeration: a physical GPU, and the figures this view shows instead."""

    __slots__ = ("gpu", "overrides")

    def __init__(self, gpu: Gpu, overrides: dict[str, object]) -> None:
        self.gpu = gpu
        self.overrides = overrides

    def figure(self, name: str, default: object = None) -> object:
        """A figure as this view shows it; the default when neither the view nor the GPU has one."""
        return self.overrides.get(name, self.gpu.figures.get(name, default))


class Variant:
    """What one variant shows.

    Attributes:
        name: the directory's name (`cuda_v13`); "" for a runner that has everything built in.
        library: the kind of GPU library.
        ids: `uuid` or `number`.
        devices: the raw enumeration, in order.
    """

    __slots__ = ("devices", "ids", "library", "name")

    def __init__(self, name: str, library: str, ids: str, devices: tuple[Listing, ...]) -> None:
        self.name = name
        self.library = library
        self.ids = ids
        self.devices = devices


INFO, GPU_DISCOVER = SPEECHES = ("info", "gpu-discover")
"""How a runner answers: by HTTP, or by what it prints before it ends, as Ollama's does from 0.30 on."""


class Host:
    """A simulated machine.

    Attributes:
        gpus: the physical GPUs, by name, in the order of the file.
        variants: what each variant shows, by name, in the order of the file.
        faults: what goes wrong.
        speaks: how its runners answer: one of `SPEECHES`.
        calls: where each start is recorded: a path, absolute after `load`; "" for nowhere.
    """

    __slots__ = ("calls", "faults", "gpus", "speaks", "variants")

    def __init__(
        self,
        gpus: dict[str, Gpu],
        variants: dict[str, Variant],
        faults: tuple[PlannedFault, ...] = (),
        calls: str = "",
        speaks: str = INFO,
    ) -> None:
        self.speaks = speaks
        self.gpus = gpus
        self.variants = variants
        self.faults = faults
        self.calls = calls


def load(path: str) -> Host:
    """Read a host file: JSON when its first character is a brace, else TOML.

    Raises:
        HostError: it cannot be read, or it makes no sense; `place` begins with the path.
    """
    try:
        text = _contents(path).decode()
    except (OSError, ValueError) as error:
        raise HostError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        host = parse(decoded(text))
    except HostError as error:
        raise HostError(f"{path}: {error.place}" if error.place else path, error.problem) from error
    if host.calls:
        host.calls = os.path.join(os.path.dirname(os.path.abspath(path)), host.calls)
    return host


def _contents(path: str) -> bytes:
    """A file's bytes; `open` would import the codecs of text."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        parts = []
        while part := os.read(file, 2**20):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)


def parse(values: object) -> Host:
    """Build a host from the tables of a host file.

    Raises:
        HostError: an unknown key or name, a wrong type, or a name given twice.
    """
    table = Table(values, "")
    gpus: dict[str, Gpu] = {}
    for gpu_table in table.tables("gpu"):
        gpu = _gpu(gpu_table)
        if gpu.name in gpus:
            raise HostError(gpu_table.where("name"), f"{gpu.name!r} is taken: expected a name of its own")
        gpus[gpu.name] = gpu
    variants = _variants(Table(table.take("variant", {}), "variant"), gpus)
    faults = _faults(table.tables("fault"), gpus, variants)
    calls = table.text("calls", "")
    speaks = table.choice("speaks", SPEECHES) if "speaks" in table else INFO
    table.finish()
    return Host(gpus, variants, faults, calls, speaks)


def decoded(text: str) -> object:
    """Read a host file's text: JSON when its first character is a brace, else TOML.

    Raises:
        HostError: it is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            return plain_json.loads(text, _without_duplicates)
        except (ValueError, RecursionError) as error:
            raise HostError("", f"is no JSON: {error}") from error
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise HostError("", f"is no TOML: {error}") from error


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise HostError("", f"the key {twice!r} stands twice in one table: expected it once")
    return values


def _gpu(table: Table) -> Gpu:
    name = table.text("name")
    table.place += f" ({name!r})"
    if "profile" in table:
        _with_profile(table)
    table.take("profile")
    figures = _figures(table)
    if "total_memory" not in figures:
        raise table.refuse("total_memory", 'bytes: an integer, or a text such as "24 GiB"')
    figures.setdefault("free_memory", figures["total_memory"])
    figures["uuid"] = table.text("uuid", derived_uuid(name))
    table.finish()
    return Gpu(name, {"description": name, "pci_id": "", "integrated": False} | figures)


def _with_profile(table: Table) -> None:
    """Let the figures of a catalogued card stand in for those that the table leaves out.

    Raises:
        HostError: there is no such card.
    """
    from fake_runner.profiles import PROFILES

    name = table.text("profile")
    if name not in PROFILES:
        raise HostError(table.where("profile"), f"no card is called {name!r}: {_near(name, PROFILES)}")
    table.values = {**PROFILES[name].figures, **table.values}


def _near(name: str, names: Iterable[str]) -> str:
    import difflib

    by_capitals = {each.upper(): each for each in names}
    near = difflib.get_close_matches(name.upper(), by_capitals, cutoff=0.5)
    return (
        f"did you mean {choices(by_capitals[each] for each in near)}?"
        if near
        else f"expected one of {choices(names)}"
    )


def _faults(
    tables: list[Table], gpus: Mapping[str, Gpu], variants: Mapping[str, Variant]
) -> tuple[PlannedFault, ...]:
    if not tables:
        return ()
    from fake_runner.triggers import planned

    return planned(tables, gpus, variants)


def _variants(table: Table, gpus: dict[str, Gpu]) -> dict[str, Variant]:
    return {
        name: _variant(name, Table(table.values[name], table.where(repr(name))), gpus)
        for name in table.values
    }


def _variant(name: str, table: Table, gpus: dict[str, Gpu]) -> Variant:
    library = table.text("library")
    ids = table.choice("ids", ("uuid", "number"), "uuid" if library in ("CUDA", "Vulkan") else "number")
    devices = [
        _listing(entry, f"{table.where('devices')}[{n}]", gpus)
        for n, entry in enumerate(table.listed("devices"))
    ]
    table.finish()
    return Variant(name, library, ids, tuple(devices))


def _listing(entry: object, place: str, gpus: dict[str, Gpu]) -> Listing:
    table = Table({"gpu": entry} if isinstance(entry, str) else entry, place)
    gpu = gpus[table.choice("gpu", gpus)]
    overrides = _figures(table)
    for name in ("id", "name"):
        if name in table:
            overrides[name] = table.text(name)
    if "library_path" in table:
        overrides["library_path"] = _texts(table, "library_path")
    if "unusable" in table:
        overrides["unusable"] = _unusable(Table(table.take("unusable"), table.where("unusable")))
    for key in ("id", "name", "library_path", "unusable"):
        table.take(key)
    table.finish()
    return Listing(gpu, overrides)


def _figures(table: Table) -> dict[str, object]:
    """The figures that both a GPU and a view can give, as far as the table gives them."""
    readers: dict[str, Callable[[str], object]] = {
        "description": table.text,
        "pci_id": table.text,
        "total_memory": table.size,
        "free_memory": table.size,
        "integrated": table.flag,
        "compute": lambda key: _compute(table, key),
        "driver": lambda key: _driver(table, key),
    }
    for key in readers:
        table.take(key)
    return {key: read(key) for key, read in readers.items() if key in table}


def _unusable(table: Table) -> dict[str, str]:
    unusable = {"reason": table.text("reason"), "detail": table.text("detail")}
    table.finish()
    return unusable


def _texts(table: Table, key: str) -> list[str]:
    texts = [text for text in table.listed(key) if isinstance(text, str)]
    if len(texts) < len(table.listed(key)):
        raise table.refuse(key, "a list of texts")
    return texts


def _compute(table: Table, key: str) -> tuple[int, int]:
    text = table.text(key)
    digits = text.removeprefix("gfx")
    if digits != text and len(digits) > 2 and all(digit in "0123456789abcdef" for digit in digits):
        return int(digits[:-2], 16), int(digits[-2:], 16)
    version = _two_numbers(text)
    if version is None:
        raise table.refuse(key, 'a text such as "8.9" or "gfx1030"')
    return version


def _driver(table: Table, key: str) -> tuple[int, int]:
    version = _two_numbers(table.text(key))
    if version is None:
        raise table.refuse(key, 'a text such as "13.0"')
    return version


def _two_numbers(text: str) -> tuple[int, int] | None:
    major, dot, minor = text.partition(".")
    if not (text.isascii() and major.isdecimal() and dot and minor.isdecimal()):
        return None
    return int(major), int(minor)


def derived_uuid(name: str) -> str:
    """The UUID of a GPU that was given none: always the same for a name, and close to no other's."""
    digits = f"{fnv(name):032x}"
    return f"GPU-{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
