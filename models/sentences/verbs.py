"""Forms of English verbs, by the rules of spelling; irregular ones are named where they are needed."""

import re
from collections.abc import Iterable


def third_person(base: str) -> str:
    """What he does: "carry" -> "carries"."""
    if re.search(r"[^aeiou]y$", base):
        return base[:-1] + "ies"
    return base + ("es" if re.search(r"(?:s|x|ch|sh|o)$", base) else "s")


def ending(base: str, end: str) -> set[str]:
    """Forms with -ed or -ing; a consonant may be doubled, an e is dropped."""
    found = {base + end, base + base[-1] + end}
    if base.endswith("e"):
        found.add(base[:-1] + end)
    if base.endswith("ie"):
        found.add(base[:-2] + "y" + end)
    if end == "ed" and base.endswith("y"):
        found.add(base[:-1] + "ied")
    return found


def forms(bases: Iterable[str]) -> set[str]:
    """All regular forms of some verbs."""
    return {form for base in bases for form in (base, third_person(base), *ending(base, "ed"), *ending(base, "ing"))}


def any_form(bases: str) -> str:
    """All regular forms of some verbs, with blanks between, as alternatives of a regular expression."""
    return "|".join(sorted(forms(bases.split())))
