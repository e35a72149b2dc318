"""What models say of motion: segments, their embeddings and captions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lamp.models.lamp.embedder import LaMPEmbedder
from lamp.models.lamp.model import LaMP
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.pipeline import LaMPPipeline
from lamp.models.text_condition import lamp_of
from lamp.utils.capture.segments import LONGEST, segments
from lamp.utils.errors import UserError
from lamp.utils.home import shipped_models
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.kinematics.skeleton import Skeleton
from lamp.utils.motion import Motion
from lamp.utils.motion_features import motion_features

POSES = 16
"""Poses of a segment's shape, evenly spread over its time."""


class MotionReader:
    """Reads motions with a tokenizer, LaMP and a captioner.

    Args:
        source: folder or hub id with tokenizer, lamp and m2t; None takes the models that ship with the code.
        device: where to compute.

    Raises:
        UserError: a model is missing or cannot be read.
    """

    def __init__(self, source: str | Path | None = None, device: torch.device | str = "cpu") -> None:
        source = shipped_models() if source is None else source
        self._use(CaptionPipeline.from_pretrained(source, device), LaMP.from_pretrained(source, "lamp", device))

    @classmethod
    def of(cls, pipe: LaMPPipeline) -> "MotionReader":
        """A reader with the models that a pipeline has, so that none is loaded twice.

        Raises:
            UserError: it has no captioner, or another text encoder than LaMP.
        """
        lamp = lamp_of(pipe.text)
        if lamp is None:
            raise UserError("libraries are read by LaMP; these models have another text encoder")
        reader = cls.__new__(cls)
        reader._use(pipe.captioner, lamp)
        return reader

    def _use(self, captioner: CaptionPipeline, lamp: LaMP) -> None:
        self.captioner, self.lamp = captioner, lamp
        self.tokenizer = self.captioner.queries.tokenizer
        self.embedder = LaMPEmbedder(self.lamp, self.tokenizer)

    @property
    def models(self) -> dict[str, str]:
        """Names with digests of the models whose embeddings a library holds."""
        return {"lamp": self.lamp.identity, "tokenizer": self.tokenizer.identity}

    @property
    def shapes(self) -> dict[str, Sequence[int]]:
        """Of what a library keeps of a segment."""
        config = self.lamp.config
        joints = self.captioner.skeleton.num_joints
        return {
            "queries": (config.num_query_tokens, config.embed_dim),
            "pooled": (config.embed_dim,),
            "shapes": (1 + POSES * joints * 3,),
        }

    def features(self, motion: Motion) -> Tensor:
        """Features (T, D) of a whole motion at the models' frame rate.

        Raises:
            UserError: another skeleton, too short, or values that are not finite.
        """
        features = motion_features(motion, self.captioner.skeleton)
        if len(features) < 2 * self.captioner.unit:
            raise UserError(f"the motion has too few frames ({len(motion)}); at least {2 * self.captioner.unit + 1}")
        if not features.isfinite().all():
            raise UserError("the motion has values that are not finite, or bones of no length")
        return features

    def cut(self, features: Tensor) -> list[tuple[int, int]]:
        """First frame and the one after the last of each segment."""
        return [(a, min(b, a + LONGEST)) for a, b in segments(features)]

    def embed(self, parts: Sequence[Tensor]) -> Tensor:
        """Embeddings (N, nq, W) of segments' features."""
        unit = self.captioner.unit
        rows = []
        for some in parts:  # alone, so that what is beside a segment never changes it
            frames = min(len(some), LONGEST) // unit * unit
            normalised = self.tokenizer.normalize(some[None, :frames].to(self.tokenizer.device))
            rows.append(self.embedder.motions(normalised, torch.tensor([frames], device=normalised.device))[0])
        return torch.stack(rows).float().cpu()

    def captions(self, parts: Sequence[Tensor]) -> list[str]:
        """The best caption of each segment's features."""
        fps = self.captioner.skeleton.fps
        motions = [Motion(features_to_joints(part).numpy(), part.numpy(), fps) for part in parts]
        return [captions[0] for captions in self.captioner(motions, num_beams=3)]

    def texts(self, sentences: Sequence[str]) -> Tensor:
        """Embeddings (N, W) of sentences."""
        return self.embedder.texts(sentences).float().cpu()


def shape_of(features: Tensor, skeleton: Skeleton) -> np.ndarray:
    """A segment as (1 + POSES * J * 3,) numbers: its seconds, and its poses in the frame of its first, in metres.

    Two segments whose shapes are apart by little in every joint are copies: of one take, at another frame rate, or in
    another format. A mirrored copy, or the same action done again, is none.
    """
    joints = features_to_joints(features).numpy() * (skeleton.millimetres / 1000)  # begins at the origin, facing +Z
    times = np.linspace(0, len(joints) - 1, POSES)
    low = np.floor(times).astype(int)
    share = (times - low)[:, None, None]
    poses = joints[low] * (1 - share) + joints[np.minimum(low + 1, len(joints) - 1)] * share
    return np.concatenate(([len(joints) / skeleton.fps], poses.reshape(-1)))


COPY = 0.03
"""Metres: mean distance of joints below which one segment is a copy of another."""
COPY_SECONDS = 0.15
"""Greatest difference of their lengths."""


def copies(shapes: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """(N,) bool: which of some shapes (N, S) are copies of one (S,)."""
    places = (shapes[:, 1:].astype(np.float32) - shape[1:].astype(np.float32)).reshape(len(shapes), -1, 3)
    alike = np.linalg.norm(places, axis=-1).mean(1) < COPY
    return alike & (np.abs(shapes[:, 0].astype(np.float32) - np.float32(shape[0])) <= COPY_SECONDS)
