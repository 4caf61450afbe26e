"""All routes, in files by what they are about; each file declares its own."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from skillfleet_nb.server.route import Route


def routes() -> list[Route]:
    """Return every route that a module of this package declares.

    Examples
    --------
    >>> sorted({one.permission for one in routes()})
    ['execute', 'read', 'write']
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__, f"{__name__}."))
    return [one for name in names for one in vars(import_module(name)).values() if isinstance(one, Route)]
