"""`Editor`: parts of a motion made anew in its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from lamp.models.t2m.token_maker import TokenMaker
from lamp.models.vq.model import RVQVAE
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.kinematics.skeleton import MAX_FRAMES

FADE_FRAMES = 8
"""Frames on either side of what was made anew over which a source's own frames take over."""


@dataclass(frozen=True)
class Section:
    """Tokens of a motion that are made anew.

    Attributes:
        codes: (n, Q) of the motion.
        start, end: the section, not longer than what the transformers know.
        seeds: one for each way that is tried.
    """

    codes: Tensor
    start: int
    end: int
    seeds: Sequence[int]


@dataclass(frozen=True)
class Editor:
    """Makes parts of motions anew.

    Attributes:
        tokenizer: motions to tokens and back.
        maker: makes tokens.
    """

    tokenizer: RVQVAE
    maker: TokenMaker

    @property
    def unit(self) -> int:
        """Frames of a token."""
        return self.tokenizer.config.frames_per_token

    @property
    def longest(self) -> int:
        """Tokens of the longest motion that the transformers know."""
        return MAX_FRAMES // self.unit

    def encode(self, features: Tensor) -> Tensor:
        """Codes (n, Q) of features (T, D), T a multiple of a token's frames."""
        return self.tokenizer.encode(self.tokenizer.normalize(features.to(self.tokenizer.device))[None])[0]

    def decode(self, codes: Tensor) -> Tensor:
        """Features (B, T, D) of codes (B, n, Q)."""
        return self.tokenizer.denormalize(self.tokenizer.decode(codes))

    def decode_round(self, codes: Tensor) -> Tensor:
        """Features (T, D) of codes (n, Q) whose end is followed by their beginning: no frame is near a border."""
        around = -(-self.tokenizer.config.reach // self.unit)
        order = torch.arange(-around, len(codes) + around, device=codes.device) % len(codes)
        first = around * self.unit
        return self.decode(codes[None, order])[0, first : first + len(codes) * self.unit]

    def remake(self, codes: Tensor, start: int, end: int, condition: Tensor, seeds: Sequence[int]) -> Tensor:
        """Make tokens start ... end - 1 anew; all levels of all others stay as they are.

        The transformers see the tokens around, as many as they know. Of several ways the one is taken whose joints
        accelerate where old and new meet as they do elsewhere, in the mean of squares.

        Args:
            codes: (n, Q).
            start, end: the section, not longer than what the transformers know.
            condition: (1, cond_dim).
            seeds: one for each way.

        Returns:
            (n, Q).
        """
        return self.remake_each([Section(codes, start, end, seeds)], condition)[0]

    def remake_each(self, sections: Sequence[Section], condition: Tensor) -> list[Tensor]:
        """Sections of several motions, computed together; see `remake`.

        Args:
            sections: one of each motion, with as many seeds.
            condition: (B, cond_dim), of each.

        Returns:
            Codes (n, Q) of each motion.
        """
        seen: list[Tensor] = []
        masks: list[Tensor] = []
        firsts: list[int] = []
        for own in sections:
            count = len(own.codes)
            first = max(0, min((own.start + own.end - self.longest) // 2, count - self.longest))
            last = min(count, first + self.longest)
            places = torch.arange(first, last, device=own.codes.device)
            firsts.append(first)
            seen.append(own.codes[first:last])
            masks.append((places >= own.start) & (places < own.end))
        tokens = torch.tensor([len(some) for some in seen], device=condition.device)
        padded, mask = pad_sequence(seen, batch_first=True, padding_value=-1), pad_sequence(masks, batch_first=True)
        made = self.maker.remake(padded, mask, condition, tokens, [own.seeds for own in sections])
        results = []
        for own, first, ways, length in zip(sections, firsts, made, tokens.tolist()):
            edges = [place - first for place in (own.start, own.end) if 0 < place < len(own.codes)]
            result, ways = own.codes.clone(), ways[:, :length]
            result[first : first + length] = ways[self._smoothest(ways, edges)]
            results.append(result)
        return results

    def _smoothest(self, ways: Tensor, edges: Sequence[int]) -> int:
        """Which of the codes (K, n, Q) accelerates around some places between tokens most as it does elsewhere.

        The least acceleration would be that of a body which freezes there.
        """
        if len(ways) == 1 or not edges:
            return 0
        joints = features_to_joints(self.decode(ways))
        squares = joints.diff(n=2, dim=1).square().sum(-1).mean(-1)
        frames = torch.arange(1, squares.shape[1] + 1, device=squares.device)
        near = torch.stack([(frames - edge * self.unit).abs() <= FADE_FRAMES for edge in edges]).any(0)
        if near.all():
            return int(squares.mean(1).argmin())
        return int((squares[:, near].mean(1) / squares[:, ~near].mean(1)).log().abs().argmin())


def faded(made: Tensor, source: Tensor, mask: Tensor, *, around: bool = False) -> Tensor:
    """A source's own frames where it was not made anew; `FADE_FRAMES` beside that both are mixed.

    Args:
        made: features (T, D).
        source: features (T, D).
        mask: (T,), True where made anew; there `made` stays.
        around: the last frame is followed by the first.
    """
    reach = FADE_FRAMES + 1
    ramp = 1 - torch.arange(-reach, reach + 1, device=mask.device).abs() / reach
    padded = F.pad(mask[None, None].float(), (reach, reach), mode="circular" if around else "constant")
    near = padded[0, 0].unfold(0, 2 * reach + 1, 1).mul(ramp).amax(-1)
    share = (near * near * (3 - 2 * near))[:, None]
    return torch.where(mask[:, None], made, torch.lerp(source, made, share))
