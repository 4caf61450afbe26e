"""The offline language model: a deterministic in-context learner, no weights, no network.

``text`` turns prose into evidence, ``prompt`` reads what DSPy's adapters write and ``reply`` writes back;
``notes`` reads and writes what an instruction knows; ``evidence`` chooses labels, ``induce`` makes text and
lists, ``quantity`` numbers, and ``answer`` puts them together for a task; ``mine`` and ``propose`` serve the
optimizers' proposers; ``engine`` is the door.
"""

from skillfleet_nb.offline.engine import OfflineEngine, offline_lm

__all__ = ["OfflineEngine", "offline_lm"]
