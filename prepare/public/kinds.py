"""The kinds of public checkpoints: how each is told by its keys, and what model folders it becomes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lamp.models.evaluator import Evaluator, MovementAutoencoder
from lamp.models.lamp.model import LaMP
from lamp.models.t2m.length import LengthEstimator
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.words import HASHED, WordVectors, read_our_vab
from lamp.prepare.public.captioner import captioner_parts, code_gpt_parts
from lamp.prepare.public.files import CheckpointFile, read_checkpoint
from lamp.prepare.public.request import EVALUATOR_META, Part, Request
from lamp.prepare.public.state import build_model, listed
from lamp.prepare.public.tokenizers import add_tokenizers, build_tokenizer
from lamp.prepare.public.weights.evaluator import convert_evaluator, convert_movement
from lamp.prepare.public.weights.lamp import convert_qformer
from lamp.prepare.public.weights.t2m import convert_length, convert_masked, convert_residual
from lamp.prepare.public.weights.vq import LAMP_PREFIX
from lamp.utils.errors import UserError

DEFAULT_VQ = "vq_name"
DEFAULT_LAMP = "lamp_name"
GLOVE_FOLDER = Path("glove")


@dataclass(frozen=True)
class Kind:
    """A kind of checkpoint.

    Attributes:
        title: what it is.
        keys: patterns; a state dict of this kind has a key for each of them.
        convert: gives the model folders, the one at DST first.
    """

    title: str
    keys: tuple[str, ...]
    convert: Callable[[Request], list[Part]]

    def matches(self, state: Mapping[str, Tensor]) -> bool:
        """Whether `state` is of this kind."""
        return all(any(re.match(pattern, key) for key in state) for pattern in self.keys)


def recognise(file: CheckpointFile) -> tuple[Kind, dict[str, Tensor]]:
    """Kind and state dict of a checkpoint; those of several modules are joined, the module's name before the key.

    Raises:
        UserError: it is of no known kind, or of several.
    """
    found = [(place, kind) for place, state in file.states.items() if (kind := _kind_of(state))]
    if len(found) > 1:
        both = ", ".join(f"{place} ({kind.title})" for place, kind in found)
        raise UserError(f"{file.path} holds several models: {both}; save the one to be imported by itself")
    if found:
        return found[0][1], file.states[found[0][0]]
    joined = {f"{place}.{key}" if place else key: v for place, state in file.states.items() for key, v in state.items()}
    if kind := _kind_of(joined):
        return kind, joined
    starts = list(dict.fromkeys(key.rpartition(".")[0] or key for key in joined))
    titles = ", ".join(kind.title for kind in KINDS)
    raise UserError(f"{file.path} has weights of no known kind ({', '.join(starts[:6])}, ...); known are: {titles}")


def _kind_of(state: Mapping[str, Tensor]) -> Kind | None:
    return next((kind for kind in KINDS if kind.matches(state)), None)


def _tokenizer(request: Request) -> list[Part]:
    return [Part(request.dst.name, build_tokenizer(request, request.state))]


def _run_options(request: Request, vq_name: str, lamp_name: str | None) -> dict[str, str]:
    """What a model conditioned on text depends on: CLIP, unless a LaMP model is named."""
    return {
        "vq_name": vq_name,
        "lamp_name": lamp_name or DEFAULT_LAMP,
        "text_encoder": "lamp" if lamp_name else "clip",
        "clip_source": request.clip,
    }


def _note_heads(request: Request, heads: int) -> None:
    """Say so where the number of heads is only the published one of that width."""
    if request.options.get("n_heads") is None and request.options.get("num_heads") is None:
        request.notes.append(f"attention heads: {heads}, the published number for this width (--n_heads)")


def _masked(request: Request) -> list[Part]:
    return [_masked_part(request, request.lamp_name)]


def _masked_part(request: Request, lamp_name: str | None) -> Part:
    model = build_model(MaskedTransformer, *convert_masked(request.state, request.options))
    _note_heads(request, model.config.num_heads)
    vq_name = request.tokenizer_name(DEFAULT_VQ)
    request.check_tokenizer(vq_name, {"nb_code": model.config.num_tokens})
    return Part(request.dst.name, model, _run_options(request, vq_name, lamp_name))


def _lamp_masked(request: Request) -> list[Part]:
    """LaMP's masked transformer, and as a model of its own the text encoder that it holds."""
    lamp_name = request.lamp_name or f"{request.dst.name}_lamp"
    parts = [_masked_part(request, lamp_name)]
    lamp = _build_lamp(request, request.state)
    request.add_or_reuse(parts, lamp_name, lamp, {"vq_name": parts[0].options["vq_name"]})
    return parts


def _residual(request: Request) -> list[Part]:
    model = build_model(ResidualTransformer, *convert_residual(request.state, request.options))
    _note_heads(request, model.config.num_heads)
    vq_name = request.tokenizer_name(DEFAULT_VQ)
    sizes = {"nb_code": model.config.num_tokens, "num_quantizers": model.config.num_quantizers}
    request.check_tokenizer(vq_name, sizes)
    return [Part(request.dst.name, model, _run_options(request, vq_name, request.lamp_name))]


def _length(request: Request) -> list[Part]:
    model = build_model(LengthEstimator, *convert_length(request.state, request.options))
    return [Part(request.dst.name, model, _run_options(request, request.vq_name or DEFAULT_VQ, request.lamp_name))]


def _build_lamp(request: Request, state: Mapping[str, Tensor]) -> LaMP:
    lamp = build_model(LaMP, *convert_qformer(state, request.options))
    lamp.tokenizer = request.words(lamp.config.vocab_size)
    return lamp


def _lamp(request: Request) -> list[Part]:
    """LaMP's pretraining model, and the tokenizers that it holds."""
    state = request.state
    if request.condition is not None:
        state = state | _text_condition(request.condition, state)
    parts = [Part(request.dst.name, _build_lamp(request, state))]
    add_tokenizers(request, parts)
    return parts


def _evaluator(request: Request) -> list[Part]:
    """The evaluators with the word vectors that they read; without these only the motion side is of use."""
    config, tensors = convert_evaluator(request.state)
    vectors, glove = WordVectors(HASHED), request.glove
    if glove is None and (GLOVE_FOLDER / "our_vab_data.npy").is_file():
        glove = GLOVE_FOLDER
    if glove is not None:
        vectors = read_our_vab(glove)
    else:
        request.notes.append("no --glove FOLDER: motions are embedded as published, texts are not, so no R-precision")
    config = replace(config, word_vectors=vectors.source, num_words=len(vectors.words))
    tensors |= request.statistics(config.input_width, EVALUATOR_META)
    model = build_model(Evaluator, config, tensors | {"word_table": torch.from_numpy(vectors.vectors)})
    model.set_words(vectors)
    return [Part(request.dst.name, model)]


def _movement(request: Request) -> list[Part]:
    return [Part(request.dst.name, build_model(MovementAutoencoder, *convert_movement(request.state)))]


def _text_condition(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Projection of the text condition from a text-to-motion file whose Q-Former is that of `state`.

    Raises:
        UserError: the file is another kind, or its Q-Former another one.
    """
    file = read_checkpoint(path)
    kind, other = recognise(file)
    if kind.convert is not _lamp_masked:
        raise UserError(f"--condition {path} is a {kind.title}; name LaMP's text-to-motion file")
    shared = [key for key in other if key.startswith("Qformer.bert.") or key == "query_tokens"]
    if different := [key for key in shared if key not in state or not torch.equal(other[key], state[key])]:
        raise UserError(f"--condition {path} was trained on another Q-Former ({listed(different[:3])} differ)")
    return {key: value for key, value in other.items() if key.startswith("text2former.")}


# The first that matches counts: those that hold others' parts come first.
KINDS: tuple[Kind, ...] = (
    Kind("LaMP captioner", (r"opt_proj\.", r"(opt_model|llm\.base_model)\."), captioner_parts),
    Kind("LaMP motion-code GPT", (r"trans_base\.", r"trans_head\."), code_gpt_parts),
    Kind(
        "LaMP masked transformer with its text encoder",
        (r"token_emb\.", r"seqTransEncoder\.", r"Qformer\."),
        _lamp_masked,
    ),
    Kind("LaMP pretraining model", (r"Qformer\.", r"motion_(projection|proj\.|cls\.)"), _lamp),
    Kind("masked transformer", (r"token_emb\.", r"seqTransEncoder\."), _masked),
    Kind("residual transformer", (r"quant_emb\.", r"seqTransEncoder\."), _residual),
    Kind("motion tokenizer", (rf"({LAMP_PREFIX})?encoder\.model\.", rf"({LAMP_PREFIX})?decoder\.model\."), _tokenizer),
    Kind("evaluator", (r"movement_encoder\.", r"text_encoder\.", r"motion_encoder\."), _evaluator),
    Kind("movement auto-encoder", (r"movement_enc\.", r"movement_dec\."), _movement),
    Kind("length estimator", (r"output\.\d+\.",), _length),
)
