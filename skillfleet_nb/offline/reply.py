"""Writing values the way the prompt's adapter reads them back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from skillfleet_nb.offline.prompt import Style

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_reply(values: dict[str, Any], style: Style) -> str:
    r"""Write `values` for an adapter.

    Examples
    --------
    >>> write_reply({"n": 2}, "chat")
    '[[ ## n ## ]]\n2\n\n[[ ## completed ## ]]'
    """
    if style == "plain" and len(values) == 1:
        return str(next(iter(values.values())))
    if style in {"json", "plain"}:
        return json.dumps(values, ensure_ascii=False, indent=2)
    if style == "xml":
        return "\n\n".join(_xml(name, value) for name, value in values.items())
    parts = [f"[[ ## {name} ## ]]\n{_chat(value)}" for name, value in values.items()]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def _chat(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("[[ ## ", "[ [ ## ")  # a marker at the start of a line would end the field
    return str(value) if value is None or isinstance(value, bool) else json.dumps(value, ensure_ascii=False)


def _xml(name: str, value: Any, attribute: str = "") -> str:
    if isinstance(value, list):
        inner = "".join(_xml("item", item) for item in value)
    elif isinstance(value, dict):
        inner = "".join(
            _xml(key, child) if key.isidentifier() and key.isascii() else _xml("entry", child, f" key={quoteattr(key)}")
            for key, child in value.items()
        )
    else:
        inner = "" if value is None else escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value)))
    return f"<{name}{attribute}>{inner}</{name}>"
