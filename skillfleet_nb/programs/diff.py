"""What an optimizer changed: instructions, field descriptions, demos and decisions; ``diff_page`` makes its HTML."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.blobs import referred
from skillfleet_nb.data.identity import canonical_json
from skillfleet_nb.html import Readable
from skillfleet_nb.programs import diff_page
from skillfleet_nb.programs.changes import LONG, Demo, PredictorDiff, TextChange, outside_space, pieces
from skillfleet_nb.programs.state import field_names, predictor_states

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

_DECIDING = ("threshold", "cuts", "weights")
_HIDDEN_FIELDS = frozenset({"augmented"})  # DSPy's own mark on bootstrapped demos


@dataclass(frozen=True, repr=False)
class ProgramDiff(Readable):
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

    __repr__ = Readable.__str__

    def html(self) -> Markup:
        """Return HTML with the changes, one after the other."""
        return diff_page.page(self.predictors)

    def side_by_side(self, left: str, right: str) -> Markup:
        """Return HTML with what was and what is in two columns under these titles, differences marked."""
        return diff_page.columns(self.predictors, left, right)


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
    demos = {}
    for name, predictor in predictor_states(state).items():
        labels = [label for fields in names.get(name, {}).values() for label in fields]
        demos[name] = [_demo(demo, labels) for demo in predictor.get("demos", ())]
    return demos


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
    changed = (*fields, *_decisions(before, after))
    return PredictorDiff(name, instructions, changed, tuple(rest), tuple(removed), tuple(kept))


def _decisions(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[TextChange]:
    """List what reads a model's probabilities as decisions, where it changed; None is as DSPy has it."""
    old, new = ((state or {}).get("fields", {}) for state in (before, after))
    changes = [
        TextChange(f"{key} of {output}", *(_number_text(config.get(output, {}).get(key)) for config in (old, new)))
        for output in {**old, **new}
        for key in _DECIDING
    ]
    return [change for change in changes if change.changed]


def _number_text(value: Any) -> str | None:
    return None if value is None else canonical_json(value)


def _instructions(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else str(state.get("signature", {}).get("instructions", ""))


def _fields(state: Mapping[str, Any] | None, key: str) -> list[str]:
    return [str(field.get(key, "")) for field in (state or {}).get("signature", {}).get("fields", ())]


def _paired(one: Sequence[str], other: Sequence[str]) -> list[tuple[str | None, str | None]]:
    longest = max(len(one), len(other))
    return [(one[i] if i < len(one) else None, other[i] if i < len(other) else None) for i in range(longest)]


def _demo(demo: Mapping[str, Any], labels: Sequence[str]) -> Demo:
    """Read a demo's fields, in the order in which the prompt shows them."""
    place = {label: number for number, label in enumerate(labels)}
    return tuple(
        (str(k), referred(v if isinstance(v, str) else canonical_json(v)))
        for k, v in sorted(demo.items(), key=lambda pair: place.get(pair[0], len(place)))
        if k not in _HIDDEN_FIELDS and not k.startswith("dspy_")
    )


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
    parts = pieces(change.before, change.after)
    if not any(op == "=" for op, _ in parts):
        return "\n".join([change.what, _indent(change.before, "- ", "- "), _indent(change.after, "+ ", "+ ")])
    marks = {"=": "{}", "-": "[-{}-]", "+": "{{+{}+}}"}
    return f"{change.what}\n" + _indent("".join(outside_space(text, marks[op].format) for op, text in parts))


def _predictor_text(diff: PredictorDiff) -> str:
    lines = [f"[{diff.name}]"] if diff.name != "self" else []
    lines += [_change_text(change) for change in (diff.instructions, *diff.fields)]
    lines.append(f"demos: {len(diff.added)} added, {len(diff.removed)} removed, {len(diff.kept)} kept")
    for mark, demos in (("+", diff.added), ("-", diff.removed)):
        for demo in demos:
            body = "\n".join(f"{name}: {value}" for name, value in demo)
            lines.append(_indent(body, f"  {mark} ", "    "))
    return "\n".join(lines)
