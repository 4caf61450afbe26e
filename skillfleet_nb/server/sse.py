"""A message of an event stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Encoded: TypeAlias = Callable[[object], bytes]
"""What writes the data of messages as JSON."""


def message(kind: str, data: bytes, number: int | None = None) -> bytes:
    r"""Write one; JSON has no line breaks.

    Examples
    --------
    >>> message("state", b"{}", 7)
    b'id: 7\nevent: state\ndata: {}\n\n'
    """
    head = f"event: {kind}\n" if number is None else f"id: {number}\nevent: {kind}\n"
    return head.encode() + b"data: " + data + b"\n\n"
