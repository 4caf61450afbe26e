"""Prices of language models, known offline.

A price is looked up where it is most certainly true: what the user states in the settings, what the
model's own engine declares, then the table LiteLLM ships in its package.  A model found in none of
them has no price, which is never the same as a price of zero.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from skillfleet_nb.typing import Model

_TABLE = "model_prices_and_context_window_backup.json"
_PER_MILLION = 1_000_000


class Price(NamedTuple):
    """USD per token, for input and for output."""

    input_usd: float
    output_usd: float

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Cost of one call in USD.

        Examples
        --------
        >>> Price(1e-6, 2e-6).cost(1000, 500)
        0.002
        """
        return input_tokens * self.input_usd + output_tokens * self.output_usd


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
    Price(input_usd=1e-06, output_usd=4e-06)
    """
    model = str(getattr(lm, "model", ""))
    if stated and model in stated:
        per_input, per_output = stated[model]
        return Price(per_input / _PER_MILLION, per_output / _PER_MILLION)
    declared = getattr(getattr(lm, "engine", None), "price_per_token", None)
    if callable(declared):
        return Price(*declared())
    table = _litellm_table()
    for name in (model, model.partition("/")[2]):
        entry = table.get(name) or {}
        if "input_cost_per_token" in entry and "output_cost_per_token" in entry:
            return Price(float(entry["input_cost_per_token"]), float(entry["output_cost_per_token"]))
    return None


def unpriced(lms: Iterable[Model], stated: Mapping[str, tuple[float, float]] | None = None) -> list[Model]:
    """List the models that have no known price; parameters are those of :func:`price_of`."""
    return [lm for lm in lms if price_of(lm, stated) is None]


def how_to_state_a_price(model: str) -> str:
    """Tell the line to put into the settings so that `model` has a price."""
    return f'add to config.toml in the home: [prices] "{model}" = [input, output]  (USD per million tokens)'


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
