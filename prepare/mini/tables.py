"""Labels, clips and wordings of the mini data set, which are the JSON files beside this module.

labels.json: content and side of each content name in the Bandai-Namco files. A one-handed content without a side in
    its name has one all the same, so that a mirrored copy is not described by the words of the original. What the
    contents look like was measured on the clips: `walk-left` of set 1 drifts diagonally to the left without turning,
    `walk-turn` turns by 90 degrees, `bye`, `guide` and `kick` are done with the right limb, `respond` with the left
    one, `byebye` with both hands. `style_names` are the styles that the two sets name differently.
actions.json, styles.json, subjects.json: wordings from which captions are composed, each list twice: "train", and
    "heldout", which no training caption uses. `*walk` is a verb that takes the tense of the sentence,
    `{their}`/`{they}` agree with the subject and `{side}` becomes left or right. Kinds of style wording: "adverb"
    before the verb or last, "adjective" before the noun and in "in a ... way", "subject" a noun phrase that tells the
    style, "manner" a closing phrase, "look" a participle set off by a comma, "gait" a closing phrase for walking only.
    `unfit_places` are places where the words of a style read badly ("a natural man", "in an enormous way");
    `style_nouns` go with an adjective of the style, where "man" would contradict it.
cmu_clips.json: clips of the CMU database that mini has, each with its label in the database's index, and where it is
    held out, with the HumanML3D clip that was cut from it and that clip's frames (at 20 a second; from HumanML3D's
    index.csv). Of subject 01, who climbs on a playground that the motion alone does not show, only 01_01 is there.
cmu_captions.json, animated_drawings.json: hand-written captions by label of the CMU index, and by name of the
    AnimatedDrawings example. No caption names a side that the label does not name.
more_clips.json, more_actions.json: clips of the additional sources and wordings of what they show, see
    `lamp.prepare.mini.more.labels`.
cmu_actions.json: labels of the CMU index that are one action of wordings.json.
wordings.json: see `lamp.prepare.mini.wording`.
"""

import json
from importlib.resources import files
from typing import Any, Literal, NamedTuple

Phrasing = Literal["train", "heldout"]
Wordings = dict[Phrasing, tuple[str, ...]]


class ContentSide(NamedTuple):
    """What a content name in the files stands for: the canonical content, and "left", "right", "both" or ""."""

    content: str
    side: str


def _read(name: str) -> Any:
    return json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _lists(table: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(values) for key, values in table.items()}


def _wordings(table: dict[str, list[str]]) -> Wordings:
    return {"train": tuple(table["train"]), "heldout": tuple(table["heldout"])}


_labels, _subjects, _styles = _read("labels.json"), _read("subjects.json"), _read("styles.json")

CONTENTS = {name: ContentSide(*pair) for name, pair in _labels["contents"].items()}
STYLE_NAMES: dict[str, str] = _labels["style_names"]
WALKING: tuple[str, ...] = tuple(_labels["walking"])

SUBJECTS, NOUNS = _wordings(_subjects["subjects"]), _wordings(_subjects["nouns"])
STYLE_NOUNS = _lists(_subjects["style_nouns"])

ACTIONS = {content: _wordings(table) for content, table in _read("actions.json").items()}

WAYS, UNFIT_PLACES = _wordings(_styles["ways"]), _lists(_styles["unfit_places"])
STYLES = {
    style: {kind: _wordings(table) for kind, table in kinds.items()} for style, kinds in _styles["phrases"].items()
}

WORDINGS: dict[str, Any] = _read("wordings.json")
CMU_ACTIONS: dict[str, str] = _read("cmu_actions.json")

CMU_CLIPS: dict[str, dict[str, str | int]] = _read("cmu_clips.json")
CMU_CAPTIONS = _lists(_read("cmu_captions.json"))
MORE_CLIPS: dict[str, Any] = _read("more_clips.json")
MORE_ACTIONS = _lists(_read("more_actions.json"))
ANIMATED_DRAWINGS = _lists(_read("animated_drawings.json"))
