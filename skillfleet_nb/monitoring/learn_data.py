"""What a cycle is trained on: what the version was trained on, and the corrections that came since."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.data.identity import content_hash, example_id, parts
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, is_missing
from skillfleet_nb.monitoring.scores import read_score
from skillfleet_nb.runs.task import input_fields, output_types

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from skillfleet_nb.events.learning import FeedbackGiven
    from skillfleet_nb.events.monitoring import GoldenRow
    from skillfleet_nb.runs.request import RunRequest
    from skillfleet_nb.typing import Example, Program

_OF_VAL = 3  # every so manieth correction is for validation
_NEAR = 0.8  # how alike a column and a field are where the one is a slip for the other
_OF_FEEDBACK = ("score", "id")  # columns of rows of feedback beside the program's fields


class Fields(NamedTuple):
    """The fields of the examples that a program is trained on.

    Attributes
    ----------
    inputs
        What is asked.
    outputs
        What is right: of each, a correction has to say it.
    beside
        Columns that the program neither takes nor gives; a correction has no value for them.
    answered
        What the program answers with, which may be more than is trained on, such as its reasoning.
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    beside: Sequence[str]
    answered: Sequence[str]

    @classmethod
    def of(cls, program: Program, rows: Sequence[Example] = ()) -> Fields:
        """Tell them of a program, and the rows that it was trained on where they are known."""
        answered = list(output_types(program))
        if not rows:
            return cls(input_fields(program), answered, (), answered)
        taken, labels = parts(rows[0])
        outputs = [field for field in labels if field in answered] or list(labels)
        return cls(list(taken), outputs, [field for field in labels if field not in outputs], answered)

    @property
    def known(self) -> list[str]:
        """What a correction may name."""
        return list(dict.fromkeys((*self.outputs, *self.answered, *self.beside)))

    def check(self, inputs: Collection[str], correction: Collection[str]) -> None:
        """Refuse feedback with other inputs than the program's, or a correction of what it does not answer."""
        if set(inputs) != set(self.inputs):
            raise InputError(f"feedback has the inputs {_listed(inputs)}: give {_listed(self.inputs)}.")
        if wrong := [field for field in correction if field not in self.known]:
            raise InputError(f"the correction has {_listed(wrong)}: give {_listed(self.outputs)}.")

    def right(self, row: Mapping[str, Any], place: int) -> dict[str, Any]:
        """Return what a row of feedback says is right; empty where it says nothing of that."""
        lacking = [field for field in self.outputs if field not in row]
        for column in [column for column in row if column not in {*self.inputs, *self.known, *_OF_FEEDBACK}]:
            if near := get_close_matches(column, lacking, n=1, cutoff=_NEAR):
                raise InputError(
                    f"feedback row {place} has {column!r} and no {near[0]!r}: rename the column to the program's field."
                )
        right = {field: row[field] for field in (*self.outputs, *self.answered) if not is_missing(row.get(field))}
        return right if right.keys() & set(self.outputs) else {}

    def example(self, inputs: Mapping[str, Any], correction: Mapping[str, Any]) -> Example | None:
        """Make what is trained on of a correction; None where it lacks a field, or has other inputs."""
        import dspy

        if inputs.keys() != set(self.inputs) or not correction.keys() >= set(self.outputs):
            return None
        right = {field: correction[field] for field in self.outputs} | dict.fromkeys(self.beside)
        return dspy.Example(**inputs, **right).with_inputs(*inputs)

    def identity(self, row: Example) -> str:
        """Identify an example by what is asked and what is right alone."""
        inputs, labels = parts(row)
        return example_id(inputs, {field: labels.get(field) for field in self.outputs})


class CycleData(NamedTuple):
    """What the version's job was asked, rows to train and to validate on now, and why corrections are left out."""

    before: RunRequest
    train: list[Example]
    val: list[Example] | None
    left_out: str


def joined(before: RunRequest, said: Sequence[FeedbackGiven], golden: Sequence[GoldenRow]) -> CycleData:
    """Put corrections to what was trained on, and every third to validation, which else would not see what is new.

    Examples of the golden set and the test set stay out of both: they are to judge.  What is asked already stands where
    it stood, for nothing that is trained on may judge as well.
    """
    train, val, test = ([*(rows or ())] for rows in (before.train, before.val, before.test))
    fields, is_validated = Fields.of(before.program, train), bool(val)
    judges = {content_hash(row.inputs) for row in golden} | {_asked(row) for row in test}
    train, val = ([row for row in rows if _asked(row) not in judges] for rows in (train, val))
    places = {_asked(row): rows for rows in (train, val) for row in rows}
    identities, new, why = {fields.identity(row) for row in (*train, *val)}, 0, Counter[str]()
    for one in sorted(said, key=lambda one: one.id):
        if not one.correction:
            continue
        example = fields.example(one.inputs, one.correction)
        if example is None:
            why[f"without all of {_listed([*fields.inputs, *fields.outputs])}"] += 1
        elif _asked(example) in judges:
            why["of examples that judge"] += 1
        elif (key := fields.identity(example)) not in identities:
            new += 1
            identities.add(key)
            place = val if is_validated and new % _OF_VAL == 0 else train
            places.setdefault(_asked(example), place).append(example)
    left_out = "; ".join(f"{counted(n, 'correction')} left out, {reason}" for reason, n in sorted(why.items()))
    return CycleData(before, train, val or None, left_out)


def read_feedback(row: Mapping[str, Any], place: int, fields: Fields) -> tuple[float | None, dict[str, Any]]:
    """Return the score of a row of feedback, None where it has none, and what it says is right."""
    right, score = fields.right(row, place), row.get("score")
    if is_missing(score) and not right:
        raise InputError(f"feedback row {place} has neither a score nor {' or '.join(fields.outputs)}: give one.")
    try:
        return None if is_missing(score) else read_score(score), right
    except InputError as error:
        raise InputError(f"feedback row {place}: {error}") from None


def _asked(row: Example) -> str:
    return content_hash(parts(row)[0])


def _listed(fields: Collection[str]) -> str:
    return ", ".join(fields) or "none"
