"""One import: what was asked for, the model folders that come of it, and the models beside it that it refers to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamp.models.checkpoints import model_folder
from lamp.models.hub import CONFIG_FILE, LaMPModel
from lamp.models.lamp.text import VOCABULARY_FILE, TextTokenizer
from lamp.models.text_condition import CLIP_SOURCE
from lamp.prepare.public.files import CheckpointFile, read_statistics
from lamp.prepare.public.state import listed
from lamp.utils.errors import UserError
from lamp.utils.files import read_json

IMPORTED = "imported_from"
BERT = "bert-base-uncased"
STATISTICS_BUFFERS = ("mean", "std")
# Where the public evaluators' statistics are, from their own folder (of MoMask, of T2M-GPT).
EVALUATOR_META = ("../Comp_v6_KLD005/meta", "../VQVAEV3_CB1024_CMT_H1024_NRES3/meta")


@dataclass
class Part:
    """A model folder to be written.

    Attributes:
        name: its name beside DST.
        model: what is in it.
        options: what our scripts read in its `opt.json`.
        inside: further models in folders of it.
    """

    name: str
    model: LaMPModel
    options: dict[str, Any] = field(default_factory=dict)
    inside: dict[str, LaMPModel] = field(default_factory=dict)


@dataclass
class Request:
    """State of one import.

    Attributes:
        file: the checkpoint.
        state: its state dict.
        options: public options of the file, of `opt.txt` and of the flags.
        dst: model folder to be written.
        meta: folder of the statistics; None looks beside the checkpoint.
        vocab: vocabulary of a Q-Former: file, folder or hub id; None takes BERT's.
        vq_name, lamp_name: names of the tokenizer and the LaMP model that go with it, beside `dst`.
        clip: hub id or folder of CLIP.
        condition: text-to-motion file of which a LaMP pretraining model gets the text condition.
        glove: folder of the public GloVe files.
        llm: folder or hub id of the language model of a captioner, for its tokenizer.
        notes: lines for the user.
    """

    file: CheckpointFile
    state: dict[str, Tensor]
    options: dict[str, Any]
    dst: Path
    meta: Path | None = None
    vocab: str | None = None
    vq_name: str | None = None
    lamp_name: str | None = None
    clip: str = CLIP_SOURCE
    condition: Path | None = None
    glove: Path | None = None
    llm: str | None = None
    notes: list[str] = field(default_factory=list)

    def statistics(self, width: int, others: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """Buffers `mean` and `std` (width,), from `--meta` or the first of the usual places that has them.

        Args:
            width: features of a frame.
            others: places to look at after `meta`, relative to the folder of the public run.

        Raises:
            UserError: `--meta` lacks them, or they are broken or of another width.
        """
        for folder in [self.meta] if self.meta else [self.file.space / place for place in ("meta", *others)]:
            found = read_statistics(folder, width)
            if found is not None:
                return dict(zip(STATISTICS_BUFFERS, found))
        if self.meta:
            raise UserError(f"--meta {self.meta}: there is no mean.npy and std.npy")
        self.notes.append("no meta/mean.npy and std.npy found: the model reads normalised motion only (--meta FOLDER)")
        return {"mean": torch.zeros(width), "std": torch.ones(width)}

    def words(self, size: int) -> TextTokenizer:
        """Vocabulary of a Q-Former of `size` words.

        Raises:
            UserError: there is none, or it is of another size.
        """
        stored = self.options.get("vocab")
        source = self.vocab or BERT
        if self.vocab is None and isinstance(stored, list):
            tokenizer = TextTokenizer(stored)
        else:
            tokenizer = TextTokenizer.load(_vocabulary(source).parent)
        if len(tokenizer) != size:
            raise UserError(f"{source} has {len(tokenizer)} words with [DEC], the Q-Former {size}; give its --vocab")
        return tokenizer

    def tokenizer_name(self, default: str) -> str:
        """Name of the tokenizer beside DST: `--vq_name`, or the one imported from the run that `opt.txt` names."""
        said = self.options.get("vq_name")
        if self.vq_name or not said:
            return self.vq_name or default
        for path in sorted(self.dst.parent.glob(f"*/{CONFIG_FILE}")):
            meta = read_config(path.parent).get("meta", {})
            if IMPORTED in meta and meta.get("public_name") == said:
                return path.parent.name
        return plain_name(str(said), "opt.txt's vq_name")

    def check_tokenizer(self, name: str, sizes: Mapping[str, int]) -> None:
        """Refuse a tokenizer beside DST that cannot be the one that this model was trained with.

        Raises:
            UserError: it was trained here, or has other sizes.
        """
        try:
            folder = model_folder(self.dst.parent / name)
        except UserError:
            self.notes.append(f"tokenizer: {self.dst.parent / name}, which is still to be imported (--vq_name)")
            return
        config = read_config(folder)
        if IMPORTED not in config.get("meta", {}):
            raise UserError(
                f"{folder} was not imported, and public weights only fit the tokenizer that they were trained with; "
                "import that one and name it by --vq_name"
            )
        for key, value in sizes.items():
            if config.get(key) != value:
                raise UserError(
                    f"{folder} has {key} {config.get(key)}, these weights {value}; name theirs by --vq_name"
                )
        said, has = self.options.get("vq_name"), config["meta"].get("public_name")
        if said and has and said != has:
            self.notes.append(
                f"opt.txt says vq_name {said}, but {folder} is {has}; make sure that they belong together"
            )

    def add_or_reuse(self, parts: list[Part], name: str, model: LaMPModel, options: dict[str, Any]) -> None:
        """Write a further model beside DST, unless an equal one is there.

        Raises:
            UserError: something else has its name.
        """
        folder = self.dst.parent / name
        if name in [part.name for part in parts]:
            raise UserError(f"{folder} is DST itself; give another --vq_name or --lamp_name")
        config = read_config(folder)
        if not folder.exists() or config.get("meta", {}).get(IMPORTED) == self.file.path.name:
            parts.append(Part(name, model, options))
            return
        if not config:
            raise UserError(f"{folder} holds no model; import into it first, or give another --vq_name or --lamp_name")
        there = type(model).from_pretrained(folder).state_dict()
        own = {key: value for key, value in model.state_dict().items() if key not in STATISTICS_BUFFERS}
        if other := [key for key, value in own.items() if key not in there or not torch.equal(there[key], value)]:
            raise UserError(
                f"{folder} is not the {type(model).__name__} of {self.file.path} ({listed(other[:3])} differ); "
                "give another --vq_name or --lamp_name"
            )
        self.notes.append(f"{folder} is the {type(model).__name__} of this file; it stays as it is")


def read_config(folder: Path) -> dict[str, Any]:
    """Configuration of a model folder; of anything else nothing."""
    try:
        config = read_json(folder / CONFIG_FILE)
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def plain_name(name: str, what: str) -> str:
    """`name`, if it can be a folder beside DST.

    Raises:
        UserError: it cannot.
    """
    if not name or Path(name).name != name:
        raise UserError(f"{what} {name!r} must be a plain name, that of a folder beside DST")
    return name


def _vocabulary(source: str) -> Path:
    """A `vocab.txt`: the file itself, of a folder, or of the hub."""
    path = Path(source)
    if path.is_file() and path.name == VOCABULARY_FILE:
        return path
    if path.is_dir():
        return path / VOCABULARY_FILE
    if path.exists() or path.suffix == ".txt":
        raise UserError(f"--vocab {source}: name a {VOCABULARY_FILE}, its folder, or a BERT model of the hub")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(source, VOCABULARY_FILE))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"{source}: no vocabulary could be had; give --vocab FOLDER with BERT's vocab.txt") from error
