"""Every test has a home, a DSPy cache and an IPython folder of its own, and no model configured."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Read when dspy is imported, which collecting tests may do: nobody's own cache is touched.
_CACHES = tempfile.mkdtemp(prefix="skillfleet-tests-")
atexit.register(shutil.rmtree, _CACHES, ignore_errors=True)
os.environ["DSPY_CACHEDIR"] = f"{_CACHES}/dspy"
os.environ["XDG_CONFIG_HOME"] = f"{_CACHES}/config"  # where a user's key is
os.environ["IPYTHONDIR"] = f"{_CACHES}/ipython"

# The same examples every time, and no opinion on how long they take: that is the machine's matter.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", settings.get_profile("steady"), max_examples=500)  # for `make bench-fire`
settings.load_profile("steady")

# By default a twentieth of the time goes into looking for garbage among what was imported.
gc.set_threshold(10_000, 20, 20)

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with tests that share a server: other processes take some of the last, and each would start its own."""
    items.sort(key=lambda item: item.path.parent.name != "server")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("SKILLFLEET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SKILLFLEET_HOME", str(tmp_path / ".skillfleet"))


@pytest.fixture(autouse=True)
def _own_shell() -> Iterator[None]:
    """Messages are written for a notebook while there is a shell: one that a test makes ends with it."""
    before = _shell()
    yield
    if (made := _shell()) is not None and made is not before:
        made.clear_instance()


def _shell() -> Any:
    ipython = sys.modules.get("IPython")  # not imported to tell that there is none
    return ipython.get_ipython() if ipython is not None else None


@pytest.fixture
def memory_file_system() -> None:
    """What an encrypted home needs, which not every machine has."""
    from skillfleet_nb.errors import HomeError
    from skillfleet_nb.store.private_folder import private_folder

    try:
        private_folder(ROOT, "")
    except HomeError as error:
        pytest.skip(str(error))


@pytest.fixture
def shared_data() -> Path:
    """Real data beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"the real data is not there: {SHARED}")
    return SHARED
