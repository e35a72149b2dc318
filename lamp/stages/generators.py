"""What training the masked transformer, the residual transformer and the length estimator have in common."""

from collections.abc import Callable, Iterable
from itertools import chain

import torch
from torch import Tensor, nn

from lamp.data.cache import open_cache
from lamp.data.corpus.shards import ShardedMotions
from lamp.data.corpus.tokens import TextTokenBatch
from lamp.data.loaders import TextLoader, load_split
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import DatasetSpec
from lamp.models.checkpoints import model_folder
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.text_condition import CachedCondition, load_text_encoder
from lamp.models.vq.model import RVQVAE
from lamp.options.t2m import GeneratorOptions
from lamp.utils.errors import UserError
from lamp.utils.run.trainer import Step

MOST_CLIPS = 50_000
"""Clips of a corpus beyond which captions are encoded batch by batch, not read through at the start and remembered."""


def load_frozen(options: GeneratorOptions, spec: DatasetSpec, device: torch.device) -> tuple[RVQVAE, CachedCondition]:
    """The tokenizer and the text encoder that a generator is trained on, the latter prepared for the data's captions.

    Raises:
        UserError: there is no such tokenizer or text encoder.
    """
    root = options.checkpoints_dir / options.dataset_name
    tokenizer = RVQVAE.from_pretrained(model_folder(root / options.vq_name), device=device).requires_grad_(False)
    cache = open_cache(spec)
    if isinstance(cache, ShardedMotions):
        check_tokens(cache, spec, tokenizer)
    texts: Iterable[str] | None = None  # too many to be remembered
    if len(cache.names) <= MOST_CLIPS:
        names = chain(load_split(spec, "train"), load_split(spec, "val"))
        texts = (caption.text for name in names for caption in cache.captions.get(name, ()))
    words, bfloat16 = options.condition == "words", options.mixed_precision == "bf16"
    text = CachedCondition(load_text_encoder(vars(options), root, words, device, bfloat16), texts)
    if options.conditions_dir is not None:
        text.keep_in(options.conditions_dir)
    return tokenizer, text


def check_tokens(cache: ShardedMotions, spec: DatasetSpec, tokenizer: RVQVAE) -> None:
    """Make sure that the tokens of a corpus, if it has some, are those of a tokenizer.

    Raises:
        UserError: they are another's.
    """
    if cache.tokens is not None and cache.tokenizer != tokenizer.identity:
        raise UserError(
            f"the tokens of {spec.root} were made by the tokenizer {cache.tokenizer}, and --vq_name is "
            f"{tokenizer.identity}; name that one, or make the shards again by lamp to-shards --tokenizer"
        )


def codes_of(batch: TextMotionBatch, encode: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Codes (B, L, Q) of a batch, -1 beyond the end: its own, else what `encode` makes of motion and lengths."""
    if isinstance(batch, TextTokenBatch):
        return batch.motion
    with torch.no_grad():
        return encode(batch.motion, batch.lengths)


def validation_means(
    step: Step[TextMotionBatch], model: nn.Module, loader: TextLoader, device: torch.device
) -> dict[str, float]:
    """Means of what a step gives over the validation data, with the same random masks every time.

    Args:
        step: gives loss and accuracy of a batch.
        model: in eval mode.
        loader: validation data.
        device: of the model.
    """
    totals: dict[str, Tensor] = {}
    count = 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for batch in loader:
            for key, value in step(model, batch.to(device)).items():
                totals[key] = totals.get(key, torch.zeros_like(value)) + value * len(batch)
            count += len(batch)
    return {key: (value / count).item() for key, value in totals.items()}


@torch.inference_mode()
def generate(
    model: MaskedTransformer | ResidualTransformer,
    tokenizer: RVQVAE,
    text: CachedCondition,
    batch: TextMotionBatch,
    seeds: list[int],
) -> Tensor:
    """Features (B, T, D) of generated motions as long as the real ones, as MoMask (Guo et al. 2024) validates.

    The masked transformer's base-level tokens are decoded by themselves, the residual transformer continues those of
    the real motions.
    """
    lengths, condition = batch.lengths.to(tokenizer.device), text(batch.captions)
    tokens = lengths // tokenizer.config.frames_per_token
    if isinstance(model, MaskedTransformer):
        codes = model.generate(condition, tokens, seeds=seeds)[..., None]
    else:
        real = tokenizer.normalize(batch.motion.to(tokenizer.device))
        codes = model.generate(tokenizer.encode(real, lengths)[..., 0], condition, tokens, seeds=seeds)
    return tokenizer.denormalize(tokenizer.decode(codes, tokens))
