"""How many tokens the parts of a message take that are no text, as their providers reckon them.

A provider bills an image by its size and detail, and sound by its seconds, never by the characters of the base64 that
carries it.  LiteLLM's own counter takes every image of unknown detail for 85 tokens, a tenth of what is billed.  What a
file takes no provider tells before a call: that is said, and what earlier calls took is reserved for it.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_UNSEEN_IMAGE = (1024, 1024)  # of an image that only its provider fetches
_HEAD = 1 << 16  # characters of base64 that tell the size of an image


class Media(NamedTuple):
    """Tokens of what is no text; `unknown` counts the parts of which nobody can tell, `assumed` those not looked at."""

    image: int = 0
    audio: int = 0
    unknown: int = 0
    assumed: int = 0

    def plus(self, other: Media) -> Media:
        """Add up."""
        return Media(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def tokens(self) -> int:
        """All that is known."""
        return self.image + self.audio


NO_MEDIA = Media()


class _Tiles(NamedTuple):
    """So many tokens for an image, and for each square of 512 pixels once its shorter side is at most 768."""

    base: int
    tile: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        if detail == "low":
            return self.base
        scale = min(1.0, 2048 / max(width, height))
        width, height = int(width * scale), int(height * scale)
        scale = min(1.0, 768 / min(width, height)) if min(width, height) else 1.0
        return self.base + self.tile * math.ceil(int(width * scale) / 512) * math.ceil(int(height * scale) / 512)


class _Patches(NamedTuple):
    """A token, times a factor, for each square of 32 pixels, up to 1536 of them."""

    factor: float

    def tokens(self, width: int, height: int, detail: str) -> int:
        del detail
        return math.ceil(min(1536, math.ceil(width / 32) * math.ceil(height / 32)) * self.factor)


class _Area(NamedTuple):
    """A token for so many pixels of an image that is first made to fit."""

    pixels: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        del detail
        scale = min(1.0, 1568 / max(width, height), math.sqrt(1_150_000 / (width * height)))
        return math.ceil(width * scale * height * scale / self.pixels)


class _Squares(NamedTuple):
    """So many tokens for a small image, or for each square of 768 pixels."""

    each: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        del detail
        if max(width, height) <= 384:  # noqa: PLR2004  as Google has it
            return self.each
        return self.each * math.ceil(width / 768) * math.ceil(height / 768)


_IMAGES: tuple[tuple[str, _Tiles | _Patches | _Area | _Squares], ...] = (
    (r"claude", _Area(750)),
    (r"gemini|gemma", _Squares(258)),
    (r"gpt-4o-mini", _Tiles(2833, 5667)),
    (r"gpt-4\.1-mini|gpt-5-mini", _Patches(1.62)),
    (r"gpt-4\.1-nano|gpt-5-nano", _Patches(2.46)),
    (r"o4-mini", _Patches(1.72)),
    (r"\bo[13]\b", _Tiles(75, 150)),
    (r"gpt-5", _Tiles(70, 140)),
    ("", _Tiles(85, 170)),  # gpt-4o and 4.1, and whoever speaks their protocol
)
"""By a part of the model's name, the first that fits: what the providers' pages on vision say."""
_SECONDS: tuple[tuple[str, int], ...] = ((r"gemini|gemma", 32), ("", 10))
"""Tokens of a second of sound: Google's 32, OpenAI's one for each 100 ms."""


def media_of(content: object, model: str) -> Media:
    """Reckon what the parts of a message's content take that are no text."""
    total = Media()
    for part in parts(content):
        total = total.plus(_media(part, model))
    return total


def parts(content: object) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a message's content that are no text."""
    if isinstance(content, list):
        yield from (p for p in content if isinstance(p, dict) and p.get("type", "text") not in {"text", "input_text"})


def text_in(content: object) -> str:
    """Return the text of a message's content, without the parts that are none."""
    if isinstance(content, list):
        return "\n".join(str(p.get("text") or "") if isinstance(p, dict) else str(p) for p in content)
    return content if isinstance(content, str) else "" if content is None else str(content)


def media_sent(sent: object, model: str) -> Media:
    """Reckon what a prompt or messages take that is no text."""
    total = NO_MEDIA
    for content in contents(sent):
        if isinstance(content, list):
            total = total.plus(media_of(content, model))
    return total


def contents(sent: object) -> Iterable[object]:
    """Return the contents of messages, or the prompt alone."""
    return [m.get("content") if isinstance(m, dict) else m for m in sent] if isinstance(sent, list) else [sent]


def _media(part: Mapping[str, Any], model: str) -> Media:
    kind = str(part.get("type"))
    inner = part.get(kind)
    body: Mapping[str, Any] = inner if isinstance(inner, dict) else part
    if "image" in kind:
        source = body.get("url") or inner or part.get("image_url") or ""
        detail = str(body.get("detail") or "auto")
        size = _size(source if isinstance(source, str) else str(part))
        rule = next(rule for name, rule in _IMAGES if re.search(name, model))
        tokens = rule.tokens(*(size or _UNSEEN_IMAGE), detail)
        return Media(image=tokens, assumed=size is None)
    if "audio" in kind:
        seconds = _seconds(str(body.get("data") or body.get("url") or ""))
        if seconds is None:
            return Media(unknown=1)
        return Media(audio=math.ceil(seconds * next(rate for name, rate in _SECONDS if re.search(name, model))))
    return Media(unknown=1)


def _decoded(source: str, most: int | None = None) -> bytes:
    encoded = source.partition(";base64,")[2] or source
    encoded = encoded[:most]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return b""


def _size(source: str) -> tuple[int, int] | None:
    if "://" in source[:16]:
        return None
    import imagesize

    try:
        width, height = imagesize.get(io.BytesIO(_decoded(source, _HEAD)))
    except (ValueError, OSError, IndexError):
        return None
    return (int(width), int(height)) if width > 0 and height > 0 else None


def _seconds(source: str) -> float | None:
    if "://" in source[:16]:
        return None
    from tinytag import TinyTag, TinyTagException

    try:
        duration = TinyTag.get(file_obj=io.BytesIO(_decoded(source))).duration
    except (TinyTagException, ValueError, OSError, IndexError):
        return None
    return float(duration) if duration else None
