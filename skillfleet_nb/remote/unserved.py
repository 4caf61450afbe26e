"""What a server's side of the package lacks says so by its name."""

from __future__ import annotations

from typing import Any, ClassVar

from skillfleet_nb.errors import NotRemoteError


class Unserved:
    """Base of what stands for a part of ``Fleet`` that a server answers.

    An attribute that it does not have raises `NotRemoteError`, an `AttributeError`: with the name as ``_called``
    writes it, and where it can be used instead.
    """

    _called: ClassVar[str] = "{name!r}"
    _instead: ClassVar[str] = "use it in a notebook or shell of the server's machine"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotRemoteError(f"{self._called.format(name=name)} is not there over HTTP: {self._instead}")
