"""Groups of pieces (cells or parts of cells) that become one task each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Groups:
    """Groups of pieces that become one task each, and the reasons for joining them."""

    members: list[int]  # positions of all pieces that do work
    label: Callable[[int], str]  # returns the name of a piece in a reason: "cell 8"
    after: Mapping[int, set[int]]  # key: piece; value: pieces that must stay below it
    # Key: pair of pieces that may use one file, although not both name the file; value: why the second must run later.
    files: Mapping[tuple[int, int], str] = field(default_factory=dict)
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
        between = self.between(first, second)
        self.root[second] = first
        self.reasons[max(one, other)].append(reason)
        for each in sorted(between):
            head = min(self.find(first), each)
            self.root[self.find(first)] = self.root[each] = head
            self.reasons[each].append(f"{self.label(each)} lies between other cells of this task")

    def between(self, one: int, other: int) -> set[int]:
        """Return the groups on the paths between the groups of two pieces, in either direction."""
        links = self.links()
        first, second = self.find(one), self.find(other)
        below_first, below_second = _reached(links, first), _reached(links, second)
        found = {each for each in below_first if second in _reached(links, each)}
        found |= {each for each in below_second if first in _reached(links, each)}
        return found - {first, second}

    def groups(self) -> dict[int, list[int]]:
        """Return the pieces of each group, in notebook order. Key: the first piece of the group."""
        found: dict[int, list[int]] = defaultdict(list)
        for piece in self.members:
            found[self.find(piece)].append(piece)
        return found

    def links(self) -> dict[int, set[int]]:
        """For each group, return the groups that must stay below it."""
        return self.linked((piece, each) for piece, below in self.after.items() for each in below)

    def linked(self, pairs: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
        """For each group, return the groups below it according to `pairs`: (upper piece, lower piece)."""
        found: dict[int, set[int]] = {self.find(piece): set() for piece in self.members}
        for above, below in pairs:
            head, other = self.find(above), self.find(below)
            if head != other:
                found[head].add(other)
        return found

    def ordered(self) -> list[list[int]]:
        """Return the groups, sorted so that each group comes after all groups that it needs."""
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


def ancestors(links: Mapping[int, set[int]], group: int) -> set[int]:
    """Return the groups from which `group` can be reached through these links."""
    return {each for each in links if group in _reached(links, each)}


def _reached(links: Mapping[int, set[int]], start: int) -> set[int]:
    seen: set[int] = set()
    ahead = list(links[start])
    while ahead:
        group = ahead.pop()
        if group not in seen:
            seen.add(group)
            ahead.extend(links[group])
    return seen
