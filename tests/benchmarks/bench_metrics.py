"""Skills scored a minute on one core, with every metric that needs no embedding."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from skillfleet_nb.skills.scoring import score_skill

HERE = Path(__file__).parent


def run() -> list[dict[str, object]]:
    """Score real skills where they are at hand, and made-up ones, one after the other."""
    sys.path.insert(0, str(HERE.parent / "skills" / "scoring"))
    from made_up_skills import SECTIONS, good_skill

    titles = list(SECTIONS)
    sets = {"made-up": [good_skill(titles[: 3 + n % 10], 100 * (n % 10)) for n in range(300)]}
    real = [p.read_text("utf-8") for p in sorted((HERE.parents[1] / "../shared/data").glob("skills_v*/*/SKILL.md"))]
    if real:
        sets["real"] = real * 20
    rows: list[dict[str, object]] = []
    for name, texts in sets.items():
        score_skill(texts[0], reference=texts[0])  # the imports
        start = time.process_time()
        for text in texts:
            score_skill(text, reference=texts[0])
        rate = 60 * len(texts) / (time.process_time() - start)
        rows.append({"what": f"{name} skills scored", "value": rate, "unit": "skills/min", "target": 1000})
    return rows


if __name__ == "__main__":
    for row in run():
        print(row)  # noqa: T201  a script reports to the terminal
