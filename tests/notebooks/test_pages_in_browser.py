"""Pages to send to a colleague, opened from a disk: a job's report, and a notebook that nbconvert wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import nbformat
import pytest
from jupyterlab_page import ARTIFACTS
from playwright.sync_api import expect

from skillfleet_nb import Fleet
from skillfleet_nb.charts import to_spec
from skillfleet_nb.charts.drawing import to_html
from skillfleet_nb.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = (
    "%load_ext skillfleet_nb\n%skillfleet demo --optimizer labeled_fewshot",
    "%skillfleet plot convergence demo",
    "from skillfleet_nb.data.bundled import bundled\nrows = bundled('intents')[:40]",
    "%skillfleet trainset analyze rows --label intent",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def notebook(folder: Path) -> Any:
    """A notebook that has run, as nbclient leaves it."""
    from nbclient import NotebookClient

    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKILLFLEET_HOME", str(folder / "home"))
        NotebookClient(made, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return made


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    pages = []

    def open_(file: Path, scheme: str = "light") -> tuple[Page, list[str]]:
        page = browser.new_page(viewport={"width": 1000, "height": 1400}, color_scheme=scheme)  # type: ignore[arg-type]
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        pages.append(page)
        return page, asked

    yield open_
    for page in pages:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_shows_its_charts_and_asks_for_nothing(notebook: Any, folder: Path, opened: Any, scheme: str) -> None:
    report = folder / "report.html"
    if not report.exists():
        Fleet(folder / "home").reports.export("demo", report)
    page, asked = opened(report, scheme)
    figures = page.locator("figure")
    expect(figures).to_have_count(7)
    expect(page.locator("figure[data-live]")).to_have_count(7)
    for at in range(7):
        expect(figures.nth(at).locator("svg.marks")).to_be_visible()
    assert asked == [report.as_uri()]
    assert page.evaluate("fetch('https://example.org').then(() => 'asked', () => 'refused')") == "refused"
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(ARTIFACTS / f"report-{scheme}.png"), full_page=True)


def test_a_saved_chart_shows_its_texts_as_they_were_typed(folder: Path, opened: Any) -> None:
    typed = "a < b</script><script>document.title = 'ran'</script>"
    spec = to_spec(alt.Chart(alt.Data(values=[{"gain": 1}]), title=typed).mark_point().encode(x="gain:Q"))
    (folder / "chart.html").write_text(to_html(spec), "utf-8")
    page, asked = opened(folder / "chart.html")
    expect(page.locator("svg.marks")).to_contain_text(typed)
    assert page.title() != "ran"
    assert asked == [(folder / "chart.html").as_uri()]


def test_without_scripts_the_pictures_stay(notebook: Any, folder: Path, browser: Browser) -> None:
    report = folder / "plain.html"
    assert main(["export", "demo", "--html", str(report), "--home", str(folder / "home")]) == 0
    page = browser.new_page(java_script_enabled=False)
    page.goto(report.as_uri())
    expect(page.locator("figure .picture svg")).to_have_count(7)
    expect(page.locator("figure .picture svg").first).to_be_visible()
    page.close()


def test_a_notebook_as_nbconvert_writes_it_shows_charts_and_what_stands_for_widgets(
    notebook: Any, folder: Path, opened: Any
) -> None:
    """With the settings that docs/charts.md names."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    settings = {
        "HTMLExporter": {"require_js_url": "", "mathjax_url": ""},
        "ClearMetadataPreprocessor": {"enabled": True},
        "NbConvertBase": {"display_data_priority": ["text/html", "image/svg+xml", "text/plain"]},
    }
    html, _ = HTMLExporter(config=Config(settings)).from_notebook_node(notebook)
    file = folder / "run.html"
    file.write_text(html, "utf-8")
    page, asked = opened(file)
    drawn = page.locator(".jp-RenderedSVG img")
    expect(drawn).to_have_count(1)
    expect(drawn).to_be_visible()
    assert drawn.evaluate("image => image.naturalWidth") > 300
    expect(page.get_by_text("Training set rows")).to_be_visible()
    expect(page.get_by_text("points on the sealed test").filter(visible=True).first).to_be_visible()
    assert asked == [file.as_uri()]
    page.screenshot(path=str(ARTIFACTS / "nbconvert.png"), full_page=True)


def test_to_latex_a_chart_is_a_pdf_and_nothing_else_is_needed(notebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbconvert import LatexExporter

    monkeypatch.setenv("PATH", "")  # no Inkscape
    tex, resources = LatexExporter().from_notebook_node(notebook)
    (picture,) = [name for name in resources["outputs"] if name.endswith(".pdf")]
    assert resources["outputs"][picture].startswith(b"%PDF")
    assert picture in tex
