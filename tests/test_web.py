"""The pages of docs/web.md, as they stand there, in a browser."""

import re
import time
from pathlib import Path

import numpy as np
import pytest

from lamp.utils.motion import Motion
from tests.browser import opened, pixels, served, troubles
from tests.marks import NPM, needs_npm
from tests.rigs import ODD, Recipe, build
from tests.test_export import walk

DOCS = Path(__file__).resolve().parent.parent / "docs"


def page(number: int) -> str:
    """A page of docs/web.md."""
    return re.findall(r"^```html\n(.*?)^```", (DOCS / "web.md").read_text(encoding="utf-8"), re.M | re.S)[number]


@needs_npm("three", "@pixiv/three-vrm", "@pixiv/three-vrm-animation")
@pytest.mark.browser
@pytest.mark.parametrize("kind", ["glb", "vrm 1.0", "vrm 0.x"])
def test_pages_of_the_documentation_play_the_motion(kind: str, tmp_path: Path) -> None:
    motion = Motion(walk(40)).with_constant_bones()
    motion.save(tmp_path / "motion.glb")
    motion.save(tmp_path / "motion.vrma")
    version = kind.removeprefix("vrm ") if kind != "glb" else "1.0"
    build(Recipe(ODD, vrm=version, yaw=np.pi if version == "0.x" else 0.0), tmp_path / "avatar.vrm")
    (tmp_path / "node_modules").symlink_to(NPM / "node_modules")
    (tmp_path / "favicon.ico").touch()  # browsers ask for it
    (tmp_path / "page.html").write_text(page(int(kind != "glb")), encoding="utf-8")
    with served(tmp_path) as address, opened(320, 320) as driver:
        driver.get(f"{address}/page.html")
        pictures, begun = [], time.monotonic()
        while len(pictures) < 2 and time.monotonic() - begun < 120:
            time.sleep(0.5)
            picture = pixels(driver)
            # A body is what is neither background nor the grey lines of the grid.
            if (picture.max(-1) - picture.min(-1) > 60).sum() > 300:
                pictures.append(picture)
        assert not troubles(driver), troubles(driver)
    assert len(pictures) == 2 and (pictures[0] != pictures[1]).any()
