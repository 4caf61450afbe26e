"""Personal data and keys by their shape: found in texts, and put out of them before they are written.

What a shape alone does not tell is checked: a card's number by Luhn's sum, an account's (IBAN) by its country's length
and its remainder modulo 97, a telephone number by how many digits it has, and by not being a date.
"""

from __future__ import annotations

import re
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Kind: TypeAlias = Literal["key", "email", "phone", "card", "iban"]
KINDS: tuple[Kind, ...] = get_args(Kind)

KEYS = re.compile(
    r"\b(?:sk|rk|pk)[-_][\w-]{16,}|\bAIza[\w-]{30,}|\bgh[oprsu]_\w{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w-]{16,}"
    r"|\bhf_\w{30,}|\bxox[abprs]-[\w-]{10,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bnpm_\w{30,}|\bSG\.[\w-]{16,}\.[\w-]{16,}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}|(?<=://)[^/@\s:]+:[^/@\s]+(?=@)|(?i:(?<=bearer ))[\w.~+/-]{16,}=*"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?:[^-]{0,10000}-----END [A-Z ]{0,20}PRIVATE KEY-----)?"
)
"""What has the shape of a key of a provider, of a token, or of a password in an address."""

_SIGNS = (
    "sk-",
    "rk-",
    "pk-",
    "AIza",
    "glpat-",
    "xox",
    "AKIA",
    "ASIA",
    "SG.",
    "eyJ",
    "://",
    "earer ",
    "EARER ",
    "PRIVATE KEY",
)
_SIGNS_WITH_BAR = ("sk_", "rk_", "pk_", "gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_", "hf_", "npm_")
"""One of these is in whatever `KEYS` matches: to look for them takes a hundredth of the time."""
_EMAIL = re.compile(
    r"(?<![\w.%+-])[^\W_](?:[\w.!#$%&'*+/=?^`{|}~-]{0,62}[\w+=-])?@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}(?![\w-])"
)
_IBAN = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}..)(?<![^\W_]....)(?:[ -]?[A-Za-z0-9]){11,32}")  # behind its country
_CARD = re.compile(r"(?<![\w.,-])[2-6](?:[ -]?\d){12,18}(?![\w-])")
_NUMBER = re.compile(r"[0-9][0-9().\s/\u2010\u2011-]{5,}[0-9]")  # around which cards and telephones are looked for
_LONGEST_NAME, _LONGEST_DOMAIN = 64, 255  # characters of an address
_BEFORE = 4  # characters that one may begin with
_GAP = r"[\s().\-/\u2010\u2011]{0,3}"
_PHONE = re.compile(
    # international
    rf"(?<![\w+])(?:\+|00)[ ]?[1-9](?:{_GAP}\d){{6,14}}(?![\w])"
    # of North America
    r"|(?<![\w.,/$€£-])(?:1[ .-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}(?![\w-])"
    # of a country whose numbers begin with 0, which may stand in brackets
    r"|(?<![\w.,:/$€£-])\(?0\d{1,5}\)?(?:[ ./-]{1,3}\d{2,8}){1,5}(?![\w])|(?<![\w.,:/$€£-])0[1-9]\d{8,9}(?![\w])"
)
_DATE = re.compile(r"\b\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})\b|\b\d{4}[./-]\d{1,2}[./-]\d{1,2}\b")
_FEWEST_DIGITS, _MOST_DIGITS = 8, 15  # of a telephone number: E.164, and the shortest that are no other number
_SHORTEST = 6  # characters of a text that may hold any of it

_LENGTHS = {
    code: int(length)
    for length, codes in (
        pair.split(":")
        for pair in (
            "15:NO 16:BE 18:DK FI FO GL NL SD 19:MK SI 20:AT BA EE KZ LT LU MN XK 21:CH HR LI LV 22:BG BH CR DE GB GE "
            "IE ME RS VA 23:AE GI IL IQ OM SO TL 24:AD CZ ES MD PK RO SA SE SK TN VG 25:LY PT ST 26:IS TR 27:BI DJ FR "
            "GR IT MC MR SM 28:AL AZ BY CY DO GT HN HU LB NI PL SV 29:BR EG PS QA UA 30:JO KW MU YE 31:MT SC 32:LC "
            "33:RU"
        ).replace(" ", ",").replace(",1", " 1").replace(",2", " 2").replace(",3", " 3").split(" ")
    )
    for code in codes.split(",")
}  # fmt: skip
"""Characters of an account's number (IBAN) by country, as its registry lists them."""


class Span(NamedTuple):
    """A piece of a text that is to be taken out, and as what."""

    start: int
    end: int
    kind: str


Hook: TypeAlias = "Callable[[str], Iterable[object]]"
"""Finds more in a text: spans, or objects with `start`, `end` and `entity_type`, as Presidio's analyzer gives."""


class Patterns:
    """What is to be taken out of texts.

    Parameters
    ----------
    kinds
        Of those that are built in.
    own
        Further ones: regular expressions by what stands in the place of what they match.
    hook
        Finds still more.

    Examples
    --------
    >>> Patterns(KINDS).sub("ann@example.org paid with 4111 1111 1111 1111, not 4111 1111 1111 1112")
    ('[email] paid with [card], not 4111 1111 1111 1112', {'email': 1, 'card': 1})
    """

    def __init__(
        self, kinds: Iterable[Kind] = (), own: Mapping[str, str] | None = None, hook: Hook | None = None
    ) -> None:
        self.kinds = tuple(kind for kind in KINDS if kind in set(kinds))
        self.own = {name: re.compile(pattern) for name, pattern in (own or {}).items()}
        self.hook = hook

    def __bool__(self) -> bool:
        return bool(self.kinds or self.own or self.hook)

    def sub(self, text: str) -> tuple[str, dict[str, int]]:
        """Return a text without them, and how many were taken out by kind.

        Where the hook fails nothing of the text is kept: it was not looked through.
        """
        counts: dict[str, int] = {}
        if len(text) < _SHORTEST and not self.own and not self.hook:
            return text, counts
        numbers: bool | None = None
        for find, is_of_numbers in self._finders:
            if is_of_numbers:
                numbers = _NUMBER.search(text) is not None if numbers is None else numbers
                if not numbers:
                    continue
            try:
                spans = [*find(text)]
            except Exception:  # noqa: BLE001  a hook may raise anything
                return "[not looked through]", {"failed": 1}
            for start, end, kind in reversed(_apart(spans) if spans else ()):
                text = f"{text[:start]}[{kind}]{text[end:]}"
                counts[kind] = counts.get(kind, 0) + 1
        return text, counts

    @cached_property
    def _finders(self) -> list[tuple[Callable[[str], Iterable[Span]], bool]]:
        """What finds spans, and whether it finds none where there is no long number, as in most texts."""
        built_in: dict[Kind, tuple[Callable[[str], Iterable[Span]], bool]] = {
            "key": (lambda text: _matches(KEYS, text, "key") if may_hold_key(text) else (), False),
            "email": (_emails, False),
            "iban": (_ibans, True),
            "card": (_cards, True),
            "phone": (_phones, True),
        }
        # What has a check goes first: a card's number may have the shape of a telephone's.
        finders = [built_in[kind] for kind in ("key", "email", "iban", "card", "phone") if kind in self.kinds]
        finders += [(partial(_matches, own, kind=name), False) for name, own in self.own.items()]
        if self.hook is not None:
            hook = self.hook
            finders.append((lambda text: map(_as_span, hook(text)), False))
        return finders


def may_hold_key(text: str) -> bool:
    """Tell at a glance whether something may have the shape of a key."""
    return any(sign in text for sign in _SIGNS) or ("_" in text and any(sign in text for sign in _SIGNS_WITH_BAR))


def _matches(pattern: re.Pattern[str], text: str, kind: str) -> Iterator[Span]:
    return (Span(m.start(), m.end(), kind) for m in pattern.finditer(text) if m.end() > m.start())


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:  # around each, for most texts have none
        window = _EMAIL.search(text, max(0, at - _LONGEST_NAME), at + _LONGEST_DOMAIN)
        if window is not None and window.start() < at < window.end():
            yield Span(window.start(), window.end(), "email")
        at = text.find("@", at + 1)


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        start = match.start() - 2
        account = text[start : match.end()]
        length = _LENGTHS.get(account[:2].upper(), 0)
        places = [n for n, character in enumerate(account) if character.isalnum()]
        if not length or len(places) < length:
            continue
        end = places[length - 1] + 1
        behind = text[start + end : start + end + 1]
        if not behind.isalnum() and _remainder(account[:end]) == 1:
            yield Span(start, start + end, "iban")


def _remainder(iban: str) -> int:
    bare = "".join(filter(str.isalnum, iban)).upper()
    return int("".join(str(int(character, 36)) for character in bare[4:] + bare[:4])) % 97


def _cards(text: str) -> list[Span]:
    return [span for span in _numbers(_CARD, text, "card") if _fits_luhn(text[span.start : span.end])]


def _numbers(pattern: re.Pattern[str], text: str, kind: str) -> list[Span]:
    """Find a pattern where there is a long number, for most texts have none."""
    return [
        Span(m.start(), m.end(), kind)
        for number in _NUMBER.finditer(text)
        for m in pattern.finditer(text, max(0, number.start() - _BEFORE), number.end() + 1)
    ]


def _fits_luhn(number: str) -> bool:
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _phones(text: str) -> list[Span]:
    return [span for span in _numbers(_PHONE, text, "phone") if _may_be_called(text[span.start : span.end])]


def _may_be_called(number: str) -> bool:
    return _FEWEST_DIGITS <= sum(map(str.isdigit, number)) <= _MOST_DIGITS and not _DATE.search(number)


def _as_span(one: object) -> Span:
    """Read what a hook found."""
    if isinstance(one, tuple):
        return Span(int(one[0]), int(one[1]), str(one[2]))
    return Span(int(getattr(one, "start")), int(getattr(one, "end")), str(getattr(one, "entity_type")).lower())  # noqa: B009


def _apart(spans: Iterable[Span]) -> list[Span]:
    """Put spans in order, the longer one of two that overlap."""
    chosen: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if not chosen or span.start >= chosen[-1].end:
            chosen.append(span)
    return chosen
