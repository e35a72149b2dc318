"""What describes motions in words, as the options of a script say."""

from collections.abc import Sequence

import torch

from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.options.corpora.bulk import BulkOptions
from lamp.options.m2t import CaptionOptions, DecodingOptions
from lamp.utils.motion import Motion


def load_captioner(options: CaptionOptions | BulkOptions, device: torch.device) -> CaptionPipeline:
    """The models that the options name, computing as the options say."""
    if options.name:
        root = options.checkpoints_dir / options.dataset_name
        pipe = CaptionPipeline.from_runs(root, options.name, options.which_epoch, device)
    else:
        pipe = CaptionPipeline.from_pretrained(options.models or None, device)
    return pipe.with_precision(options.precision)


def write_captions_of(pipe: CaptionPipeline, motions: Sequence[Motion], options: DecodingOptions) -> list[list[str]]:
    """Captions of each motion, best first."""
    return pipe(
        motions,
        seed=options.seed,
        batch_size=options.batch_size,
        num_captions=options.num_captions,
        num_beams=options.num_beams,
        top_p=options.top_p,
        temperature=options.temperature,
    )
