"""Every face of the product as a cell of one notebook, and what a person would stumble over in a page of them.

``python tests/notebooks/every_face.py`` opens them in a real JupyterLab, light and dark, 1,280, 700 and 480 pixels wide,
lists what it finds, and keeps a picture of each under ``tests/artifacts/faces``; ``--only NAME …`` takes some.
"""

# ruff: noqa: T201, E501  it reports to the terminal; cells are what people type
from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from jupyterlab_page import ARTIFACTS, THEMES, Lab

from skillfleet_nb.charts import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jupyterlab_page import LabPage

WIDTHS = (1280, 700, 480)
LONG_NAME = "intents_of_the_help_desk_with_labelled_examples_only_and_no_instructions_at_all_2026_11"
HOSTILE_NAME = "<img src=x onerror=document.title=7>"
SET_UP = """\
%load_ext skillfleet_nb
import os, tempfile
os.chdir(tempfile.mkdtemp())
os.environ["SKILLFLEET_HOME"] = os.path.abspath("home")
from typing import Literal
import dspy, skillfleet_nb as sf
from skillfleet_nb.data.bundled import bundled
fleet = sf.Fleet()
lm, slow = sf.offline_lm(usd_per_1k_tokens=0.01), sf.offline_lm(latency_s=0.8, name="slow")
endless = sf.offline_lm(latency_s=2.5, name="endless")
dspy.configure(lm=lm)
rows = bundled("intents")
train, few = rows[:120], rows[:40]
labels = tuple(sorted({r["intent"] for r in rows}))
fields = {"text": (str, dspy.InputField()), "intent": (Literal[labels], dspy.OutputField())}
program = dspy.Predict(dspy.Signature(fields, "Classify the message by intent."))
plain = dspy.Predict("text -> intent")
metric = lambda example, pred, trace=None: example.intent == pred.intent
never = lambda example, pred, trace=None: 0.5
class Broken(dspy.Module):
    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict("text -> intent")
    def forward(self, text):
        raise ValueError("the table of customers is not there: /srv/data/customers/2026/11/28/customers.parquet")
broken = Broken()
suspect = [dict(r) for r in train]
suspect[3]["intent"], suspect[7]["intent"] = suspect[7]["intent"], suspect[3]["intent"]
suspect += [{"text": "\\u0645\\u0631\\u062d\\u0628\\u0627 \\U0001f389", "intent": "order_status"}, {"text": "x = [i for i in range(3)]", "intent": "bug_report"}]
foreign = [{"text": r["task_description"]} for r in bundled("skill_planning")[:60]]
given = dict(train=rows[:24], val=rows[24:60], test=rows[60:120], metric=metric, optimizer="labeled_fewshot")
for k in (1, 4, 12):
    fleet.optimize(program, params={"k": k}, name=f"few-{k}", seed=k, **given).result()
fleet.register("few-12", "support-intents")
fleet.register("few-4", "support-intents", note="after the March data")
fleet.register("few-1", "a-rather-long-name-for-a-program-that-classifies-help-desk-messages-by-intent")
fleet.alias("support-intents", "production", 1)
watched = sf.monitored(fleet.live("support-intents@production"), 0.5, metric=lambda example, pred: 0.5 + 0.5 * (pred.intent in labels))
unknown = sf.monitored(broken, name="intents_of_the_help_desk_with_labelled_examples_only_and_no_instructions_at_all_2026_11")
for row in train[:40]:
    watched(text=row["text"])
    try:
        unknown(text=row["text"])
    except ValueError:
        pass
watched.close(), unknown.close();"""
_OPTIMIZE = "%skillfleet optimize program --train train --metric metric --lm"
FACES: Mapping[str, str] = {
    "begin": "%skillfleet",
    "nothing-yet": "%skillfleet jobs --home nothing-yet",
    "doctor": "%skillfleet doctor program --train train --metric metric",
    "estimate": "%skillfleet estimate program --train train --metric metric --lm lm --optimizer miprov2",
    "card": f"{_OPTIMIZE} lm --optimizer bootstrap_random_search --set num_candidate_programs=4 --name intents",
    "card-no-evidence": "%skillfleet optimize program --train few --metric metric --optimizer labeled_fewshot --set k=1 --name unsure",
    "card-kept-yours": "%skillfleet optimize program --train train --metric never --optimizer labeled_fewshot --name kept",
    "card-failed": "%skillfleet optimize broken --train train --metric metric --optimizer labeled_fewshot --name broke",
    "card-limit": f"{_OPTIMIZE} lm --optimizer copro --max-calls 60 --name stopped",
    "card-long-name": f"%skillfleet optimize plain --train train --metric metric --optimizer labeled_fewshot --name {LONG_NAME}",
    "card-hostile-name": f'%skillfleet optimize plain --train train --metric metric --optimizer labeled_fewshot --name "{HOSTILE_NAME}"',
    "card-portfolio": f"{_OPTIMIZE} lm --optimizer portfolio --max-calls 300 --name lanes",
    "card-evaluate": "%skillfleet evaluate program --data few --metric metric --against few-12 --name scored",
    "card-review": f"{_OPTIMIZE} slow --optimizer labeled_fewshot --review accept --no-wait --name asks",
    "card-skill": '%skillfleet skill create "Use when a team must rotate API keys without downtime" --root skills',
    "card-skill-asks": '%skillfleet skill create "Use when a team must rotate API keys without downtime" --root skills --review draft --no-wait --name draft-asks',
    "compare": "%skillfleet compare few-4 few-12",
    "compare-long-name": f"%skillfleet compare intents {LONG_NAME}",
    "recommend": "%skillfleet recommend program --train train --metric metric --budget 2",
    "headroom": "%skillfleet headroom program --train train --metric metric -n 12",
    "trainset": "%skillfleet trainset analyze suspect --label intent",
    "program": "%skillfleet program show intents",
    "programs-of-a-job": "%skillfleet programs intents",
    "registry": "%skillfleet programs",
    "registry-empty": "%skillfleet programs --home nothing-yet",
    "ab": "%skillfleet ab start offline A=support-intents@1 B=support-intents@2 --replay train --metric metric --lm lm\n%skillfleet ab status offline --plot",
    "ab-list": "%skillfleet ab status",
    "drift": "%skillfleet drift check support-intents@production --inputs foreign --plot",
    "drift-history": "%skillfleet drift history support-intents@production",
    "monitor": "%skillfleet monitor support-intents",
    "monitor-failing-long-name": f"%skillfleet monitor {LONG_NAME} --window 15m",
    "monitor-nothing-yet": "%skillfleet monitor a-rather-long-name-for-a-program-that-classifies-help-desk-messages-by-intent",
    "traces": "%skillfleet traces few-4",
    "traces-one": "%skillfleet traces support-intents --limit 1",
    "dashboard-traces": "from skillfleet_nb.widgets import Dashboard\nshown = Dashboard(fleet)\nshown.open('few-4', '@traces')\nshown",
    "skill-paths": "%skillfleet skill paths report",
    "dashboard": "%skillfleet dashboard",
    "jobs": "%skillfleet jobs --limit 12",
    "sql": "%skillfleet sql select name, state, optimizer, test_score, cost_usd from jobs",
    "advice": "%skillfleet selector report",
    "export": "%skillfleet export few-12 --html report.html",
    "mistake": "%skillfleet optimize program --train train --metric metric --optimizer gepaa",
    **{f"plot-{kind}": f"%skillfleet plot {kind} intents" for kind in kinds()},
    # These go on while all else is looked at: 700 calls, one at a time, take half an hour.
    "card-paused": f"{_OPTIMIZE} endless --optimizer bootstrap_random_search --threads 1 --seed 5 --no-wait --name paused",
    "card-running": f"fleet.job('paused').pause()\n{_OPTIMIZE} endless --optimizer bootstrap_random_search --threads 1 --seed 4 --no-wait --name running",
}
_TROUBLES = """(at) => {
    const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[at], found = [];
    for (const out of cell.querySelectorAll('.jp-OutputArea-output')) {
        const edge = out.getBoundingClientRect();
        // JupyterLab breaks what is printed anywhere; charts have a width of their own, and scroll on a page below 700.
        const is_chart = /jp-RenderedVega/.test(out.className);
        if (is_chart && innerWidth >= 700 && out.scrollWidth > out.clientWidth + 2)
            found.push(`wider than the page: ${out.scrollWidth} > ${out.clientWidth}`);
        if (is_chart || /jp-RenderedText/.test(out.className)) continue;
        const walk = document.createTreeWalker(out, NodeFilter.SHOW_TEXT);
        for (let text; (text = walk.nextNode());) {
            const el = text.parentElement;
            if (!text.data.trim() || !el.checkVisibility({ visibilityProperty: true }) || el.closest('svg, style, script')) continue;
            const range = document.createRange();
            for (const word of text.data.matchAll(/(?<![\\w./@:=-])\\p{L}{2,24}(?![\\w./@:=-])/gu)) {
                range.setStart(text, word.index);
                range.setEnd(text, word.index + word[0].length);
                const tops = new Set([...range.getClientRects()].map(r => Math.round(r.top)));
                if (tops.size > 1) found.push(`broken within: ${word[0]} in ${el.tagName}.${el.className}`);
            }
            let scrolls = false;
            for (let e = el; e && e !== out; e = e.parentElement) scrolls ||= /auto|scroll/.test(getComputedStyle(e).overflowX);
            range.selectNodeContents(text);
            if (!scrolls && [...range.getClientRects()].some(r => r.right > edge.right + 2))
                found.push(`cut: ${text.data.trim().slice(0, 60)} in ${el.tagName}.${el.className}`);
        }
        if (out.scrollWidth > out.clientWidth + 2) found.push(`wider than the page: ${out.scrollWidth} > ${out.clientWidth}`);
    }
    return [...new Set(found)];
}"""
_DRAWN = "new Promise(done => requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(done), 300)))"


def notebook(faces: Mapping[str, str] = FACES) -> Any:
    """Make the notebook: the set-up, then a cell for each face; a mistake among them stops none."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    tags = {"tags": ["raises-exception"]}
    cells = [nbformat.v4.new_code_cell(cell, metadata=tags) for cell in (SET_UP, *faces.values())]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def look(
    page: LabPage, theme: str, width: int, faces: Mapping[str, str] = FACES, rules: Sequence[str] = ()
) -> list[str]:
    """List what a person would stumble over: cut texts, words broken within, what axe-core finds serious."""
    page.theme(theme)
    page.resize(width, 3200)
    page.evaluate(_DRAWN)
    found = [f"{name}: {one}" for at, name in enumerate(faces, start=1) for one in page.evaluate(_TROUBLES, at)]
    # A chart that is wider than the page scrolls in an output of JupyterLab's, which takes no focus.
    serious = page.violations(".jp-OutputArea-output", rules)
    return [*found, *(f"axe: {v}" for v in serious if "jp-RenderedVegaCommon5" not in v)]


def main() -> None:
    """Look at all faces, and keep their pictures."""
    from conftest import chromium
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(FACES), metavar="NAME")
    parser.add_argument("--out", type=Path, default=ARTIFACTS / "faces")
    asked = parser.parse_args()
    faces = {name: FACES[name] for name in asked.only}
    asked.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), chromium(playwright))
        page = lab.open(notebook(faces), "faces.ipynb")
        page.run_all()
        print("errors:", *page.errors(), sep="\n")
        for theme in THEMES:
            for width in WIDTHS:
                print(f"{theme} {width}:", *look(page, theme, width, faces), sep="\n", flush=True)
                for at, name in enumerate(faces, start=1):
                    page.picture(at, asked.out / f"{name}-{theme}-{width}.png")
        lab.stop()


if __name__ == "__main__":
    main()
