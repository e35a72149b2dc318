"""`CaptionPipeline`: motions in, sentences out; needs a tokenizer, LaMP and a captioner, no generator."""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamp.models.checkpoints import model_folder, read_run_options
from lamp.models.fast import speed_up
from lamp.models.hub import is_model
from lamp.models.lamp.model import LaMP
from lamp.models.lineage import check_built_on
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.queries import MotionQueries
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import UserError
from lamp.utils.home import shipped_models
from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.kinematics.skeleton import SKELETONS
from lamp.utils.motion import Motion
from lamp.utils.motion_features import FeatureReader
from lamp.utils.threads.yielding import mind_others

LAMP_FOLDER = "lamp"
"""Folder of a captioner's checkpoint with the LaMP that was trained along with it, if one was."""


class CaptionPipeline:
    """Motion to text.

    Example:
        >>> pipe = CaptionPipeline.from_pretrained()
        >>> pipe(Motion.load("walk.npy"))
        [['a person walks forward']]
    """

    def __init__(self, queries: MotionQueries, captioner: Captioner) -> None:
        """Put trained parts together.

        Raises:
            UserError: the captioner was trained on another LaMP's queries.
        """
        lamp, config = queries.lamp.config, captioner.config
        if (lamp.num_query_tokens, lamp.hidden_size) != (config.num_queries, config.query_dim):
            raise UserError(
                f"the captioner reads {config.num_queries} queries of width {config.query_dim}, LaMP has "
                f"{lamp.num_query_tokens} of {lamp.hidden_size}; use the LaMP that it was trained on"
            )
        check_built_on(queries.lamp, "tokenizer", queries.tokenizer)
        check_built_on(captioner, "lamp", queries.lamp)
        speed_up(captioner)
        speed_up(queries.lamp)
        speed_up(queries.tokenizer, frozen=True)
        self.queries, self.captioner = queries, captioner
        tokenizer = queries.tokenizer.config
        self.skeleton = SKELETONS[FeatureLayout.of_dim(tokenizer.input_width).num_joints]
        self.unit = tokenizer.frames_per_token
        self.max_frames = lamp.num_query_tokens * self.unit
        self.reader = FeatureReader(self.skeleton, self.unit, self.max_frames)

    @classmethod
    def from_pretrained(cls, source: str | Path | None = None, device: torch.device | str = "cpu") -> "CaptionPipeline":
        """Load a folder, or a hub repository, with the model folders tokenizer, lamp and m2t.

        Args:
            source: folder or hub id; None takes the models that ship with the code, see `shipped_models`.
            device: where to compute.

        Raises:
            UserError: a model is missing or cannot be read.
        """
        source = shipped_models() if source is None else source
        captioner = Captioner.from_pretrained(source, "m2t", device)
        own = f"m2t/{LAMP_FOLDER}"
        lamp = LaMP.from_pretrained(source, own if is_model(source, own) else "lamp", device)
        return cls(MotionQueries(RVQVAE.from_pretrained(source, "tokenizer", device), lamp), captioner)

    @classmethod
    def from_runs(
        cls, root: str | Path, name: str, which: str = "best", device: torch.device | str = "cpu"
    ) -> "CaptionPipeline":
        """Load what training runs left under `checkpoints/<dataset>`.

        Args:
            root: `checkpoints/<dataset>`.
            name: run of the captioner; its options name the tokenizer and LaMP.
            which: checkpoint of the captioner.
            device: where to compute.

        Raises:
            UserError: a run or checkpoint is missing.
        """
        root = Path(root)
        folder, options = model_folder(root / name, which), read_run_options(root / name)
        own = folder / LAMP_FOLDER
        lamp = LaMP.from_pretrained(own if own.is_dir() else model_folder(root / options["lamp_name"]), device=device)
        tokenizer = RVQVAE.from_pretrained(model_folder(root / options["vq_name"]), device=device)
        return cls(MotionQueries(tokenizer, lamp), Captioner.from_pretrained(folder, device=device))

    def with_precision(self, precision: str) -> "CaptionPipeline":
        """This pipeline, its language model computing in `precision`, "float32" or "bfloat16", from now on.

        Steps of a few captions take as long as it takes to read the weights, which are half as large in bfloat16. A
        language model of the library that was loaded in bfloat16 stays as it is.
        """
        if precision == "bfloat16":
            self.captioner.language.bfloat16()
        return self

    @torch.inference_mode()
    def __call__(
        self,
        motions: Motion | Sequence[Motion],
        *,
        seed: int = 0,
        batch_size: int = 32,
        progress: Callable[[int, int], None] | None = None,
        **how: Any,
    ) -> list[list[str]]:
        """Describe each motion; of a longer one the first `max_frames`.

        Args:
            motions: with features, or joints as they are in the data (Y up).
            seed: of sampling; the same motion and seed give the same captions, alone or among others (in bfloat16
                another word may come out: there rounding depends on the size of the batch).
            batch_size: motions at a time.
            progress: called with (motions done, motions in all).
            how: keyword arguments of `Captioner.generate` (num_beams, top_p, num_captions, ...).

        Returns:
            For each motion its captions, best first.

        Raises:
            UserError: a motion that cannot be described; see `features`.
        """
        motions = [motions] if isinstance(motions, Motion) else list(motions)
        captions: list[list[str]] = []
        for start in range(0, len(motions), batch_size):
            mind_others()
            features = [self.features(motion) for motion in motions[start : start + batch_size]]
            seeds = [zlib.crc32(f.numpy().tobytes(), seed % 2**32) for f in features]
            captions += self.captioner.caption(self._encode(features), seed=seeds, **how)
            if progress is not None:
                progress(len(captions), len(motions))
        return captions

    def parts(self, motion: Motion) -> list[tuple[float, float, Motion]]:
        """Start and end in seconds of equal parts, none longer than `max_frames`, and the parts."""
        return self.reader.parts(motion)

    def is_cut(self, motion: Motion) -> bool:
        """Whether a motion is so long that only its beginning is described."""
        return self.reader.is_cut(motion)

    def features(self, motion: Motion) -> Tensor:
        """Features (T, D) of what is described of a motion, T a multiple of a token's frames.

        Raises:
            UserError: another skeleton, too short, or values that are not finite.
        """
        return self.reader.features(motion)

    def _encode(self, features: Sequence[Tensor]) -> Tensor:
        """Queries (B, nq, H) of motions' features, not normalised."""
        tokenizer = self.queries.tokenizer
        lengths = torch.tensor([len(some) for some in features], device=tokenizer.device)
        padded = torch.nn.utils.rnn.pad_sequence(list(features), batch_first=True).to(tokenizer.device)
        return self.queries(tokenizer.normalize(padded), lengths)
