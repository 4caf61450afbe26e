"""Where vectors are made and compared: on a GPU where there is one, else on the processor.

PyTorch calls GPUs of NVIDIA and, in its builds for ROCm, those of AMD ``cuda``.  None is ever required: ``auto`` takes
one where PyTorch sees it, and what does not fit into its memory is done in smaller parts, at last on the processor.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

CPU: Final = "cpu"
_SHARE: Final = 0.5  # of the free memory that a pass may take: others use the device as well
_DRIVERS: Final = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA, of AMD, of either within WSL
_Items = TypeVar("_Items", "list[list[int]]", "Vectors")
_Made = TypeVar("_Made")


def chosen(asked: str = "auto") -> str:
    """Return the device of PyTorch that is used.

    Parameters
    ----------
    asked
        ``"auto"``, ``"cpu"``, ``"mps"``, ``"cuda"``, or one of several GPUs, such as ``"cuda:1"``.

    Raises
    ------
    InputError
        If a device was asked for that is not there.

    Examples
    --------
    >>> chosen("cpu")
    'cpu'
    """
    if asked == CPU or (asked == "auto" and not _may_be_there()):
        return CPU
    if importlib.util.find_spec("torch") is None:
        if asked == "auto":
            return CPU
        raise InputError(f"device = {asked!r}: PyTorch is not installed: pip install 'skillfleet-nb[gpu]'")
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else CPU
    kind, _, number = asked.partition(":")
    there = torch.backends.mps.is_available() if kind == "mps" else torch.cuda.is_available()
    if not there or int(number or 0) >= max(1, torch.cuda.device_count()):
        raise InputError(
            f"device = {asked!r} is not there: {_why(torch)}; set device = 'auto', or 'cpu', in config.toml "
            "(SKILLFLEET_DEVICE)"
        )
    return asked


def described(device: str) -> str:
    """Say what a device is: a GPU's name and memory."""
    if not device.startswith("cuda"):
        return "no GPU" if device == CPU else device
    import torch

    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def fitting(device: str, item_bytes: int, *, least: int, most: int) -> int:
    """Return how many items go into a pass: by the free memory of a GPU, the least elsewhere."""
    if not device.startswith("cuda"):
        return least
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(most, int(_SHARE * free) // item_bytes))


def in_parts(
    items: _Items,
    size: int,
    work: Callable[[_Items], _Made],
    at_last: Callable[[_Items], _Made],
) -> list[_Made]:
    """Do work part by part; what does not fit into the memory of a device in halves, one item by itself at last.

    Parameters
    ----------
    items
        What there is to do.
    size
        Items of a part, from 1.
    work
        Does a part on the device; it may run out of memory.
    at_last
        Does a single item where even that did not fit, on the processor.
    """
    import torch

    made, start = [], 0
    while start < len(items):
        part = items[start : start + size]
        try:
            made.append(work(part))
        except torch.OutOfMemoryError:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if len(part) > 1:
                size = len(part) // 2
                continue
            made.append(at_last(part))
        start += len(part)
    return made


class Product:
    """Products of matrices with one that stays, in single precision, on a device as long as it fits there.

    On a GPU sums are added in another order, so that an entry differs from the processor's by rounding: for vectors of
    length 1 by less than 1e-5.

    Parameters
    ----------
    right
        The matrix that stays, shape (d, m).
    device
        Of PyTorch; on ``"cpu"`` NumPy multiplies.

    Examples
    --------
    >>> import numpy as np
    >>> Product(np.eye(2, dtype=np.float32), "cpu")(np.ones((1, 2), np.float32)).tolist()
    [[1.0, 1.0]]
    """

    def __init__(self, right: Vectors, device: str) -> None:
        self._right, self._device = right, device
        self._there: Any = None

    def __call__(self, left: Vectors) -> Vectors:
        """Multiply, shape (n, d), from the left."""
        import numpy as np

        if self._device == CPU:
            return left @ self._right
        size = fitting(self._device, 4 * (left.shape[1] + self._right.shape[1]), least=len(left), most=len(left))
        parts = in_parts(left, size, self._on_device, lambda part: part @ self._right)
        made: Vectors = np.concatenate(parts)
        return made

    def _on_device(self, left: Vectors) -> Vectors:
        import numpy as np
        import torch

        if self._there is None:
            self._there = torch.from_numpy(np.ascontiguousarray(self._right)).to(self._device)
        made: Vectors = (torch.from_numpy(np.ascontiguousarray(left)).to(self._device) @ self._there).cpu().numpy()
        return made


def _may_be_there() -> bool:
    """Whether there may be a GPU: no driver has its file where there is none, and PyTorch takes a second to import."""
    return sys.platform != "linux" or any(map(os.path.exists, _DRIVERS))


def _why(torch: Any) -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} is built for the processor alone"
    return f"PyTorch sees {torch.cuda.device_count()} GPUs"
