"""Find the wordings of actions that the shipped generators follow best, and write `rewording.json` beside them.

    python -m lamp.prepare.mini.followed_wordings --models checkpoints/mini --state output/wordings

A small model follows some wordings of an action always and others, which it learnt as well, never. This asks it for
sentences of the training wordings (`tables.WORDINGS`), judges the motions by kinematics (`followed_wordings.json` has
a test for each action), and takes the sentence that is followed most:

1. 120 sentences, of phrase, subject and tense drawn at random, a motion of 80 and one of 120 frames;
2. of the best 8 of them, and of other actions in order that may be the same, `SEEDS` motions of each length from 60
   to 140 frames; where none reaches `ENOUGH`, the same once more with 600 sentences and the best 32;
3. of the best three of these `SURE` motions of each length, with other seeds; the first one of most successes in 2 and
   3 is taken, if its rate in 3 is `GAIN` above that of all sentences in 1;
4. where it is not followed nearly always, up to `OTHERS` further ones that are at lengths at which it is not.

So actions that nearly all wordings do as well stay as users type them, and those that `MOST` do, where a sentence says
more than an action, such as who does it. Captions of actions of one hand or foot nearly always say which, and without a
side the model does something in between: such sentences get the best wording with a side. The file holds the tests as
well, by which pipelines check what they made (`models.sentences.checks`), and for further tries the best wording of
each action and those of 4. Sentences of the benchmark
(`eval_follow.py`) take no part, but an action's test may be the same as there. Takes about a minute an action on one
core; a stopped command goes on with the actions that its state lacks. `lamp.models.sentences.wording` reads the file.
"""

import argparse
import json
import random
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lamp.models.pipeline import LaMPPipeline
from lamp.models.sentences.checks import Check, test_of_side
from lamp.models.sentences.understanding import steps_of
from lamp.models.sentences.wording import WORDINGS_FILE, Wordings
from lamp.models.sequences import Told
from lamp.prepare.mini.grammar import conjugate
from lamp.prepare.mini.tables import SUBJECTS, WORDINGS
from lamp.prepare.mini.wording import sentence
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_path, read_json, write_json
from lamp.utils.motion import Motion
from lamp.utils.prompts import JOIN
from lamp.utils.reading import reading
from lamp.utils.scores.following.body import Body
from lamp.utils.scores.following.sentences import read_sentences
from lamp.utils.scores.following.tests import Test, check_test

TYPED = Path(__file__).with_name("typed_sentences.json")
"""Sentences that people might type, written without sight of the wordings; "means" are the actions that count as
right, none for what is no single action of these. Rules were made with "dev" in sight; of "test" only counts were
looked at."""
TABLE = Path(__file__).with_name("followed_wordings.json")
"""By action: a test (of the left side, where there are sides); "upright", where the trunk must stay so: who turns
round in a somersault, or bows with raised hands, would pass the test; "check", a test that asks less, where generated
motions are to be checked by another one; "also", phrases of it that captions of training lack; "near", actions whose
wordings are tried as well; "parts", other sentences that are tried in stage 2: of actions in order of which it may be
made, or that are followed at certain lengths."""
WIDE = ((120, 8), (600, 32))
SEEDS, SURE = 2, 3
ENOUGH = 0.8
GAIN, MOST = 0.2, 0.5
OTHERS, ALWAYS, WORTH = 3, 0.9, 0.03
"""Further sentences of an action at most, where the best one's rate is less than `ALWAYS`, each of which must raise the
chance that one of all is followed, in the mean over lengths, by `WORTH`."""
FEW, LENGTHS = (80, 120), (60, 80, 100, 120, 140)
SIDE = "{side}"
SAME = {"about": "around", "round": "around", "feet": "foot", "onto": "on"} | dict.fromkeys(
    ("lay", "lays", "laying", "laid"), "lie"
)
"""Words that are taken for another one."""
MOOD = re.compile(r"\b(happily|politely|respectfully|comfortably|slowly)\b")
"""Phrases with such a word tell how something is done, which the user did not."""
AMBIGUOUS = ("left", "still", "ground", "saw", "fell", "bore", "back")
"""Forms of verbs that are more often something else."""


@dataclass(frozen=True)
class Asked:
    """What is asked of an action's motions, see `TABLE`."""

    test: Test
    upright: bool = False
    also: Sequence[str] = ()
    near: Sequence[str] = ()
    check: Test | None = None
    parts: Sequence[str] = ()

    def passes(self, motion: Motion, mirror: bool) -> bool:
        """Whether a motion does it, of the right side if `mirror`."""
        test = test_of_side(self.test, "right" if mirror else "left")
        return Check("", "", test, self.upright).passes(Body.of(motion.joints, motion.fps))


def sentences_of(actions: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """Different sentences of actions in training's wordings, `{side}` left in; none of the benchmark."""
    known = WORDINGS["actions"]
    phrases = [phrase for action in actions if action in known for phrase in known[action]["train"]]
    benchmark = {entry.text for entry in read_sentences()}
    found: dict[str, None] = {}
    for _ in range(10 * count):
        tense = "progressive" if rng.random() < 0.3 else "present"
        subject, phrase = rng.choice(SUBJECTS["train"]), rng.choice(phrases)
        text = sentence(subject, phrase, tense, rng)
        if not MOOD.search(phrase):
            found[text] = None
    return [text for text in found if not {text.replace(SIDE, side) for side in ("left", "right")} & benchmark][:count]


def followed(
    pipe: LaMPPipeline, texts: Sequence[str], asked: Asked, seeds: Sequence[int], lengths: Sequence[int] = LENGTHS
) -> np.ndarray:
    """Whether motions of sentences pass, (sentence, length, seed) of 1 and 0; sides take turns.

    NaN at lengths in which there is no time for all parts of a sentence: it is not told so then.
    """
    trials = [(text, length, seed) for text in texts for length in lengths for seed in seeds]
    right = [(length // 20 + seed) % 2 == 1 for _, length, seed in trials]
    prompts = [text.replace(SIDE, "right" if on_right else "left") for (text, _, _), on_right in zip(trials, right)]
    told, whole = [], []
    for prompt, (_, length, seed) in zip(prompts, trials):
        if JOIN in prompt:
            parts = steps_of(prompt)
            told.append(Told(prompt, [part.whole for part in parts], length, seed, [part.frames for part in parts]))
        else:
            whole.append((prompt, length, seed))
    joined = iter(pipe.each_in_order(told) if told else [])
    sentences, frames, own_seeds = zip(*whole) if whole else ((), (), ())
    single = iter(pipe(sentences, frames, seeds=own_seeds, clauses=False) if whole else [])
    good = []
    for prompt, on_right, (text, _, _) in zip(prompts, right, trials):
        motion = next(joined if JOIN in prompt else single)
        good.append(np.nan if motion is None else float(asked.passes(motion, on_right and SIDE in text)))
    return np.array(good).reshape(len(texts), len(lengths), len(seeds))


def rates(passed: np.ndarray) -> list[float]:
    """Share of each sentence's motions that pass, of what `followed` gives."""
    found: list[float] = np.nanmean(passed.reshape(len(passed), -1), axis=1).tolist()
    return found


class Found(NamedTuple):
    """The sentence of an action that is followed most, its rate with seeds of its own, and that of all sentences; and
    others that are followed where it is not."""

    text: str
    rate: float
    usual: float
    others: Sequence[str] = ()

    @property
    def gains(self) -> bool:
        """Whether it is better than most."""
        return self.rate >= self.usual + GAIN

    @property
    def sided(self) -> bool:
        """Whether it names a side."""
        return SIDE in self.text

    @property
    def again(self) -> list[str]:
        """What is left for further tries, of which none can be made of a recipe."""
        texts = [*self.others] if self.gains else [self.text, *self.others]
        return [text for text in texts if JOIN not in text]


def best_of(pipe: LaMPPipeline, action: str, asked: Asked) -> Found:
    """What is found of an action."""
    number = zlib.crc32(action.encode())
    texts = sentences_of([action, *asked.near], WIDE[-1][0], random.Random(number))
    wide: list[float] = []
    for count, kept in WIDE:
        wide += rates(followed(pipe, texts[len(wide) : count], asked, [number % 1000], FEW))
        some = [texts[place] for place in np.argsort(-np.array(wide), kind="stable")[:kept]] + list(asked.parts)
        deep = followed(pipe, some, asked, range(100, 100 + SEEDS))
        if max(rates(deep)) >= ENOUGH:
            break
    top = sorted(zip(rates(deep), some), reverse=True)[:3]
    sure = rates(followed(pipe, [text for _, text in top], asked, range(200, 200 + SURE)))
    best = int(np.argmax([SEEDS * rate + SURE * again for (rate, _), again in zip(top, sure)]))
    text, rate, usual = top[best][1], round(sure[best], 3), round(float(np.mean(wide)), 3)
    return Found(text, rate, usual, others_of(pipe, asked, text, some, deep) if rate < ALWAYS else [])


def others_of(pipe: LaMPPipeline, asked: Asked, best: str, texts: Sequence[str], deep: np.ndarray) -> list[str]:
    """Up to `OTHERS` sentences, each of which adds most to the chance that one of all is followed, by length.

    Args:
        pipe: the models.
        asked: of the action.
        best: its sentence.
        texts: sentences, `best` among them.
        deep: what `followed` gives of these; twice as many as are wanted are looked at again with other seeds.
    """
    chances = dict(zip(texts, np.nan_to_num(np.nanmean(deep, axis=2))))
    alone = [text for text in texts if JOIN not in text and text != best]
    shorter = covering(chances, best, alone, 2 * OTHERS)
    seen = [best, *shorter]
    again = followed(pipe, seen, asked, range(300, 300 + SURE))
    places = [list(texts).index(text) for text in seen]
    both = np.nan_to_num(np.nanmean(np.concatenate((deep[places], again), axis=2), axis=2))
    return covering(dict(zip(seen, both)), best, shorter, OTHERS, WORTH)


def covering(
    chances: Mapping[str, np.ndarray], best: str, texts: Sequence[str], count: int, worth: float = 0.0
) -> list[str]:
    """Sentences that raise the chance (length,) that one of all is followed most, one after the other."""
    missed, chosen = 1 - chances[best], list[str]()
    while len(chosen) < count and (left := [text for text in texts if text not in chosen]):
        gains = [float((missed * chances[text]).mean()) for text in left]
        if max(gains) <= worth:
            break
        chosen.append(left[int(np.argmax(gains))])
        missed = missed * (1 - chances[chosen[-1]])
    return chosen


def actions() -> dict[str, Asked]:
    """What is asked of each action of `TABLE`."""
    return {action: Asked(**entry) for action, entry in read_json(TABLE).items()}


def phrases_and_verbs(table: Mapping[str, Asked]) -> dict[str, Any]:
    """What sentences are recognised by: phrases of all actions, and forms of their verbs."""
    verbs: set[str] = set()
    phrases = {}
    for action in {**WORDINGS["actions"], **table}:
        wordings = WORDINGS["actions"].get(action, {"train": (), "heldout": ()})
        own = [*wordings["train"], *wordings["heldout"], *(table[action].also if action in table else ())]
        verbs.update(verb for phrase in own for verb in re.findall(r"\*(\w+)", phrase))
        phrases[action] = [re.sub(r"\{(their|they|them|themself)\}", "their", own.replace("*", "")) for own in own]
    forms = {verb: {conjugate(verb, form) for form in ("present", "past", "gerund")} for verb in sorted(verbs)}
    return {
        "phrases": phrases,
        "verbs": {verb: sorted(found.difference(AMBIGUOUS)) for verb, found in forms.items()},
        "same": SAME,
    }


class Recognised(NamedTuple):
    """How many typed sentences of one action there are, are taken for it, and for another one; and how many of the
    others there are, and get another wording all the same."""

    count: int
    right: int
    wrong: int
    others: int
    reworded: int


def recognised(wordings: Wordings, part: str) -> Recognised:
    """What becomes of the typed sentences of a part, "dev" or "test"."""
    count = right = wrong = others = reworded = 0
    for entry in read_json(TYPED):
        for text in entry[part]:
            action = wordings.action_of(text)
            if entry["means"]:
                found = action in entry["means"]
                count, right, wrong = count + 1, right + found, wrong + (action is not None and not found)
            else:
                others, reworded = others + 1, reworded + (wordings.worded(text) != text)
    return Recognised(count, right, wrong, others, reworded)


def search(pipe: LaMPPipeline, table: Mapping[str, Asked], state: Path) -> dict[str, Found]:
    """What is found of each action, also by an earlier call with the same folder."""
    state.mkdir(parents=True, exist_ok=True)
    results = {}
    for action in tqdm(table, desc="searching", unit="action", disable=None):
        path = state / f"{action}.json"
        if not path.is_file():
            check_test(table[action].test)
            found = best_of(pipe, action, table[action])
            write_json(path, found._asdict())
        with reading(path, "result of a search"):
            results[action] = Found(**read_json(path))
    return results


def rewording(results: Mapping[str, Found], table: Mapping[str, Asked]) -> dict[str, Any]:
    """What `Wordings` has, of what was found."""
    kept = [action for action, found in results.items() if found.gains]
    return {
        "followed": {action: results[action].text for action in kept},
        "without_side": {action: found.text for action, found in results.items() if found.sided and not found.gains},
        "plain": [action for action in kept if results[action].usual >= MOST],
        "again": {action: found.again for action, found in results.items() if found.again},
        "tests": {
            action: {"test": asked.check or asked.test, "upright": asked.upright} for action, asked in table.items()
        },
        **phrases_and_verbs(table),
    }


def in_lines(tables: Mapping[str, Any]) -> str:
    """JSON with a line for each entry of each table."""

    def entries(table: Mapping[str, Any], write: Callable[[Any], str], indent: str) -> str:
        lines = [f"{indent} {json.dumps(key)}: {write(value)}" for key, value in table.items()]
        return "{\n" + ",\n".join(lines) + "\n" + indent + "}"

    def table(value: Any) -> str:
        return entries(value, json.dumps, " ") if isinstance(value, dict) and value else json.dumps(value)

    return entries(tables, table, "") + "\n"


@main_with_errors
def main() -> None:
    """Search action by action, then the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("checkpoints/mini"), help="folder of the models")
    parser.add_argument("--state", type=Path, default=Path("output/wordings"), help="folder of what is found so far")
    parser.add_argument("--actions", nargs="+", default=[], help="search these alone, and write no file")
    options = parser.parse_args()
    table = actions()
    if unknown := [action for action in options.actions if action not in table]:
        raise UserError(f"--actions {unknown[0]}: no such action; there are {', '.join(table)}")
    pipe = LaMPPipeline.from_pretrained(options.models)
    pipe.wordings = None  # what an earlier search found
    generators = [part.identity.split("@")[-1] for part in (pipe.masked, pipe.residual) if part is not None]
    chosen = {action: table[action] for action in options.actions or table}
    results = search(pipe, chosen, options.state / "-".join(generators))
    for action, found in results.items():
        mark = "*" if found.gains else " "
        print(f"{mark} {action:18s} usual {found.usual:4.0%}, best {found.rate:4.0%}  {found.text}")
    if options.actions:
        return
    with atomic_path(options.models / WORDINGS_FILE) as aside:
        aside.write_text(in_lines({"models": generators, **rewording(results, table)}), encoding="utf-8")
    wordings = Wordings.load(options.models, *generators)
    assert wordings is not None
    print(
        f"{len(wordings.followed)} of {len(results)} actions have a wording that is followed more often than most (*)"
    )
    for part in ("dev", "test"):
        seen = recognised(wordings, part)
        print(
            f"{part}: of {seen.count} sentences of one action {seen.right} are taken for it and {seen.wrong} for "
            f"another one; of {seen.others} others {seen.reworded} get another wording"
        )


if __name__ == "__main__":
    main()
