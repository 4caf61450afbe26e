"""The packaged MiniLM, run on PyTorch alone.

What the checksum in `embed` stands for is one network of six BERT layers, so it is written down here.
sentence-transformers gives the same vectors, and imports for it what all its other models need: 8 seconds
of a processor in each kernel and worker where this takes 2.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from skillfleet_nb.lm.devices import CPU, fitting, in_parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_LAYERS: Final = 6
_HEADS: Final = 12
_TOKENS: Final = 256  # of a text; the rest is not read
_BATCH: Final = 32  # texts of a pass: with 64, its numbers do not fit a core's cache
_MOST: Final = 4096  # texts of a pass on a GPU
_TEXT_BYTES: Final = 16 << 20  # of a text of 256 tokens, as a layer is worked out: its attention most of all
_EPS: Final = 1e-12


class MiniLM:
    """all-MiniLM-L6-v2: texts to unit vectors of 384 numbers.

    Parameters
    ----------
    folder
        Where ``model.safetensors`` and ``tokenizer.json`` are.
    device
        Device of PyTorch.
    weights
        What is in ``model.safetensors``, where it is read already.
    """

    def __init__(self, folder: Path, device: str, weights: dict[str, Any] | None = None) -> None:
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        self._folder, self._device = folder, device
        read = weights or load_file(folder / "model.safetensors")
        self._weights = {name: weight.to(device) for name, weight in read.items()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_TOKENS)
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts: those of a length in passes of their own, a pass a thread.

        Threads that share a pass wait for each other at each of its steps, so it takes as long as the slowest: where
        a machine has other work, several times as long as passes side by side.
        """
        import numpy as np
        import torch

        tokens = [token.ids for token in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
        if self._device != CPU:
            size = fitting(self._device, _TEXT_BYTES, least=_BATCH, most=_MOST)
            ordered = [tokens[place] for place in order]
            there = in_parts(ordered, size, self._pass, self._on_processor)
            parted: NDArray[np.float32] = np.concatenate(there)[np.argsort(order)]
            return parted
        threads = torch.get_num_threads()
        size = min(_BATCH, -(-len(tokens) // threads))
        passes = [order[first : first + size] for first in range(0, len(order), size)]
        with ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1)) as pool:
            made = list(pool.map(lambda places: self._pass([tokens[place] for place in places]), passes))
        torch.set_num_threads(torch.get_num_threads())  # threads that begin later have as many again
        vectors: NDArray[np.float32] = np.concatenate(made)[np.argsort(np.concatenate(passes))]
        return vectors

    def _on_processor(self, tokens: list[list[int]]) -> NDArray[np.float32]:
        """Embed what does not fit into the memory of the device."""
        beside = type(self)(self._folder, CPU, self._weights)
        return beside._pass(tokens)  # noqa: SLF001  of this class

    def _pass(self, tokens: list[list[int]]) -> NDArray[np.float32]:
        import torch

        lengths = torch.tensor([len(ids) for ids in tokens])
        ids = torch.zeros((len(tokens), int(lengths.max())), dtype=torch.long)
        for row, of in zip(ids, tokens, strict=True):
            row[: len(of)] = torch.tensor(of)
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        ids, mask = ids.to(self._device), mask.to(self._device)
        with torch.inference_mode():
            state = self._embedded(ids)
            for layer in range(_LAYERS):
                state = self._layer(f"encoder.layer.{layer}", state, mask[:, None, None, :])
            # The mean of a text's tokens; its length is all that scaling would change.
            vectors: NDArray[np.float32] = (
                torch.nn.functional.normalize((state * mask[:, :, None]).sum(1)).cpu().numpy()
            )
        return vectors

    def _embedded(self, ids: Any) -> Any:
        words, places, kinds = (
            self._weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
        )
        return self._norm("embeddings", words[ids] + places[: ids.shape[1]] + kinds[0])

    def _layer(self, name: str, state: Any, mask: Any) -> Any:
        from torch.nn.functional import gelu, scaled_dot_product_attention

        texts, length, width = state.shape
        query, key, value = (
            self._dense(f"{name}.attention.self.{part}", state).view(texts, length, _HEADS, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        heard = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)
        heard = self._dense(f"{name}.attention.output.dense", heard.reshape(texts, length, width))
        state = self._norm(f"{name}.attention.output", state + heard)
        wide = gelu(self._dense(f"{name}.intermediate.dense", state))
        return self._norm(f"{name}.output", state + self._dense(f"{name}.output.dense", wide))

    def _dense(self, name: str, state: Any) -> Any:
        from torch.nn.functional import linear

        return linear(state, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, state: Any) -> Any:
        from torch.nn.functional import layer_norm

        weight, bias = self._weights[f"{name}.LayerNorm.weight"], self._weights[f"{name}.LayerNorm.bias"]
        return layer_norm(state, weight.shape, weight, bias, _EPS)
