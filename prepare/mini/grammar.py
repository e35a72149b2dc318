"""The little English grammar that composed captions need: verb forms, pronouns and articles."""

import random

_IRREGULAR = {  # third person, -ing, past
    "run": ("runs", "running", "ran"),
    "jog": ("jogs", "jogging", "jogged"),
    "step": ("steps", "stepping", "stepped"),
    "take": ("takes", "taking", "took"),
    "make": ("makes", "making", "made"),
    "go": ("goes", "going", "went"),
    "do": ("does", "doing", "did"),
    "put": ("puts", "putting", "put"),
    "bring": ("brings", "bringing", "brought"),
    "hold": ("holds", "holding", "held"),
    "keep": ("keeps", "keeping", "kept"),
    "bend": ("bends", "bending", "bent"),
    "say": ("says", "saying", "said"),
    "see": ("sees", "seeing", "saw"),
    "bid": ("bids", "bidding", "bade"),
    "show": ("shows", "showing", "showed"),
    "spin": ("spins", "spinning", "spun"),
    "swing": ("swings", "swinging", "swung"),
    "throw": ("throws", "throwing", "threw"),
    "fight": ("fights", "fighting", "fought"),
    "strike": ("strikes", "striking", "struck"),
    "stand": ("stands", "standing", "stood"),
    "spar": ("spars", "sparring", "sparred"),
    "tip": ("tips", "tipping", "tipped"),
    "dip": ("dips", "dipping", "dipped"),
    "drop": ("drops", "dropping", "dropped"),
    "flap": ("flaps", "flapping", "flapped"),
    "trot": ("trots", "trotting", "trotted"),
    "tear": ("tears", "tearing", "tore"),
    "stick": ("sticks", "sticking", "stuck"),
    "lean": ("leans", "leaning", "leaned"),
    "withdraw": ("withdraws", "withdrawing", "withdrew"),
    "signal": ("signals", "signaling", "signaled"),
    "pummel": ("pummels", "pummeling", "pummeled"),
    "hop": ("hops", "hopping", "hopped"),
    "skip": ("skips", "skipping", "skipped"),
    "get": ("gets", "getting", "got"),
    "lie": ("lies", "lying", "lay"),
    "lay": ("lays", "laying", "laid"),
    "sit": ("sits", "sitting", "sat"),
    "set": ("sets", "setting", "set"),
    "rise": ("rises", "rising", "rose"),
    "catch": ("catches", "catching", "caught"),
    "shoot": ("shoots", "shooting", "shot"),
    "grab": ("grabs", "grabbing", "grabbed"),
    "squat": ("squats", "squatting", "squatted"),
    "stop": ("stops", "stopping", "stopped"),
    "chop": ("chops", "chopping", "chopped"),
    "flip": ("flips", "flipping", "flipped"),
    "sidestep": ("sidesteps", "sidestepping", "sidestepped"),
    "break": ("breaks", "breaking", "broke"),
    "slow": ("slows", "slowing", "slowed"),
    "leave": ("leaves", "leaving", "left"),
    "come": ("comes", "coming", "came"),
    "give": ("gives", "giving", "gave"),
    "scan": ("scans", "scanning", "scanned"),
    "rub": ("rubs", "rubbing", "rubbed"),
    "drag": ("drags", "dragging", "dragged"),
    "hit": ("hits", "hitting", "hit"),
    "let": ("lets", "letting", "let"),
    "boogie": ("boogies", "boogieing", "boogied"),
}
_PRONOUNS = {
    "male": {"they": "he", "their": "his", "themself": "himself"},
    "female": {"they": "she", "their": "her", "themself": "herself"},
    "neutral": {"they": "they", "their": "their", "themself": "themselves"},
}
_MALE = {"man", "boy", "guy", "grandfather"}
_FEMALE = {"woman", "lady", "girl", "female"}


def conjugate(verb: str, form: str) -> str:
    """Return `verb` as a sentence needs it, without auxiliary.

    Args:
        verb: Base form.
        form: "present" (third person), "past", or anything else for the -ing form.
    """
    if verb in _IRREGULAR:
        third, continuous, past = _IRREGULAR[verb]
    elif verb.endswith("y") and verb[-2] not in "aeiou":
        third, continuous, past = verb[:-1] + "ies", verb + "ing", verb[:-1] + "ied"
    else:
        stem = verb.removesuffix("e")
        third = verb + ("es" if verb.endswith(("s", "sh", "ch", "x")) else "s")
        continuous, past = stem + "ing", stem + "ed"
    return {"present": third, "past": past}.get(form, continuous)


def pronouns(subject: str, rng: random.Random) -> dict[str, str]:
    """Return the words that fill {they}, {their} and {themself} for a noun phrase (empty: no subject)."""
    noun = subject.split()[-1] if subject else ""
    if noun in _MALE or (noun == "person" and rng.random() < 0.2):
        return _PRONOUNS["male"]
    return _PRONOUNS["female" if noun in _FEMALE else "neutral"]


def with_article(phrase: str) -> str:
    """Put "a" or "an" before a phrase."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase
