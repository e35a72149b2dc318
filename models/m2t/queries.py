"""What the captioner knows of a motion: LaMP's query states over the tokenizer's features."""

import torch
from torch import Tensor, nn

from lamp.models.lamp.embedder import require_fit
from lamp.models.lamp.model import LaMP
from lamp.models.lamp.text import TextBatch
from lamp.models.m2t.captioner import Captioner, CaptionOutput
from lamp.models.vq.model import RVQVAE


class MotionQueries:
    """Normalised motions to LaMP's queries; gradients reach LaMP where it has any, never the tokenizer.

    Raises:
        UserError: the tokenizer is not of the kind that LaMP was trained on.
    """

    def __init__(self, tokenizer: RVQVAE, lamp: LaMP) -> None:
        require_fit(lamp, tokenizer)
        self.tokenizer, self.lamp = tokenizer, lamp

    def __call__(self, motion: Tensor, lengths: Tensor) -> Tensor:
        """Queries (B, nq, H) of motions (B, T, D) of `lengths` (B,) frames, T a multiple of a token's frames."""
        return self.lamp.encode_motion(self.features(motion, lengths), self.tokens(lengths)).queries

    @torch.no_grad()
    def features(self, motion: Tensor, lengths: Tensor) -> Tensor:
        """The tokenizer's features (B, n, C)."""
        return self.tokenizer.encode_features(motion, lengths)

    def tokens(self, lengths: Tensor) -> Tensor:
        """Tokens (B,) of so many frames."""
        return lengths // self.tokenizer.config.frames_per_token


def freeze_unused(lamp: LaMP) -> None:
    """Give gradients to those parameters of LaMP that its queries of a motion depend on, and to no others."""
    device = lamp.requires_grad_(True).device
    lamp.encode_motion(torch.zeros(1, 1, lamp.config.motion_width, device=device)).queries.sum().backward()
    for parameter in lamp.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


class LaMPCaptioner(nn.Module):
    """A captioner that is trained together with LaMP.

    Args:
        captioner: the captioner.
        lamp: its queries' encoder.
    """

    def __init__(self, captioner: Captioner, lamp: LaMP) -> None:
        super().__init__()
        self.captioner, self.lamp = captioner, lamp

    def forward(self, features: Tensor, tokens: Tensor, text: TextBatch, keys: Tensor | None = None) -> CaptionOutput:
        """The captioner's output for motions, as features (B, n, C) of the tokenizer with `tokens` (B,) valid ones."""
        return self.captioner(self.lamp.encode_motion(features, tokens).queries, text, keys)
