"""Types that every room speaks of, for annotations alone: nothing is imported for them.

``Program``, ``Model`` and ``Example`` are DSPy's ``Module``, ``BaseLM`` and ``Example``.  A ``Metric`` is called as
``metric(example, pred, trace=None)``.  ``Rows`` is what data may be given as.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeAlias

    import dspy
    import pandas as pd
    import pyarrow as pa

    Adapter: TypeAlias = dspy.Adapter
    Program: TypeAlias = dspy.Module
    Model: TypeAlias = dspy.BaseLM
    Example: TypeAlias = dspy.Example
    Prediction: TypeAlias = dspy.Prediction
    Metric: TypeAlias = Callable[..., Any]
    Rows: TypeAlias = Iterable[dspy.Example | Mapping[str, Any]] | pd.DataFrame | pa.Table
