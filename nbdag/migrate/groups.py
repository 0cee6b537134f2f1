"""Groups of pieces that become one task each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Groups:
    """Groups of pieces that become one task each, and the reasons for joining them."""

    members: list[int]  # positions of all pieces that do work
    after: Mapping[int, set[int]]  # key: piece; value: pieces that must stay below it
    files: Sequence[tuple[int, int]] = ()  # pairs of pieces that use files, of which one is not named by a literal
    root: dict[int, int] = field(default_factory=dict)
    # Key: piece; value: why it is joined or ordered.
    reasons: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def find(self, piece: int) -> int:
        """Return the first piece of the group that contains this piece."""
        while (above := self.root.get(piece, piece)) != piece:
            piece = above
        return piece

    def join(self, one: int, other: int, reason: str) -> None:
        """Join the groups of two pieces, and every group on a path between them."""
        first, second = sorted((self.find(one), self.find(other)))
        if first == second:
            return
        self.root[second] = first
        self.reasons[max(one, other)].append(reason)
        for circle in _circles(self.links()):
            head = min(circle)
            for each in circle - {head}:
                self.root[each] = head
                self.reasons[each].append("lies between cells of this task")

    def groups(self) -> dict[int, list[int]]:
        """Return the pieces of each group, in notebook order, by the group's first piece."""
        found: dict[int, list[int]] = defaultdict(list)
        for piece in self.members:
            found[self.find(piece)].append(piece)
        return found

    def links(self) -> dict[int, set[int]]:
        """Return the groups that must stay below each group."""
        found: dict[int, set[int]] = {self.find(piece): set() for piece in self.members}
        for piece, below in self.after.items():
            head = self.find(piece)
            found[head] |= {self.find(each) for each in below} - {head}
        return found

    def ordered(self) -> list[list[int]]:
        """Return the groups in an order in which a cell runs after everything that it needs."""
        groups, links = self.groups(), self.links()
        waiting = {head: sum(head in below for below in links.values()) for head in groups}
        found = []
        while waiting:
            head = min(head for head, count in waiting.items() if not count)
            del waiting[head]
            found.append(groups[head])
            for below in links[head]:
                waiting[below] -= 1
        return found


def _circles(links: Mapping[int, set[int]]) -> list[set[int]]:
    """Return the strongly connected components with more than one group."""
    reach: dict[int, set[int]] = {}
    for start in links:
        seen: set[int] = set()
        ahead = list(links[start])
        while ahead:
            group = ahead.pop()
            if group not in seen:
                seen.add(group)
                ahead.extend(links[group])
        reach[start] = seen
    found: list[set[int]] = []
    for group in links:
        if group in reach[group] and not any(group in circle for circle in found):
            found.append({other for other in reach[group] if group in reach[other]})
    return found
