"""The card of a recommendation: move budget, time and target, compare, run it or something else."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from skillfleet_nb.errors import InputError, SkillfleetError, unknown
from skillfleet_nb.format import duration, money
from skillfleet_nb.html import fill, items, preformatted, table
from skillfleet_nb.widgets.face import Face, framed

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.advice.recommendation import Option, Recommendation
    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.widgets.face import Change

_NO_LIMIT = "no limit"
_SORTS = ("score", "cost", "time", "name")
_STEPS = (1, 1.5, 2, 3, 5, 7)


class RecommendationCard(Face):
    """A recommendation to play with.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    recommendation
        What ``fleet.advice.recommend`` returned, in this session.
    fleet
        Where a job is started.

    Attributes
    ----------
    recommendation
        As the sliders stand; None where nothing keeps the limits.
    job
        The job that was started, if one was.
    """

    def __init__(self, recommendation: Recommendation, fleet: Fleet) -> None:
        self.recommendation: Recommendation | None = recommendation
        self.job: Job | None = None
        self._first, self._fleet = recommendation, fleet
        usd = [o.cost_usd.high for o in recommendation.options if o.cost_usd]
        minutes = [o.wall_s.high / 60 for o in recommendation.options]
        wide = w.Layout(width="100%", max_width="420px", min_width="0")
        style = {"description_width": "100px"}
        self.budget = w.SelectionSlider(
            options=_ladder(usd, recommendation.budget_usd, _dollars), description="budget", layout=wide, style=style,
            value=_or_inf(recommendation.budget_usd), continuous_update=True, disabled=not any(usd),
        )  # fmt: skip
        self.minutes = w.SelectionSlider(
            options=_ladder(minutes, recommendation.max_minutes, _minutes), description="time", layout=wide,
            style=style, value=_or_inf(recommendation.max_minutes), continuous_update=True,
        )  # fmt: skip
        self.quality = w.FloatSlider(
            value=recommendation.quality_target, min=0, max=1, step=0.01, description="quality target", layout=wide,
            style=style, readout_format=".2f", continuous_update=True,
        )  # fmt: skip
        self.sort = w.Dropdown(options=_SORTS, value="score", description="sort by", layout=w.Layout(width="220px"))
        self.choice = w.Dropdown(description="run", layout=w.Layout(width="330px", max_width="100%"))
        self.button = w.Button(
            description="Run this", button_style="primary", icon="play", layout=w.Layout(width="130px")
        )
        self._facts, self._table, self._chart, self._told = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        for slider in (self.budget, self.minutes, self.quality):
            slider.observe(self._moved, ["value"])
        self.sort.observe(lambda _: self._list(), ["value"])
        self.choice.observe(lambda _: self._named(), ["value"])
        self.button.on_click(self._clicked)
        self._show(recommendation)
        sliders = w.VBox(
            [self.budget, self.minutes, self.quality, self._facts],
            layout=w.Layout(flex="1 1 380px", max_width="560px", min_width="0"),
        )
        side = w.VBox(
            [w.HBox([self.choice, self.button], layout=w.Layout(flex_flow="row wrap")), self._told, self._chart],
            layout=w.Layout(flex="1 1 460px", min_width="0"),
        )
        top = w.Box([sliders, side], layout=w.Layout(display="flex", flex_flow="row wrap", grid_gap="16px"))
        self.box = w.VBox([top, self.sort, self._table])
        self.box.add_class("sf-recommend")

    def set(
        self, *, budget_usd: float | None = None, max_minutes: float | None = None, quality_target: float | None = None
    ) -> None:
        """Move sliders, each to the nearest step; what is not given stays.

        Raises
        ------
        InputError
            If a limit is not above 0.
        """
        limits = {"budget_usd": (self.budget, budget_usd), "max_minutes": (self.minutes, max_minutes)}
        for name, (slider, value) in limits.items():
            if value is not None:
                if not value > 0:
                    raise InputError(f"{name} = {value}: give a number above 0")
                steps = [v for _, v in slider.options if math.isfinite(v)]
                slider.value = min(steps, key=lambda v: abs(math.log(v / value)))
        if quality_target is not None:
            self.quality.value = quality_target

    def run(self, name: str | None = None, **options: Any) -> Job:
        """Start the job: what is recommended, or the option called `name` in its place.

        Raises
        ------
        InputError
            If nothing keeps the limits, or there is no such option.
        """
        made = self.recommendation
        if made is None:
            raise InputError("nothing keeps these limits: move a slider first")
        named = {o.name: o for o in made.options}
        if name is not None and name not in named:
            raise unknown("option", name, named)
        picked = named[name] if name is not None else made.chosen
        self.job = self._fleet.advice.follow(made, optimizer=picked.optimizer, params=picked.params, **options)
        return self.job

    @property
    def answer(self) -> Recommendation:
        """The recommendation within these limits; the first one, where none is."""
        return self.recommendation or self._first

    def _moved(self, change: Change) -> None:
        del change
        try:
            made = self._first.under(
                budget_usd=_or_none(self.budget.value),
                quality_target=self.quality.value,
                max_minutes=_or_none(self.minutes.value),
            )
        except SkillfleetError as exc:
            self.recommendation = None
            self.button.disabled = True
            self._facts.value = preformatted(_wrapped(str(exc)), title="Nothing keeps these limits")
            return
        self._show(made)

    def _show(self, made: Recommendation) -> None:
        self.recommendation = made
        self.button.disabled = False
        rows = [list(row) for row in made.summary()]
        why = items([*made.reasons, *made.notes], title="Why")
        self._facts.value = framed(fill("<div style='max-width:34em'>{}{}</div>", table([], rows), why))
        mine = made.chosen.name
        names = [mine, *(o.name for o in made.options if o.name != mine)]
        self.choice.options = [(f"{n} (recommended)" if n == mine else n, n) for n in names]
        self.choice.value = mine
        self._named()
        self._list()
        self._chart.value = framed(made.svg)

    def _named(self) -> None:
        made = self.recommendation
        same = made is not None and self.choice.value == made.chosen.name
        self.button.description = "Run this" if same else "Run instead"

    def _list(self) -> None:
        made = self.recommendation
        if made is None:
            return
        keys = {
            "score": lambda o: -o.expected_score, "cost": lambda o: (o.cost_usd or o.calls).expected,
            "time": lambda o: o.wall_s.expected, "name": lambda o: o.name,
        }  # fmt: skip
        mine = made.chosen.name
        options = sorted(made.options, key=keys[self.sort.value])
        rows = [_row(o, mine) for o in options]
        header = ["", "optimizer", "cost", "time", "expected score", "difference", ""]
        self._table.value = framed(table(header, rows, title="Everything compared (intervals of 80%)"))

    def _clicked(self, button: w.Button) -> None:
        if button.disabled:
            return  # the second click of a double one, which was on its way
        button.disabled = True
        try:
            job = self.run(self.choice.value)
        except SkillfleetError as exc:
            self._told.value = preformatted(_wrapped(str(exc)))
            button.disabled = False
        else:
            self._told.value = preformatted(f"job {job.name} runs: %skillfleet watch {job.name}")


def _row(o: Option, mine: str) -> list[str]:
    mark = "→" if o.name == mine else "" if o.feasible else "✕"
    return [mark, *o.row(), o.why_not]


def _ladder(values: list[float], chosen: float | None, name: Callable[[float], str]) -> list[tuple[str, float]]:
    """Make the steps of a slider: round numbers around what the options need, what was given, and no limit."""
    most, least = max([v for v in values if v > 0], default=1.0), min([v for v in values if v > 0], default=0.1)
    steps, step = set(), 10.0 ** math.floor(math.log10(least) - 0.3)
    while step < 20 * most:
        steps |= {round(step * s, 8) for s in _STEPS if 0.5 * least <= step * s <= 4 * most}
        step *= 10
    if chosen is not None:
        steps.add(chosen)
    return [*((name(v), v) for v in sorted(steps)), (_NO_LIMIT, math.inf)]


def _or_inf(limit: float | None) -> float:
    return math.inf if limit is None else limit


def _or_none(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None


def _dollars(usd: float) -> str:
    return money(usd)


def _minutes(minutes: float) -> str:
    return duration(60 * minutes)


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 72))
