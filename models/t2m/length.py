"""Length estimator: text condition -> number of motion tokens (Guo et al. 2022, section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lamp.models.hub import LaMPModel
from lamp.models.layers import Condition, read_condition
from lamp.models.t2m import masking

NOISE_STREAM = 2


@dataclass(frozen=True)
class LengthConfig:
    """Sizes of the length estimator.

    Attributes:
        cond_dim: width of the text condition.
        hidden_dims: widths of the hidden layers.
        num_classes: class k stands for k tokens (4 k frames).
        dropout: dropout rate after the hidden layers but the last.
        condition: "sentence", LaMP's one vector, or "words", of which the first, the sentence's own, is read.
    """

    cond_dim: int = 768
    hidden_dims: tuple[int, ...] = (512, 256, 128)
    num_classes: int = 50
    dropout: float = 0.2
    condition: Condition = "sentence"


@dataclass
class LengthOutput:
    """Cross-entropy and accuracy (scalars) and logits (B, num_classes)."""

    loss: Tensor
    accuracy: Tensor
    logits: Tensor


class LengthEstimator(LaMPModel[LengthConfig]):
    """MLP that classifies a text condition by motion length."""

    config_class = LengthConfig

    def __init__(self, config: LengthConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        width = config.cond_dim
        for index, hidden in enumerate(config.hidden_dims):
            rate = config.dropout if index + 1 < len(config.hidden_dims) else 0.0
            layers += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(0.2), nn.Dropout(rate)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, config.num_classes))

    def logits(self, condition: Tensor) -> Tensor:
        """Condition (B, cond_dim), or of words (B, L, cond_dim), -> (B, num_classes)."""
        condition = read_condition(condition, self.config.condition)
        return self.layers(condition[:, 0] if condition.dim() == 3 else condition)

    def forward(self, condition: Tensor, lengths: Tensor) -> LengthOutput:
        """Loss of the true lengths.

        Args:
            condition: (B, cond_dim).
            lengths: (B,) tokens; longer than the last class counts as the last class.
        """
        logits = self.logits(condition)
        result = masking.token_loss(logits, lengths.clamp(max=self.config.num_classes - 1))
        return LengthOutput(result.loss, result.accuracy, logits)

    @torch.inference_mode()
    def sample(
        self,
        condition: Tensor,
        *,
        min_tokens: int = 1,
        max_tokens: int = 49,
        seeds: Sequence[int] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw a length for each condition.

        Args:
            condition: (B, cond_dim).
            min_tokens: shortest length allowed.
            max_tokens: longest length allowed.
            seeds: a seed for each sample; None draws them from `generator`.
            generator: source of the seeds when there are none.

        Returns:
            (B,) int64 tokens in min_tokens ... max_tokens.
        """
        last = min(max_tokens, self.config.num_classes - 1)
        if not 0 < min_tokens <= last:
            raise ValueError(f"no length between {min_tokens} and {last} tokens")
        logits = self.logits(condition)[:, None, min_tokens : last + 1]
        batch = condition.shape[0]
        chosen = masking.sample_seeds(seeds, generator, batch)
        noise = masking.token_noise([1] * batch, chosen, shape=(1, 1, 1), stream=NOISE_STREAM, device=logits.device)
        return masking.sample_tokens(logits, noise[0], topkr=0.0).ids.squeeze(1) + min_tokens
