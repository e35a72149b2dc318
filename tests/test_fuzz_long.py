"""Long files of one thing over and over: readers take no more than their time for them, so none is quadratic in it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamp.data.caption_table import read_caption_table
from lamp.data.text import parse_captions
from lamp.models.lamp.text import TextTokenizer
from lamp.models.words import read_glove
from lamp.options.t2m import T2MOptions
from lamp.prepare.humanml3d.sources import read_index
from lamp.utils.capture.joint_map import load_joint_map
from lamp.utils.capture.joints import read_joints
from lamp.utils.cli import load_options
from lamp.utils.prompts import in_other_script, main_script, read_prompts
from lamp.utils.reading import decode, read_names
from lamp.utils.scores.following.sentences import SHIPPED, read_sentences
from tests.fuzzing import check

SIZE = 1 << 15
"""Bytes of a file; watching memory and coverage make a reader up to ten times slower."""
CASES = Path(__file__).parent / "cases"


def _vocabulary(path: Path) -> None:
    words = decode(path.read_bytes()).split("\n")
    TextTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])(["a person walks"], 16)


def _prompts(path: Path) -> None:
    texts = read_prompts(path).texts
    in_other_script(" ".join(texts), main_script(texts))


READERS: dict[str, Callable[[Path], object]] = {
    "a.bvh": read_joints,
    "a.amc": read_joints,
    "prompts.txt": _prompts,
    "texts.txt": lambda path: parse_captions(decode(path.read_bytes())),
    "table.csv": read_caption_table,
    "index.csv": read_index,
    "opt.json": lambda path: load_options(T2MOptions, path),
    "opt.txt": lambda path: load_options(T2MOptions, path),
    "map.json": load_joint_map,
    "sentences.json": read_sentences,
    "split.txt": read_names,
    "glove.txt": lambda path: read_glove(path, ["walk"]),
    "vocab.txt": _vocabulary,
}
SENTENCE = json.loads(SHIPPED.read_text(encoding="utf-8"))[0]


def _many(made: Callable[[int], str], wanted: int) -> str:
    size = len(made(10**6))
    return ",".join(made(number) for number in range(wanted // size))


_ROOT = b"HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 0\n"
CONTENTS: dict[str, Callable[[int], bytes]] = {
    "brackets": lambda n: b"[" * n,
    "objects": lambda n: b'{"a":' * (n // 5),
    "quotes": lambda n: b'"' * n,
    "one word": lambda n: b"a" * n,
    "signs": lambda n: b"a#" * (n // 2),
    "steps": lambda n: b"a > " * (n // 4),
    "lines": lambda n: b"a\n" * (n // 2),
    "blanks": lambda n: b" " * n,
    "zeros": lambda n: b"\0" * n,
    "numbers": lambda n: b"1 " * (n // 2),
    "digits": lambda n: b"1" * n,
    "letters": lambda n: "ㄱ걷 ".encode() * (n // 7),
    "rows": lambda n: b"file,caption\n" + b"a.bvh,walks\n" * (n // 12),
    "clips": lambda n: b"source_path,start_frame,end_frame,new_name\n" + b"./KIT/3/k.npy,0,80,000000.npy\n" * (n // 30),
    "joints": lambda n: b"HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\n" + b"JOINT a\n{\nOFFSET 0 0 0\n" * (n // 23),
    "siblings": lambda n: _ROOT + b"JOINT a\n{\nOFFSET 0 0 0\nCHANNELS 0\n}\n" * (n // 38) + b"}",
    "frames": lambda n: (CASES / "07" / "walk.bvh").read_bytes() + b"1 2\n" * (n // 4),
    "poses": lambda n: (CASES / "06" / "base" / "01_01.amc").read_bytes() + b"root 1 2 3 4 5 6\n" * (n // 17),
    "entries": lambda n: f"[{_many(lambda i: json.dumps(SENTENCE | {'id': f'i{i}'}), n)}]".encode(),
    "keys": lambda n: ("{" + _many('"k{0}": {0}'.format, n) + "}").encode(),
}  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS)
def test_long_files(content, tmp_path):
    data = CONTENTS[content](SIZE)
    (tmp_path / "01.asf").write_bytes((CASES / "06" / "base" / "01.asf").read_bytes())
    for name, read in READERS.items():
        named = "vocabulary" if name == "vocab.txt" else ""
        check(read, tmp_path / name, data, named)


def test_many_sentences(tmp_path):
    """Four times as many take about four times as long."""
    took = []
    for size in (1 << 18, 1 << 20):
        path = tmp_path / "sentences.json"
        path.write_bytes(f"[{_many(lambda i: json.dumps(SENTENCE | {'id': f'i{i}'}), size)}]".encode())
        began = time.process_time()
        read_sentences(path)
        took.append(time.process_time() - began)
    assert took[1] < 8 * took[0]
