"""The command tree that ``%skillfleet``, ``%%skillfleet`` and the ``skillfleet`` shell command share.

``tree`` is the grammar, ``resolve`` turns names into objects, ``handlers`` call the facade, and
``views`` shows what came back.  A surface supplies a :class:`Context` and displays the answer.
"""

from skillfleet_nb.commands.context import Context
from skillfleet_nb.commands.tree import HelpText, one_line, run

__all__ = ["Context", "HelpText", "one_line", "run"]
