"""A metric that calls a library's function and class; a file of its own, for these libraries take seconds to import."""

from __future__ import annotations

from typing import Any

from litellm import get_valid_models as model_list
from openai.types.chat import ChatCompletion


def by_library(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(ChatCompletion) and bool(model_list(example))
