"""How many model calls an optimizer makes: its loop, played through many times without a model.

An optimizer's number of calls depends on scores that nobody knows beforehand: how many traces succeed,
which proposals are taken, which programs come twice and are answered from the cache.  So an optimizer
plays its own loop on a :class:`Rehearsal`, which counts what a real run would ask, and
:func:`rehearsed` does so many times.  The spread of the counts is the interval.

``calls`` holds the counts and ``run`` the rehearsed run; the other modules are the loops of DSPy's
optimizers, as DSPy 3.4.1 goes through them.
"""

from skillfleet_nb.optimizers.rehearsal.calls import Calls, Shape, Use, together, uses
from skillfleet_nb.optimizers.rehearsal.run import Rehearsal, State, rehearsed

__all__ = ["Calls", "Rehearsal", "Shape", "State", "Use", "rehearsed", "together", "uses"]
