"""What training the masked transformer, the residual transformer and the length estimator have in common."""

import torch
from torch import Tensor, nn

from lamp.data.cache import open_cache
from lamp.data.loaders import TextLoader, load_split
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import DatasetSpec
from lamp.models.checkpoints import model_folder
from lamp.models.lamp.model import LaMP
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.text_condition import CachedCondition, ClipCondition, LaMPCondition
from lamp.models.vq.model import RVQVAE
from lamp.options.t2m import GeneratorOptions
from lamp.utils.run.trainer import Step


def load_frozen(options: GeneratorOptions, spec: DatasetSpec, device: torch.device) -> tuple[RVQVAE, CachedCondition]:
    """The tokenizer and the text encoder that a generator is trained on, the latter prepared for the data's captions.

    Raises:
        UserError: there is no such tokenizer or text encoder.
    """
    root = options.checkpoints_dir / options.dataset_name
    tokenizer = RVQVAE.from_pretrained(model_folder(root / options.vq_name), device=device).requires_grad_(False)
    known = open_cache(spec).captions
    names = load_split(spec, "train") + load_split(spec, "val")
    texts = [caption.text for name in names for caption in known.get(name, ())]
    if options.text_encoder == "clip":
        return tokenizer, CachedCondition(ClipCondition(options.clip_source, device), texts)
    lamp = LaMP.from_pretrained(model_folder(root / options.lamp_name), device=device)
    bfloat16 = options.mixed_precision == "bf16"
    return tokenizer, CachedCondition(LaMPCondition(lamp, options.condition == "words", bfloat16), texts)


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
