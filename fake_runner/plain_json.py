"""JSON by the interpreter's own scanner and encoder, without the package around them.

The package `json` imports regular expressions, which takes longer than everything else at a start together.
An interpreter that has no `_json` gets the package.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BLANKS = " \t\n\r"

Pairs = list[tuple[str, object]]


class _Rules:
    """How the scanner builds values; these are the names it looks for."""

    strict = True
    object_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float

    def __init__(self, table: Callable[[Pairs], dict[str, object]]) -> None:
        self.object_pairs_hook = table


def loads(text: str, table: Callable[[Pairs], dict[str, object]] = dict) -> object:
    """Read one JSON value.

    Args:
        text: it may begin and end with blanks.
        table: makes an object of its pairs.

    Raises:
        ValueError: it is no JSON; the message says where.
        RecursionError: it nests too deeply.
    """
    try:
        from _json import make_scanner

        scan = make_scanner(_Rules(table))  # type: ignore[arg-type]
        value, end = scan(text, len(text) - len(text.lstrip(BLANKS)))
        if not text[end:].strip(BLANKS):
            return value
    except (ImportError, StopIteration):
        pass
    # Either there is no scanner here, or the text is wrong, and the package knows the words.
    import json

    return json.loads(text, object_pairs_hook=table)


def dumps(value: object) -> bytes:
    """Write a value on one line, in ASCII.

    Raises:
        TypeError: something in it has no JSON.
    """
    try:
        from _json import encode_basestring_ascii, make_encoder
    except ImportError:
        import json

        return json.dumps(value).encode()
    # No check for circles, nothing but JSON's own types, no indent, keys unsorted and all texts, NaN written.
    encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True)
    return "".join(encode(value, 0)).encode()


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON")
