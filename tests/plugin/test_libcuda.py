"""What a CUDA program sees inside a lease, with a stand-in for the driver that reads masks as CUDA does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gpudiscover.simulation import FakeHost

PROGRAM = """
import ctypes, uuid

def seen():
    '''The UUIDs of the devices that CUDA shows to this process.'''
    cuda = ctypes.CDLL("libcuda.so.1")
    count, device, raw = ctypes.c_int(), ctypes.c_int(), (ctypes.c_ubyte * 16)()
    if cuda.cuInit(0) == 100:
        return []
    assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
    found = []
    for ordinal in range(count.value):
        assert cuda.cuDeviceGet(ctypes.byref(device), ordinal) == 0
        assert cuda.cuDeviceGetUuid_v2(raw, device) == 0
        found.append(f"GPU-{uuid.UUID(bytes=bytes(raw))}")
    return found

if __name__ == "__main__":
    print(*seen())
"""
"""Loads the library, initialises it, and names what it shows."""

CARDS = [f"GPU-00000000-0000-0000-0000-{number:012x}" for number in (0xA, 0xB, 0xC)]
"""The UUIDs of the machine's three cards."""


@pytest.fixture(scope="session")
def stand_in_cuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a libcuda.so.1 that has the cards of STAND_IN_GPUS; see stand_in_cuda.c."""
    gcc = shutil.which("gcc")
    if gcc is None:
        sentence = "gcc is not on this machine: install a C compiler (Debian: gcc libc6-dev)"
        if os.environ.get("GPUDISCOVER_TESTS_REQUIRE"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    directory = tmp_path_factory.mktemp("stand_in_cuda")
    flags = ["-shared", "-fPIC", "-Wall", "-Werror", "-Wl,-soname,libcuda.so.1"]
    source = Path(__file__).with_name("stand_in_cuda.c")
    subprocess.run([gcc, *flags, "-o", directory / "libcuda.so.1", source], check=True)
    return directory


@pytest.fixture(autouse=True)
def _machine(pytester: pytest.Pytester, stand_in_cuda: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cards, on which CUDA and our runners agree, and a module `program` that asks CUDA."""
    document = FakeHost.of("L4", "L4", "L4").document
    gpus = [{**gpu, "uuid": uuid} for gpu, uuid in zip(document["gpu"], CARDS, strict=True)]
    host = FakeHost({**document, "gpu": gpus}).save(pytester.path / "host.json")
    for name, value in {
        "GPUDISCOVER_RUNNER": "fake",
        "GPUDISCOVER_HOST": host.path,
        "GPUDISCOVER_LEASES": pytester.path / "leases",
        "LD_LIBRARY_PATH": stand_in_cuda,
        "STAND_IN_GPUS": ",".join(CARDS),
    }.items():
        monkeypatch.setenv(name, str(value))
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    pytester.makepyfile(program=PROGRAM)


def test_without_a_lease_a_program_sees_every_card(pytester: pytest.Pytester) -> None:
    done = subprocess.run([sys.executable, "program.py"], cwd=pytester.path, capture_output=True, text=True)
    assert done.stdout.split() == CARDS


@pytest.mark.parametrize("count", [1, 2])
def test_a_program_started_inside_a_lease_sees_the_leased_devices_alone(
    pytester: pytest.Pytester, count: int
) -> None:
    pytester.makepyfile(
        f"""
        import os, subprocess, sys
        import pytest

        @pytest.mark.gpu(count={count}, library="CUDA")
        def test_it(gpu_lease):
            done = subprocess.run(
                [sys.executable, "program.py"], env=os.environ | gpu_lease.env, capture_output=True, text=True
            )
            assert done.stdout.split() == [device.id for device in gpu_lease.devices]
            assert len(gpu_lease.devices) == {count}
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_an_activated_lease_shows_its_devices_to_code_of_the_test_s_own_process(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from program import seen

        @pytest.mark.gpu(library="CUDA")
        def test_it(gpu_lease):
            gpu_lease.activate()
            assert seen() == [device.id for device in gpu_lease.devices]
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


OWN_DEVICE = """
    from pathlib import Path
    from program import seen

    ON_IMPORT = seen()  # a worker is masked before any test module is imported

    def test_one_device_is_there_from_the_beginning(worker_id):
        assert len(ON_IMPORT) == 1
        Path(worker_id).write_text(*ON_IMPORT)

    def test_it_is_the_one_that_tests_lease(gpu_lease, gpu_devices):
        assert [device.id for device in gpu_lease.devices] == ON_IMPORT
        assert [device.id for device in gpu_devices] == ON_IMPORT
        assert gpu_lease.torch_devices == ("cuda:0",)
"""


def owned(pytester: pytest.Pytester) -> list[str]:
    """The device that each worker has found."""
    return [path.read_text() for path in sorted(pytester.path.glob("gw*"))]


def test_workers_that_own_a_device_each_see_it_from_the_import_of_the_first_test_module(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(OWN_DEVICE)
    result = pytester.runpytest_subprocess("-nauto", "--dist=each", "--gpudiscover-workers=own")
    result.assert_outcomes(passed=6)
    assert sorted(owned(pytester)) == CARDS


def test_the_worker_that_replaces_a_dead_one_owns_a_device_too(pytester: pytest.Pytester) -> None:
    dies = "def test_dies():\n    import os\n    os._exit(1)\n"
    pytester.makepyfile(test_a=dies, test_b=OWN_DEVICE)
    result = pytester.runpytest_subprocess("-n1", "--gpudiscover-workers=own")
    result.assert_outcomes(passed=2, failed=1)
    assert len(owned(pytester)) == 1
