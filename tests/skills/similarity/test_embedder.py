import hashlib
import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from skillfleet_nb.errors import InputError, MissingExtraError
from skillfleet_nb.lm import embed as module
from skillfleet_nb.lm.embed import PACKAGED, Embedder


def without_packaged_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == PACKAGED else find(name, *a))


class Half:
    """Stands where the model would, so that batching and caching show without one."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.calls.append(list(texts))
        return np.array([[len(text), 1.0] for text in texts], np.float64)


def prepared(model: Half, **options: object) -> Embedder:
    embed = Embedder(**options)
    embed._model = model
    return embed


def test_vectors_are_unit_float32_and_mean_something(embedder: Embedder) -> None:
    vectors = embedder(["fill in a PDF form", "complete PDF forms", "prune an apple tree"])
    assert (vectors.shape, vectors.dtype) == ((3, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.7
    assert vectors[0] @ vectors[2] < 0.3


def test_the_packaged_model_gives_the_vectors_of_sentence_transformers() -> None:
    package = pytest.importorskip(PACKAGED, reason="the packaged weights are not installed")
    texts = ["", "a", "Fill in a PDF form.", "Überraschung, 日本語 \0 and 🎉", "tokens beyond the last one " * 90]
    ours, theirs = Embedder()(texts), Embedder(package.get_model_path())(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.linalg.norm(ours[0] - ours[1]) > 0.1


def test_texts_of_many_passes_come_back_in_their_order_and_leave_the_threads_as_they_were(embedder: Embedder) -> None:
    torch = pytest.importorskip("torch")
    texts, before = [f"{n} " + "words " * (n * 7 % 20) for n in range(70)], torch.get_num_threads()
    together = embedder(texts)
    alone = np.concatenate([embedder([texts[place]]) for place in (0, 1, 69)])
    np.testing.assert_allclose(together[[0, 1, 69]], alone, atol=1e-5)
    with ThreadPoolExecutor(1) as pool:
        assert {torch.get_num_threads(), pool.submit(torch.get_num_threads).result()} == {before}


def test_packaged_weights_need_no_network() -> None:
    pytest.importorskip(PACKAGED, reason="the packaged weights are not installed")
    program = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a connection was opened')\n"
        "socket.getaddrinfo = refuse\n"
        "socket.socket.connect = refuse\n"
        "from skillfleet_nb.lm.embed import Embedder\n"
        "print(Embedder()(['a']).shape, 'transformers' in sys.modules)\n"
    )
    online = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=online)
    assert ran.stdout.strip() == "(1, 384) False", ran.stderr[-2000:]


def test_nothing_is_loaded_before_the_first_text() -> None:
    program = (
        "import sys\nfrom skillfleet_nb.lm.embed import Embedder\ne = Embedder(); e.fingerprint; repr(e)\n"
        "print([m for m in ('torch', 'sentence_transformers', 'transformers') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_no_weights_and_no_network_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_packaged_weights(monkeypatch)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingExtraError, match=r"no weights .* no network .*pip install 'skillfleet-nb\[offline\]'"):
        Embedder()(["a"])
    with pytest.raises(InputError, match="does not exist"):
        Embedder(tmp_path / "nowhere")(["a"])


def test_weights_that_are_not_the_published_ones_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / PACKAGED
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    weights = package / "model" / "model.safetensors"
    weights.write_bytes(b"something else")
    spec = importlib.util.spec_from_file_location(PACKAGED, package / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: spec)
    with pytest.raises(InputError, match="SHA-256"):
        Embedder()(["a"])
    monkeypatch.setattr(module, "PACKAGED_SHA256", hashlib.sha256(weights.read_bytes()).hexdigest())
    assert module._packaged_folder() == weights.parent
    weights.write_bytes(b"and changed since it was verified")
    with pytest.raises(InputError, match="SHA-256"):
        module._packaged_folder()


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        Embedder(tmp_path)(["a"])


def test_each_text_is_embedded_once_in_batches() -> None:
    model = Half()
    vectors = prepared(model, batch_size=2)(["a", "bb", "a", "ccc"])
    assert model.calls == [["a", "bb"], ["ccc"]]
    assert vectors[:, 0].tolist() == [1, 2, 1, 3]
    assert prepared(model)([]).shape == (0, 0)


def test_a_cache_is_shared_and_a_damaged_entry_made_anew(tmp_path: Path) -> None:
    first, second, third = Half(), Half(), Half()
    prepared(first, cache=tmp_path)(["a", "bb"])
    assert prepared(second, cache=tmp_path)(["bb", "a"])[:, 0].tolist() == [2, 1]
    assert second.calls == []
    for file in tmp_path.rglob("*.npy"):
        file.write_bytes(b"\x93NUMPY broken")
    assert prepared(third, cache=tmp_path)(["a"]).tolist() == [[1, 1]]
    assert third.calls == [["a"]]
    assert not list(tmp_path.rglob("*.tmp"))


def test_long_work_reports_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    quick = prepared(Half(), batch_size=1, progress=lambda done, total: seen.append((done, total)))
    quick(["a", "b"])
    assert seen == []
    monkeypatch.setattr(module, "_QUIET_S", -1.0)
    quick(["a", "b"])
    assert seen == [(1, 2), (2, 2)]


def test_one_string_is_not_a_list_of_texts() -> None:
    with pytest.raises(InputError, match="list of texts"):
        Embedder()("abc")
    with pytest.raises(InputError, match="batch_size 0"):
        Embedder(batch_size=0)


def test_an_error_without_words_is_told_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wordless(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", wordless)
    with pytest.raises(InputError, match=r"cannot be loaded \(\)"):
        Embedder(tmp_path)(["a text"])
