"""Prices of language models, known offline.

A price is looked up where it is most certainly true: what the user states in the settings, what the
model's own engine declares or the model was made with, then the table LiteLLM ships in its package.  A
model found in none of them has no price, which is never the same as a price of zero.
"""

from __future__ import annotations

import math
import os
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from skillfleet_nb.lm.media import Media
    from skillfleet_nb.typing import Model

_TABLE = "model_prices_and_context_window_backup.json"
_PER_MILLION = 1_000_000
_RATES = (
    "input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost", "cache_creation_input_token_cost",
    "input_cost_per_image_token", "input_cost_per_audio_token",
)  # fmt: skip
_STEP = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")


class Tokens(NamedTuple):
    """What a provider says a call used; of `input`, so many were read from its prompt cache or written to it."""

    input: int = 0
    output: int = 0
    cached_input: int = 0
    cache_write: int = 0
    reasoning: int = 0

    @classmethod
    def of(cls, usage: Mapping[str, object] | None) -> Tokens:
        """Read usage as DSPy records it, of any of the providers' interfaces.

        Examples
        --------
        >>> Tokens.of({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}})
        Tokens(input=9, output=2, cached_input=8, cache_write=0, reasoning=0)
        """
        usage = usage or {}
        asked = _part(usage, "prompt_tokens_details", "input_tokens_details")
        output_details = _part(usage, "completion_tokens_details", "output_tokens_details")
        return cls(
            _number(usage, "prompt_tokens", "input_tokens"),
            _number(usage, "completion_tokens", "output_tokens"),
            _number(asked, "cached_tokens") or _number(usage, "cache_read_input_tokens"),
            _number(asked, "cache_creation_tokens") or _number(usage, "cache_creation_input_tokens"),
            _number(output_details, "reasoning_tokens"),
        )

    def plus(self, other: Tokens) -> Tokens:
        """Add up what two answers used."""
        return Tokens(*(a + b for a, b in zip(self, other, strict=True)))


class Price(NamedTuple):
    """USD per token, for input and for output; of a prompt with more than so many tokens, as `above` says.

    `cached_usd` and `write_usd` are of input that the provider reads from its prompt cache or writes to it, `image_usd`
    and `audio_usd` of images and sound in it; as other input where None.  `is_listed` says that it is a table's, and a
    bill that knows more goes before it.
    """

    input_usd: float
    output_usd: float
    cached_usd: float | None = None
    write_usd: float | None = None
    above: tuple[tuple[int, Price], ...] = ()
    is_listed: bool = False
    image_usd: float | None = None
    audio_usd: float | None = None

    @property
    def is_free(self) -> bool:
        """Whether nothing costs anything."""
        return self.input_usd == self.output_usd == 0

    def cost(
        self,
        input_tokens: float,
        output_tokens: float,
        cached_input: float = 0,
        cache_write: float = 0,
        media: Media | None = None,
    ) -> float:
        """Cost of one call in USD; of its input, `media` says how much is no text.

        Examples
        --------
        >>> Price(1e-6, 2e-6).cost(1000, 500)
        0.002
        >>> round(Price(1e-6, 2e-6, cached_usd=1e-7).cost(1000, 0, cached_input=1000), 6)
        0.0001
        """
        price = next((price for tokens, price in reversed(self.above) if input_tokens > tokens), self)
        cost = (input_tokens - cached_input - cache_write) * price.input_usd + output_tokens * price.output_usd
        cost += cached_input * (price.input_usd if price.cached_usd is None else price.cached_usd)
        cost += cache_write * (price.input_usd if price.write_usd is None else price.write_usd)
        for tokens, usd in ((media.image, price.image_usd), (media.audio, price.audio_usd)) if media else ():
            cost += tokens * (0 if usd is None else usd - price.input_usd)
        return cost


def _part(usage: Mapping[str, object], *names: str) -> Mapping[str, object]:
    return next((part for name in names if isinstance(part := usage.get(name), dict)), {})


def _number(usage: Mapping[str, object], *names: str) -> int:
    return next((n for name in names if isinstance(n := usage.get(name), int) and n > 0), 0)


def price_of(lm: object, stated: Mapping[str, tuple[float, float]] | None = None) -> Price | None:
    """Find what a token of a model costs.

    Parameters
    ----------
    lm
        A ``dspy.LM``, or anything with a ``model`` attribute.
    stated
        The user's own prices: model name to USD per million tokens, input and output.

    Returns
    -------
    Price or None
        None where no price is known.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> price_of(SimpleNamespace(model="acme/one"), {"acme/one": (1.0, 4.0)})
    Price(input_usd=1e-06, output_usd=4e-06, ...)
    """
    model = str(getattr(lm, "model", ""))
    if stated and model in stated:
        per_input, per_output = stated[model]
        return Price(per_input / _PER_MILLION, per_output / _PER_MILLION)
    declared = getattr(getattr(lm, "engine", None), "price_per_token", None)
    if callable(declared):
        return Price(*declared())
    if (rates := stated_rates(lm)) is not None:
        return Price(*rates)
    table = _litellm_table()
    for name in (model, model.partition("/")[2]):
        entry = table.get(name) or {}
        if "input_cost_per_token" in entry and "output_cost_per_token" in entry:
            return _listed(entry)
    return None


def mixed(parts: Iterable[tuple[Price, float, float]]) -> Price:
    """Return what a token costs on average where several prices are paid.

    Parameters
    ----------
    parts
        Each price with its share of the input and of the output.

    Examples
    --------
    >>> mixed([(Price(1.0, 4.0), 0.5, 0.25), (Price(0.0, 0.0), 0.5, 0.75)]).cost(10, 4)
    9.0
    """
    shares = list(parts)
    if len({price for price, _, _ in shares}) == 1:
        return shares[0][0]

    def beyond(tokens: int) -> Price:
        paid = [
            (next((tier for n, tier in reversed(price.above) if n <= tokens), price), reads, writes)
            for price, reads, writes in shares
        ]

        def rate(name: str) -> float:
            usd = ((getattr(price, name), price.input_usd, reads) for price, reads, _ in paid)
            return math.fsum(reads * (plain if own is None else own) for own, plain, reads in usd)

        output_usd = math.fsum(writes * price.output_usd for price, _, writes in paid)
        return Price(
            rate("input_usd"), output_usd, rate("cached_usd"), rate("write_usd"),
            image_usd=rate("image_usd"), audio_usd=rate("audio_usd"),
        )  # fmt: skip

    steps = sorted({n for price, _, _ in shares for n, _ in price.above})
    return beyond(0)._replace(above=tuple((n, beyond(n)) for n in steps))


def stated_rates(lm: object) -> tuple[float, float, float | None, float | None] | None:
    """Return the rates that a model was made with, as LiteLLM takes them; None where it states none.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> stated_rates(SimpleNamespace(kwargs={"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}))
    (1e-06, 2e-06, None, None)
    """
    made_with = getattr(lm, "kwargs", None) or {}
    asked, output, read, written = (made_with.get(rate) for rate in _RATES[:4])
    return None if asked is None or output is None else (asked, output, read, written)


def refuse_rates(lm: Model) -> None:
    """Refuse a model that was made with a price that is none.

    Raises
    ------
    InputError
        Naming the rate, and what it may be.
    """
    for rate in _RATES[:4]:
        usd = lm.kwargs.get(rate)
        is_number = isinstance(usd, int | float) and not isinstance(usd, bool)
        if usd is not None and not (is_number and 0 <= usd < math.inf):
            raise InputError(f"lm {lm.model!r} has {rate} = {usd!r}: give USD per token, a number from 0")


def unpriced(lms: Iterable[Model], stated: Mapping[str, tuple[float, float]] | None = None) -> list[Model]:
    """List the models that have no known price; parameters are those of :func:`price_of`."""
    return [lm for lm in lms if price_of(lm, stated) is None]


def _listed(entry: Mapping[str, Any]) -> Price:
    """Read a model's prices off its entry in LiteLLM's table."""

    def price(suffix: str = "", above: tuple[tuple[int, Price], ...] = ()) -> Price:
        asked, output, read, written, image, audio = (entry.get(name + suffix, entry.get(name)) for name in _RATES)
        return Price(asked, output, read, written, above, is_listed=True, image_usd=image, audio_usd=audio)

    steps = sorted({int(m[1]) for name in entry if (m := _STEP.fullmatch(name))})
    return price(above=tuple((1000 * n, price(f"_above_{n}k_tokens")) for n in steps))


def how_to_state_a_price(model: str) -> str:
    """Tell the line to put into the settings so that `model` has a price."""
    return f'add to config.toml in the home: [prices] "{model}" = [input, output]  (USD per million tokens)'


def without_usage(model: str) -> str:
    """Say of a model that it leaves its calls without a known cost."""
    return f"the answers of {model} do not say what they used"


def stay_offline() -> None:
    """Keep LiteLLM and DSPy from fetching a price table from the network; a choice already made stands."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


@lru_cache(maxsize=1)
def _litellm_table() -> dict[str, dict[str, Any]]:
    # Read as data: importing litellm takes seconds and may reach for the network.
    import orjson

    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / _TABLE
        if file.is_file():
            table: dict[str, dict[str, Any]] = orjson.loads(file.read_bytes())
            return table
    return {}
