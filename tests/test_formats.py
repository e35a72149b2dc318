"""Formats of `gen_t2m.py` and `convert.py`: which files are written, from what, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from gen_t2m import save_all
from lamp.options.gen import GenOptions
from lamp.utils.motion import Motion
from tests.test_export import kit_motion, walk


@pytest.mark.parametrize(
    ("flags", "kinds"),
    [
        ({}, {"npy", "bvh", "mp4"}),
        ({"video": False, "npz": True}, {"npy", "bvh", "npz"}),
        ({"formats": ["npz", "bvh", "npz"]}, {"npz", "bvh"}),
        ({"formats": ["npy", "mp4"], "video": False}, {"npy"}),
    ],
)
def test_formats_of_a_motion(flags: dict, kinds: set[str], tmp_path: Path) -> None:
    options = GenOptions(text_prompt="walk", **flags)
    first = save_all(Motion(walk(8)), tmp_path, 0, 0, options)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert first in files and {path.suffix[1:] for path in files} == kinds
    assert {path.stem for path in files} == {"sample0_repeat0_len8", "sample0_repeat0_len8_ik"}
    assert all((path.suffix in (".npy", ".npz")) == (path.parent.parent.name == "joints") for path in files)


def test_formats_of_a_kit_motion(tmp_path: Path) -> None:
    save_all(Motion(kit_motion(8)), tmp_path, 0, 0, GenOptions(text_prompt="walk", formats=["npy", "npz", "bvh"]))
    assert {path.suffix for path in tmp_path.rglob("*.*")} == {".npy", ".npz", ".bvh"}
    assert np.load(next(tmp_path.rglob("*.npy"))).shape == (8, 21, 3)
