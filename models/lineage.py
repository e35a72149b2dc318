"""Which model was built on which: a transformer on a tokenizer and a text encoder, a captioner on LaMP.

A trained model keeps the identity, `name@digest`, of each model it was trained on in its `meta`. When the models are
put together again, `check_built_on` refuses others: codes of a retrained tokenizer mean something else, and a model
that reads them gives noise without any error.
"""

from pathlib import Path
from typing import Literal, Protocol

from lamp.models.hub import LaMPModel
from lamp.utils.errors import UserError

Role = Literal["tokenizer", "text_encoder", "lamp"]
_ENTRY = "built_on"


class Identified(Protocol):
    """A model that others are built on."""

    @property
    def identity(self) -> str:
        """Its name and what tells its weights from others, `name@digest`."""
        ...


def built_on(**parts: Identified) -> dict[str, dict[str, str]]:
    """What the `meta` of a model says of the models it is trained on, given by role (see `Role`)."""
    return {_ENTRY: {role: part.identity for role, part in parts.items()}}


def check_built_on(model: LaMPModel, role: Role, part: Identified) -> None:
    """Make sure that `model` was trained on `part`.

    Models that were never saved, or by a version that did not record this, pass.

    Raises:
        UserError: it was trained on another one.
    """
    recorded = model.meta.get(_ENTRY, {}).get(role) if model.folder is not None else None
    if recorded is None:
        return
    name, _, digest = recorded.rpartition("@")
    name_here, _, digest_here = part.identity.rpartition("@")
    if digest == digest_here:
        return
    what = role.replace("_", " ")
    folder: Path | None = getattr(part, "folder", None)
    here = f"{name_here}@{digest_here}" + (f" ({folder})" if folder is not None else "")
    reason = f"this one was trained anew: {here}" if name == name_here else f"this is {here}"
    raise UserError(
        f"{model.folder} was trained on the {what} {name}@{digest}; {reason}; "
        f"train {model.identity.partition('@')[0]} again on it, or name the {what} that it was trained on"
    )
