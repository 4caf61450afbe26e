"""``%skillfleet`` and ``%%skillfleet``: the command tree in a notebook."""

from skillfleet_nb.magics.magics import SkillfleetMagics, register, unregister

__all__ = ["SkillfleetMagics", "register", "unregister"]
