"""What an optimizer changed: instructions, field descriptions and demos; see ``diff_page`` for its HTML."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.data.identity import canonical_json
from skillfleet_nb.programs.state import field_names, predictor_states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from markupsafe import Markup

Op = Literal["=", "+", "-"]
Piece = tuple[Op, str]
Demo = tuple[tuple[str, str], ...]  # field name and value as text, in order

_WORDS = 400  # beyond it word marks are slow to make and hard to read: lines are compared instead
_UNLIKE = 0.35  # share of common words below which two texts are shown one after the other
LONG = 700
"""Characters of a text that are shown before it is folded away."""

_HIDDEN_FIELDS = frozenset({"augmented"})  # DSPy's own mark on bootstrapped demos


@dataclass(frozen=True, slots=True)
class TextChange:
    """One text before and after; None where it did not exist."""

    what: str
    before: str | None
    after: str | None

    @property
    def changed(self) -> bool:
        """Whether the texts differ."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class PredictorDiff:
    """Changes of one predictor.

    `instructions` is always there, changed or not; `fields` holds only descriptions and prefixes that
    changed.  `added`, `removed` and `kept` are demos, as pairs of field name and text; a demo given
    twice counts twice.
    """

    name: str
    instructions: TextChange
    fields: tuple[TextChange, ...]
    added: tuple[Demo, ...]
    removed: tuple[Demo, ...]
    kept: tuple[Demo, ...]

    @property
    def identical(self) -> bool:
        """Whether nothing changed but perhaps the order of demos."""
        return not (self.instructions.changed or self.fields or self.added or self.removed)


@dataclass(frozen=True, slots=True)
class ProgramDiff:
    """Changes between two states of a program, predictor by predictor; see :func:`diff_programs`."""

    predictors: tuple[PredictorDiff, ...]

    @property
    def identical(self) -> bool:
        """Whether both states say the same."""
        return all(p.identical for p in self.predictors)

    def text(self) -> str:
        """Show the changes as plain text: ``-`` what was, ``+`` what is, ``[-…-]{+…+}`` within a line."""
        if self.identical:
            return "identical: same instructions, same demos"
        return "\n\n".join(_predictor_text(p) for p in self.predictors)

    def __str__(self) -> str:
        return self.text()

    def html(self) -> Markup:
        """Return HTML with the changes, one after the other."""
        from skillfleet_nb.programs.diff_page import page

        return page(self)

    def _repr_html_(self) -> str:
        return self.html()

    def side_by_side(self, left: str, right: str) -> Markup:
        """Return HTML with what was and what is in two columns under these titles, differences marked."""
        from skillfleet_nb.programs.diff_page import columns

        return columns(self, left, right)


def diff_programs(base_state: Mapping[str, Any], best_state: Mapping[str, Any]) -> ProgramDiff:
    """Compare two program states.

    Parameters
    ----------
    base_state, best_state
        From :func:`skillfleet_nb.programs.state.dump_state`: before and after.

    Returns
    -------
    ProgramDiff
        Renders as text with ``str()`` and as HTML in a notebook.

    Examples
    --------
    >>> signature = {"instructions": "Answer the question.", "fields": []}
    >>> base = {"signature": signature, "demos": []}
    >>> brief = {**signature, "instructions": "Answer the question briefly."}
    >>> best = {"signature": brief, "demos": [{"q": "1+1", "a": 2}]}
    >>> print(diff_programs(base, best))
    instructions
      Answer the [-question.-]{+question briefly.+}
    demos: 1 added, 0 removed, 0 kept
      + q: 1+1
        a: 2
    """
    before, after = predictor_states(base_state), predictor_states(best_state)
    names = {**field_names(base_state), **field_names(best_state)}
    ordered = [*before, *(name for name in after if name not in before)]
    return ProgramDiff(
        tuple(_diff_predictor(name, before.get(name), after.get(name), names.get(name)) for name in ordered)
    )


def demos_of(state: Mapping[str, Any]) -> dict[str, list[Demo]]:
    """Return the demos of each predictor of a program's state, as the prompt shows them."""
    names = field_names(state)
    found = {}
    for name, predictor in predictor_states(state).items():
        labels = [label for fields in names.get(name, {}).values() for label in fields]
        found[name] = [_demo(demo, labels) for demo in predictor.get("demos", ())]
    return found


def _diff_predictor(
    name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, names: Mapping[str, list[str]] | None
) -> PredictorDiff:
    labels = [*(names or {}).get("inputs", ()), *(names or {}).get("outputs", ())]
    old, new = ([_demo(d, labels) for d in (state or {}).get("demos", ())] for state in (before, after))
    rest = list(new)
    kept, removed = [], []
    for demo in old:
        if demo in rest:
            rest.remove(demo)
            kept.append(demo)
        else:
            removed.append(demo)
    fields = [
        TextChange(f"{key} of {labels[i] if i < len(labels) else f'field {i + 1}'}", one, other)
        for key in ("description", "prefix")
        for i, (one, other) in enumerate(_paired(_fields(before, key), _fields(after, key)))
        if before is not None and after is not None and one != other
    ]
    instructions = TextChange("instructions", _instructions(before), _instructions(after))
    return PredictorDiff(name, instructions, tuple(fields), tuple(rest), tuple(removed), tuple(kept))


def _instructions(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else str(state.get("signature", {}).get("instructions", ""))


def _fields(state: Mapping[str, Any] | None, key: str) -> list[str]:
    return [str(field.get(key, "")) for field in (state or {}).get("signature", {}).get("fields", ())]


def _paired(one: Sequence[str], other: Sequence[str]) -> list[tuple[str | None, str | None]]:
    longest = max(len(one), len(other))
    return [(one[i] if i < len(one) else None, other[i] if i < len(other) else None) for i in range(longest)]


def _demo(demo: Mapping[str, Any], labels: Sequence[str]) -> Demo:
    """Read a demo's fields, in the order in which the prompt shows them."""
    place = {label: at for at, label in enumerate(labels)}
    return tuple(
        (str(k), v if isinstance(v, str) else canonical_json(v))
        for k, v in sorted(demo.items(), key=lambda pair: place.get(pair[0], len(place)))
        if k not in _HIDDEN_FIELDS and not k.startswith("dspy_")
    )


def pieces(before: str, after: str) -> list[Piece]:
    """Tell what stayed, went and came: word by word in short texts that resemble, else line by line."""
    for cut, most in ((r"\S+\s*", _WORDS), (r"[^\n]*\n|[^\n]+", None)):
        one, other = re.findall(cut, before), re.findall(cut, after)
        if most is not None and max(len(one), len(other)) > most:
            continue
        matcher = difflib.SequenceMatcher(None, [w.strip() for w in one], [w.strip() for w in other], autojunk=False)
        if most is not None and matcher.ratio() < _UNLIKE:
            return [("-", before), ("+", after)]
        found: list[Piece] = []
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal":
                kept = other[j1:j2] if j2 < len(other) else one[i1:i2]  # the side that has a space at the end
                found.append(("=", "".join(kept)))
                continue
            found += [("-", "".join(one[i1:i2]))] if i2 > i1 else []
            found += [("+", "".join(other[j1:j2]))] if j2 > j1 else []
        if any(op != "=" for op, _ in found):
            return found
    return [("-", before), ("+", after)]  # they differ in spaces alone


def _indent(text: str, first: str = "  ", rest: str = "  ") -> str:
    lines = text.splitlines() or [""]
    return "\n".join((first if i == 0 else rest) + line for i, line in enumerate(lines))


def _change_text(change: TextChange) -> str:
    if not change.changed:
        return f"{change.what}: unchanged"
    if change.before is None or change.after is None:
        mark, text = ("+ ", change.after) if change.before is None else ("- ", change.before)
        return f"{change.what}\n{_indent(text or '', mark, mark)}"
    if max(len(change.before), len(change.after)) > LONG:
        lines = difflib.unified_diff(change.before.splitlines(), change.after.splitlines(), lineterm="", n=1)
        return "\n".join([change.what, *(_indent(line) for line in list(lines)[2:])])
    found = pieces(change.before, change.after)
    if not any(op == "=" for op, _ in found):
        return "\n".join([change.what, _indent(change.before, "- ", "- "), _indent(change.after, "+ ", "+ ")])
    marks = {"=": "{}", "-": "[-{}-]", "+": "{{+{}+}}"}
    return f"{change.what}\n" + _indent("".join(outside_space(text, marks[op].format) for op, text in found))


def outside_space(text: str, mark: Callable[[str], str]) -> str:
    """Mark the words and leave the space that follows them outside."""
    words = text.rstrip()
    return mark(words) + text[len(words) :] if words else text


def _predictor_text(diff: PredictorDiff) -> str:
    lines = [f"[{diff.name}]"] if diff.name != "self" else []
    lines += [_change_text(change) for change in (diff.instructions, *diff.fields)]
    lines.append(f"demos: {len(diff.added)} added, {len(diff.removed)} removed, {len(diff.kept)} kept")
    for mark, demos in (("+", diff.added), ("-", diff.removed)):
        for demo in demos:
            body = "\n".join(f"{name}: {value}" for name, value in demo)
            lines.append(_indent(body, f"  {mark} ", "    "))
    return "\n".join(lines)
