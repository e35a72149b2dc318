"""Start LaMP's language side from a BERT checkpoint, as BLIP-2 starts its Q-Former.

transformers is needed here only; a trained LaMP loads without it.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn

from lamp.models.lamp.model import LaMP, LaMPConfig
from lamp.models.lamp.qformer import QFormerLayer
from lamp.models.lamp.text import VOCABULARY_FILE, TextTokenizer
from lamp.utils.errors import UserError, brief
from lamp.utils.files import read_json

if TYPE_CHECKING:
    from transformers import BertForMaskedLM
    from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer, BertLMPredictionHead

Selection = Literal["even", "first"]


@dataclass(frozen=True)
class BertReport:
    """What was copied.

    Attributes:
        source: where the weights came from.
        layers: which of the source's layers became our layers 0, 1, ...
        language_head: whether the source had the head over the vocabulary; otherwise ours keeps its random start.
        words: vocabulary size, [DEC] included.
    """

    source: str
    layers: tuple[int, ...]
    language_head: bool
    words: int


def config_for_bert(source: str | Path, **overrides: Any) -> LaMPConfig:
    """A LaMP configuration with the sizes and vocabulary of a BERT checkpoint.

    Args:
        source: a folder, a hub id, or the name of an installed package that ships a checkpoint in `model/`.
        overrides: any field of `LaMPConfig`; `num_layers` below the source's takes a selection of its layers.
    """
    bert = read_json(_file(source, "config.json"))
    if bert.get("model_type") != "bert":
        raise UserError(f"{source} is a {bert.get('model_type')} model; LaMP starts from BERT models only")
    sizes = {
        "vocab_size": len(_tokenizer(source)),
        "hidden_size": bert["hidden_size"],
        "num_layers": bert["num_hidden_layers"],
        "num_heads": bert["num_attention_heads"],
        "intermediate_size": bert["intermediate_size"],
        "max_positions": bert["max_position_embeddings"],
    }
    return LaMPConfig(**(sizes | overrides))


def initialize_from_bert(lamp: LaMP, source: str | Path, *, selection: Selection = "even") -> BertReport:
    """Copy a BERT checkpoint into `lamp` and give it the checkpoint's vocabulary.

    Copied: word and position embeddings (the constant segment embedding is added to the positions, so that the
    text-only pass of a full copy equals BERT's), self-attention, text feed-forward, the query feed-forward as a copy of
    the text one, and the language head where the checkpoint has it. [DEC] starts as a copy of [CLS], whose place it
    takes. Cross-attention, query tokens and the other heads keep their random start.

    Args:
        lamp: built from `config_for_bert(source)`.
        source: as in `config_for_bert`.
        selection: which layers a shallower LaMP takes: "even" spreads them from the first to the last, "first" takes
            the lowest.
    """
    tokenizer = _tokenizer(source)
    bert, has_head = _load(source)
    _check_sizes(lamp.config, bert, source)
    count, available = lamp.config.num_layers, len(bert.bert.encoder.layer)
    layers = _select_layers(available, count, selection)
    with torch.no_grad():
        _copy_embeddings(lamp, bert.bert.embeddings, tokenizer)
        for ours, index in zip(lamp.former.layers, layers, strict=True):
            _copy_layer(cast(QFormerLayer, ours), cast("BertLayer", bert.bert.encoder.layer[index]))
        if has_head:
            _copy_language_head(lamp, bert.cls.predictions)
    lamp.tokenizer = tokenizer
    return BertReport(str(source), layers, has_head, len(tokenizer))


def _select_layers(available: int, count: int, selection: Selection) -> tuple[int, ...]:
    if count > available:
        raise UserError(f"num_layers is {count} but the BERT checkpoint has {available} layers; lower num_layers")
    if selection == "first" or count == 1:
        return tuple(range(count))
    return tuple(round(step * (available - 1) / (count - 1)) for step in range(count))


def _check_sizes(config: LaMPConfig, bert: "BertForMaskedLM", source: str | Path) -> None:
    theirs = bert.config
    for name, expected in (
        ("vocab_size", theirs.vocab_size + 1),
        ("hidden_size", theirs.hidden_size),
        ("num_heads", theirs.num_attention_heads),
        ("intermediate_size", theirs.intermediate_size),
    ):
        if (own := getattr(config, name)) != expected:
            raise UserError(f"{name} is {own} but {source} needs {expected}; build the model with config_for_bert")
    if config.max_positions > theirs.max_position_embeddings:
        raise UserError(f"max_positions {config.max_positions} exceeds {source}'s {theirs.max_position_embeddings}")


def _copy_embeddings(lamp: LaMP, theirs: "BertEmbeddings", tokenizer: TextTokenizer) -> None:
    former, words = lamp.former, theirs.word_embeddings.weight
    former.word_embedding.weight[:-1].copy_(words)
    former.word_embedding.weight[-1].copy_(words[tokenizer.cls_id])
    positions = theirs.position_embeddings.weight[: lamp.config.max_positions]
    former.position_embedding.weight.copy_(positions + theirs.token_type_embeddings.weight[0])
    _copy(former.embedding_norm, theirs.LayerNorm)


def _copy_layer(ours: QFormerLayer, theirs: "BertLayer") -> None:
    attention = theirs.attention.self
    parts = (attention.query, attention.key, attention.value)
    ours.self_attention.query_key_value.weight.copy_(torch.cat([part.weight for part in parts]))
    ours.self_attention.query_key_value.bias.copy_(torch.cat([part.bias for part in parts]))
    _copy(ours.self_attention.output.linear, theirs.attention.output.dense)
    _copy(ours.self_attention.output.norm, theirs.attention.output.LayerNorm)
    for feed_forward in (ours.text_feed_forward, ours.query_feed_forward):
        _copy(feed_forward.linear, theirs.intermediate.dense)
        _copy(feed_forward.output.linear, theirs.output.dense)
        _copy(feed_forward.output.norm, theirs.output.LayerNorm)


def _copy_language_head(lamp: LaMP, theirs: "BertLMPredictionHead") -> None:
    _copy(lamp.language_head.linear, theirs.transform.dense)
    _copy(lamp.language_head.norm, theirs.transform.LayerNorm)
    lamp.language_head.bias[:-1].copy_(theirs.decoder.bias)


def _copy(ours: nn.Linear | nn.LayerNorm, theirs: nn.Linear | nn.LayerNorm) -> None:
    ours.weight.copy_(theirs.weight)
    ours.bias.copy_(theirs.bias)


def _load(source: str | Path) -> tuple["BertForMaskedLM", bool]:
    """The checkpoint as a masked language model in float32, and whether its head came from the file."""
    try:
        from transformers import AutoModelForMaskedLM
        from transformers.utils import logging
    except ImportError as error:
        raise UserError(
            f"starting from {source} needs transformers; install the extra: pip install -e .[train]"
        ) from error
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, info = AutoModelForMaskedLM.from_pretrained(_folder_or_id(source), output_loading_info=True)
    except (OSError, ValueError) as error:
        raise UserError(f"no BERT checkpoint could be had from {source}: {brief(error)}") from error
    finally:
        logging.set_verbosity(verbosity)
    missing: set[str] = set(info["missing_keys"])
    if body := sorted(key for key in missing if key.startswith("bert.") and "pooler" not in key):
        raise UserError(f"the checkpoint {source} lacks {body[0]} and {len(body) - 1} others; it is not a whole BERT")
    return model.float(), not any(key.startswith("cls.predictions.transform") for key in missing)


def _folder_or_id(source: str | Path) -> str:
    """A folder as it is, an installed package as its `model/` folder, anything else as a hub id."""
    if Path(source).is_dir():
        return str(source)
    if str(source).isidentifier() and (spec := importlib.util.find_spec(str(source))) and spec.origin:
        folder = Path(spec.origin).parent / "model"
        if folder.is_dir():
            return str(folder)
    return str(source)


def _file(source: str | Path, name: str) -> Path:
    """One file of the checkpoint, downloaded if need be."""
    place = _folder_or_id(source)
    if Path(place).is_dir():
        path = Path(place) / name
        if not path.is_file():
            raise UserError(f"{place} has no {name}; name the folder of an uncased BERT checkpoint")
        return path
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(place, name))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"{source} is no folder and no installed package, and the hub answered: {brief(error)}"
        ) from error


def _tokenizer(source: str | Path) -> TextTokenizer:
    tokenizer = TextTokenizer.load(_file(source, VOCABULARY_FILE).parent)
    if any(word != word.lower() for word in tokenizer.words if word.isalpha()):
        raise UserError(f"the vocabulary of {source} has upper-case words; name an uncased BERT checkpoint")
    return tokenizer
