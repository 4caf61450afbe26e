"""What can go wrong with a language model, told apart, and when enough has.

DSPy names the failures of every provider alike (``dspy.utils.exceptions``); here each is read for what
it means to a run: gone after a moment, there to stay, or a matter of the one request.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skillfleet_nb.lm.answer_cache import answers_here
from skillfleet_nb.messages import as_typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.config import Settings
    from skillfleet_nb.typing import Model

_LASTING_IN_A_ROW = 3  # a refused key or an empty account does not come back by asking on
_LONGEST_DELAY_S = 60.0
_REFUSED = "refused"
_WITHHELD = frozenset({"content_filter", "refusal"})
_SHOWN = 60  # characters of an answer
_OK = 300  # statuses below it tell of an answer: what failed is its body


@dataclass(frozen=True)
class RetryPolicy:
    """How a failing model is tried again, and when it is given up; times in seconds, as in ``config.Settings``."""

    timeout_s: float = 600.0
    grace_s: float = 30.0
    retry_delay_s: float = 1.0
    failure_window: int = 20
    failure_share: float = 0.5
    skip_after: int = 3
    skip_s: float = 30.0

    @classmethod
    def of(cls, settings: Settings) -> RetryPolicy:
        """Read the settings of a home."""
        return cls(
            timeout_s=settings.lm_timeout_s,
            grace_s=settings.lm_grace_s,
            retry_delay_s=settings.lm_retry_delay_s,
            failure_window=settings.lm_failure_window,
            failure_share=settings.lm_failure_share,
            skip_after=settings.lm_skip_after,
            skip_s=settings.lm_skip_s,
        )


def is_transient(exc: BaseException) -> bool:
    """Tell whether the same request may well be answered in a moment.

    That is what DSPy retries, and an answer whose body cannot be read, which it does not.
    """
    from dspy.utils.exceptions import LMProviderError, is_retryable_lm_error

    if is_refusal(exc):
        return False
    if type(exc) is LMProviderError:
        status = getattr(exc, "status", None)
        return status is None or status < _OK
    return bool(is_retryable_lm_error(exc))


def is_refusal(exc: BaseException) -> bool:
    """Tell whether the provider withheld its answer, as :func:`refusal` says."""
    return getattr(exc, "code", None) == _REFUSED


def is_unanswered(exc: BaseException | None) -> bool:
    """Tell whether a prediction failed for want of an answer, whatever the program made of the model's error."""
    from dspy.utils.exceptions import LMError

    while exc is not None and not isinstance(exc, LMError):
        exc = exc.__cause__ or exc.__context__
    return exc is not None and not is_of_the_request(exc)


def is_of_the_request(exc: BaseException) -> bool:
    """Tell whether the request itself is at fault: no other model is asked, and nothing is said of this one."""
    from dspy.utils.exceptions import ContextWindowExceededError

    return isinstance(exc, ContextWindowExceededError | TypeError | ValueError)


def lasts(exc: BaseException) -> bool:
    """Tell whether every later call will fail alike: the key, the account, the model's name, the set-up."""
    from dspy.utils.exceptions import (
        LMAuthError,
        LMBillingError,
        LMConfigurationError,
        LMUnsupportedFeatureError,
        LMUnsupportedModelError,
    )

    return isinstance(
        exc,
        LMAuthError | LMBillingError | LMConfigurationError | LMUnsupportedFeatureError | LMUnsupportedModelError,
    )


def is_dead(exc: BaseException) -> bool:
    """Tell whether a first call that failed so, its retries included, means that nothing can be run."""
    return lasts(exc) or is_transient(exc)


def advice(exc: BaseException) -> str:
    """Say what to do about a failure, in a few words."""
    from dspy.utils import exceptions as e

    if is_refusal(exc):
        return "its provider withholds answers to these examples: see what they hold, or give another LM"
    hints: tuple[tuple[type[BaseException], str], ...] = (
        (e.LMBillingError, "the account has no quota or credit left: top it up, or give another LM"),
        (e.LMAuthError, "the key is refused: check api_key= or the provider's environment variable"),
        (e.LMUnsupportedModelError, "there is no such model there: check its name, and api_base="),
        (e.LMConfigurationError, "the LM is not set up: give api_key=, or what the message names"),
        (e.LMUnsupportedFeatureError, "the LM cannot do what is asked of it: leave that option out"),
        (e.LMRateLimitError, "too many calls for its rate limit: use fewer threads, or try again later"),
        (e.LMTimeoutError, "it does not answer in time: raise the timeout, or try again later"),
        (e.LMTransportError, "it cannot be reached: check api_base= and the network"),
        (e.LMServerError, "its server fails: try again later, or give another LM"),
        (e.LMProviderError, "its answers cannot be read: check that api_base= speaks this protocol"),
    )
    return next((hint for kind, hint in hints if isinstance(exc, kind)), "see the job's log")


def in_short(exc: BaseException) -> str:
    """Tell a failure in its first line; providers add advice of their own below it."""
    exc = underlying(exc)
    first = next((line.strip() for line in _text(exc).splitlines() if line.strip()), "")
    return f"{type(exc).__name__}: {first}"[:300]


def in_one_line(exc: BaseException) -> str:
    """Tell a failure whole, on one line."""
    exc = underlying(exc)
    return f"{type(exc).__name__}: {' '.join(_text(exc).split())}".removesuffix(": ")[:1000]


def underlying(exc: BaseException) -> BaseException:
    """Return what a bare assertion was raised about, as by an optimizer that takes no other error."""
    while isinstance(exc, AssertionError) and not str(exc) and (cause := exc.__cause__ or exc.__context__):
        exc = cause
    return exc


def _text(exc: BaseException) -> str:
    from dspy.utils.exceptions import AdapterParseError

    return why_unread(exc, quote=False) if isinstance(exc, AdapterParseError) else str(exc)


def why_unread(exc: BaseException, *, quote: bool = True) -> str:
    """Say in one line why an answer could not be read.

    Parameters
    ----------
    exc
        What its adapter raised.
    quote
        Whether the answer's beginning may be shown.
    """
    from dspy.utils.exceptions import AdapterParseError

    if not isinstance(exc, AdapterParseError):
        return type(exc).__name__ + (f": {' '.join(str(exc).split())}"[:300] if quote else "")
    wanted, answered = list(exc.signature.output_fields), exc.parsed_result or {}
    missing = [f"'{name}'" for name in wanted if name not in answered]
    what = f"{exc.adapter_name} finds no {', '.join(missing)}" if missing else f"{exc.adapter_name} cannot read it"
    text = " ".join(str(exc.lm_response).split())
    if not text or text == "None":
        return f"{what}: the answer is empty"
    if not quote:
        return f"{what} in the answer"
    return f"{what} in an answer that begins {text[:_SHOWN] + '…' * (len(text) > _SHOWN)!r}"


def other_forms(exc: BaseException | None) -> str:
    """Say what to do about answers that cannot be read; empty where something else is wrong."""
    from dspy.utils.exceptions import AdapterParseError

    if exc is None or not isinstance(underlying(exc), AdapterParseError):
        return ""
    return f"{as_typed('headroom')} tries other forms of asking: JSON, types held to, more tokens"


def delay_s(exc: BaseException, failed: int, first_s: float, draw: Callable[[], float]) -> float:
    """Reckon how long to wait after the `failed`-th failed attempt, from 1.

    A provider's ``Retry-After`` is kept, with up to a tenth more; otherwise `first_s` is doubled with
    each attempt, up to a minute, and half of it is drawn, so that threads do not return all at once.

    Parameters
    ----------
    draw
        Gives a number in [0, 1).

    Examples
    --------
    >>> delay_s(RuntimeError(), 3, 1.0, lambda: 0.5)
    3.0
    """
    seconds = getattr(exc, "retry_after", None)
    if isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0:
        return float(seconds) * (1 + draw() / 10)
    longest = min(first_s * float(2 ** min(failed - 1, 16)), _LONGEST_DELAY_S)
    return longest * (0.5 + draw() / 2)


def is_empty(outputs: object, entry: dict[str, Any] | None) -> bool:
    """Tell whether a model answered with nothing at all, neither cut off nor withheld on purpose."""
    if not isinstance(outputs, list) or any(_says_something(o) for o in outputs):
        return False
    return not _reasons(entry) & {"length", *_WITHHELD}


def refusal(lm: Model, outputs: object, entry: dict[str, Any] | None) -> Exception | None:
    """Make the error of an answer that the provider withheld, by its filter or the model's own refusal; else None."""
    from dspy.utils.exceptions import LMProviderError

    if not isinstance(outputs, list) or any(_says_something(o) for o in outputs):
        return None
    why = _reasons(entry) & _WITHHELD
    if not why:
        return None
    withheld: Exception = LMProviderError(
        f"the provider withheld its answer ({', '.join(sorted(why))})", code=_REFUSED, model=lm.model
    )
    return withheld


def _says_something(output: object) -> bool:
    return any(output.values()) if isinstance(output, dict) else bool(output)


def _reasons(entry: dict[str, Any] | None) -> set[str]:
    response = (entry or {}).get("response")
    parts = response if isinstance(response, tuple | list) else getattr(response, "choices", None) or (response,)
    reasons = {str(getattr(part, "finish_reason", "")) for part in parts}
    for message in (getattr(part, "message", None) for part in parts):
        spoken = getattr(message, "parts", None) or ()
        if getattr(message, "refusal", None) or any(getattr(p, "type", "") == "refusal" for p in spoken):
            reasons.add("refusal")
    return reasons


def forget(lm: Model, prompt: object, messages: object, kwargs: dict[str, Any], *, asynchronous: bool) -> None:
    """Take an answer out of DSPy's cache again, which keeps empty ones too and would repeat them for good."""
    from dspy.clients.execution import IGNORED_CACHE_KEYS, prepare

    call = prepare(lm, prompt, messages, kwargs, asynchronous=asynchronous)
    if not call.cache:
        return
    cache = answers_here()
    key = cache.cache_key(call.key(lm, asynchronous), IGNORED_CACHE_KEYS)
    cache.memory_cache.pop(key, None)
    cache.disk_cache.pop(key, None)


class Circuit:
    """Says when a model fails so often that a run must not go on: on its zeros nothing can be learnt.

    It looks at the last `failure_window` requests that were bought of a model in one role, and opens
    where at least `failure_share` of them went unanswered, and at least half as many as that is of a
    full window; or after three failures in a row of a kind that lasts.  Not safe by itself between
    threads: the ledger calls it under its lock.

    Examples
    --------
    >>> circuit = Circuit(RetryPolicy(failure_window=4))
    >>> [bool(circuit.record("m (task)", RuntimeError("down"))) for _ in range(2)]
    [True, True]
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._recent: dict[str, deque[BaseException | None]] = {}
        self._fewest = max(1, math.ceil(policy.failure_window * policy.failure_share / 2))

    def record(self, what: str, failure: BaseException | None) -> str | None:
        """Take in how one request to `what` ended; return why to stop, if that is now."""
        recent = self._recent.setdefault(what, deque(maxlen=self._policy.failure_window))
        recent.append(failure)
        if failure is None:
            return None
        failed = sum(f is not None for f in recent)
        ending = list(recent)[-_LASTING_IN_A_ROW:]
        for_good = len(ending) == _LASTING_IN_A_ROW and all(f is not None and lasts(f) for f in ending)
        if not for_good and (failed < self._fewest or failed < self._policy.failure_share * len(recent)):
            return None
        return f"{failed} of the last {len(recent)} calls of {what} failed, the last with {in_short(failure)}"


@dataclass
class _Health:
    in_a_row: int = 0
    skip_until: float | None = None
    probing: bool = False


@dataclass
class Breaker:
    """Keeps calls from a model that failed several times in a row, as long as another can answer.

    After a while one call is let through to see whether it is back; the others go on past it until that
    call tells.

    Examples
    --------
    >>> breaker = Breaker(after=1, for_s=9.0, clock=iter([0.0, 5.0, 10.0, 10.0]).__next__)
    >>> breaker.tell("m", answered=False), breaker.admits("m"), breaker.admits("m"), breaker.admits("m")
    (True, False, True, False)
    """

    after: int
    for_s: float
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, _Health] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admits(self, model: str) -> bool:
        """Tell whether to ask `model`; whoever does so must :meth:`tell` how it ended."""
        with self._lock:
            health = self._known.setdefault(model, _Health())
            if health.skip_until is None:
                return True
            if self.clock() < health.skip_until or health.probing:
                return False
            health.probing = True
            return True

    def tell(self, model: str, *, answered: bool | None) -> bool:
        """Take in how a call ended, None where that says nothing; return whether it is skipped from now on."""
        with self._lock:
            health = self._known.setdefault(model, _Health())
            probed, health.probing = health.probing, False
            if answered is None:
                return False
            if answered:
                health.in_a_row, health.skip_until = 0, None
                return False
            health.in_a_row += 1
            if health.in_a_row < self.after and not probed:
                return False
            newly = health.skip_until is None
            health.skip_until = self.clock() + self.for_s
            return newly
