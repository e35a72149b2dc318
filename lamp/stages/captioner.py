"""The captioner that is to be trained: its tokenizer, its language model and words, its files."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from lamp.data.cache import open_cache
from lamp.data.loaders import load_split
from lamp.data.spec import DatasetSpec
from lamp.models.checkpoints import model_folder, read_run_options
from lamp.models.fast import speed_up
from lamp.models.hub import CONFIG_FILE
from lamp.models.lamp.model import LaMP
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.language import GPT, checkpoint_gradients
from lamp.models.m2t.pipeline import LAMP_FOLDER
from lamp.models.m2t.queries import LaMPCaptioner
from lamp.models.m2t.vocabulary import WordPieceVocabulary
from lamp.options.m2t import M2TOptions
from lamp.utils.errors import UserError


def say(line: str) -> None:
    """Print a line, in the first process only."""
    if int(os.environ.get("RANK", 0)) == 0:
        print(line, flush=True)


def find_tokenizer(options: M2TOptions) -> str:
    """Name of the tokenizer that LaMP was trained with; a line where `--vq_name` says another that does not exist.

    Raises:
        UserError: `--vq_name` is another tokenizer.
    """
    root = options.checkpoints_dir / options.dataset_name
    trained = read_run_options(root / options.lamp_name)["vq_name"]
    if options.vq_name not in ("", trained):
        if (root / options.vq_name).is_dir():
            raise UserError(
                f"--vq_name {options.vq_name}: LaMP {options.lamp_name} was trained with the tokenizer {trained}; "
                "leave --vq_name out, or name another LaMP by --lamp_name"
            )
        say(f"note: --vq_name {options.vq_name} is no run; LaMP {options.lamp_name} brings its tokenizer, {trained}")
    return trained


def create_captioner(options: M2TOptions, lamp: LaMP, spec: DatasetSpec) -> Captioner:
    """The captioner that `options` describe, or the one that --resume_trans names.

    Args:
        options: of the run.
        lamp: whose queries it describes; it also has the words of a GPT of our own.
        spec: data set, whose training captions say which of them are used.

    Raises:
        UserError: there is no such captioner or language model, or sizes do not go together.
    """
    if options.resume_trans:
        folder = Path(options.resume_trans)
        if not (folder / CONFIG_FILE).is_file():
            folder = model_folder(options.checkpoints_dir / options.dataset_name / options.resume_trans)
        say(f"starting from the captioner {folder}, whose sizes count")
        return Captioner.from_pretrained(folder)
    config = dataclasses.replace(
        options.model, query_dim=lamp.config.hidden_size, num_queries=lamp.config.num_query_tokens
    )
    words = lamp.tokenizer
    assert words is not None, "a loaded LaMP has its words"
    chosen = words
    if config.llm == GPT and options.words == "used":
        known = open_cache(spec).captions
        captions = [caption.text for name in load_split(spec, "train") for caption in known[name]]
        chosen = WordPieceVocabulary(words).used_in(captions).tokenizer
    model = speed_up(Captioner.create(config, chosen))
    if options.init_words == "lamp":
        model.start_words(words, lamp.former.word_embedding.weight)
    if options.gradient_checkpointing:
        checkpoint_gradients(model.language)
    return model


def save(module: Captioner | LaMPCaptioner, folder: Path, meta: dict[str, Any]) -> None:
    """Write the captioner, and below it the LaMP that was trained with it."""
    if isinstance(module, LaMPCaptioner):
        module.captioner.save_pretrained(folder, meta=meta)
        module.lamp.save_pretrained(folder / LAMP_FOLDER, meta=meta)
    else:
        module.save_pretrained(folder, meta=meta)
