"""Personal data and keys that are made up, each of a kind, in the ways people write them."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

KINDS = ("key", "email", "phone", "card", "iban")
_LETTERS = string.ascii_letters + string.digits
_KEYS = (
    ("sk-proj-", 40), ("sk-ant-api03-", 60), ("AIza", 35), ("ghp_", 36), ("github_pat_", 60), ("glpat-", 20),
    ("hf_", 34), ("xoxb-", 40), ("npm_", 36), ("sk_live_", 24),
)  # fmt: skip
_IBANS = {"DE": 18, "GB": 18, "FR": 23, "NL": 14, "ES": 20, "IT": 23, "CH": 17, "NO": 11, "PL": 24, "MT": 27}
_DOMAINS = ("example.org", "mail.example.co.uk", "firm-42.example", "uni.example.edu", "post.example.net")
_PHONES = (
    "+49 30 #######", "+49 (0)89 ####-###", "+44 20 #### ####", "+33 1 ## ## ## ##", "+1 415-555-####", "+1415555####",
    "(212) 555-####", "212-555-####", "212.555.####", "1-800-555-####", "0171/#######", "030 ########",
    "01 ## ## ## ##",
    "020 7946 ####",
    "0049 171 #######", "+81 3-####-####", "+91 98### #####", "+55 11 9####-####", "(030) 555 ####",
)  # fmt: skip
_CARDS = (("4", 16), ("51", 16), ("37", 15), ("6011", 16), ("2221", 16))


def made_up(kind: str, rng: random.Random) -> str:
    """Make up one of a kind."""
    if kind == "key":
        prefix, length = rng.choice(_KEYS)
        return prefix + "".join(rng.choices(_LETTERS, k=length))
    if kind == "email":
        name = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9)))
        return f"{name}{rng.choice(['', '.b', '_c', '+tag', '-d', '7'])}@{rng.choice(_DOMAINS)}"
    if kind == "phone":
        return "".join(str(rng.randint(2, 9)) if c == "#" else c for c in rng.choice(_PHONES))
    return _card(rng) if kind == "card" else _iban(rng)


def _card(rng: random.Random) -> str:
    prefix, length = rng.choice(_CARDS)
    body = prefix + "".join(rng.choices(string.digits, k=length - len(prefix) - 1))
    total = sum(sum(divmod(int(c) * (2 - n % 2), 10)) for n, c in enumerate(reversed(body)))
    number = body + str(-total % 10)
    if (gap := rng.choice(["", " ", "-"])) and length == 16:
        return gap.join(number[n : n + 4] for n in range(0, 16, 4))
    return number


def _iban(rng: random.Random) -> str:
    country = rng.choice(sorted(_IBANS))
    account = "".join(rng.choices(string.digits, k=_IBANS[country]))
    if country in {"GB", "NL", "MT"}:
        account = "".join(rng.choices(string.ascii_uppercase, k=4)) + account[4:]
    check = 98 - int("".join(str(int(c, 36)) for c in f"{account}{country}00")) % 97
    written = f"{country}{check:02}{account}"
    if rng.random() < 0.5:
        return " ".join(written[n : n + 4] for n in range(0, len(written), 4))
    return written.lower() if rng.random() < 0.2 else written
