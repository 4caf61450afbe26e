"""Charts of real jobs: drawn offline, readable everywhere, with words where there is nothing to draw."""

from __future__ import annotations

import base64
import inspect
import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd
import pytest
from chart_jobs import LONG, outside
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from skillfleet_nb import Fleet, charts
from skillfleet_nb.charts import Chart, convergence, convergence_data, kinds
from skillfleet_nb.charts.jobs import Jobs
from skillfleet_nb.cli import main
from skillfleet_nb.design import INK
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events import JobCreated
from skillfleet_nb.format import visible
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

V5 = "application/vnd.vegalite.v5+json"


@pytest.mark.parametrize("kind", sorted({*kinds()} - {"importance", "lanes", "generations"}))  # of others
def test_every_chart_of_a_job_is_drawn_without_a_network(fleet: Fleet, kind: str) -> None:
    chart = fleet.charts.plot(kind, "mipro")
    assert len(chart.data)
    assert str(chart).startswith(chart.title)
    bundle, metadata = chart._repr_mimebundle_()
    assert set(bundle) == {V5, "image/svg+xml", "application/pdf", "text/plain"}, "JupyterLab would prefer text/html"
    assert bundle[V5]["$schema"].endswith("/v5.json")
    assert bundle[V5]["description"].startswith(chart.title)
    assert metadata[V5]["embed_options"]["actions"] is False, "its editor would send data to another site"
    assert INK not in json.dumps(bundle[V5]["config"]), "a page draws it in its own ink"
    assert json.loads(json.dumps(bundle))["text/plain"] == str(chart)
    svg = bundle["image/svg+xml"]
    assert svg.startswith("<svg")
    assert f">{chart.title}<" in svg
    assert outside(svg) == []
    assert base64.b64decode(bundle["application/pdf"]).startswith(b"%PDF")


@pytest.mark.parametrize("kind", kinds())
def test_where_there_is_nothing_to_draw_the_chart_says_what_is_missing(fleet: Fleet, kind: str) -> None:
    chart = fleet.charts.plot(kind, "nothing yet")
    said = chart.spec["description"]
    assert re.match("(No|Nothing) ", said)
    assert said in str(chart)
    assert said.split(":")[0] in chart.svg


@pytest.mark.parametrize("kind", [k for k in kinds() if k not in {"outcomes", "lineage", "generations"}])
def test_charts_of_several_jobs_tell_them_apart(fleet: Fleet, kind: str) -> None:
    chart = fleet.charts.plot(kind, "mipro", LONG, "nothing yet")
    if "job" in chart.data:
        assert set(chart.data.job) >= {"mipro", LONG}
    assert chart.svg.startswith("<svg")


def test_jobs_of_one_name_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    home = Home.find(tmp_path / "home")
    for job_id in ("run-aaaaaa", "run-bbbbbb"):
        with Journal(home, job_id) as journal:
            journal.append(JobCreated(name="same", optimizer="gepa", program="p", metric="m", engine="thread", seed=0))
    fleet = Fleet(tmp_path / "home")
    jobs = Jobs(fleet.store, ("run-bbbbbb", "run-aaaaaa"))
    assert jobs.labels == {"run-bbbbbb": "same (bbbbbb)", "run-aaaaaa": "same (aaaaaa)"}


def test_a_persons_own_settings_of_altair_are_left_alone_and_do_no_harm(fleet: Fleet) -> None:
    with alt.data_transformers.enable("default", max_rows=2):
        assert len(fleet.charts.convergence("mipro").spec["datasets"]) >= 1
        assert alt.data_transformers.options == {"max_rows": 2}


def test_what_cannot_be_drawn_is_one_line(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'convergence'"):
        fleet.charts.plot("convergance", "mipro")
    with pytest.raises(NotFoundError, match="did you mean 'mipro'"):
        fleet.charts.convergence("mipr")
    with pytest.raises(InputError, match="needs a job"):
        fleet.charts.convergence()
    with pytest.raises(InputError, match="name one or more"):
        fleet.charts.plot("costs")
    with pytest.raises(InputError, match="one by one"):
        fleet.charts.plot("lineage", "mipro", LONG)
    with pytest.raises(InputError, match="no option 'by': it has none"):
        fleet.charts.plot("costs", "mipro", by="usd")
    with pytest.raises(NotFoundError, match="did you mean 'calls'"):
        fleet.charts.pareto(by="cals")
    with pytest.raises(InputError, match=r"end it in \.svg"):
        fleet.charts.pareto().save(tmp_path / "a.gif")
    with pytest.raises(InputError, match="give a folder that exists"):
        fleet.charts.pareto().save(tmp_path / "none" / "a.svg")


@pytest.mark.parametrize(
    ("suffix", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("json", b"{")]
)
def test_a_chart_is_saved_as_a_picture(fleet: Fleet, tmp_path: Path, suffix: str, begins: bytes) -> None:
    file = fleet.charts.pareto().save(tmp_path / f"chart.{suffix}")
    assert file.read_bytes().startswith(begins)


def test_charts_of_all_jobs_leave_out_those_that_only_scored(fleet: Fleet, tmp_path: Path) -> None:
    own = Fleet(shutil.copytree(fleet.home.root, tmp_path / "home"))
    before = [own.charts.plot(kind).data for kind in ("pareto", "optimizers")]
    own.evaluate("mipro", name="again").result()
    for kind, data in zip(("pareto", "optimizers"), before, strict=True):
        pd.testing.assert_frame_equal(own.charts.plot(kind).data, data)
    assert set(own.charts.optimizers("mipro", "again").data.job) == {"mipro", "again"}, "unless they are named"
    for names in (("again",), ("again", "again")):
        assert "No learning curve: a job that only scores" in own.charts.convergence(*names).text()
    assert "none has been scored on train or validation" in own.charts.lineage("again").text()


def test_a_chart_is_saved_as_a_page_that_asks_for_nothing(fleet: Fleet, tmp_path: Path) -> None:
    page = fleet.charts.convergence("mipro").save(tmp_path / "chart.html").read_text("utf-8")
    assert "Learning curve of mipro" in page
    assert outside(page) == []


def test_a_text_cannot_end_the_script_of_a_page(fleet: Fleet, tmp_path: Path) -> None:
    typed = "a < b</script><script>void 0</script><!-- \ue0fe \u2028"
    data = convergence_data(fleet.trials(fleet.job("mipro").id))
    page = Chart(typed, data, convergence(data, title=typed)).save(tmp_path / "chart.html").read_text("utf-8")
    assert page.count("<script") == page.count("</script>")
    assert "void 0</script>" not in page
    spec, _ = json.JSONDecoder().raw_decode(page, page.index("const spec = ") + len("const spec = "))
    assert spec["title"]["text"] == visible(typed)


def test_a_frame_of_ones_own_is_drawn_as_well(fleet: Fleet) -> None:
    frame = fleet.trials(fleet.job("mipro").id)
    data = convergence_data(frame)
    assert Chart("mine", data, convergence(data, title="mine")).svg.startswith("<svg")


@pytest.fixture
def shell(fleet: Fleet) -> Iterator[Any]:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


def test_the_magic_plots(fleet: Fleet, shell: Any, tmp_path: Path) -> None:
    home = f"--home '{fleet.home.root}'"
    chart = shell.run_line_magic("skillfleet", f"plot convergence mipro '{LONG}' -o chart {home}")
    assert shell.user_ns["chart"] is chart
    assert chart.title == "Learning curves of 2 jobs"
    listed = shell.run_line_magic("skillfleet", "plot")
    assert all(f"  {kind} " in str(listed) for kind in kinds())
    told_ = shell.run_line_magic("skillfleet", f"plot pareto --by calls --out {tmp_path / 'a.svg'} {home}")
    assert "wrote" in str(told_)
    assert (tmp_path / "a.svg").exists()
    with pytest.raises(UsageError, match="unknown chart 'x'"):
        shell.run_line_magic("skillfleet", "plot x")


def test_kinds_and_jobs_are_completed(fleet: Fleet, shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLFLEET_HOME", str(fleet.home.root))

    def offered(line: str) -> set[str]:
        with provisionalcompleter():
            return {c.text for c in shell.Completer.completions(line, len(line))}

    assert "convergence" in offered("%skillfleet plot con")
    assert "mipro" in offered("%skillfleet plot convergence mi")
    assert "--out" in offered("%skillfleet plot convergence mipro --o")


def test_a_terminal_shows_the_numbers(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", "scores", "mipro", "--home", str(fleet.home.root)]) == 0
    printed = capsys.readouterr().out
    assert "Scores of examples" in printed
    assert "as given" in printed
    assert main(["plot", "nope"]) == 2


MINE = '''
"""A chart of one's own."""
import altair as alt
from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import Choice, kind


@kind("names", "the names of jobs", case=Choice(("upper", "lower"), "how they are written"))
def of_jobs(jobs, *, case="lower"):
    """Plot the names of jobs."""
    data = jobs.frame.assign(name=getattr(jobs.frame["name"].str, case)())[["name"]]
    return Chart(f"Names of {jobs.title}", data, alt.Chart(data).mark_text().encode(text="name"))
'''


def test_a_new_file_is_a_chart_everywhere_at_once(
    fleet: Fleet, shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "names.py").write_text(MINE)
    monkeypatch.setattr(charts, "__path__", [*charts.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "skillfleet_nb.commands.plots", raising=False)  # as in a process that starts now
    monkeypatch.setenv("SKILLFLEET_HOME", str(fleet.home.root))
    assert fleet.charts.names("mipro", case="upper").data["name"].tolist() == ["MIPRO"]
    assert fleet.charts.names.__doc__ == "Plot the names of jobs."
    assert list(inspect.signature(fleet.charts.names).parameters) == ["jobs", "case"]
    assert "names" in dir(fleet.charts)
    with pytest.raises(NotFoundError, match="did you mean 'upper'"):
        fleet.charts.names("mipro", case="uper")
    drawn = shell.run_line_magic("skillfleet", "plot names mipro --case lower")
    assert drawn.title == "Names of mipro"
    assert "  names        the names of jobs" in str(shell.run_line_magic("skillfleet", "plot"))
    with provisionalcompleter():
        line = "%skillfleet plot nam"
        assert "names" in {c.text for c in shell.Completer.completions(line, len(line))}
    sys.modules.pop("skillfleet_nb.charts.names")


def test_every_kind_of_chart_has_its_part_of_the_docs_page() -> None:
    page = Path(charts.__file__).parents[2] / "docs" / "charts.md"
    assert set(kinds()) <= set(re.findall(r"^### (\w+)$", page.read_text("utf-8"), flags=re.MULTILINE))
