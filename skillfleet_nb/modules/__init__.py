"""DSPy modules by name and version, found through entry points, made from a configuration that is checked.

What the author of one needs is here, and nothing else of the package is needed.
"""

from skillfleet_nb.errors import InputError
from skillfleet_nb.modules.base import ModuleConfig, ModuleFactory
from skillfleet_nb.modules.registry import ModuleInfo, available, create

__all__ = ["InputError", "ModuleConfig", "ModuleFactory", "ModuleInfo", "available", "create"]
