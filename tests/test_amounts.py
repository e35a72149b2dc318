"""Amounts in captions, and captions as people type them."""

import random
import re

import pytest

from lamp.prepare.mini.amounts import Measures, draw_amount, number, singular
from lamp.prepare.mini.noise import noisy
from lamp.prepare.mini.tables import WORDINGS, Phrasing
from lamp.prepare.mini.wording import Act, caption


def _drawn(action: str, side: str, measures: Measures, phrasing: Phrasing = "train") -> dict[str, set[str]]:
    """Words of many draws by kind."""
    rng, found = random.Random(0), dict[str, set[str]]()
    for _ in range(400):
        amount = draw_amount(action, side, measures, rng, phrasing)
        if amount is not None:
            found.setdefault(amount.kind, set()).add(amount.words)
    return found


@pytest.mark.parametrize("phrasing", ["train", "heldout"])
@pytest.mark.parametrize(
    ("action", "side", "measures", "kinds"),
    [
        ("walk", "", Measures(metres=2.1, steps=4, metres_per_second=1.1), "metres steps straight hands_down"),
        ("walk", "", Measures(metres=5, steps=12, metres_per_second=1.9), "fast metres long straight hands_down"),
        ("walk-back", "", Measures(metres=1, steps=2, metres_per_second=0.5), "slow metres short steps"),
        ("run", "", Measures(metres=3, degrees=60, metres_per_second=2.8), ""),
        ("turn", "left", Measures(degrees=50), "degrees slight"),
        ("turn", "right", Measures(degrees=-140), "degrees"),
        ("turn", "left", Measures(degrees=270), ""),
        ("stand", "", Measures(seconds=2), "seconds brief"),
        ("sit", "", Measures(seconds=8), "seconds lasting"),
        ("raise-up", "left", Measures(above_shoulder=0.5), "level"),
        ("raise-up", "left", Measures(above_shoulder=0.37), ""),
        ("bow", "", Measures(metres=2, steps=2, seconds=4), ""),
    ],
)
def test_amounts_that_fit(action: str, side: str, measures: Measures, kinds: str, phrasing: Phrasing) -> None:
    found = _drawn(action, side, measures, phrasing)
    assert set(found) == set(kinds.split())
    assert not [words for several in found.values() for words in several if re.search(r"\{(n|feet)\}", words)]


def test_numbers_are_those_measured() -> None:
    assert all(re.search(r"\b(2|two|7|seven)\b", words) for words in _drawn("walk", "", Measures(metres=2.1))["metres"])
    steps = _drawn("walk", "", Measures(steps=5))["steps"]
    assert all(re.search(r"\b(5|five)\b", words) for words in steps) and any(words[0] == "*" for words in steps)
    angle = _drawn("turn", "left", Measures(degrees=131))["degrees"]
    assert angle == set(WORDINGS["degrees"]["train"]["135"])
    for above, level in ((0.5, "above"), (0.3, "head"), (0.0, "low")):
        assert _drawn("raise-up", "left", Measures(above_shoulder=above))["level"] == set(
            WORDINGS["level"]["train"][level]
        )


def test_one_is_singular() -> None:
    assert (
        singular("1 metres, one steps, 1 feet, 11 steps, 2.1 metres")
        == "1 metre, one step, 1 foot, 11 steps, 2.1 metres"
    )
    assert {number(3, random.Random(k)) for k in range(20)} == {"3", "three"} and number(12, random.Random(0)) == "12"


def test_words_that_say_the_same_or_contradict_are_not_told_together() -> None:
    rng = random.Random(0)
    measures = Measures(metres=3, steps=5, metres_per_second=1.1)
    for _ in range(600):
        text = caption("single", [Act("walk")], rng, "heldout", measures)
        assert not re.search(r"few|several", text)
    fast = [caption("single", [Act("walk")], rng, "train", Measures(metres_per_second=2.0)) for _ in range(300)]
    assert not [text for text in fast if "slow" in text]


@pytest.mark.parametrize("kind", ["at_once", "in_order"])
def test_verbs_agree_with_the_pattern(kind: str) -> None:
    """The auxiliary is said once for each subject; verbs of the pattern's own are in the present and meet no past."""
    rng = random.Random(0)
    texts = [caption(kind, [Act("walk"), Act("bow")], rng).lower() for _ in range(800)]
    assert not [text for text in texts if re.search(r"\b(then|and|next|later) is \w+ing", text)]
    assert not [text for text in texts if re.search(r"\b(starts|stops|begins|ends)\b.*\b(walked|bowed)\b", text)]
    twice = [text for text in texts if text.count("a worker")]
    assert twice and all(text.count("a worker") == 1 for text in twice)


def test_a_side_is_told_from_the_other() -> None:
    rng = random.Random(0)
    for action, other in (("wave", "right"), ("turn", "right")):
        texts = [caption("single", [Act(action, "left")], rng).lower() for _ in range(600)]
        assert all("left" in text for text in texts)
        told = [text for text in texts if other in text]
        assert told and all(re.search(rf"not|never|without|rather|instead|{other} one", text) for text in told)
        assert action == "wave" or not [text for text in told if f"{other} one" in text]


def test_noise_keeps_sides_and_numbers() -> None:
    text = "a person walks forward 3 metres and then turns to the right slowly."
    found = {noisy(text, random.Random(k)) for k in range(3000)}
    assert len(found) > 40
    assert all("right" in other.lower() and "3" in other for other in found)
    plain = "a person bows to somebody"
    assert 0.75 < sum(noisy(plain, random.Random(k)) == plain for k in range(3000)) / 3000 < 0.95
    assert "slowly a person walks" in " ".join(found).replace(",", "") and text.upper() in found
    assert any("guy walks" in other for other in found) and any(other.startswith("person walks") for other in found)
    assert noisy("", random.Random(0)) == ""
