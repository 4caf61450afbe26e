"""Command lines that people could type, and files that they could have: a mistake is one line, nothing is a trace."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

from made_up_files import data_set, skill
from made_up_lines import Answered, answer, in_folder, line

from skillfleet_nb.data.checks import check_examples
from skillfleet_nb.data.splits import make_splits
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.store import read_examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINES, FILES, IN_A_CASE = 20_000, 5_000, 100


def cases() -> Iterator[str]:
    """Name each case: so many lines, or files, from a seed on."""
    yield from (f"lines from {first}" for first in range(0, LINES, IN_A_CASE))
    yield from (f"files from {first}" for first in range(0, FILES, IN_A_CASE))


def hold(case: str, folder: Path) -> None:
    """Run each line, or the commands that read a file."""
    in_folder(folder)
    what, _, first = case.split()
    for number in range(int(first), int(first) + IN_A_CASE):
        rng = random.Random(number)
        for answered in [answer(line(rng))] if what == "lines" else looked_at(rng, folder, number):
            if answered.wrong:
                raise AssertionError(f"{number}: {answered.words}: {answered.wrong}")


def looked_at(rng: random.Random, folder: Path, number: int) -> Iterator[Answered]:
    """Run the commands that read a data set or a skill on one that is made up; those that embed texts on some."""
    place = folder / f"made-{number}"
    place.mkdir()
    embeds = number % 20 < 2
    if number % 2:
        file = data_set(rng, place)
        if embeds:
            yield from (answer([*words, str(file)]) for words in (["trainset", "analyze"], ["trainset", "duplicates"]))
            return
        with suppress(SkillfleetError):
            rows = read_examples(file)
            check_examples(rows)
            make_splits(rows)
        return
    made = str(skill(rng, place))
    yield from (answer(["skill", *words, made]) for words in (["validate"], ["migrate"], *[["score"]] * embeds))
