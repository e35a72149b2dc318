"""The viewer: motions, three.js and what moves them, in one HTML file.

`viewer.html`, `viewer.css` and `viewer.js` are the page; `three/three.min.js` are the parts of three.js (MIT) that it
draws with, made by `three/build.sh`. A motion is stored as the mannequin's mesh and the rotations of its bones.
"""

import base64
import html
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from lamp.utils.errors import UserError
from lamp.utils.export.npz import foot_contacts
from lamp.utils.files import atomic_path
from lamp.utils.gltf.animation import rest_positions
from lamp.utils.gltf.mannequin import COLORS, Mesh, build_mannequin

if TYPE_CHECKING:
    from lamp.utils.motion import Motion

HERE = Path(__file__).resolve().parent
MOST_MOTIONS = 64
_UNTITLED = "Motion"


def write(motion: "Motion", path: Path) -> None:
    """Write a page with one motion, whose text is the title."""
    save_page(viewer_page([(motion, motion.text)]), path)


def save_page(page: str, path: Path) -> None:
    """Write a page aside, then rename it."""
    with atomic_path(path) as aside:
        aside.write_text(page, encoding="utf-8")


def viewer_page(shown: "Sequence[tuple[Motion, str]]", heading: str = "") -> str:
    """A whole HTML document that plays motions side by side; it asks nothing of the network.

    It may also be the content of an `iframe` (`srcdoc`).

    Args:
        shown: motions with their titles, of any lengths, rates and skeletons.
        heading: the page's title; by default that of a single motion, or how many there are.

    Raises:
        UserError: no motion, or more than a browser can show.
    """
    if not 1 <= len(shown) <= MOST_MOTIONS:
        raise UserError(f"{len(shown)} motions on a page; show 1 to {MOST_MOTIONS}")
    titles = [" ".join(title.split()) or f"{_UNTITLED} {i}" for i, (_, title) in enumerate(shown, start=1)]
    if not heading:
        heading = shown[0][1] or _UNTITLED if len(shown) == 1 else f"{len(shown)} motions"
    data = {
        "heading": heading,
        "colors": {name: "#{:02x}{:02x}{:02x}".format(*color) for name, color in COLORS.items()},
        "motions": [_facts(motion, title) for (motion, title) in zip((motion for motion, _ in shown), titles)],
    }
    # A title must not end the script that holds it.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    parts = {name: _part(file) for name, file in _PARTS.items()}
    return Template(_part("viewer.html")).substitute(heading=html.escape(heading), motions=text, **parts)


_PARTS = {"style": "viewer.css", "script": "viewer.js", "library": "three/three.min.js"}


@cache
def _part(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8").strip()


def _facts(motion: "Motion", title: str) -> dict[str, Any]:
    """A motion as `viewer.js` reads it; arrays are base64 of little-endian numbers.

    offsets (J, 3) float32: rest place of each bone in its parent, metres. rotations (T, J, 4) int16: (x, y, z, w) times
    32767. root (T, 3) float32, metres. contacts (T, 4) uint8: left ankle and toe, right ankle and toe, which are the
    bones `feet`.
    """
    fit = motion.rotations()
    plan, rest = fit.plan, rest_positions(fit)
    offsets = rest - rest[[max(parent, 0) for parent in plan.parents]]
    offsets[0] = rest[0]
    feet = [plan.roles[f"{side}{part}"] for side in ("left", "right") for part in ("Foot", "Toes")]
    return {
        "title": title,
        "fps": motion.fps,
        "frames": len(motion),
        "parents": list(plan.parents),
        "feet": feet,
        "offsets": _packed(offsets, "<f4"),
        "rotations": _packed(np.rint(fit.rotations[..., [1, 2, 3, 0]] * 32767), "<i2"),
        "root": _packed(fit.root * fit.millimetres / 1000, "<f4"),
        "contacts": _packed(foot_contacts(fit, motion.fps), "u1"),
        "mesh": _surface(build_mannequin(rest)),
    }


def _surface(mesh: Mesh) -> dict[str, Any]:
    weights = np.rint(mesh.weights * 255).astype(np.int64)
    weights[np.arange(len(weights)), weights.argmax(1)] += 255 - weights.sum(1)
    return {
        "positions": _packed(mesh.positions, "<f4"),
        "normals": _packed(np.rint(mesh.normals * 127), "i1"),
        "joints": _packed(mesh.joints, "u1"),
        "weights": _packed(weights, "u1"),
        "triangles": {name: _packed(faces, "<u2") for name, faces in mesh.triangles.items()},
    }


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode()
