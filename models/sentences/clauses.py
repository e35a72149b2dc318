"""What a sentence says one after the other: "a person walks, then bows" -> "a person walks", "a person bows".

Only words that say so plainly divide a sentence ("then", "after that", "before bowing", a full stop, a list of verbs),
and only where every part has a verb of movement that is known here; whatever is not understood stays whole. "and" and
"while" mean at once.
"""

import re

from lamp.models.sentences.verbs import ending, forms, third_person

SUBJECT = "a person"
"""Who does what a later clause says, if it does not say."""
MOST_CLAUSES = 8
LONGEST = 400
"""Characters of the longest sentence that is looked at."""

BASES = (
    "act aim back balance bend block boil bounce bow box brush bump carry catch chop circle clap climb come crawl "
    "creep cross crouch curtsy dance dive dodge drink drop duck eat exercise fall fight fling fly gallop gesture get "
    "give go grab hit hop hurl hurry jab jog jump kick kneel lay lean leap leave lie lift limp look lower lunge march "
    "mime move nod pace paddle perform pick pivot place play point pose pour practice practise proceed pull punch push "
    "put raise reach relax rest retreat return rise roll rotate run rush salute scratch shake shrug shuffle sidestep "
    "sit skip slap slide slip sneak spin sprint squat stagger stand start step stomp stoop stop straighten stretch "
    "stride stroll stumble swing swim take tap throw tiptoe toss touch tread trip trot turn twirl twist wait walk "
    "wander wash wave wipe yawn talk sip pause slow do fold extend open close begin bring hold keep resume continue "
    "ride drive ski skate surf cook write sing cough sneeze cry whistle sleep juggle hug kiss wrestle celebrate"
).split()
PAST = {
    "ran": "run", "sat": "sit", "stood": "stand", "lay": "lie", "threw": "throw", "fell": "fall", "went": "go",
    "came": "come", "got": "get", "bent": "bend", "knelt": "kneel", "leapt": "leap", "swung": "swing", "spun": "spin",
    "took": "take", "rose": "rise", "shook": "shake", "crept": "creep", "caught": "catch", "gave": "give",
    "began": "begin", "held": "hold", "kept": "keep", "left": "leave", "swam": "swim", "fought": "fight",
    "rode": "ride", "drove": "drive", "wrote": "write", "sang": "sing", "slept": "sleep",
}  # fmt: skip
"""What people did, of verbs with forms of their own."""
_FINITE = (
    {third_person(base) for base in BASES}
    | set(PAST) - {"left"}
    | {form for base in BASES for form in ending(base, "ed")}
)
_GERUNDS = {form for base in BASES for form in ending(base, "ing")}
VERBS = _FINITE | forms(BASES)
"""Forms of what bodies do, whether models know it or not."""
_AT_ONCE = {third_person(base) for base in "hold keep look balance limp play act point".split()}
"""Verbs that in a list, "stands, holds a cup, and looks up", often go on meanwhile."""
_TRANSITIVE = (
    "open close raise lift lower push pull throw catch extend pick put move place grab take hold shake fold toss"
)
_NO_LIST = {"while", "as", "who", "that", "with", "does", "performs", "practices", "practises", "throws"}
"""Words after which a list is of other things than what is done in turn."""
_OBJECTS = {third_person(base) for base in _TRANSITIVE.split()}
"""Verbs that without an object wait for that of the next clause, "opens then closes the door"."""

_AFTER_THAT = r"(?:(?:right|shortly|soon|immediately) )?after that"
_LATER = (
    rf"then|{_AFTER_THAT}|after which|afterwards?|thereafter|thereupon|subsequently|next(?! to)|finally|lastly|at last|"
    r"eventually|in the end|at the end|later(?: on)?"
)
_FIRST = r"first(?:ly)?|at first|to begin with|initially|in the beginning"
_A_WHILE = r"after (?:a|an|\d+|some|few) \w+(?: \w+)??"
_STARTS = re.compile(
    rf"(?:{_FIRST}|(?:and\s+|but\s+)?(?:{_LATER}|second(?:ly)?|third(?:ly)?|{_A_WHILE}))\b,?\s+",
    re.IGNORECASE,
)
_STATE = re.compile(r"\b(?:is|are|was|were) (?!\w+ing\b|going\b)", re.IGNORECASE)
_ENDS = re.compile(rf",?\s+(?:{_FIRST}|{_LATER})$", re.IGNORECASE)
_WHOSE = r"(?:(?:\w+ly\s+)?\w+ing\b|(?:he|she|it|they)\s)"
_STOP = r"(?<!\b\w)(?<!\b[a-z]\w)(?<!\bvs)(?<!\betc)(?<!\bapprox)(?<!\bfwd)[.!]"
_BETWEEN = re.compile(
    rf"\s*{_STOP}\s+(?=\w)|\s*;\s+(?={_LATER})|\s*,?\s*\b(?:and|but)\s+(?:{_LATER})\b,?\s+|"
    rf"\s*,?\s*\bthen\b,?\s+|\s*,\s*(?:{_LATER})\b,?\s+|\s*;\s*(?:second(?:ly)?|third(?:ly)?)\b,?\s+|"
    r"\s*,?\s+followed by\s+|"
    r"\s*,?\s+\b(?:and|to)\s+(?:ends?|finish(?:es)?)(?: up)?(?: by| with)?\s+(?=\w+ing\b)|"
    rf"\s*,?\s+(?:before|prior to)\s+(?={_WHOSE})",
    re.IGNORECASE,
)
_AND_AFTER = re.compile(rf",?\s+(?:and|but)\s+(?=[^,]*\b(?:{_LATER})$)", re.IGNORECASE)
_AFTER = re.compile(rf"^after\s+(?:first\s+)?({_WHOSE}[^,]*),\s+(.+)$", re.IGNORECASE)
_DEEDS = "bow jump hop kick punch wave squat spin turn walk run jog stretch"
_AFTER_A = re.compile(
    rf"^after (?:an?|the|one|his|her|their) (?:(?!of\b)\w+ )?({'|'.join(_DEEDS.split())}),? "
    r"(?=(?:he|she|they|it|an?|the|some\w+)\b)",
    re.IGNORECASE,
)
"""What is done first, as a noun: "after a bow, she waves"."""
_BEFORE = re.compile(rf"^(?:before|prior to)\s+({_WHOSE}[^,]*),\s+(.+)$", re.IGNORECASE)
_REVERSED = re.compile(rf"^([^,]+),?\s+(?:but (?:only )?)?after\s+(?:first\s+)?({_WHOSE}[^,]*)$", re.IGNORECASE)
_BUT_FIRST = re.compile(r"^([^,;.]+)(?:,?\s+but (?:first|before that)|[.;]\s+before that),?\s+(.+)$", re.IGNORECASE)
_WHOLE = re.compile(
    r"[\"\u201c\u201d()\[\]]|\b(?:does|doing|do) (?:both|two|three|several|this|that|it)\b|\bnow and then\b|\brepeat|"
    r"\bthe same\b|\b(?:more|less|fewer|rather|other) then\b|\b(?:whole|entire) (?:time|way)\b|\bthroughout\b|"
    r"\ball (?:while|the while)\b|,\s*(?:all|both|while|always|meanwhile)\b|\bat the same time\b|\bsimultaneously\b|"
    r"\bas if\b|\blike\b.*\bafter\b|^(?:while|when|whenever|as|if|with|without|in|on|at|there)\b|\bthere (?:is|are)\b|"
    r"\bshows\b|\b(?:almost|nearly)\b|\bcatch\w* (?:him|her|it|them)sel\w+|\bbut stops? before\b|"
    r"\bup (?:again )?(?:twice|\w+ times)$|\bturn\w* (?:a?round|about|back)\b.*\b(?:walk|run|jog|go|come)e?s? back\b|"
    r"[.]\s+(?:his|her|their|its) (?:left |right )?(?:arms?|hands?|legs?)\b|"
    r"\blook(?:s|ed)? (?!(?:left|right|up|down|around|at|behind|back|over|to|both|in|out|forward|for)\b)\w+",
    re.IGNORECASE,
)
"""What speaks of the sentence as a whole, or makes its order uncertain."""
_BREAKS_INTO = re.compile(r"\bbreaks? (?:in)?to an? (run|jog|sprint|walk)\b", re.IGNORECASE)
_BEGINS = re.compile(r"^(.*?)\b(?:starts|begins|opens) (?:by|with) (?=\w+ing\b)", re.IGNORECASE)

_WHO = {
    *("a", "an", "the", "one", "this", "that", "another", "he", "she", "it", "they", "we", "i", "you", "his", "her"),
    *("its", "their", "someone", "somebody", "anyone", "both", "person", "man", "woman", "people", "figure", "human"),
}
"""Words with which a clause begins that says who, or what, is meant."""
_WAYS = {
    *("forward", "forwards", "backward", "backwards", "back", "left", "right", "up", "down", "sideways", "away"),
    *("straight", "clockwise", "counterclockwise", "anticlockwise"),
}
_CARRY_ON = re.compile(
    r"^((?!.*\bwho\b)(?:\S+\s+){1,4}?(?:stands? up|gets? up|picks? up\b[^,]*|picks?\b[^,]*? up|turns? (?:a)?round|"
    r"stops?)(?:\s+from\s+(?:\w+\s+){0,2}\w+)?),?\s+and\s+(?=(?:walks?|runs?|jogs?|goes|go|leaves?|carries|carry|waves?|"
    r"bows?|comes?|jumps?|kicks?)\b)|"
    r"^((?:\S+\s+){1,4}?(?:sits?|lies?|kneels?|crouches|squats?|bends?) down),?\s+and\s+(?=(?:then )?(?:stands?|gets?) "
    r"(?:back )?up\b)",
    re.IGNORECASE,
)
"""What cannot be at once with what follows its "and"."""


def clauses(text: str) -> list[str]:
    """What a sentence says one after the other, in the order in which it happens, each a sentence of its own.

    Args:
        text: a sentence.

    Returns:
        The text itself alone, where it does not plainly say so or a part would not be a sentence.
    """
    whole = " ".join(text.split())
    if len(whole) > LONGEST or _WHOLE.search(whole):
        return [text]
    whole = _AFTER_A.sub(lambda found: f"{SUBJECT} {third_person(found[1].lower())}, then ", whole)
    whole = _BREAKS_INTO.sub(lambda found: third_person(found[1].lower()), whole)
    ordered = _ordered(whole.rstrip(" .!;,"))
    parts = [clause for part in ordered for clause in _divided(part, len(ordered) > 1)]
    if not 1 < len(parts) <= MOST_CLAUSES:
        return [text]
    found: list[str] = []
    for part in parts:
        bare = _ENDS.sub("", _STARTS.sub("", part.strip(" ,;."), count=1)).strip(" ,;.:&-")
        sentence = sentence_of(bare, found)
        if not sentence:
            return [text]
        found.append(sentence)
    return found


def _ordered(text: str) -> list[str]:
    """Parts that words of order divide, those of "after", "before" and "but first" turned round."""
    if match := _AFTER.match(text):
        return [match[1], *_ordered(match[2])]
    if match := _BEFORE.match(text):
        return [*_ordered(match[2]), match[1]]
    if match := _BUT_FIRST.match(text):
        return [match[2], match[1]]
    found = []
    for part in filter(str.strip, _BETWEEN.split(text)):
        match = _REVERSED.match(part)
        if match and " and " not in match[2]:
            found += [match[2], match[1]]
        else:
            found += _AND_AFTER.split(part, maxsplit=1)
    return found


def _divided(part: str, several: bool) -> list[str]:
    """Parts of a list of verbs, "walks, stops, and waves", and what cannot be at once; `several`: one of more parts."""
    items = [item.strip() for item in re.split(r",\s*(?:and\s+)?|\s+and\s+", part)]
    words = [words_of(item) for item in items]
    in_a_row = "," in part and all(own and own[0] in _FINITE and own[0] not in _AT_ONCE for own in words[1:])
    waiting = any(len(own) == 1 and item in _OBJECTS for own, item in zip(words, items))  # "raises and lowers his legs"
    alone = verb_of(items[0]) and not _NO_LIST & set(words[0]) and not waiting
    if in_a_row and alone and len(items) > (1 if several else 2):
        return items
    match = _CARRY_ON.match(part)
    return [match[1] or match[2], part[match.end() :]] if match else [part]


def sentence_of(clause: str, before: list[str]) -> str:
    """A clause made whole by what was said before; "" if that is not possible."""
    words = words_of(clause)
    if not words or words[0] in ("and", "or", "but", "being") or _STATE.search(clause):
        return ""
    if not before:
        clause = _BEGINS.sub(r"\1is ", clause)
        verb = verb_of(clause)
        if not verb or (len(words) < 4 and words[-1] == verb and verb in _OBJECTS):
            return ""  # "the person then sits", "he opens then closes the door"
        return f"{SUBJECT} is {clause}" if words[0] in _GERUNDS else clause
    if words[0] == "again":
        return before[-1] if len(words) == 1 else ""
    if words[0] in _WAYS or words[0] == "to" or (words[0] in _WHO and not verb_of(clause)):
        return _completed(clause, before[-1])
    if words[0] in _WHO:
        return clause
    if words[0] in _GERUNDS:
        return f"{SUBJECT} is {clause}"
    if words[0] in BASES and words[0] not in _FINITE:
        return clause
    return f"{SUBJECT} {clause}" if words[0] in _FINITE or words[0] in ("is", "does") else ""


def _completed(clause: str, before: str) -> str:
    """The sentence before with another end: "he lifts the left hand", "the right one" -> "he lifts the right one"."""
    words, first = before.split(), clause.split()[0].lower()
    alike = [i for i, word in enumerate(words) if i and (word.lower() == first or {word.lower(), first} <= _WAYS)]
    if not alike or "," in before:
        return ""
    kept, replaced = words[: alike[-1]], words[alike[-1] :]
    # Otherwise what follows would be lost, or belongs to both.
    return " ".join([*kept, clause]) if len(clause.split()) - 1 <= len(replaced) < 4 else ""


_COUNTED = re.compile(r"\d+|a|an|the|his|her|two|three|four|five|six|few")


def verb_of(clause: str) -> str:
    """The first verb of movement among the first words; "" without one. Nouns after numbers and articles are none."""
    words = words_of(clause)
    for place, word in enumerate(words[:5]):
        if word in VERBS and not (place and _COUNTED.fullmatch(words[place - 1])):
            return word
    return ""


def words_of(clause: str) -> list[str]:
    """Words in small letters, without adverbs in -ly and what is no letter."""
    return [word for word in re.findall(r"[a-z0-9'-]+", clause.lower()) if not (word.endswith("ly") and len(word) > 4)]
