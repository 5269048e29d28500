"""Words and numbers for people: nothing that came from outside is shown as it came."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.errors import RequirementError
from pytest_gpudiscover.text import count, gibibytes, parse_size, printable

any_text = st.text(st.characters(), max_size=60)


@given(any_text, st.integers(1, 40))
def test_shown_text_is_printable_encodable_and_within_its_limit(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    shown.encode()


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=40))
def test_harmless_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text, 40) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\t", "a\\nb\\t"),
        ("\0", "\\x00"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202e", "\\u202e"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("NVIDIA\u00a0L4", "NVIDIA\\xa0L4"),
        ("Grafikkarte \u00fc", "Grafikkarte \u00fc"),
    ],
)
def test_what_cannot_be_shown_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert printable("x" * 300) == "x" * 300
    assert printable("x" * 301) == "x" * 299 + "\u2026"
    assert printable("\x1b" * 1_000_000) == ("\\x1b" * 75)[:299] + "\u2026"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("16GiB", 16 << 30),
        ("16 gib", 16 << 30),
        (" 16GB ", 16 * 10**9),
        ("1.5KiB", 1536),
        ("4.1GB", 4_100_000_000),
        ("1.1 GiB", 1_181_116_006),
        ("2MiB", 2 << 20),
        ("3MB", 3 * 10**6),
        ("1TiB", 1 << 40),
        ("1tb", 10**12),
        ("5KB", 5000),
        ("7bytes", 7),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GiB",
        "-1",
        "-1GiB",
        "1e3",
        "1.5.1GiB",
        "1,5GiB",
        "16G",
        "16 GiB more",
        "0x10",
        "\u0663GiB",
        "nan",
        "inf",
        "1.GiB",
    ],
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RequirementError, match="16GiB"):
        parse_size(text)


def test_a_refused_size_is_never_shown_raw() -> None:
    with pytest.raises(RequirementError) as caught:
        parse_size("\x1b[2J" + "x" * 10_000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@given(any_text)
def test_any_text_is_a_size_or_refused(text: str) -> None:
    with contextlib.suppress(RequirementError):
        assert parse_size(text) >= 0


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 400 + ".5"])
def test_a_size_beyond_all_numbers_is_refused(digits: str) -> None:
    with pytest.raises(RequirementError):
        parse_size(digits + "GiB")


def test_sizes_are_shown_in_gibibytes() -> None:
    assert [gibibytes(size) for size in (0, 1 << 30, 25769803776, 25232932864)] == [
        "0.0 GiB",
        "1.0 GiB",
        "24.0 GiB",
        "23.5 GiB",
    ]


def test_one_thing_is_singular() -> None:
    assert [count(n, "device") for n in (0, 1, 2)] == ["0 devices", "1 device", "2 devices"]
