"""What a program answered on an example, as JSON short enough to keep for every one of them."""

from __future__ import annotations

import json

import orjson

from skillfleet_nb.format import shortened

LONGEST = 2_000
"""Characters of the texts in an output that are kept; longer ones are cut, an ellipsis at the end."""


def output_json(prediction: object) -> str | None:
    """Write a prediction's fields as compact JSON; None where the program failed.

    Values that JSON does not know become their JSON form (dates, models, arrays) or their text.

    Parameters
    ----------
    prediction
        What a program returned: a ``dspy.Prediction`` as a rule.

    Examples
    --------
    >>> import dspy
    >>> output_json(dspy.Prediction(intent="bug", sure=True))
    '{"intent":"bug","sure":true}'
    >>> output_json(None) is None
    True
    """
    if isinstance(prediction, tuple) and prediction:  # where DSPy captures traces, they come along
        prediction = prediction[0]
    if prediction is None:
        return None
    fields = dict(prediction.items()) if hasattr(prediction, "items") else {"output": prediction}
    if not fields:
        return None
    text = _dumps(fields)
    if len(text) <= LONGEST:
        return text
    room = max(1, LONGEST // len(fields))
    return _dumps({name: _cut(value, room) for name, value in fields.items()})


def _cut(value: object, room: int) -> object:
    text = value if isinstance(value, str) else _dumps(value)
    return value if len(text) <= room else shortened(text, room)


def _dumps(value: object) -> str:
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()
    except TypeError:  # a lone surrogate, or a whole number beyond 64 bits
        return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> object:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    for convert in ("toDict", "tolist"):  # DSPy's examples, arrays
        if hasattr(value, convert):
            return getattr(value, convert)()
    return str(value)
