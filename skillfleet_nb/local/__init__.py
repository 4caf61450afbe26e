"""A small real language model on this machine: weights from a package or a file, no key and no network.

``weights`` finds and checks a file of weights, whose header ``gguf`` reads; ``process`` is the process that holds them
in memory, ``host`` starts it and finds it again, and ``engine`` is the door: it asks that process as any program asks
an OpenAI-compatible server.  The function at the front door is ``local_lm``.
"""

from skillfleet_nb.local.engine import local_lm

__all__ = ["local_lm"]
