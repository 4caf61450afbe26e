"""The month of the notebook *After the run* in a real kernel that is killed with `kill -9` in each of its steps.

A month is the notebook's own cells.  Each step is killed once, after a tenth, a half or nine tenths of the time that it
took undisturbed, in turns; a new kernel defines again what the notebook defines and runs the step again, as a person
does who opens the notebook anew.  A search that was killed is resumed by its name.  What is registered, drawn, judged
and promoted in the end is compared with an undisturbed month.  The model is the offline one.

Run: ``python tests/benchmarks month``.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_client.manager import start_new_kernel

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "10_after_the_run.ipynb"
WAYS = (0.1, 0.5, 0.9)
"""Share of a step's time after which it is killed."""
SEARCH, UPDATE = "%skillfleet optimize", "provider.updated"
GO_ON = "%skillfleet resume tickets"
STATE = """
import json
told = {
    "aliases": fleet.registry.aliases("tickets"),
    "versions": fleet.sql("select version, program_id from program_versions order by version").to_dict("records"),
    "moves": fleet.sql("select version, previous from alias_history order by move").values.tolist(),
    "cycles": [[step.step for step, _ in one.steps] for one in fleet.learning.cycles("tickets")],
    "feedback": int(fleet.sql("select count(*) as n from feedback").n[0]),
    "units": int(fleet.sql("select count(*) as n from ab_units").n[0]),
    "scored": fleet.ab_status("month").n,
    "winner": fleet.ab_status("month").winner,
    "ended": fleet.ab_status("month").state,
    "golden": fleet.sql("select distinct version from golden_examples order by version").version.tolist(),
    "alarms": sorted(set(map(tuple, fleet.sql("select kind, alarm from drift_checks").values.tolist()))),
    "jobs": sorted(fleet.jobs()["name"]),
}
print("STATE" + json.dumps(told, default=str))
"""


class Cell(NamedTuple):
    """A cell of the notebook, and whether it only defines names, so that a new kernel runs it again."""

    source: str
    defines: bool


class Kernel:
    """A kernel that a month goes on in, in a folder that outlives it."""

    def __init__(self, folder: Path) -> None:
        env = {**os.environ, "SKILLFLEET_HOME": str(folder / "home"), "DSPY_CACHEDIR": str(folder / "cache")}
        self.manager, self.client = start_new_kernel(kernel_name="python3", env=env, cwd=str(folder))

    def run(self, source: str, kill_after_s: float | None = None) -> tuple[str, str]:
        """Run a cell, and return what it printed and the error it raised; kill the kernel after some seconds."""
        asked = self.client.execute(source)
        until = None if kill_after_s is None else time.monotonic() + kill_after_s
        printed, error = "", ""
        while until is None or time.monotonic() < until:
            try:
                message = self.client.get_iopub_msg(timeout=0.02 if until is not None else 300)
            except Exception:  # noqa: BLE001, S112  nothing was said in this time
                continue
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            printed += content.get("text", "") if kind == "stream" else ""
            error = f"{content['ename']}: {content['evalue']}" if kind == "error" else error
            if kind == "status" and content["execution_state"] == "idle":
                break
        if until is not None:
            os.kill(self.manager.provisioner.pid, signal.SIGKILL)
        return printed, error

    def close(self) -> None:
        """End it, and what it started."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def cells() -> list[Cell]:
    """Read the notebook: the folder is the benchmark's, and the checks at the end are made otherwise."""
    sources = ["".join(one["source"]) for one in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
               if one["cell_type"] == "code"][1:-1]  # fmt: skip
    made = []
    for source in sources:
        if source.startswith(("fleet = sf.Fleet()", "%%")):
            made.append(Cell(source, False))
            continue
        plain = [line for line in source.split("\n") if not line.startswith("%skillfleet")]
        asked = [line for line in source.split("\n") if line.startswith("%skillfleet")]
        made += [Cell("\n".join(plain), True)] if any(plain) else []
        made += [Cell(line, False) for line in asked]
    return made


def month(folder: Path, took: dict[int, float], *, kills: bool) -> tuple[dict[str, Any], int, list[str]]:
    """Live through a month; return its end, how many kills there were, and what was refused."""
    folder.mkdir()
    kernel, defined, killed, refused = Kernel(folder), [], 0, []
    for place, cell in enumerate(cells()):
        if kills and not cell.defines:
            kernel.run(cell.source, kill_after_s=WAYS[killed % len(WAYS)] * took[place])
            kernel.close()
            kernel, killed = Kernel(folder), killed + 1
            for known in defined:
                kernel.run(known)
        begun = time.monotonic()
        error = kernel.run(cell.source)[1]
        if error and kills and cell.source.startswith(SEARCH):
            error = kernel.run(GO_ON)[1]
        if error:
            refused.append(f"{cell.source.splitlines()[-1][:60]}: {error}")
        took.setdefault(place, time.monotonic() - begun)
        defined += [cell.source] if cell.defines else []
    printed, error = kernel.run(f"fleet = sf.Fleet()\n{STATE}")
    kernel.close()
    if "STATE" not in printed:
        raise RuntimeError(error)
    return json.loads(printed.partition("STATE")[2]), killed, refused


def run() -> list[dict[str, Any]]:
    """Measure all."""
    took: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        whole, _, refused = month(Path(folder) / "whole", took, kills=False)
        state, killed, _ = month(Path(folder) / "killed", took, kills=True)
    differing = [f"{what}: {state[what]} for {told}" for what, told in whole.items() if state[what] != told]
    for one in [*refused, *differing]:
        print(one)  # noqa: T201  a benchmark reports to the terminal
    what = f"{killed} kill -9 of the kernel, one in each step: parts of the final state that differ"
    return [
        {"what": "cells of an undisturbed month that were refused", "value": len(refused), "unit": "cells",
         "target": "≤ 0"},
        {"what": what, "value": len(differing), "unit": f"of {len(whole)} parts", "target": "≤ 0"},
    ]  # fmt: skip


if __name__ == "__main__":
    for row in run():
        print(row)  # noqa: T201  a benchmark reports to the terminal
