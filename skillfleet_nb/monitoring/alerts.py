"""Who is told of an alarm: a function of the user's, and a webhook where one is set up."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import Request, urlopen

from skillfleet_nb.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.monitoring.drift_report import DriftReport
    from skillfleet_nb.store import Home

_TIMEOUT_S = 10.0


class AlertWarning(UserWarning):
    """An alarm could not be told to whom it was to be told."""


def raise_alarm(home: Home, report: DriftReport, alert: Callable[[DriftReport], object] | None) -> None:
    """Tell of a report's alarm, if it is one; whoever cannot be told is warned of, and the report stands.

    The webhook, setting `alert_webhook`, gets what the report says in numbers and a sentence, and no inputs.
    """
    if not report.alarm:
        return
    if alert is not None:
        try:
            alert(report)
        except Exception as exc:  # noqa: BLE001  whatever a person's function raises
            warnings.warn(f"the alarm was not told: {type(exc).__name__}: {exc}", AlertWarning, stacklevel=3)
    url = Settings.load(home.config).alert_webhook
    if url is None:
        return
    body = {
        "name": report.of, "look": report.look, "drifted": report.drifted, "p_value": report.p_value,
        "spent": report.spent, "divergence": report.divergence, "text": report.sentence(),
    }  # fmt: skip
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310  http alone
    try:
        with urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
            pass
    except (URLError, OSError, ValueError) as exc:
        warnings.warn(f"the webhook of alarms does not answer: {exc}", AlertWarning, stacklevel=3)
