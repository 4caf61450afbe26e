"""Where vectors are made: what is not there is told, what does not fit is done in parts; without a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError
from skillfleet_nb.lm.devices import CPU, Product, chosen, fitting, in_parts
from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.store import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.mark.parametrize("asked", ["cuda:63", "mps"])
def test_a_device_that_is_not_there_is_refused_in_a_line(asked: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f"device = '{asked}'\n")
    with pytest.raises(InputError, match=f"device = '{asked}' is not there: .*SKILLFLEET_DEVICE"):
        Embedder.of(Home.find(tmp_path))(["a text"])
    [row] = [check for check in Fleet(tmp_path).advice.doctor().checks if check.name == "device"]
    assert (row.level, f"'{asked}' is not there" in row.found) == ("fail", True)


def test_another_name_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("device = 'gpu'\n")
    with pytest.raises(InputError, match="setting 'device'"):
        Embedder.of(Home.find(tmp_path))


def test_auto_is_a_gpu_where_there_is_one_and_never_fails() -> None:
    import torch

    assert chosen("auto") == ("cuda" if torch.cuda.is_available() else CPU)
    assert fitting(CPU, 1 << 20, least=32, most=4096) == 32


def short_of_memory(most: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Make what works on up to so many rows, and fails on more as PyTorch does."""
    import torch

    def doubled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return 2 * rows

    return doubled


@pytest.mark.parametrize(("most", "alone"), [(100, 0), (3, 0), (0, 11)])
def test_what_does_not_fit_is_halved_and_done_on_the_processor_at_last(most: int, alone: int) -> None:
    rows, by_itself = np.arange(11, dtype=np.float32)[:, None], []

    def at_last(row: NDArray[np.float32]) -> NDArray[np.float32]:
        by_itself.append(len(row))
        return 2 * row

    made = np.concatenate(in_parts(rows, 8, short_of_memory(most), at_last))
    assert (made == 2 * rows).all()
    assert by_itself == [1] * alone


def test_a_product_of_a_device_is_that_of_the_processor() -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((40, 40)).astype(np.float32) for _ in range(2))
    there = Product(right.T, "cpu:0")  # as PyTorch names it, and not NumPy: the way that a GPU takes
    assert np.abs(there(left[::2]) - Product(right.T, CPU)(left[::2])).max() < 1e-4


def test_texts_embedded_on_the_way_that_a_gpu_takes_are_those_of_the_processor() -> None:
    from skillfleet_nb.lm.embed import PACKAGED, _packaged_folder
    from skillfleet_nb.lm.minilm import MiniLM

    pytest.importorskip(PACKAGED)
    folder = _packaged_folder()
    assert folder is not None
    there = MiniLM(folder, "cpu:0")
    texts = [f"{'word ' * (n % 7)}number {n}" for n in range(40)]
    vectors = Embedder(device=CPU)(texts)
    assert np.abs(there.encode(texts) - vectors).max() < 1e-4
    tokens = [[101, 2000 + n, 102] for n in range(3)]
    assert np.abs(there._on_processor(tokens) - there._pass(tokens)).max() < 1e-6


def test_drift_is_the_same_whichever_device_adds_up() -> None:
    from skillfleet_nb.monitoring.two_sample import compare

    rng = np.random.default_rng(1)
    first, second = (rng.standard_normal((60, 8)).astype(np.float32) + shift for shift in (0, 0.3))
    here, there = (compare(first, second, seed=3, device=device) for device in (CPU, "cpu:0"))
    assert abs(here.p_value - there.p_value) <= 0.002
    assert (here.moved == there.moved).all()
