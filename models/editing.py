"""Motions made in part: sections made anew, loops."""

import math
import numbers
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.models.sentences.understanding import Understanding
from lamp.models.t2m.editor import Editor, faded
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.t2m.token_maker import Guidance, TokenMaker
from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import FeatureLayout, features_to_joints
from lamp.utils.kinematics.skeleton import MAX_FRAMES, SKELETONS
from lamp.utils.looping import LOOP, close_turn
from lamp.utils.motion import Motion
from lamp.utils.motion_features import motion_features
from lamp.utils.prompts import JOIN

SEAM_TOKENS = 3
"""Tokens on either side of a seam that are made anew."""
CANDIDATES = 8
"""Ways to make a section that are tried; the one is taken that accelerates at the seams as it does elsewhere."""

Unit = Literal["frames", "seconds", "fraction"]
Section = tuple[float, float]


def frames_of(section: Section, unit: Unit, length: int, fps: float) -> tuple[int, int]:
    """First frame of a section and the one after its last.

    Args:
        section: start and end.
        unit: of these; "fraction" of the motion.
        length: frames of the motion.
        fps: frames a second.

    Raises:
        UserError: the section is empty, or not inside the motion.
    """
    if not all(map(math.isfinite, section)):
        raise UserError(f"section {section[0]},{section[1]} has no finite start and end; give two numbers")
    scale = {"frames": 1.0, "seconds": fps, "fraction": float(length)}[unit]
    start, end = (round(edge * scale) for edge in section)
    name = f"section {section[0]:g},{section[1]:g} ({unit})"
    if start < 0 or end > length:
        raise UserError(f"{name} is outside of the motion, which has {length} frames ({length / fps:g} s); shorten it")
    if end <= start:
        raise UserError(f"{name} is empty; its end must come after its start")
    return start, end


class Editing(Understanding):
    """What `LaMPPipeline` does with motions beyond making them."""

    masked: MaskedTransformer
    residual: ResidualTransformer | None
    guidance: Guidance
    unit: int
    fps: float

    def _maker(
        self,
        *,
        time_steps: int = 10,
        cond_scale: float | None = None,
        res_cond_scale: float | None = None,
        topkr: float = 0.9,
        temperature: float = 1.0,
        gumbel: bool = False,
        on_step: Callable[[int, int], None] | None = None,
    ) -> TokenMaker:
        """How tokens are sampled; see `TokenMaker`, guidance of None is the models' own."""
        scales = self.guidance.override(cond_scale, res_cond_scale)
        own = (time_steps, scales.cond_scale, scales.res_cond_scale, topkr, temperature, gumbel, on_step)
        return TokenMaker(self.masked, self.residual, *own)

    def _facts(self, text: str, seed: int) -> dict[str, Any]:
        raise NotImplementedError

    @torch.inference_mode()
    def edit(
        self,
        motion: Motion,
        text: str | Sequence[str],
        sections: Section | Sequence[Section],
        *,
        unit: Unit = "frames",
        length: int | None = None,
        seed: int = 0,
        candidates: int = CANDIDATES,
        residual: bool = True,
        keep_frames: bool = True,
        **how: Any,
    ) -> Motion:
        """Make sections of a motion anew from a text.

        A section at the beginning is a prefix, one at the end a suffix, one in between an in-between. Sections are
        widened to whole tokens (4 frames with the shipped models); all levels of all other tokens stay as they are.

        Args:
            motion: features, or joints of the models' skeleton at any frame rate. The result begins at the origin
                and faces +Z, as features do, and has whole tokens: up to 4 frames less.
            text: what is to happen in the sections; one for all, or one for each, which are made one after the other.
            sections: start and end of each (or of the only one); the end itself is not part of it.
            unit: of the sections: "frames" of the result (20 a second, KIT-ML 12.5), "seconds", or "fraction".
            length: frames of the result: what a motion lacks is made anew as well, what it has too much is left out.
            seed: the same motion, text, sections and seed give the same result.
            candidates: ways that are tried; that one is taken whose joints accelerate at the borders as elsewhere.
            residual: make the residual levels too; without them a section is coarse.
            keep_frames: outside the sections the result has the motion's own frames, and no section changes what is
                further away than `FADE_FRAMES` (8 frames, in which both are mixed). Otherwise it is decoded from its
                tokens as a whole: then a section has an influence as far as the decoder reaches (`RVQConfig.reach`).
            how: keyword arguments of `LaMPPipeline.__call__` for sampling (time_steps, cond_scale, res_cond_scale,
                topkr, temperature, gumbel, on_step).

        Raises:
            UserError: another skeleton, a motion too short for a token, no text, or a section that is empty, outside
                the motion or longer than the models know.
        """
        features = self._source(motion, length)
        frames = len(features) if length is None else length // self.unit * self.unit
        given: list[Section] = [sections] if _is_section(sections) else list(sections)  # type: ignore[arg-type,list-item]
        spans = [frames_of(section, unit, frames, self.fps) for section in given]
        texts = [text] * len(spans) if isinstance(text, str) else list(text)
        if len(texts) != len(spans):
            raise UserError(f"{len(texts)} texts for {len(spans)} sections; give one for all, or one for each")
        if frames > len(features):
            # One section if the text is to go on there.
            if spans and spans[-1][1] >= len(features):
                spans[-1] = (min(spans[-1][0], len(features)), frames)
            else:
                spans, texts = (
                    [*spans, (len(features), frames)],
                    [*texts, *([text] if isinstance(text, str) else texts[-1:])],
                )
        if not spans:
            raise UserError("no section to make anew; give its start and end, or a length beyond the motion's")
        require_text(texts)
        editor = self._editor(candidates, residual, how)
        tokens = [(start // self.unit, -(-end // self.unit)) for start, end in spans]
        for (start, end), (first, last) in zip(tokens, spans):
            if end - start > editor.longest:
                raise UserError(f"section {first},{last} has more than {MAX_FRAMES} frames; make it in parts")
        codes = editor.encode(features)
        codes = F.pad(codes, (0, 0, 0, frames // self.unit - len(codes)))
        mask = torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
        for number, ((start, end), sentence) in enumerate(zip(tokens, texts)):
            seeds = ways_of(candidates, seed, number, start, end, sentence)
            codes = editor.remake(codes, start, end, self.condition([sentence]), seeds)
            mask[start:end] = True
        made = editor.decode(codes[None])[0]
        if keep_frames:
            source = F.pad(features.to(made), (0, 0, 0, len(made) - len(features)))
            made = faded(made, source, mask.repeat_interleave(self.unit))
        facts = self._facts("; ".join(dict.fromkeys(texts)), seed)
        facts |= self.facts_of(texts)
        facts["sections"] = [[start * self.unit, end * self.unit] for start, end in tokens]
        return self._motion(made, facts)

    @torch.inference_mode()
    def loop(
        self, motion: Motion, text: str = "", *, seed: int = 0, candidates: int = CANDIDATES, **how: Any
    ) -> Motion:
        """Make the end of a motion flow into its beginning.

        Its tokens are seen as a ring, and those around the seam (`SEAM_TOKENS` on either side, of a short motion a
        quarter of it) are made anew. Features
        are those of the ring: the frame after the last is the first one, in pose, height and velocities. The root
        travels on; after a round it faces as at the beginning (`utils.looping.close_turn`).

        Args:
            motion: features, or joints of the models' skeleton; at least four tokens.
            text: what happens; by default the motion's own, of a sequence the first sentence.
            seed: the same motion, text and seed give the same result.
            candidates: ways that are tried, see `edit`.
            how: keyword arguments of `LaMPPipeline.__call__` for sampling.

        Raises:
            UserError: another skeleton, too short, or no text.
        """
        features, text = self._source(motion, None), text or motion.text.split(JOIN)[0]
        require_text([text])
        count = len(features) // self.unit
        if count < 4:
            raise UserError(f"the motion has {len(features)} frames; a loop needs {4 * self.unit} at least")
        editor = self._editor(candidates, True, how)
        half = count // 2
        codes = editor.encode(features).roll(-half, 0)
        seam, width = count - half, min(SEAM_TOKENS, count // 4)
        seeds = ways_of(candidates, seed, "loop", text)
        codes = editor.remake(codes, seam - width, seam + width, self.condition([text]), seeds).roll(half, 0)
        mask = torch.zeros(len(features), dtype=torch.bool, device=codes.device)
        mask[: width * self.unit] = mask[-width * self.unit :] = True
        made = faded(editor.decode_round(codes), features.to(codes.device), mask, around=True)
        made, turn = close_turn(made)
        facts = {
            **motion.meta,
            **self._facts(text, seed),
            **self.facts_of([text]),
            "prompt": motion.text or text,
            LOOP: True,
            "turn": turn,
        }
        return self._motion(made, facts)

    def _editor(self, candidates: int, residual: bool, how: dict[str, Any]) -> Editor:
        if candidates < 1:
            raise UserError(f"{candidates} candidates; at least 1 is needed")
        maker = self._maker(**how)
        return Editor(self.tokenizer, maker if residual else replace(maker, residual=None))

    def _source(self, motion: Motion, length: int | None) -> Tensor:
        """Features (T, D) of a motion, whole tokens, not more than `length` frames."""
        skeleton = SKELETONS[FeatureLayout.of_dim(self.tokenizer.config.input_width).num_joints]
        features = motion_features(motion, skeleton)
        if length is not None and length < self.unit:
            raise UserError(f"a length of {length} frames is less than one token ({self.unit} frames); give more")
        if not features.isfinite().all():
            frame = int((~features.isfinite()).any(1).nonzero()[0])
            raise UserError(f"the motion's frame {frame} has a value that is not finite, or bones of no length")
        frames = len(features) if length is None else min(len(features), length)
        if frames < self.unit:
            raise UserError(f"the motion has too few frames ({len(motion)}); at least {self.unit + 1} are needed")
        return features[: frames // self.unit * self.unit]

    def _motion(self, features: Tensor, facts: dict[str, Any]) -> Motion:
        joints = features_to_joints(features)
        return Motion(joints.cpu().numpy(), features.cpu().numpy(), fps=self.fps, text=facts["prompt"], meta=facts)


def _is_section(sections: Section | Sequence[Section]) -> bool:
    return len(sections) == 2 and all(isinstance(edge, numbers.Real) for edge in sections)


def require_text(texts: Sequence[str]) -> None:
    if not texts or any(not text.strip() for text in texts):
        raise UserError("no text; write what the person does")


def ways_of(count: int, *what: object) -> list[int]:
    """Seeds of several ways to make the same thing."""
    return [zlib.crc32(" ".join(map(str, (way, *what))).encode()) for way in range(count)]
