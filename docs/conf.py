"""How Sphinx builds the documentation: MyST pages, the tutorial notebooks as they are, docstrings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import Directive

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # read when dspy is imported

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent

project = "Skillfleet NB"
author = "Skillfleet NB contributors"
project_copyright = "Skillfleet NB contributors"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = project
html_show_sphinx = False

myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are committed with their outputs, and run by the tests
suppress_warnings = ["mystnb.unknown_mime_type"]  # charts carry Vega-Lite for JupyterLab, and the SVG shown here

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings tell types where they matter
napoleon_google_docstring = False
napoleon_use_rtype = False


class CommandHelp(Directive):
    """Show a command's own help: the page cannot differ from the program."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the help as a literal block."""
        from skillfleet_nb.commands.tree import help_of

        text = str(help_of(self.arguments[0].split()))
        block = nodes.literal_block(text, text)
        block["language"] = "text"
        return [block]


def copy_tutorials(app: Sphinx, *_: Any) -> None:
    """Put the notebooks where Sphinx looks for sources."""
    target = Path(app.srcdir) / "tutorials"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy(notebook, target)


def list_figures_if_there(app: Sphinx, page: str, source: list[str]) -> None:
    """Leave the page of benchmarks out of the contents until `make bench` has written it."""
    if page == "index" and not (Path(app.srcdir) / "benchmarks.md").exists():
        source[0] = source[0].replace("\nbenchmarks\n", "\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the above."""
    os.environ["COLUMNS"] = "100"  # argparse wraps help at it
    app.add_directive("command-help", CommandHelp)
    app.connect("config-inited", copy_tutorials)
    app.connect("source-read", list_figures_if_there)
    return {"parallel_read_safe": True}
