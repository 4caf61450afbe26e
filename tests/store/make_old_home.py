"""Keep a home of the present schema version under ``assets/``, for the tests of upgrades.

Run once for each schema version, before it is released: ``python tests/store/make_old_home.py``.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

from store_samples import CREATED, random_payload

from skillfleet_nb.store import Home, Journal, Store

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        home = Home.find(Path(folder) / "home")
        rng = random.Random(11)
        for number in range(2):
            with Journal(home, f"job-{number}") as journal:
                journal.append(CREATED)
                journal.append_many([random_payload(rng) for _ in range(11)])
        store = Store(home)
        store.fold()
        name = f"schema_v{store.status().schema_version}"
        print(shutil.make_archive(str(Path(__file__).parent / "assets" / name), "gztar", folder, "home"))  # noqa: T201
