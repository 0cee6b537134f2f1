"""States of the Mersenne Twister, the algorithm of `random` and of numpy's global generator.

Each draw moves the generator to the next state of one long sequence; a seed sets a state elsewhere in the sequence. So
two states show whether the generator was seeded between them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_WORDS = 624  # number of words (32 bits) in one block
_LARGEST_SEARCH = 20_000  # maximum number of blocks to search, which take 50 MB and about 50 ms
# Maximum number of blocks to search if no word of the block was drawn, which is usual after a seed and rare otherwise.
_SEARCH_AT_START = 1_000


@dataclass(frozen=True, slots=True)
class Twister:
    """A state: a block of words, and how many words of the block have been drawn."""

    key: tuple[int, ...]
    position: int
    rest: object = None  # a normally distributed number that the generator has computed in advance, if any

    def continues(self, before: Twister) -> bool:
        """Return whether the generator got from `before` to this state only by drawing numbers, without a new seed.

        If more than 12 million words were drawn, return False, because the search would take too long.
        Return False also for more than 0.6 million words if the last drawn word ends a block.
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
