"""LaMP's motion-to-text file: OPT with LoRA behind a projection of motion queries, and the Q-Former trained with it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lamp.models.checkpoints import model_folder
from lamp.models.lamp.model import LaMP
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.language import CaptionerConfig
from lamp.models.m2t.pipeline import LAMP_FOLDER
from lamp.models.m2t.vocabulary import INSTALL, LibraryVocabulary
from lamp.prepare.public.request import Part, Request
from lamp.prepare.public.state import TrackedState, build_model, listed
from lamp.prepare.public.tokenizers import add_tokenizers
from lamp.prepare.public.weights.codes import convert_code_gpt
from lamp.prepare.public.weights.lamp import convert_qformer
from lamp.prepare.public.weights.m2t import convert_captioner
from lamp.utils.errors import UserError

OPT_SOURCE = "facebook/opt-2.7b"
# Rows of OPT's word table; a table of other size is not of OPT's vocabulary.
OPT_ROWS = 50272
# Heads of OPT's models by their width.
OPT_HEADS = {768: 12, 2048: 32, 2560: 32, 4096: 32, 5120: 40}
LORA_ALPHA = 32
# The public code goes on from these words, and returns what follows them; its captions end with a new line.
CAPTION_START, CAPTION_END = "a man is", "\n"
_LANGUAGE, _SAME_LANGUAGE = "opt_model.", "llm.base_model.model."
_LORA = re.compile(r"(.+)\.lora_([AB])\.\w+\.weight")
_KNOWN = re.compile(
    r"(opt_model|opt_proj|llm\.base_model\.model|trans_base|trans_head|vq_model|motion_encoder|Qformer)\..+"
    r"|query_tokens|motion_projection"
)


def captioner_parts(request: Request) -> list[Part]:
    """The captioner and, in its folder, the LaMP model whose queries it describes, if the file has one."""
    if unknown := sorted(key for key in request.state if not _KNOWN.fullmatch(key)):
        raise UserError(f"the file has unknown tensors {listed(unknown)}")
    lamp = None
    if "query_tokens" in request.state:
        lamp = _own_lamp(request)
    config, tensors = convert_captioner(_plain_language(request.state), _language_options(request))
    tokenizer, known = _library_tokenizer(request, config.vocab_size)
    if known:
        config = replace(config, prompt=CAPTION_START)
        request.notes.append(f"captions begin with '{CAPTION_START}', from which the public code lets them go on")
    part = Part(request.dst.name, _build(config, tensors, tokenizer), {"lamp_name": request.lamp_name or ""})
    parts = [part]
    if lamp is not None:
        part.inside[LAMP_FOLDER] = lamp
        add_tokenizers(request, parts)
    else:
        part.options["vq_name"] = request.vq_name or ""
    return parts


def code_gpt_parts(request: Request) -> list[Part]:
    """The GPT over motion codes that the file has beside the captioner."""
    config, tensors = convert_code_gpt(request.state, request.options)
    return [Part(request.dst.name, _build(config, tensors, _number_tokenizer(config.vocab_size)))]


def _build(config: CaptionerConfig, tensors: Mapping[str, Tensor], tokenizer: Any) -> Captioner:
    vocabulary = LibraryVocabulary(tokenizer, config.prompt)
    # Word tables may have more rows than there are words.
    model = Captioner(replace(config, vocab_size=len(vocabulary)))
    model.load_state_dict(tensors, strict=True)
    model.vocabulary = vocabulary
    return model.eval()


def _language_options(request: Request) -> dict[str, Any]:
    """Options of `convert_captioner` that shapes do not determine.

    Raises:
        UserError: nothing tells the heads.
    """
    heads = request.options.get("n_heads") or request.options.get("num_attention_heads")
    width = len(request.state["opt_proj.weight"]) if "opt_proj.weight" in request.state else 0
    if heads is None and (heads := OPT_HEADS.get(width)) is None:
        raise UserError(f"nothing tells the attention heads of the language model of width {width}; give --n_heads")
    options = {"num_attention_heads": heads}
    if "query_tokens" in request.state:
        options["num_queries"] = request.state["query_tokens"].shape[1]
    return options


def _plain_language(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Projection and language model under OPT's own names, LoRA's updates added to the weights (Hu et al. 2021, 4.1).

    The public file has the language model twice, by itself and inside the wrapper that gave it LoRA.
    """
    language = _LANGUAGE if any(key.startswith(_LANGUAGE) for key in state) else _SAME_LANGUAGE
    plain: dict[str, Tensor] = {}
    updates: dict[str, dict[str, Tensor]] = {}
    for key in state:
        if key.startswith("opt_proj."):
            plain[key] = state[key].float()
        elif key.startswith(language):
            name = _LANGUAGE + key.removeprefix(language).replace(".base_layer.", ".")
            if match := _LORA.fullmatch(name):
                updates.setdefault(f"{match[1]}.weight", {})[match[2]] = state[key].float()
            else:
                plain[name] = state[key].float()
    for name, pair in updates.items():
        if set(pair) != {"A", "B"} or name not in plain:
            raise UserError(f"the file lacks a part of the LoRA update of {name}")
        plain[name] = plain[name] + LORA_ALPHA / len(pair["A"]) * pair["B"] @ pair["A"]
    head, words = f"{_LANGUAGE}lm_head.weight", f"{_LANGUAGE}model.decoder.embed_tokens.weight"
    if head in plain and words in plain and not torch.equal(plain[head], plain[words]):
        raise UserError(f"{head} is not {words}; language heads of their own are not supported")
    return plain


def _own_lamp(request: Request) -> LaMP:
    """The Q-Former of the file in the LaMP model that it started from, which has the heads that the file lacks."""
    if request.lamp_name is None:
        raise UserError("this file has LaMP's Q-Former without its heads; import LaMP first and name it by --lamp_name")
    base = LaMP.from_pretrained(model_folder(request.dst.parent / request.lamp_name))
    state = base.state_dict()
    heads = {"bert": {"num_attention_heads": base.config.num_heads}}
    # With its motion projection it would be taken for a Q-Former that has the heads too.
    former = {key: value for key, value in request.state.items() if key.startswith(("Qformer.", "query_tokens"))}
    tensors = convert_qformer(former, heads)[1]
    tensors["motion_to_former.weight"] = TrackedState(request.state)["motion_projection"].t().contiguous()
    if wrong := [key for key, value in tensors.items() if key not in state or value.shape != state[key].shape]:
        raise UserError(f"--lamp_name {request.lamp_name} is not the LaMP of this file ({listed(wrong[:3])} differ)")
    lamp = build_model(LaMP, base.config, state | tensors)
    lamp.tokenizer = base.tokenizer
    return lamp


def _library_tokenizer(request: Request, rows: int) -> tuple[Any, bool]:
    """Tokenizer of the language model, which ends captions as the public code does, and whether its words are known."""
    if request.llm is None and rows != OPT_ROWS:
        request.notes.append("no --llm: the language model's words are not known, captions will be numbers")
        return _number_tokenizer(rows), False
    tokenizer = LibraryVocabulary.load(request.llm or OPT_SOURCE).tokenizer
    if len(tokenizer) > rows:
        raise UserError(f"--llm {request.llm} has {len(tokenizer)} words, these weights {rows}; name their own")
    ids = tokenizer(CAPTION_END, add_special_tokens=False).input_ids
    if len(ids) == 1 and ids != [tokenizer.unk_token_id]:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ids[0])
    return tokenizer, True


def _number_tokenizer(size: int) -> Any:
    """A tokenizer whose words are the numbers 0 ... size - 2, and an end."""
    try:
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise UserError(f"captions need transformers: {INSTALL}") from error
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    end = "<end>"
    words = {**{str(number): number for number in range(size - 1)}, end: size - 1}
    tokenizer = Tokenizer(WordLevel(words, unk_token=end))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, unk_token=end)
