"""Lives of machines, drawn from seeds: whatever happens, what the engine says is so, and nothing is left."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import settings

from pytest_gpudiscover import bootstrap, engine, refresh, refreshing
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.simulation.__main__ import main
from pytest_gpudiscover.simulation.lives import BrokenLawError, Life

assert settings.default is not None
DRAWN = range(settings.default.max_examples)
"""A life takes about as long as an example."""

REGRESSIONS = [
    # Two runners look at one card, since another fell off the bus meanwhile: numbers then mean others.
    Life(3193, ("plug Radeon 780M", "plug Radeon 780M", "rescan", "go 8", "unplug 2")),
    # A library comes while a call waits for its turn: the law looked for its list where it was not there yet.
    Life(0, ("plug RTX 4090", "begin", "begin", "plug RX 7900 XTX", "finish")),
]


@pytest.mark.parametrize("seed", DRAWN)
def test_a_life_drawn_from_a_seed_breaks_no_law(seed: int) -> None:
    Life.drawn(seed).live()


@pytest.mark.parametrize("life", REGRESSIONS, ids=lambda life: str(life.seed))
def test_a_life_that_once_broke_a_law_no_longer_does(life: Life) -> None:
    life.live()


def test_a_life_prints_as_the_code_that_lives_it_again() -> None:
    lives = [Life.drawn(seed) for seed in range(50)]
    assert [eval(repr(life)) for life in lives] == lives
    assert all(life.live() == Life(life.seed, life.steps).live() for life in lives[:5])


def test_every_kind_of_step_and_of_fault_occurs_in_some_life_and_not_in_every_one() -> None:
    lives = [{words.split()[0] for words in Life.drawn(seed).steps} for seed in range(100)]
    kinds = [
        "plug",
        "unplug",
        "fill",
        "inject",
        "heal",
        "kill",
        "cancel",
        "advance",
        "go",
        "begin",
        "rescan",
        "verify",
        "ask",
        "hand_over",
        "finish",
    ]
    assert set().union(*lives) == set(kinds)
    rare = ["unplug", "fill", "inject", "heal", "kill", "cancel", "advance", "hand_over"]
    assert all(0 < sum(kind in life for life in lives) < 100 for kind in rare)


# Each of these breaks the engine in one place, and a law must notice: the proof that laws can fail.


def trusts_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "TRUSTED_LIBRARIES", ("Metal", "CUDA"))


def keeps_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "without_duplicates", lambda devices: (list(devices), []))


def initialises_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "may_share_card", lambda one, other: False)
    monkeypatch.setattr(bootstrap, "next_to_verify", everything_at_once)


def everything_at_once(
    listed: Mapping[str, Sequence[str]], verdicts: Mapping[tuple[str, str], bool]
) -> list[tuple[str, str]]:
    return [(name, each) for name, ids in listed.items() for each in ids if (name, each) not in verdicts]


def knows_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    original = bootstrap._Verification.__init__

    def unlimited(self: bootstrap._Verification, *arguments: Any) -> None:
        original(self, *arguments)
        self._limit = 1000

    monkeypatch.setattr(bootstrap._Verification, "__init__", unlimited)


def has_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pytest_gpudiscover.probing.runners.asyncio.timeout_at", lambda _: asyncio.timeout(None)
    )


def takes_no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoLock:
        def acquire(self, *, blocking: bool) -> bool:
            return True

        def release(self) -> None:
            return

    monkeypatch.setattr("pytest_gpudiscover.engine.threading.Lock", NoLock)


def is_never_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    original = refreshing.updated

    def fresh(devices: Sequence[DeviceInfo], free: Mapping[Any, int]) -> tuple[DeviceInfo, ...]:
        return original(devices, {device.device_id: device.free_memory for device in devices} | dict(free))

    monkeypatch.setattr(refresh, "updated", fresh)


def refreshes_without_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "show_only", lambda *_, **__: {})


def verifies_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def well(*_: object) -> None:
        await asyncio.sleep(0.01)

    monkeypatch.setattr(engine, "verify", well)


@pytest.mark.parametrize(
    ("break_it", "noticed"),
    [
        (trusts_everything, "does not work with"),
        (keeps_duplicates, "expected card"),
        (initialises_twice, "initialises"),
        (knows_no_limit, "may live at once"),
        (has_no_deadline, "a call will never end"),
        (takes_no_turns, "beside another"),
        (is_never_stale, "by what is told"),
        (refreshes_without_masks, "is stale for no reason"),
        (verifies_nothing_again, "was verified, and does not work"),
    ],
)
def test_an_engine_that_is_broken_on_purpose_is_noticed(
    break_it: Callable[[pytest.MonkeyPatch], None], noticed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    broken = (Life.drawn(seed).lived()[1] for seed in range(500))
    assert any(noticed in str(error) for error in broken if error)


def test_a_life_that_breaks_a_law_is_told_with_the_line_that_keeps_it_as_a_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trusts_everything(monkeypatch)
    life = next(life for life in map(Life.drawn, range(500)) if life.lived()[1])
    with pytest.raises(BrokenLawError) as caught:
        life.live()
    assert caught.value.__notes__ == [f"to see it again, also as a test: {life!r}.live()"]
    short = life.shrunk()
    assert short.lived()[1]
    assert all(not Life(short.seed, without(short.steps, n)).lived()[1] for n in range(len(short.steps)))


def without(steps: tuple[str, ...], n: int) -> tuple[str, ...]:
    return (*steps[:n], *steps[n + 1 :])


def test_the_command_lives_one_life_many_lives_or_simulates_a_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["7"]) == 0
    assert capsys.readouterr().out.endswith(f"{Life.drawn(7)}\n")
    assert main(["7", "--machine", "jetson"]) == 0
    assert "found    cuda_jetpack6 CUDA" in capsys.readouterr().out
    assert main(["7", "--machine", "nowhere.json"]) == 2
    assert "nowhere.json: cannot be read" in capsys.readouterr().err
    assert main(["0", "--count", "20"]) == 0
    assert capsys.readouterr().out == "20 lives, 0 of them broke a law\n"
    trusts_everything(monkeypatch)
    assert main(["0", "--count", "20"]) == 1
    seed, line = capsys.readouterr().out.splitlines()[:2]
    assert main([seed.removeprefix("python -m pytest_gpudiscover.simulation ").partition(":")[0]]) == 1
    assert "broke a law:" in capsys.readouterr().out
    with pytest.raises(BrokenLawError):
        eval(line.strip())


def test_the_command_is_a_module() -> None:
    command = [sys.executable, "-m", "pytest_gpudiscover.simulation", "3", "--count", "2"]
    assert (
        subprocess.run(command, capture_output=True, text=True).stdout == "2 lives, 0 of them broke a law\n"
    )
