"""A joint map from the structure of a skeleton alone: chains, sides and bone lengths, where no names are known."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from lamp.utils.capture.joint_map import JointMap
from lamp.utils.capture.joint_names import END
from lamp.utils.capture.tree import Tree, spine_sources

_ALIKE = 0.1
"""Greatest difference of two limbs' lengths, as a part of the longer one."""
_CLEAR = 0.9
"""Two bones are a limb's if no other two of its chain are longer than this part of them."""
_LIMB = 0.25
"""Shortest limb, as a part of the longest way from the root to an end."""
_SIDES = {"left": ("l", "左"), "right": ("r", "右")}
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|左|右")


@dataclass(frozen=True)
class _Pair:
    """Two limbs alike that hang on the same joint: their first joints, and the way to their ends."""

    joint: int
    first: tuple[int, int]
    reach: float


def map_by_structure(tree: Tree) -> tuple[JointMap, int, str] | None:
    """Joint map, lead-in (none) and a note of what was supposed; None where the structure is not that of a person.

    Legs and arms are the two pairs of longest equal chains, legs below arms. In a limb the two longest bones that
    follow each other end in hip, knee and ankle, or shoulder, elbow and wrist. Which side is left the names say, or
    else the toes: left is left of where they point.
    """
    reach = _reaches(tree)
    pairs = _pairs(tree, reach)
    if pairs is None:
        return None
    legs, arms = pairs
    above = [c for c in tree.children[arms.joint] if c not in arms.first and c not in legs.first]
    if not above:
        return None
    neck, *rest = _way(tree, reach, max(above, key=lambda c: reach[c]))
    if not rest:
        return None
    names, limbs = tree.names, _limbs(tree, reach, legs, arms)
    if limbs is None:
        return None
    leftward = _leftward(tree, limbs[0], legs.joint, rest[0])
    sides = [_side(tree, pair, leftward) for pair in limbs]
    if None in sides:
        return None
    if sides[0] != sides[1]:
        limbs[1].reverse()
    head = (names[neck], names[rest[0]], 0.6) if names[rest[0]].endswith(END) else names[rest[0]]
    pelvis = names[legs.joint]
    trunk = [*tree.between(pelvis, names[arms.joint]), *([names[arms.joint]] if arms.joint != legs.joint else [])]
    found: JointMap = {"pelvis": pelvis, "neck": names[neck], "head": head}
    found |= dict(zip(("spine1", "spine2", "spine3"), spine_sources(tree, pelvis, trunk, names[neck])))
    for side, leg, arm in zip((sides[0], "left" if sides[0] == "right" else "right"), *limbs):
        found |= {f"{side}_{part}": names[joint] for part, joint in zip(("hip", "knee", "ankle", "foot"), leg[1:])}
        found |= {f"{side}_{part}": names[joint] for part, joint in zip(("shoulder", "elbow", "wrist"), arm[1:])}
        collar = arm[0]
        found[f"{side}_collar"] = (names[arms.joint], names[arm[1]], 0.5) if collar == arms.joint else names[collar]
    return found, 0, "joints were recognised by the skeleton's structure alone; --joint_map FILE.json states them"


def _reaches(tree: Tree) -> dict[int, float]:
    """Longest way down from each joint, its own bone included."""
    reach = dict.fromkeys(tree.joints, 0.0)
    for joint in reversed(tree.joints):
        reach[joint] = float(tree.lengths[joint]) + max((reach[c] for c in tree.children[joint]), default=0.0)
    return reach


def _way(tree: Tree, reach: dict[int, float], joint: int) -> list[int]:
    """The longest chain from a joint down."""
    way = [joint]
    while children := tree.children[way[-1]]:
        way.append(max(children, key=lambda c: reach[c]))
    return way


def _pairs(tree: Tree, reach: dict[int, float]) -> tuple[_Pair, _Pair] | None:
    """Legs and arms."""
    longest = max(reach.values())
    pairs = []
    for joint in tree.joints:
        limbs = sorted((c for c in tree.children[joint] if reach[c] > _LIMB * longest), key=lambda c: -reach[c])
        for i, a in enumerate(limbs):
            for b in limbs[i + 1 :]:
                if reach[a] - reach[b] <= _ALIKE * reach[a] and _depth(tree, reach, a) == _depth(tree, reach, b):
                    pairs.append(_Pair(joint, (a, b), reach[a] + reach[b]))
    pairs.sort(key=lambda pair: -pair.reach)
    for i, pair in enumerate(pairs):
        for other in pairs[i + 1 :]:
            if set(pair.first) & set(other.first):
                continue
            for legs, arms in ((pair, other), (other, pair)):
                over = tree.ancestors(arms.joint)
                if legs.joint in over and not set(legs.first) & {arms.joint, *over}:
                    return legs, arms
    return None


def _depth(tree: Tree, reach: dict[int, float], joint: int) -> int:
    return len(_way(tree, reach, joint))


def _limbs(
    tree: Tree, reach: dict[int, float], legs: _Pair, arms: _Pair
) -> tuple[list[list[int]], list[list[int]]] | None:
    """Of both legs and both arms the joint before the limb, then its joints; a leg's fourth is the toe."""
    found: list[list[list[int]]] = []
    for pair, count in ((legs, 5), (arms, 4)):
        limbs = []
        for first in pair.first:
            way = [pair.joint, *_way(tree, reach, first)]
            bones = [float(tree.lengths[joint]) for joint in way]
            sums = {i: bones[i + 1] + bones[i + 2] for i in range(1, len(way) - 2)}
            start = max(sums, key=lambda i: sums[i], default=0)
            # Where a collar bone is nearly as long as a forearm, nothing is known.
            if not start or any(total > _CLEAR * sums[start] for i, total in sums.items() if i != start):
                return None
            limbs.append(way[start - 1 : start - 1 + count])
        if any(len(limb) < count for limb in limbs):
            return None
        found.append(limbs)
    return found[0], found[1]


def _leftward(tree: Tree, legs: list[list[int]], pelvis: int, head: int) -> Tensor:
    """Direction (T, 3) to the body's left: up from pelvis to head, forward where the toes point."""
    places = tree.positions
    toes = sum((places[:, leg[4]] - places[:, leg[3]] for leg in legs), torch.zeros_like(places[:, 0]))
    return torch.linalg.cross(places[:, head] - places[:, pelvis], toes)


def _side(tree: Tree, limbs: list[list[int]], leftward: Tensor) -> str | None:
    """Side of the first of two limbs, by their names or else by their places; None if neither tells."""
    named = [_side_by_name([tree.names[joint] for joint in limb[1:]]) for limb in limbs]
    if set(named) == {"left", "right"}:
        return named[0]
    across = tree.positions[:, limbs[0][1]] - tree.positions[:, limbs[1][1]]
    lean = float((across * leftward).sum(-1).mean())
    return None if lean == 0 else "left" if lean > 0 else "right"


def _side_by_name(names: list[str]) -> str:
    """The side that all names of a limb speak of, or ""."""
    said = []
    for name in names:
        words = [word.casefold() for word in _WORDS.findall(name)]
        said.append({s for s, short in _SIDES.items() if any(w in short or w.startswith(s) for w in words)})
    common = set.intersection(*said)
    return common.pop() if len(common) == 1 else ""
