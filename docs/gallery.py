"""Draws the pictures of `charts.md` from jobs that it runs: ``python docs/gallery.py``, about a minute."""

from __future__ import annotations

import tempfile
from pathlib import Path

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.charts import kinds
from skillfleet_nb.charts.kind import Takes
from skillfleet_nb.commands.demo import exact_intent, intent_program
from skillfleet_nb.data.bundled import bundled

IMAGES = Path(__file__).parent / "images" / "charts"

if __name__ == "__main__":
    rows = bundled("intents")
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(folder)
        for optimizer in ("gepa", "miprov2", "bootstrap_random_search", "copro", "labeled_fewshot"):
            fleet.optimize(
                intent_program(sorted({r["intent"] for r in rows})),
                train=rows,
                metric=exact_intent,
                optimizer=optimizer,
                lm=offline_lm(),
                seed=7,
                name=f"intents-{optimizer}",
            ).result()
        compared = list(fleet.jobs().name)
        IMAGES.mkdir(parents=True, exist_ok=True)
        for kind in (one for one in kinds().values() if one.name not in {"importance", "lanes", "generations"}):
            jobs = () if kind.takes is Takes.ALL else ("intents-gepa",)
            fleet.charts.plot(kind.name, *jobs).save(IMAGES / f"{kind.name}.svg")
        for n in range(16):
            fleet.optimize(
                intent_program(sorted({r["intent"] for r in rows})),
                train=rows,
                metric=exact_intent,
                optimizer="labeled_fewshot",
                params={"k": 2 ** (n % 5)},
                lm=offline_lm(),
                seed=n,
                name=f"demos-{n}",
            ).result()
        fleet.optimize(
            intent_program(sorted({r["intent"] for r in rows})),
            train=rows,
            metric=exact_intent,
            optimizer="evolve",
            params={"population": 8, "generations": 6, "patience": 6, "max_demos": 8},
            lm=offline_lm(),
            seed=3,
            name="intents-evolve",
        ).result()
        fleet.charts.generations("intents-evolve").save(IMAGES / "generations.svg")
        fleet.charts.pareto("intents-evolve").save(IMAGES / "population.svg")
        several = [f"demos-{n}" for n in range(16)]
        fleet.charts.importance(*several).save(IMAGES / "importance.svg")
        fleet.charts.convergence(*compared).save(IMAGES / "convergence_several.svg")
