"""Which requests a run has made, in memory that does not grow with them."""

from __future__ import annotations

_BITS = 1 << 23  # 1 MiB; of 200,000 requests one in 10,000 is then taken for a repeated one
_HASHES = 4


class Seen:
    """Remembers keys, as a Bloom filter does: now and then a new one is taken for one that was seen.

    Examples
    --------
    >>> seen = Seen()
    >>> seen.add(7), seen.add(8), seen.add(7)
    (False, False, True)
    """

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)

    def add(self, key: int) -> bool:
        """Take in a key; tell whether it was there."""
        there = True
        for n in range(_HASHES):
            place, bit = divmod(hash((n, key)) % _BITS, 8)
            there &= bool(self._bits[place] >> bit & 1)
            self._bits[place] |= 1 << bit
        return there
