"""Make docs/gallery.md and its pictures anew, with the models that the repository ships.

    python -m docs.make_gallery

Run it in a checkout that has the tests' tools: `pip install -e ".[dev]"`, Chromium, and three.js in `.npm-ci`, which
`.ci/run` installs.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lamp import LaMPPipeline, Motion
from lamp.utils.character.character import Character
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.export.scene import Style
from lamp.utils.export.video import render_frames
from lamp.utils.scores.following.score import judge
from lamp.utils.scores.following.sentences import read_sentences
from lamp.utils.viewer.page import viewer_page
from tests.browser import opened, served
from tests.marks import NPM
from tests.rigs import MIXAMO, OURS, UNREAL, Recipe, build

DOCS = Path(__file__).resolve().parent
FOLDER = DOCS / "gallery"
# In order of preference, for a mixture of actions.
WANTED = (
    "both-01", "more-03", "more-07", "then-11", "known-18", "known-13", "more-14", "both-05", "known-23", "more-22",
    "known-33", "known-09", "known-25", "known-37", "known-06",
)  # fmt: skip
SHOWN, SEEDS, ENOUGH = 8, 8, 4
FLOATS = 75  # mm above the floor on average: more looks wrong, whatever the limbs do
FRAMES, SIZE, QUALITY = 6, (144, 180), 82
PORT = 7868
TEXT = """# Gallery

Made by `python -m docs.make_gallery` with the shipped models, `_ik` copies (planted feet pinned to the floor). **The
pictures are chosen**: these are the first {shown} of {wanted} sentences of [eval_follow.py](following.md) that at least
{enough} of {seeds} seeds follow with the feet on the floor, and of each the first seed that does. What the model does
not know is in the [README](../README.md#what-the-shipped-model-can-and-cannot-do) and in [following.md](following.md).

{rows}

## The viewer

`lamp view FILE...` ([viewer.md](viewer.md)): one page, which opens from disk.

![The viewer with two motions side by side](gallery/viewer.jpg)

## The app

`lamp app` ([app.md](app.md)): make, edit, describe, search, in a browser.

![The app with a motion that was made](gallery/app.jpg)

## The mannequin, and characters

One motion as GLB: the mannequin, then three rigged characters by `lamp convert --character`
([formats.md](formats.md#your-own-character)): a tall one, a child, one with wide shoulders and long arms. Drawn by
three.js ([web.md](web.md)). FBX characters: [blender.md](blender.md).

![A mannequin and three characters in the same pose](gallery/characters.jpg)
"""
ROW = "### {text}\n\nSeed {seed}, {frames} frames; {count} of {seeds} seeds follow.\n\n![{text}](gallery/{name}.jpg)\n"
CAST = """<!doctype html><style>body { margin: 0 }</style><script type="importmap">
{"imports": {"three": "./npm/three/build/three.module.js", "three/addons/": "./npm/three/examples/jsm/"}}
</script><script type="module">
import * as THREE from 'three';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
renderer.setSize(innerWidth, innerHeight);
document.body.append(renderer.domElement);
const scene = new THREE.Scene();
scene.background = new THREE.Color(0xeef1f5);
const sun = new THREE.DirectionalLight(0xffffff, 1.5);
sun.position.set(2, 4, 3);
scene.add(new THREE.HemisphereLight(0xffffff, 0x8890a0, 2.2), sun, new THREE.GridHelper(20, 20, 0xb8c0cc, 0xd0d6de));
const camera = new THREE.PerspectiveCamera(26, innerWidth / innerHeight, 0.1, 100);
camera.position.set(0, 2.2, 6.2);
camera.lookAt(0, 0.8, 0);
for (let i = 0; i < 4; i++) {
  const gltf = await new GLTFLoader().loadAsync(`${i}.glb`);
  const mixer = new THREE.AnimationMixer(gltf.scene);
  mixer.clipAction(gltf.animations[0]).play();
  mixer.setTime(TIME);
  gltf.scene.position.x = (i - 1.5) * 1.3;
  gltf.scene.traverse((node) => { node.frustumCulled = false; });
  scene.add(gltf.scene);
}
renderer.render(scene, camera);
document.title = 'drawn';
</script>"""


def chosen(pipe: LaMPPipeline) -> list[tuple[str, str, int, Motion, int]]:
    """Id, text, seed, motion with cleaned feet and number of seeds that follow, of the sentences that are shown."""
    found = []
    sentences = {sentence.id: sentence for sentence in read_sentences()}
    for name in WANTED:
        sentence = sentences[name]
        made = pipe([sentence.text] * SEEDS, sentence.frames, seeds=list(range(1, SEEDS + 1)))
        motions = [motion.with_foot_cleanup() for motion in made]
        verdicts = [judge(sentence, motion.joints, motion.fps) for motion in motions]
        good = [verdict.good and verdict.physics["floating mm"] <= FLOATS for verdict in verdicts]
        print(f"{name}: {sum(good)} of {SEEDS} seeds follow: {sentence.text}", flush=True)
        if sum(good) >= ENOUGH:
            first = good.index(True)
            found.append((name, sentence.text, first + 1, motions[first], sum(good)))
        if len(found) == SHOWN:
            break
    return found


def strip(motion: Motion) -> Image.Image:
    """Frames of a motion side by side."""
    frames = np.linspace(0, len(motion) - 1, FRAMES).round().astype(int).tolist()
    whole = Image.new("RGB", (FRAMES * SIZE[0], SIZE[1]))
    for place, image in enumerate(render_frames(motion.joints, frames, motion.fps, style=Style(SIZE))):
        whole.paste(image, (place * SIZE[0], 0))
    return whole


def save(image: Image.Image, name: str) -> None:
    """Write a picture of the gallery."""
    image.convert("RGB").save(FOLDER / f"{name}.jpg", quality=QUALITY, optimize=True)


def screenshot(driver, name: str, folder: Path) -> None:
    """What the window shows, as a picture of the gallery."""
    driver.save_screenshot(str(folder / "shot.png"))
    save(Image.open(folder / "shot.png"), name)


def wait(driver, script: str, seconds: float = 120) -> None:
    """Until a script's value is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, seconds).until(lambda driver: driver.execute_script(f"return {script}"))


def draw_viewer(motions: Sequence[tuple[str, Motion]], folder: Path) -> None:
    """The viewer with motions, in the middle of their time."""
    page = viewer_page([(motion, text) for text, motion in motions], heading="Two motions")
    (folder / "view.html").write_text(page, encoding="utf-8")
    with opened(960, 540) as driver:
        driver.get((folder / "view.html").as_uri())
        wait(driver, "document.querySelector('input[type=range]') && document.querySelector('canvas')")
        driver.execute_script(
            "const s = document.querySelector('input[type=range]'); s.value = Math.round(s.max * 0.55);"
            "s.dispatchEvent(new Event('input', {bubbles: true}))"
        )
        driver.execute_async_script("setTimeout(arguments[0], 1500)")
        screenshot(driver, "viewer", folder)


def draw_characters(motion: Motion, folder: Path) -> None:
    """The mannequin and characters in one pose of a motion, each where it stands."""
    motion = motion.in_place()
    motion.save(folder / "0.glb")
    recipes = (
        Recipe(UNREAL, pose="A", scale=1.1, crooked=True),
        Recipe(OURS, scale=0.65, legs=0.9, wide=0.85),
        Recipe(MIXAMO, pose="A", wide=1.5, arms=1.2),
    )
    for number, recipe in enumerate(recipes, start=1):
        hero = Character(build(recipe, folder / "hero.glb"))
        hero.save(motion, folder / f"{number}.glb")
    (folder / "npm").symlink_to(NPM / "node_modules")
    (folder / "page.html").write_text(CAST.replace("TIME", f"{0.5 * motion.seconds:.3f}"), encoding="utf-8")
    with served(folder) as address, opened(960, 420) as driver:
        driver.get(f"{address}/page.html")
        wait(driver, "document.title == 'drawn'")
        screenshot(driver, "characters", folder)


def draw_app(text: str, folder: Path) -> None:
    """The app after one click."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    server = subprocess.Popen([sys.executable, "app.py", "--port", str(PORT)], cwd=DOCS.parent, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()  # "LaMP answers at ..."
        with opened(960, 1240) as driver:
            driver.get(f"http://127.0.0.1:{PORT}")
            wait(driver, "document.querySelector('#prompt textarea, #prompt input')")
            box = driver.find_element(By.CSS_SELECTOR, "#prompt textarea, #prompt input")
            box.send_keys(Keys.CONTROL, "a")
            box.send_keys(text)
            driver.find_element(By.CSS_SELECTOR, "#make").click()
            wait(driver, "document.querySelector('#made iframe')")
            driver.execute_async_script("setTimeout(arguments[0], 6000)")
            screenshot(driver, "app", folder)
    finally:
        server.terminate()
        server.wait()


@main_with_errors
def main() -> None:
    """Pictures and page."""
    if not (NPM / "node_modules" / "three").is_dir():
        raise UserError("three.js is not there; run npm install --prefix .npm-ci three")
    found = chosen(LaMPPipeline.from_pretrained())
    if len(found) < 2:
        raise UserError("the models follow next to nothing of this; train them longer")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    rows = []
    for name, text, seed, motion, count in found:
        save(strip(motion), name)
        rows.append(ROW.format(text=text, seed=seed, frames=len(motion), count=count, seeds=SEEDS, name=name))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        draw_viewer([(text, motion) for _, text, _, motion, _ in found[:2]], folder)
        draw_characters(found[0][3], folder)
        draw_app(found[0][1], folder)
    page = TEXT.format(shown=len(found), wanted=len(WANTED), enough=ENOUGH, seeds=SEEDS, rows="\n".join(rows).strip())
    (DOCS / "gallery.md").write_text(page, encoding="utf-8")
    print(f"{len(found)} motions; {sum(file.stat().st_size for file in FOLDER.iterdir()) / 1000:.0f} KB of pictures")


if __name__ == "__main__":
    main()
