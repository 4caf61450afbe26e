"""Names in legends stand apart, however long they are."""

from __future__ import annotations

import pytest

from skillfleet_nb.charts.style import dashed


@pytest.mark.parametrize(("longest", "columns"), [(12, 4), (28, 2), (29, 1), (200, 1)])
def test_fewer_names_stand_beside_one_another_the_longer_they_are(longest: int, columns: int) -> None:
    legend = dashed("job", ["a", "b" * longest])["color"].to_dict()["legend"]
    assert legend["columns"] == columns
