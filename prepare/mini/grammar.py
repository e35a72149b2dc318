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
    "boogie": ("boogies", "boogieing", "boogied"),
    "referee": ("referees", "refereeing", "refereed"),
    "squeegee": ("squeegees", "squeegeeing", "squeegeed"),
    "have": ("has", "having", "had"),
    "lie": ("lies", "lying", "lay"),
    "frolic": ("frolics", "frolicking", "frolicked"),
}
_PASTS: dict[str, str] = dict(
    pair.split(":")
    for pair in (
        "arise:arose bear:bore begin:began break:broke burst:burst cast:cast catch:caught come:came creep:crept "
        "cut:cut deal:dealt drink:drank drive:drove fall:fell find:found fling:flung fly:flew freeze:froze get:got "
        "give:gave hang:hung hide:hid hit:hit kneel:knelt lay:laid lead:led leave:left let:let quit:quit ring:rang "
        "rise:rose send:sent set:set shake:shook shoot:shot shrink:shrank sink:sank sit:sat sleep:slept slide:slid "
        "sling:slung speak:spoke speed:sped spread:spread spring:sprang sweep:swept tell:told thrust:thrust tread:trod "
        "wake:woke".split()
    )
)
"""Verbs of which only the past is irregular."""
_DOUBLING = set(
    "bed begin bob bop chat chop control cut drag flag flip flop get grab grip hit hop jab leg let lob lop lug "
    "nap nod pat plop put quit rub scan scrub set sidestep sip sit skip slam slap snag squat stab stop swig tap "
    "trap wag".split()
)
"""Verbs whose last consonant is doubled before -ing and -ed."""
_PRONOUNS = {
    "male": {"they": "he", "their": "his", "them": "him", "themself": "himself"},
    "female": {"they": "she", "their": "her", "them": "her", "themself": "herself"},
    "neutral": {"they": "they", "their": "their", "them": "them", "themself": "themselves"},
}
_MALE = {"man", "boy", "guy", "grandfather", "he", "gentleman", "fellow", "bloke"}
_FEMALE = {"actress", "woman", "lady", "girl", "female", "she"}


def conjugate(verb: str, form: str) -> str:
    """Return `verb` as a sentence needs it, without auxiliary.

    Args:
        verb: Base form.
        form: "present" (third person), "past", or anything else for the -ing form.
    """
    if verb in _IRREGULAR:
        third, continuous, past = _IRREGULAR[verb]
    elif verb.endswith("y") and verb[-2] not in "aeou":
        third, continuous, past = verb[:-1] + "ies", verb + "ing", verb[:-1] + "ied"
    else:
        stem = verb + verb[-1] if verb in _DOUBLING else verb.removesuffix("e")
        third = verb + ("es" if verb.endswith(("s", "sh", "ch", "x")) else "s")
        continuous, past = stem + "ing", stem + "ed"
    past = _PASTS.get(verb, past)
    return {"present": third, "past": past}.get(form, continuous)


def pronouns(subject: str, rng: random.Random) -> dict[str, str]:
    """Return the words that fill {they}, {their}, {them} and {themself} for a noun phrase (empty: no subject)."""
    noun = subject.split()[-1] if subject else ""
    if noun in _MALE or (noun == "person" and rng.random() < 0.2):
        return _PRONOUNS["male"]
    return _PRONOUNS["female" if noun in _FEMALE else "neutral"]


def with_article(phrase: str) -> str:
    """Put "a" or "an" before a phrase."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase
