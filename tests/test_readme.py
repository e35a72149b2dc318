"""The README's own commands, read from it and run in its order, with flags behind them that make everything small."""

import importlib
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import transformers

from lamp.prepare.make_sample import make_sample
from lamp.utils.motion import Motion
from tests.test_user_commands_run import FEW, TINY

ROOT = Path(__file__).resolve().parent.parent
QUICK = {
    "eval_evaluator": "--repeat_times 2",
    "eval_t2m_vq": "--repeat_times 2",
    "eval_retrieval": "--draws 2 --rerank 2",
    "eval_t2m_trans_res": "--repeat_times 2 --mm_batches 1 --mm_motions 2 --time_steps 2",
    "train_length_estimator": "",
    "caption": "--num_beams 1",
    "gen_t2m": "--no_video",
    "edit_t2m": "--no_video",
    "view": "--no_open",
}
# What needs a network or another project's files; the tests of the scripts concerned cover it.
ELSEWHERE = (
    *("git clone ", "git -C ", "pip download ", "unzip ", "tar ", "find "),
    "conda ",
    "python -m lamp.prepare.build_dataset --preset mini ",
    "python -m lamp.prepare.mini.compose ",
)
LARGE_LANGUAGE_MODEL = "facebook/opt-2.7b"


def commands(text: str) -> list[str]:
    """Commands of the shell blocks of a markdown text, without comments, in order."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
    lines = [line for block in blocks for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()]
    parts = [part.strip() for line in lines for part in re.sub(r"\s#.*", "", line).split("&&")]
    return [part for part in parts if part]


def extras() -> set[str]:
    """Names of the package's extras."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    return set(re.findall(r"^(\w+) = \[", table, re.M))


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command of the README that starts a script or module of ours, at tiny size."""
    _, *words = shlex.split(command)
    module = words[1] if words[0] == "-m" else words[0].removesuffix(".py")
    arguments = words[2:] if words[0] == "-m" else words[1:]
    trains = module.startswith("train_")
    few = f"{FEW} {TINY.get(module, '')}" if trains else TINY.get(module, "")
    if "--dataset_name mini" in command or module not in TINY or "--name" not in command:
        few = FEW if trains else ""
    monkeypatch.setattr(sys, "argv", [words[0], *arguments, *f"{few} {QUICK.get(module, '')}".split()])
    importlib.import_module(module).main()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone beside a HumanML3D, with the data that the README's commands expect."""
    place = tmp_path / "clone"
    place.mkdir()
    monkeypatch.chdir(place)
    (place / "assets").symlink_to(ROOT / "assets")
    for file in (ROOT / "checkpoints" / "mini").rglob("*"):
        if file.is_file() and "eval" not in file.parts:
            copy = place / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(file)
    sample = make_sample(tmp_path / "sample", clips=40, seed=0)
    shutil.copytree(sample, tmp_path / "HumanML3D" / "HumanML3D", ignore=shutil.ignore_patterns("*.json"))
    mini = Path(shutil.copytree(sample, place / "dataset" / "mini"))
    for split in ("test_seen", "test_unseen", "test_cmu"):
        shutil.copy(mini / "test.txt", mini / f"{split}.txt")
    shutil.copytree(mini / "texts", mini / "texts_heldout")
    clips = sorted((sample / "new_joint_vecs").glob("*.npy"))[:12]
    rows = ["file,caption", *(f"{clip.stem}.bvh,a person moves" for clip in clips)]
    (place / "my_captions.csv").write_text("\n".join(rows), encoding="utf-8")
    (place / "my_bvh").mkdir()
    for clip in clips:
        Motion.load(clip).save(place / "my_bvh" / f"{clip.stem}.bvh")
    (place / "rival").mkdir()
    for name in (sample / "test.txt").read_text().split():
        shutil.copy(sample / "new_joint_vecs" / f"{name}.npy", place / "rival")
    words = sorted(set(re.findall("[a-z]+", " ".join(path.read_text() for path in (mini / "texts").glob("*.txt")))))
    (place / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    return place


def test_commands_of_the_readme(
    workplace: Path, plain_tagger: None, opt_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lamp.prepare import write_dataset

    language = shutil.copytree(opt_folder, workplace / "language")
    config = transformers.OPTConfig.from_pretrained(language, max_position_embeddings=128)
    transformers.OPTForCausalLM(config).save_pretrained(language)
    monkeypatch.setattr(write_dataset, "tag_captions", lambda texts: ["a/DET person/NOUN" for _ in texts])
    ran = []
    for command in commands((ROOT / "README.md").read_text(encoding="utf-8")):
        command = command.replace(".venv/bin/", "").replace(LARGE_LANGUAGE_MODEL, "language")
        if "pip install" in command:
            assert set(re.findall(r"\[(\w+)\]", command)) <= extras(), command
        elif command.startswith("cp "):
            shutil.copytree(*shlex.split(command)[2:])
        elif not command.startswith(ELSEWHERE) and "-m venv" not in command and "-m pytest" not in command:
            run(command, monkeypatch)
            ran.append(command)
    assert len(ran) > 20
    for file in (
        "generation/first/animations/0",
        "generation/exp2/joints/2",
        "editing/kick/joints/0",
        "captions.csv",
        "dataset/mine/train.txt",
        "checkpoints/t2m/m2t_opt/latest/config.json",
        "checkpoints/t2m/mtrans_name/eval/evaluation.json",
        "checkpoints/mini/lamp/eval/retrieval_heldout_wording.log",
        "prompts.csv",
        "rival/eval/evaluation.json",
    ):
        assert (workplace / file).exists(), file


def test_python_of_the_readme(workplace: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, object] = {}
    exec(block, names)
    assert names["motion"].joints.shape == (100, 22, 3) and (workplace / "arms.bvh").is_file()


def test_the_korean_readme_has_the_same_commands() -> None:
    english, korean = (commands((ROOT / name).read_text(encoding="utf-8")) for name in ("README.md", "README.ko.md"))
    assert set(korean) <= set(english) and len(korean) > 10


def test_commands_are_found() -> None:
    text = 'x\n```bash\na && b  # why\npython c.py --x "#1"\n```\n```python\nno\n```\n'
    assert commands(text)[:2] == ["a", "b"] and len(commands(text)) == 3
