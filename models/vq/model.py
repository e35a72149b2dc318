"""The motion tokenizer: a residual-quantized variational auto-encoder over motion features (MoMask, section 3.1)."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lamp.models.hub import LaMPModel
from lamp.models.vq.encdec import Decoder, Encoder, Sizes
from lamp.models.vq.quantizer import Codebook
from lamp.models.vq.residual import ResidualQuantizer
from lamp.utils.cli import alias
from lamp.utils.errors import UserError

LONGEST_TOKEN = 196
"""Frames of a token at most: the longest motion's."""


@dataclass(frozen=True)
class RVQConfig:
    """Sizes and behaviour of the tokenizer; `num_quantizers=1` is the single-level VQ-VAE of the LaMP release."""

    input_width: int = 263
    """motion features per frame (263 HumanML3D, 251 KIT-ML)"""
    num_quantizers: int = 6
    """levels of residual quantization"""
    nb_code: int = 512
    """codes per level"""
    code_dim: int = 512
    """dimensions of a code"""
    width: int = 512
    """channels of the convolutions"""
    down_t: int = 2
    """number of downsampling stages; a token stands for stride_t ** down_t frames"""
    stride_t: int = 2
    """downsampling of each stage, even"""
    depth: int = 3
    """residual blocks per stage"""
    dilation_growth_rate: int = 3
    """ratio of the dilations of successive residual blocks"""
    activation: Literal["relu", "silu", "gelu"] = field(default="relu", metadata=alias("--vq_act"))
    """non-linearity"""
    # Norms over time are not offered, because padding would change their results.
    norm: Literal["LN"] | None = field(default=None, metadata=alias("--vq_norm"))
    """LN normalises the channels inside the residual blocks"""
    dropout: float = 0.2
    """in the residual blocks"""
    quantizer: Literal["ema_reset", "ema", "reset", "orig"] = "ema_reset"
    """codes are learnt as moving averages (ema) or by gradient (orig), with replacement of dead ones (reset)"""
    mu: float = 0.99
    """decay of the codebooks' moving averages"""
    shared_codebook: bool = False
    """all levels use the same codebook"""
    quantize_dropout_prob: float = 0.2
    """probability that a training batch uses only the levels up to a random one"""
    sample_temperature: float = 0.5
    """of the Gumbel noise by which training samples codes; 0 takes the nearest"""
    reset_threshold: float = 1.0
    """codes used less often per batch than this, averaged, are replaced by vectors of the batch"""
    # The default reaches a threshold of 1 at 8 tokens per code: 256 windows of 64 frames, 512 codes.
    reset_fraction: float = 0.125
    """the same as a fraction of a code's average share of the batch; the lower of the two applies"""
    dead_codes: Literal["resample", "public"] = "resample"
    """resample: random vectors replace dead codes and their averages restart; public: as in the public code"""

    def __post_init__(self) -> None:
        for name in ("input_width", "num_quantizers", "nb_code", "code_dim", "width", "down_t", "depth"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        if self.stride_t < 2 or self.stride_t % 2:
            raise UserError(f"--stride_t is {self.stride_t}; it must be even")
        if self.down_t > LONGEST_TOKEN or self.frames_per_token > LONGEST_TOKEN:
            raise UserError(
                f"--down_t {self.down_t} and --stride_t {self.stride_t} make tokens of more than {LONGEST_TOKEN} frames"
            )
        for name in ("dropout", "quantize_dropout_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must lie between 0 and 1")
        if not 0 <= self.mu < 1:
            raise UserError(f"--mu is {self.mu}; it must lie in 0 <= mu < 1")

    @property
    def frames_per_token(self) -> int:
        """Frames that one token stands for."""
        return self.stride_t**self.down_t

    @property
    def reach(self) -> int:
        """Frames on either side of a token's own that its code has an influence on: half the decoder's receptive field.

        Counted along `Decoder`: a convolution of 3 reaches as far as its dilation, and upsampling multiplies by the
        stride what was reached so far.
        """
        blocks = sum(self.dilation_growth_rate**i for i in range(self.depth))
        reach = 1
        for _ in range(self.down_t):
            reach = (reach + blocks) * self.stride_t + 1
        return reach + 2


@dataclass
class VQOutput:
    """Result of the tokenizer's forward pass.

    Attributes:
        recon: reconstruction (B, T, D), normalised; zero beyond the lengths.
        codes: indices (B, n, Q); -1 at padded tokens and at levels that this batch did not use.
        commit_loss: scalar, mean over the levels used.
        perplexity: of each level's codes (Q,); NaN at levels that this batch did not use (average with `nanmean`).
        latent: encoder output (B, n, code_dim).
    """

    recon: Tensor
    codes: Tensor
    commit_loss: Tensor
    perplexity: Tensor
    latent: Tensor


class RVQVAE(LaMPModel[RVQConfig]):
    """Motion features to discrete tokens and back.

    It works on normalised features; `normalize` and `denormalize` apply the statistics kept in the buffers `mean` and
    `std`, so that a saved tokenizer is all that is needed to encode or generate. n = T / frames_per_token tokens.
    Lengths, where given, are in frames and rounded down to whole tokens; padding then never changes a result.
    """

    config_class: ClassVar[type] = RVQConfig
    mean: Tensor
    std: Tensor
    codes_frozen: bool = False

    def __init__(self, config: RVQConfig) -> None:
        super().__init__()
        self.config = config
        sizes = Sizes(
            width=config.width,
            down_t=config.down_t,
            stride=config.stride_t,
            depth=config.depth,
            growth=config.dilation_growth_rate,
            activation=config.activation,
            norm=config.norm,
            dropout=config.dropout,
        )
        self.encoder = Encoder(config.input_width, config.code_dim, sizes)
        self.decoder = Decoder(config.input_width, config.code_dim, sizes)
        codebooks = [
            Codebook(
                config.nb_code,
                config.code_dim,
                kind=config.quantizer,
                mu=config.mu,
                temperature=config.sample_temperature,
                reset_threshold=config.reset_threshold,
                reset_fraction=config.reset_fraction,
                dead_codes=config.dead_codes,
            )
            for _ in range(1 if config.shared_codebook else config.num_quantizers)
        ]
        self.quantizer = ResidualQuantizer(
            codebooks, num_quantizers=config.num_quantizers, dropout_prob=config.quantize_dropout_prob
        )
        self.register_buffer("mean", torch.zeros(config.input_width))
        self.register_buffer("std", torch.ones(config.input_width))

    @property
    def codebooks(self) -> Tensor:
        """All codes (Q, nb_code, code_dim)."""
        return self.quantizer.codebooks

    def freeze_codes(self) -> None:
        """Train the decoder alone from now on: encoder and codebooks, hence all codes, stay as they are."""
        self.codes_frozen = True
        for part in (self.encoder, self.quantizer):
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "RVQVAE":
        """As in `nn.Module`; frozen parts stay in evaluation, where codebooks do not learn and no level is left out."""
        super().train(mode)
        if self.codes_frozen:
            for part in (self.encoder, self.quantizer):
                part.eval()
        return self

    def normalize(self, features: Tensor) -> Tensor:
        """Features (..., D) in their own units to normalised ones."""
        return (features - self.mean) / self.std

    def denormalize(self, features: Tensor) -> Tensor:
        """Normalised features (..., D) to their own units."""
        return features * self.std + self.mean

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> VQOutput:
        """Encode, quantize and decode.

        Args:
            x: normalised features (B, T, D), T a multiple of `frames_per_token`.
            lengths: valid frames (B,); None means that all are.
        """
        tokens = self.whole_tokens(x, lengths)
        latent = self._encode(x, tokens)
        quantized = self.quantizer(latent, tokens)
        recon = self.decoder(quantized.quantized.transpose(1, 2), tokens).transpose(1, 2)
        return VQOutput(recon, quantized.codes, quantized.commit_loss, quantized.perplexity, latent)

    def encode_features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Continuous encoder output (B, n, code_dim) of `x` (B, T, D); zero at padded tokens."""
        return self._encode(x, self.whole_tokens(x, lengths))

    def encode(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Codes (B, n, Q) of `x` (B, T, D); -1 at padded tokens."""
        tokens = self.whole_tokens(x, lengths)
        return self.quantizer.encode(self._encode(x, tokens), tokens)

    def decode(self, codes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalised features (B, T, D) from codes.

        Args:
            codes: (B, n, Q') indices of the first Q' <= Q levels; -1 contributes nothing.
            lengths: valid tokens (B,), not frames; None means that all are.
        """
        return self.decoder(self.quantizer.decode(codes).transpose(1, 2), lengths).transpose(1, 2)

    @torch.inference_mode()
    def reconstruct(self, features: Tensor, lengths: Tensor, levels: int | None = None) -> Tensor:
        """Motions (B, T, D) encoded and decoded again, features in their own units on either side.

        Args:
            features: (B, T, D).
            lengths: valid frames (B,).
            levels: how many levels to decode from; None takes all.
        """
        lengths = lengths.to(self.device)
        codes = self.encode(self.normalize(features.to(self.device)), lengths)[..., :levels]
        return self.denormalize(self.decode(codes, lengths // self.config.frames_per_token))

    def whole_tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor | None:
        """Whole tokens (B,) in `lengths` (B,) frames of `x` (B, T, D); None if there are no lengths."""
        return None if lengths is None else lengths // self.config.frames_per_token

    def _encode(self, x: Tensor, tokens: Tensor | None) -> Tensor:
        if x.shape[1] % self.config.frames_per_token or not x.shape[1]:
            raise ValueError(
                f"{x.shape[1]} frames are not a multiple of {self.config.frames_per_token}; crop or pad the motion"
            )
        return self.encoder(x.transpose(1, 2), tokens).transpose(1, 2)
