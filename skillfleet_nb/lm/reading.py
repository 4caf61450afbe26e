"""Whether answers can be read: what DSPy's adapters make of each, counted by role and told.

An answer that its adapter cannot read was bought for nothing, and DSPy says so only in its log.  So the adapter
of a session is a copy that notes each; and of models that propose it takes the forms that people's models give
beside the one asked for: what they write is text in any case.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections import Counter
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any

from skillfleet_nb.events import READ, Unread
from skillfleet_nb.lm.calls import answered, text_of
from skillfleet_nb.lm.faults import why_unread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import dspy

    from skillfleet_nb.events import Role
    from skillfleet_nb.lm.calls import Call

_FEW = 5  # answers after which it is told what becomes of most of them
_MANY = 0.5
_PROPOSERS: tuple[Role, ...] = ("prompt", "reflection")
_FENCE = re.compile(r"^```[^\n`]*\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)
_MARKER = re.compile(r"^\s*\[\[ ## (\w+) ## \]\]", re.MULTILINE)


class _Asking(Enum):
    """Which asking an answer is to."""

    ONLY = "only"
    FIRST = "first"  # of two, where it cannot be read: DSPy asks again, for JSON
    AGAIN = "again"

    @classmethod
    def of(cls, adapter: dspy.Adapter) -> _Asking:
        import dspy

        again = isinstance(adapter, dspy.ChatAdapter) and not isinstance(adapter, dspy.JSONAdapter)
        return cls.FIRST if again and adapter.use_json_adapter_fallback else cls.ONLY


class Readings:
    """Counts the answers that could not be read; its methods may be called on any thread.

    Parameters
    ----------
    tell
        Takes each :class:`~skillfleet_nb.events.Unread`.
    warn
        Takes what a person should know while the run goes on.
    quote
        Whether reasons may quote an answer.
    """

    def __init__(self, tell: Callable[[Unread], None], warn: Callable[[str], None], *, quote: bool = True) -> None:
        self._tell, self._warn, self._quote = tell, warn, quote
        self._lock = threading.Lock()
        self.answers: Counter[Role] = Counter()
        self.unread: Counter[Role] = Counter()
        self.asked_twice: Counter[Role] = Counter()
        self._lost: Counter[Role] = Counter()
        self._last: dict[Role, str] = {}

    def reading(self, adapter: dspy.Adapter) -> dspy.Adapter:
        """Copy an adapter so that what it cannot read is noted; of proposals the copy takes other forms too."""
        return self._reading(adapter, _Asking.of(adapter))

    def told(self) -> list[str]:
        """List what the person should know at the end."""
        with self._lock:
            sentences = [self._in_words(role) for role in self.unread if not self._was_asked_again(role)]
            return sentences + [self._twice(role) for role in self.asked_twice]

    def on_the_result(self) -> str:
        """Say that a search had nothing to choose from, where no proposal could be read; empty where some could."""
        with self._lock:
            lost = [role for role in _PROPOSERS if self.unread[role] and self.unread[role] == self.answers[role]]
            return f"{self._in_words(lost[0], why=False)}, so that there was nothing to choose from" if lost else ""

    def _reading(self, adapter: dspy.Adapter, asking: _Asking) -> dspy.Adapter:
        read = adapter._call_postprocess  # noqa: SLF001  where DSPy reads answers, and knows of whom
        copied = copy.copy(adapter)

        def each(processed: Any, original: Any, outputs: Sequence[Any], lm: Any, kwargs: dict[str, Any]) -> list[Any]:
            call = answered.get()
            values: list[Any] = []
            error: Exception | None = None
            for n, output in enumerate(outputs):
                try:
                    values += self._read(adapter, read, processed, original, output, lm, kwargs, call)
                except Exception as exc:
                    if _is_of_a_call(exc):
                        raise
                    error = exc
                    self._note(call, n, exc, asking)
                else:
                    self._note(call, n, None, asking)
            # A search can do with fewer proposals than it asked for; a prediction cannot.
            if error is not None and not (values and _proposes(call)):
                raise error
            return values

        copied._call_postprocess = each  # noqa: SLF001  of the copy alone
        if (fallback := getattr(adapter, "_make_json_adapter_fallback", None)) is not None:
            copied._make_json_adapter_fallback = lambda: self._reading(fallback(), _Asking.AGAIN)  # noqa: SLF001  as above
        return copied

    @staticmethod
    def _read(
        adapter: dspy.Adapter,
        read: Callable[..., list[Any]],
        processed: Any,
        original: Any,
        output: Any,
        lm: Any,
        kwargs: dict[str, Any],
        call: Call | None,
    ) -> list[Any]:
        try:
            return read(processed, original, [output], lm, kwargs)
        except Exception as exc:
            if _is_of_a_call(exc) or not _proposes(call):
                raise
            fields = proposed(processed, text_of(output.get("text") if isinstance(output, dict) else output))
            if fields is None:
                raise
            return read(processed, original, [adapter.format_assistant_message_content(processed, fields)], lm, kwargs)

    def _note(self, call: Call | None, n: int, exc: Exception | None, asking: _Asking) -> None:
        if call is None:
            return
        role, warning = call.role, None
        with self._lock:
            self.answers[role] += 1
            if exc is not None:
                self.unread[role] += 1
                self._last[role] = why_unread(exc, quote=self._quote)
            if exc is not None and asking is not _Asking.FIRST:
                self._lost[role] += 1
                if self._lost[role] == _FEW and self.unread[role] >= _MANY * self.answers[role]:
                    warning = self._in_words(role)
            elif exc is None and asking is _Asking.AGAIN:
                self.asked_twice[role] += 1
                if self.asked_twice[role] == _FEW and self._was_asked_again(role):
                    warning = self._twice(role)
        if exc is not None:
            call_id = call.call_id if call.reserved_calls == 1 else f"{call.call_id}-{n}"
            self._tell(Unread(call_id=call_id, role=role, reason=self._last[role]))
        if warning is not None:
            self._warn(warning)

    def _was_asked_again(self, role: Role) -> bool:
        """Tell whether most of what could not be read could be at the second asking."""
        return self.asked_twice[role] > _MANY * self.unread[role]

    def _in_words(self, role: Role, *, why: bool = True) -> str:
        sentence = f"{self.unread[role]:,} of {self.answers[role]:,} {READ[role]} could not be read"
        return f"{sentence}, the last: {self._last[role]}" if why else sentence

    def _twice(self, role: Role) -> str:
        requests = self.answers[role] - self.asked_twice[role]
        return (
            f"{self.asked_twice[role]:,} of {requests:,} requests were asked twice: the model answers as JSON, not in "
            "the form asked for; dspy.configure(adapter=dspy.JSONAdapter()) before the run asks once, for half the cost"
        )


def proposed(signature: type[dspy.Signature], text: str) -> dict[str, Any] | None:
    r"""Read a proposal that is not in the form asked for; None where it is none.

    Fields may be marked or in JSON, whichever was asked for.  Where one text is wanted, it may also be under another
    name, in a fence, or the whole answer; reasoning before it may be missing.

    Examples
    --------
    >>> import dspy
    >>> wanted = dspy.Signature("examples -> new_instruction")
    >>> proposed(wanted, "Sure:\n```\nName the intent.\n```")
    {'new_instruction': 'Name the intent.'}
    """
    import dspy

    for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter()):
        with suppress(Exception):  # whatever it raises, the form is another
            return dict(adapter.parse(signature, text))
    texts = [name for name, field in signature.output_fields.items() if field.annotation is str]
    wanted = [name for name in signature.output_fields if name != "reasoning"]
    if len(wanted) != 1 or wanted[0] not in texts or not (said := _one_text(text)):
        return None
    return {name: said if name == wanted[0] else "" for name in signature.output_fields}


def _one_text(text: str) -> str:
    """Take the one text out of an answer; empty where it holds none, or more."""
    marked = _MARKER.split(text)
    sections = {name: body.strip() for name, body in zip(marked[1::2], marked[2::2], strict=True) if body.strip()}
    sections.pop("completed", None)
    if len(sections) > 1:
        return ""
    plain = next(iter(sections.values()), text).strip()
    fenced = [body.strip() for body in _FENCE.findall(plain)]
    plain = fenced[0] if len(fenced) == 1 else plain
    if plain.startswith(("{", "[")):
        with suppress(ValueError):
            held = json.loads(plain)
            values = list(held.values()) if isinstance(held, dict) else held
            return values[0].strip() if len(values) == 1 and isinstance(values[0], str) else ""
    return plain


def _proposes(call: Call | None) -> bool:
    return call is not None and call.role in _PROPOSERS


def _is_of_a_call(exc: Exception) -> bool:
    """Tell whether a call failed in place of a reading, as it may where an adapter asks a model of its own."""
    from dspy.utils.exceptions import LMError

    return isinstance(exc, LMError)
