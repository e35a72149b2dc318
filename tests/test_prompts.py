"""Prompt files, and prompts in a script that the captions do not have."""

from pathlib import Path

import pytest

from lamp.models.pipeline import LaMPPipeline
from lamp.utils.errors import UserError
from lamp.utils.prompts import in_other_script, main_script, read_prompts


def prompts(path: Path, content: str | bytes) -> list[tuple[str, int | None]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_prompts(path)
    return list(zip(found.texts, found.lengths or [None] * len(found.texts), strict=True))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_where_editors_end_them(end: str, tmp_path: Path) -> None:
    text = end.join(["a person walks#40", "", "someone jumps#60"]) + end
    assert prompts(tmp_path / "p.txt", text) == [("a person walks", 40), ("someone jumps", 60)]


@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\v", "\f", "\x85", "\x1c", "\x1e"])
def test_separators_inside_a_sentence_are_blanks(inside: str, tmp_path: Path) -> None:
    text = f"a person walks{inside}and waves#40\nsomeone jumps#60\n"
    assert prompts(tmp_path / "p.txt", text) == [("a person walks and waves", 40), ("someone jumps", 60)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("captions.csv", "a person walks,40\n"),
        ("captions.CSV", "file,caption\nx.npy,a person walks\n"),
        ("captions.tsv", "a person walks\t40\n"),
        ("captions.json", '[{"text": "a person walks"}]'),
        ("captions.jsonl", '{"text": "a person walks"}\n{"text": "b"}\n'),
        ("captions.txt", '{"text": "a person walks"}\n{"text": "b"}\n'),
        ("captions.txt", '\n[\n "a person walks",\n "someone jumps"\n]\n'),
        ("captions.txt", "file,caption,start,end\nx.npy,a person walks,0,1\n"),
        ("captions.txt", "Text;Length\na person walks;40\n"),
    ],
)
def test_tables_are_not_sentences(name: str, content: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"--text_path .*{name} is a table, not sentences; write a text file"):
        prompts(tmp_path / name, content)


@pytest.mark.parametrize(
    "text", ["a person walks, then sits", "start, end and start again", "[slowly] a person walks", "walk\tand run"]
)
def test_sentences_with_commas_and_brackets_are_sentences(text: str, tmp_path: Path) -> None:
    assert prompts(tmp_path / "p.txt", f"{text}#40\n") == [(text, 40)]


@pytest.mark.parametrize("length", ["9" * 5000, "1.5", "-3", "\N{ARABIC-INDIC DIGIT THREE}", "fast"])
def test_a_length_that_is_none_is_one_short_line(length: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 1: .* after the # is neither a number") as error:
        prompts(tmp_path / "p.txt", f"walk#{length}\n")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("text", "script", "word"),
    [
        ("a person walks, caf\xe9 na\xefve 5 \xb5m \N{WAVING HAND SIGN}", "LATIN", ""),
        ("사람이 걷는다", "HANGUL", "사람이"),
        ("a person 걷는다 slowly", "LATIN", "걷는다"),
        ("человек идёт", "CYRILLIC", "человек"),
        ("人が歩く", "CJK", "人が歩く"),
        ("".join(chr(ord(letter) + 0xFEE0) for letter in "walk"), "LATIN", ""),
        ("123 !?", "", ""),
    ],
)
def test_scripts(text: str, script: str, word: str) -> None:
    assert main_script([text]) == script and in_other_script(text, "LATIN") == word


def test_a_prompt_in_another_script_gets_a_warning() -> None:
    pipe = LaMPPipeline.from_pretrained()
    assert pipe.foreign_prompts(["a person walks", "a na\xefve person", "1 2 3"]) == []
    (line,) = pipe.foreign_prompts(["a person walks", "사람이 걷는다"])
    assert line.startswith("prompt 1 has the word '사람이'; the captions that the models learnt are in Latin script")
