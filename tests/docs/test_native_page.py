"""The tables of results in docs/native.md against what the native runner says of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gpudiscover.native.drivers import cuda_advice, level_zero_advice
from pytest_gpudiscover.native.drivers.rocm_hip import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "native.md"
SECTION = re.compile(r"^## (\w[\w ]*): .*$", re.MULTILINE)
ROW = re.compile(r"^\| ((?:0x)?\d[\da-fx, ]*) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ADVICE = {
    "CUDA": cuda_advice.ADVICE,
    "ROCm": {result: advice for result, (_, advice) in RESULTS.items() if advice},
    "Level Zero": level_zero_advice.ADVICE,
}
"""By the library whose sections have the tables: by result, what it means and what to do."""


def rows(library: str) -> list[tuple[int, str, str]]:
    """The rows of a library's tables: result, what it means, what to do."""
    _, *sections = SECTION.split(PAGE.read_text(encoding="utf-8").replace("`", ""))
    text = "".join(body for name, body in zip(sections[::2], sections[1::2], strict=True) if name == library)
    return [
        (int(one, 0), means, do) for several, means, do in ROW.findall(text) for one in several.split(",")
    ]


@pytest.mark.parametrize("library", ADVICE)
def test_the_page_has_every_result_that_there_is_advice_on_once(library: str) -> None:
    assert sorted(result for result, _, _ in rows(library)) == sorted(ADVICE[library])


@pytest.mark.parametrize(
    ("library", "result", "means", "do"), [(library, *row) for library in ADVICE for row in rows(library)]
)
def test_a_result_means_what_the_page_says_and_so_does_what_to_do(
    library: str, result: int, means: str, do: str
) -> None:
    said = ADVICE[library][result]
    assert said.startswith(means)
    assert do in said.removeprefix(means)
