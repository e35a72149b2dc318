"""The tree of a capture skeleton: who hangs on whom, and how long the bones are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from lamp.utils.capture.joint_map import Source
from lamp.utils.capture.take import Take

# Where spine1 to spine3 lie on the way from pelvis to neck, in skeletons with three joints between them.
_SPINE_SHARES = (12 / 54, 27 / 54, 42 / 54)
_NO_LENGTH = 1e-3
"""Bones shorter than this part of the chain have no length of their own."""


@dataclass(frozen=True, eq=False)
class Tree:
    """A skeleton, or what hangs on one of its roots.

    Attributes:
        names, parents: of all joints; -1 for a root.
        lengths: (N,) of the bones to the parents.
        positions: (T, N, 3).
        joints: those that are part of this tree, parents first.
    """

    names: list[str]
    parents: list[int]
    lengths: Tensor
    positions: Tensor
    joints: list[int]

    @classmethod
    def of(cls, take: Take) -> "Tree":
        """The tree of all joints of a take."""
        parents = torch.tensor([max(parent, 0) for parent in take.parents])
        first = take.positions[0]
        return cls(
            take.names, take.parents, (first - first[parents]).norm(dim=-1), take.positions, list(range(len(parents)))
        )

    def roots(self) -> list["Tree"]:
        """The tree below each root."""
        root = list[int]()
        for joint, parent in enumerate(self.parents):
            root.append(joint if parent < 0 else root[parent])
        return [replace(self, joints=[j for j in self.joints if root[j] == top]) for top in dict.fromkeys(root)]

    @cached_property
    def index(self) -> dict[str, int]:
        """Joints by name."""
        return {self.names[joint]: joint for joint in self.joints}

    @cached_property
    def children(self) -> dict[int, list[int]]:
        """Children of each joint."""
        children: dict[int, list[int]] = {joint: [] for joint in self.joints}
        for joint in self.joints:
            if self.parents[joint] >= 0:
                children[self.parents[joint]].append(joint)
        return children

    def ancestors(self, joint: int) -> list[int]:
        """The joints above a joint, nearest first."""
        above = []
        while (joint := self.parents[joint]) >= 0:
            above.append(joint)
        return above

    def hangs_on(self, name: str, other: str) -> bool:
        """Whether a joint is below another."""
        return self.index[other] in self.ancestors(self.index[name])

    def only_child(self, name: str) -> str | None:
        """The child that goes on from a joint: its only one, or the one called toe; None if it has no length."""
        children = self.children[self.index[name]]
        if len(children) > 1:
            children = [child for child in children if "toe" in self.names[child].casefold()]
        return self.names[children[0]] if len(children) == 1 and self.lengths[children[0]] > 0 else None

    def between(self, lower: str, upper: str) -> list[str]:
        """The joints between two, from `lower`, or what is above it, to `upper`."""
        stop = {self.index[lower], *self.ancestors(self.index[lower])}
        chain = []
        for joint in self.ancestors(self.index[upper]):
            if joint in stop:
                break
            chain.append(self.names[joint])
        return chain[::-1]


def spine_sources(tree: Tree, pelvis: str, trunk: Sequence[str], neck: str) -> list[Source]:
    """Sources of spine1 to spine3 from the chain of joints between pelvis and neck.

    Three joints are the three; fewer, more, or joints on the same spot are replaced by points along the chain.
    """
    chain = [pelvis, *trunk, neck]
    places = tree.positions[0][[tree.index[name] for name in chain]]
    steps = (places[1:] - places[:-1]).norm(dim=-1)
    if len(trunk) == len(_SPINE_SHARES) and bool((steps > _NO_LENGTH * steps.sum()).all()):
        return list(trunk)
    reached = [0.0, *steps.cumsum(0).tolist()]
    sources: list[Source] = []
    for share in _SPINE_SHARES:
        way = share * reached[-1]
        k = next((i for i in range(1, len(reached) - 1) if reached[i] >= way), len(reached) - 1)
        t = (way - reached[k - 1]) / (reached[k] - reached[k - 1]) if reached[k] > reached[k - 1] else 0.0
        sources.append((chain[k - 1], chain[k], round(t, 4)))
    return sources
