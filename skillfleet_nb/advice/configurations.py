"""What is recommended from: every installed optimizer, at each of the presets that it declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillfleet_nb.optimizers import Preset


@dataclass(frozen=True, eq=False)
class Configuration:
    """An optimizer at one of its presets."""

    optimizer: str
    preset: Preset

    @property
    def name(self) -> str:
        """For people: ``"miprov2 light"``."""
        return f"{self.optimizer} {self.preset.size}".rstrip()

    @property
    def params(self) -> dict[str, Any]:
        """The parameters it runs with, those that differ from the defaults."""
        return dict(self.preset.params)


class Installed(NamedTuple):
    """Every configuration, the weakest first by what is expected of it; and why an optimizer has none, in words."""

    configurations: tuple[Configuration, ...]
    unusable: tuple[str, ...] = ()

    def of_run(self, optimizer: str, params: Mapping[str, Any]) -> Configuration | None:
        """Return the configuration that a run was one of.

        The only one of its optimizer, or the first that no parameter contradicts; None where there is none.

        Examples
        --------
        >>> [str(c and c.name) for c in (
        ...     installed().of_run("miprov2", {"auto": "medium"}), installed().of_run("copro", {"depth": 3}),
        ...     installed().of_run("gepa", {}), installed().of_run("gepa", {"auto": "heavy"}))]
        ['miprov2 medium', 'copro', 'gepa light', 'None']
        """
        own = [c for c in self.configurations if c.optimizer == optimizer]
        if len(own) == 1:
            return own[0]
        return next((c for c in own if all(params.get(k) in (None, v) for k, v in c.preset.params.items())), None)


def installed() -> Installed:
    """Read what installed optimizers declare; one that cannot be loaded is named, and stands in no other's way.

    Examples
    --------
    >>> [c.name for c in installed().configurations if c.optimizer == "gepa"]
    ['gepa light', 'gepa medium']
    """
    from skillfleet_nb.optimizers.registry import classes

    every = classes()
    configurations = [
        Configuration(name, preset)
        for name, c in every.items()
        if not isinstance(c, InputError)
        for preset in c.presets
    ]
    unusable = [str(c) for c in every.values() if isinstance(c, InputError)]
    ordered = sorted(configurations, key=lambda c: (c.preset.prior_gain, c.name))
    return Installed(tuple(ordered), tuple(unusable))
