"""States of the Mersenne Twister, which drives `random` and the global generator of numpy.

Draws lead from a state to its successors; a seed sets a state that is none of them. So comparing two states
shows whether the generator was seeded in between.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_WORDS = 624  # words of 32 bits in one block
_LARGEST_SEARCH = 20_000  # blocks of words, which take 50 MB and about 50 ms
_SEARCH_AT_START = 1_000  # the same if no word of the block has been drawn, as after a seed and rarely otherwise


@dataclass(frozen=True, slots=True)
class Twister:
    """A state: a block of words, and the number of words of it that have been drawn."""

    key: tuple[int, ...]
    position: int
    rest: object = None  # a normal variate that was drawn in advance

    def continues(self, before: Twister) -> bool:
        """Return whether draws alone, without a seed, led from `before` to this state.

        More than 12 million drawn words count as a seed, because the search would take too long; so do more than 0.6
        million if they end with a block.
        """
        if self.key == before.key:
            return self.position >= before.position
        start, blocks = self._first_words(), 1
        generator = before._at_start()
        generator.getrandbits(32 * _WORDS)
        done = 0
        most = _LARGEST_SEARCH if self.position < _WORDS else _SEARCH_AT_START
        while done < most:
            stream = generator.getrandbits(32 * _WORDS * blocks).to_bytes(4 * _WORDS * blocks, "little")
            if any(stream.startswith(start, 4 * _WORDS * block) for block in range(blocks)):
                return True
            done += blocks
            blocks = min(2 * blocks, 2048, max(most - done, 1))
        return False

    def _first_words(self) -> bytes:
        return self._at_start().getrandbits(128).to_bytes(16, "little")

    def _at_start(self) -> random.Random:
        generator = random.Random()
        generator.setstate((3, (*self.key, 0), None))
        return generator
