"""`LaMPPipeline`: sentences in, motions out; what scripts and users import."""

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamp.models import matching
from lamp.models.checkpoints import check_network, model_folder, read_run_options
from lamp.models.fast import set_precision, speed_up
from lamp.models.hub import is_model, optional_file
from lamp.models.lamp.known import KnownTexts
from lamp.models.lamp.model import LaMP
from lamp.models.lineage import check_built_on
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.model_files import make_config, read_facts
from lamp.models.planned import Planned
from lamp.models.sentences.checks import until_passed
from lamp.models.sentences.wording import Wordings
from lamp.models.sequences import MIN_FRAMES, noise_in_try
from lamp.models.t2m.length import LengthEstimator
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.t2m.token_maker import Guidance, TokenMaker
from lamp.models.text_condition import LaMPCondition, TextCondition, check_same_run, load_text_encoder
from lamp.models.vq.model import RVQVAE
from lamp.models.vq.sheets import in_sheets
from lamp.utils.errors import UserError
from lamp.utils.home import shipped_models
from lamp.utils.kinematics.features import FeatureLayout, features_to_joints
from lamp.utils.kinematics.skeleton import HUMANML3D, MAX_FRAMES, SKELETONS
from lamp.utils.motion import Motion
from lamp.utils.run.listing import list_runs
from lamp.utils.scores.following.body import Body

GUIDANCE_FILE = "guidance.json"
KIT_GUIDANCE = Guidance(2.0, 2.0)


class LaMPPipeline(Planned):
    """Text to motion with a tokenizer, a text encoder, a masked and a residual transformer and a length estimator.

    Example:
        >>> pipe = LaMPPipeline.from_pretrained()
        >>> motion = pipe("a person walks forward and waves with the right hand", seed=1)[0]
        >>> motion.save("walk.bvh")
    """

    def __init__(
        self,
        tokenizer: RVQVAE,
        text: TextCondition,
        masked: MaskedTransformer,
        residual: ResidualTransformer | None = None,
        length: LengthEstimator | None = None,
        guidance: Guidance | None = None,
    ) -> None:
        """Put trained parts together; without `guidance` the published values for the data's skeleton are used.

        Raises:
            UserError: parts that do not fit each other.
        """
        self.tokenizer, self.text, self.masked, self.residual, self.length = tokenizer, text, masked, residual, length
        self._check()
        for part in (tokenizer, masked, residual):
            if part is not None:
                speed_up(part, frozen=True)
        self.source: str | Path | None = None
        self._captions: CaptionPipeline | None = None
        joints = FeatureLayout.of_dim(tokenizer.config.input_width).num_joints
        self.fps = SKELETONS[joints].fps
        self.unit = tokenizer.config.frames_per_token
        self.guidance = guidance or (Guidance() if joints == HUMANML3D.num_joints else KIT_GUIDANCE)

    def _check(self) -> None:
        config = self.tokenizer.config
        for name, part in (("masked transformer", self.masked), ("residual transformer", self.residual)):
            if part is not None and part.config.num_tokens != config.nb_code:
                raise UserError(f"the {name} knows {part.config.num_tokens} codes, the tokenizer {config.nb_code}")
        readers = {"masked transformer": self.masked, "residual transformer": self.residual, "estimator": self.length}
        for name, reader in readers.items():
            if reader is not None and reader.config.cond_dim != self.text.dim:
                raise UserError(f"the {name} wants text of width {reader.config.cond_dim}, not {self.text.dim}")
            given = "words" if self.text.words else "sentence"
            if reader is not None and reader.config.condition != given:
                raise UserError(
                    f"the {name} was trained with --condition {reader.config.condition}, the masked transformer with "
                    f"{given}; use parts that were trained alike"
                )
        if self.residual is not None and self.residual.config.num_quantizers != config.num_quantizers:
            raise UserError(
                f"the residual transformer has {self.residual.config.num_quantizers} levels, "
                f"the tokenizer {config.num_quantizers}"
            )
        if self.residual is None and config.num_quantizers > 1:
            raise UserError(f"a tokenizer of {config.num_quantizers} levels needs a residual transformer (--res_name)")
        for part in (self.masked, self.residual):
            if part is not None:
                check_built_on(part, "tokenizer", self.tokenizer)
        for reader in readers.values():
            if reader is not None:
                check_built_on(reader, "text_encoder", self.text)

    @classmethod
    def from_pretrained(cls, source: str | Path | None = None, device: torch.device | str = "cpu") -> "LaMPPipeline":
        """Load a folder, or a hub repository, with the model folders tokenizer, lamp, masked, residual and length.

        Args:
            source: folder or hub id; None takes the models that ship with the code, see `shipped_models`.
            device: where to compute.

        Raises:
            UserError: a model is missing or cannot be read.
        """
        source = shipped_models() if source is None else source
        tokenizer = RVQVAE.from_pretrained(source, "tokenizer", device)
        residual = None
        if tokenizer.config.num_quantizers > 1:
            residual = ResidualTransformer.from_pretrained(source, "residual", device)
        length = LengthEstimator.from_pretrained(source, "length", device) if is_model(source, "length") else None
        masked = MaskedTransformer.from_pretrained(source, "masked", device)
        pipe = cls(
            tokenizer,
            LaMPCondition(LaMP.from_pretrained(source, "lamp", device), masked.config.condition == "words"),
            masked,
            residual,
            length,
            read_guidance(source),
        )
        pipe.source = source
        return pipe._with_words_of(source)

    @staticmethod
    def check_runs(root: str | Path, name: str, res_name: str | None) -> None:
        """Make sure, before anything is loaded, that runs are of the transformers they are named for.

        Args:
            root: `checkpoints/<dataset>`.
            name: run of the masked transformer.
            res_name: run of the residual transformer, if any.

        Raises:
            UserError: a run is missing, or of another network; the message lists those there are.
        """
        check_network(Path(root) / name, MaskedTransformer.kind(), "--name")
        if res_name is not None:
            check_network(Path(root) / res_name, ResidualTransformer.kind(), "--res_name")
        for run in (name, res_name):
            if run is not None:
                read_run_options(Path(root) / run)

    @classmethod
    def from_runs(
        cls,
        root: str | Path,
        name: str,
        res_name: str | None,
        *,
        length_name: str | None = "length_estimator",
        which: str = "best",
        device: torch.device | str = "cpu",
    ) -> "LaMPPipeline":
        """Load what training runs left under `checkpoints/<dataset>`.

        Args:
            root: `checkpoints/<dataset>`.
            name: run of the masked transformer; its options name the tokenizer and the text encoder.
            res_name: run of the residual transformer.
            length_name: run of the length estimator; not used if it is no run; None: lengths will be given.
            which: checkpoint of the masked transformer.
            device: where to compute.

        Raises:
            UserError: a run or checkpoint is missing, or they were trained with different tokenizers or text encoders.
        """
        root = Path(root)
        cls.check_runs(root, name, res_name)
        options = read_run_options(root / name)
        if res_name is not None:
            check_same_run(root, name, res_name, options, tokenizer=True)
        # What other code left in a folder of that name is no run.
        if length_name and not (root / length_name / "opt.json").is_file():
            length_name = None
        if length_name:
            check_same_run(root, name, length_name, options, tokenizer=False)
        residual = length = None
        if res_name is not None:
            residual = ResidualTransformer.from_pretrained(model_folder(root / res_name), device=device)
        if length_name:
            length = LengthEstimator.from_pretrained(model_folder(root / length_name), device=device)
        tokenizer = RVQVAE.from_pretrained(model_folder(root / options["vq_name"]), device=device)
        if res_name is None and tokenizer.config.num_quantizers > 1:
            levels, there = tokenizer.config.num_quantizers, list_runs(root, ResidualTransformer.kind())
            raise UserError(f"--res_name is missing, which a tokenizer of {levels} levels needs; {there}")
        masked = MaskedTransformer.from_pretrained(model_folder(root / name, which), device=device)
        text = load_text_encoder(options, root, masked.config.condition == "words", device)
        return cls(tokenizer, text, masked, residual, length, read_guidance(root))._with_words_of(root)

    def _with_words_of(self, source: str | Path) -> "LaMPPipeline":
        """With what a folder of models says of sentences: which are followed best, and which are known."""
        if isinstance(self.text, LaMPCondition):
            self.known = KnownTexts.load(source, self.text.lamp)
        generators = [part.identity for part in (self.masked, self.residual) if part is not None]
        self.wordings = Wordings.load(source, *generators)
        return self

    def with_precision(self, precision: str) -> "LaMPPipeline":
        """This pipeline, its two transformers computing in `precision` from now on: float32, bfloat16 or int8 (CPU).

        In the last two other codes are drawn here and there, so a seed gives another motion, and one that depends on
        what is computed in the same batch. bfloat16 rounds the weights: only loading them again gives back the others.

        Raises:
            UserError: int8 is not possible here.
        """
        networks = [part for part in (self.masked, self.residual) if part is not None]
        set_precision(networks, precision, partial(self, clauses=False))
        return self

    @torch.inference_mode()
    def __call__(
        self,
        prompts: str | Sequence[str],
        lengths: int | Sequence[int] | None = None,
        *,
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        best_of: int = 1,
        batch_size: int = 32,
        clauses: bool | None = None,
        alone: bool = False,
        progress: Callable[[int, int], None] | None = None,
        **how: Any,
    ) -> list[Motion]:
        """Generate a motion for each prompt.

        Args:
            prompts: sentences.
            lengths: frames of each motion, rounded down to a multiple of the token's frames and brought into the
                range the model knows; None lets the length estimator choose.
            seed: the same prompt, length and seed give the same motion, alone or among others (in bfloat16 another code
                may be drawn: there rounding depends on the size of the batch).
            seeds: one seed a prompt instead.
            best_of: motions made of each prompt, of which the one is kept that LaMP finds most similar to its text.
            batch_size: motions computed at a time.
            clauses: make what a sentence says one after the other ("walks, then bows"), at once ("walks while waving")
                or until how much ("walks two metres") part by part, see `models.sentences.plan` and `planned`; None
                does what suits the models (`Guidance.clauses`); False makes each sentence whole and as typed, while
                otherwise it is made in the words that the models follow best (`worded`).
            alone: decode each motion in such a way that its bits do not depend on the others of its batch.
            progress: called with (prompts done, prompts in all).
            how: of sampling, see `_maker`: time_steps, cond_scale, res_cond_scale, topkr, temperature, gumbel,
                on_step (called with (done, in all) after each step of a transformer; its error ends the making).

        Raises:
            UserError: an empty prompt, as many lengths as prompts are not given, no length estimator to choose, or
                `best_of` without LaMP.
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        if empty := [i for i, prompt in enumerate(prompts) if not prompt.strip()]:
            raise UserError(f"prompt {empty[0]} is empty; write what the person does")
        lengths = [lengths] * len(prompts) if isinstance(lengths, int) else lengths
        for name, given in (("lengths", lengths), ("seeds", seeds)):
            if given is not None and len(given) != len(prompts):
                raise UserError(f"{len(given)} {name} for {len(prompts)} prompts; give as many")
        if best_of < 1:
            raise UserError(f"best of {best_of} motions; give 1 at least")
        seeds = [seed] * len(prompts) if seeds is None else seeds
        motions: list[Motion | None] = [None] * len(prompts)
        if self.guidance.clauses if clauses is None else clauses:
            at_once = max(1, batch_size // best_of)
            motions = self.in_parts(prompts, lengths, seeds, best_of, at_once, progress, **how)
        rest = [i for i, motion in enumerate(motions) if motion is None]
        maker = self._maker(**how)
        at_once = max(1, batch_size // best_of)
        for start in range(0, len(rest), at_once):
            part = rest[start : start + at_once]
            frames = None if lengths is None else [lengths[i] for i in part]
            texts = [prompts[i] for i in part]
            made = self._whole(maker, texts, clauses is False, frames, [seeds[i] for i in part], best_of, alone)
            for i, motion in zip(part, made):
                motions[i] = motion
            if progress is not None:
                progress(len(prompts) - motions.count(None), len(prompts))
        return [motion for motion in motions if motion is not None]

    def _whole(
        self,
        maker: TokenMaker,
        prompts: Sequence[str],
        typed: bool,
        lengths: Sequence[int] | None,
        seeds: Sequence[int],
        count: int,
        alone: bool,
    ) -> list[Motion]:
        """A motion of each prompt, the best of `count`, computed as one batch; see `__call__`.

        If `typed`, prompts are neither `worded` nor checked.
        """
        # Noise depends on the prompt and the seed only, so that batches do not change results; a prompt's further
        # motions have noise of their own, the first is the one that a `count` of 1 makes.
        ways = ["", *(f" {way}" for way in range(1, count))]
        noise = [zlib.crc32(f"{s} {prompt}{way}".encode()) for s, prompt in zip(seeds, prompts) for way in ways]
        checks = [None] * len(prompts) if typed else self.checks(prompts)
        condition = (self.text(prompts) if typed else self.condition(prompts)).repeat_interleave(count, 0)
        frames = None if lengths is None else [length for length in lengths for _ in ways]
        tokens = self._tokens(frames, condition, noise)
        facts = [self._facts(prompt, s) for prompt, s in zip(prompts, seeds) for _ in ways]

        def make(rows: list[int], numbers: list[int]) -> list[Motion]:
            own = [facts[row] for row in rows]
            again = max(numbers) > 1
            told = self.condition_in_try([fact["prompt"] for fact in own], numbers) if again else condition[rows]
            codes = maker.make(told, tokens[rows], [noise_in_try(noise[row], n) for row, n in zip(rows, numbers)])
            if alone:
                return in_sheets(
                    codes, tokens[rows], lambda some, long, at: self.decode(some, long, [own[i] for i in at])
                )
            return self.decode(codes, tokens[rows], own)

        asked = [check for check in checks for _ in ways]
        made, tried = until_passed(asked, make, lambda check, own: check.passes(Body.of(own.joints, own.fps)))
        if not typed:
            for motion, result in zip(made, tried):
                motion.meta.update(self.facts_of([motion.meta["prompt"]], [result]))
        if count == 1:
            return made
        texts = [prompt for prompt in prompts for _ in ways]
        return matching.best_of(count, made, matching.similarities(self.text, self.tokenizer, made, texts))

    def _facts(self, text: str, seed: int) -> dict[str, Any]:
        model = {} if self.masked.folder is None else {"model": self.masked.identity}
        return {"prompt": text, "seed": seed, **model}

    def caption(self, motions: Motion | Sequence[Motion], **how: Any) -> list[list[str]]:
        """Describe motions by `captioner`.

        Args:
            motions: to describe.
            how: keyword arguments of `CaptionPipeline`: num_beams, top_p, num_captions, seed, ...

        Returns:
            For each motion its captions, best first.

        Raises:
            UserError: there is no captioner, or a motion cannot be described.
        """
        return self.captioner(motions, **how)

    @property
    def captioner(self) -> CaptionPipeline:
        """The captioner that lies beside the other models (m2t), loaded on first use.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        if self._captions is None:
            if self.source is None:
                raise UserError("no captioner here; load one with CaptionPipeline.from_runs of models.m2t.pipeline")
            self._captions = CaptionPipeline.from_pretrained(self.source, self.tokenizer.device)
        return self._captions

    def _tokens(self, lengths: Sequence[int] | None, condition: Tensor, seeds: Sequence[int]) -> Tensor:
        """Number of tokens (B,) of each motion."""
        shortest, longest = MIN_FRAMES // self.unit, MAX_FRAMES // self.unit
        if lengths is not None:
            tokens = torch.tensor(lengths, device=condition.device) // self.unit
            return tokens.clamp(shortest, longest)
        if self.length is None:
            raise UserError("no length estimator here; give the number of frames (--motion_length)")
        return self.length.sample(condition, min_tokens=shortest, max_tokens=longest, seeds=seeds)

    @torch.inference_mode()
    def decode(self, codes: Tensor, tokens: Tensor, facts: Sequence[dict]) -> list[Motion]:
        """Motions of codes (B, n, Q) with `tokens` (B,) valid ones; `facts` become their meta, "prompt" their text."""
        features = self.tokenizer.denormalize(self.tokenizer.decode(codes, tokens))
        joints = features_to_joints(features)
        frames = (tokens * self.unit).tolist()
        return [
            Motion(
                joints[i, :count].cpu().numpy(),
                features[i, :count].cpu().numpy(),
                fps=self.fps,
                text=fact["prompt"],
                meta=dict(fact),
            )
            for i, (count, fact) in enumerate(zip(frames, facts))
        ]


def read_guidance(source: str | Path) -> Guidance | None:
    """Guidance that belongs to a folder or hub repository of models (`guidance.json`), if it says any."""
    path = optional_file(source, GUIDANCE_FILE)
    return None if path is None else make_config(Guidance, read_facts(path), path)
