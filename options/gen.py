"""Options of generating motions from prompts, and of editing motions."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from lamp.options.common import CommonOptions
from lamp.utils.cli import IDLE, alias
from lamp.utils.errors import UserError
from lamp.utils.export import FORMATS, suffix_of
from lamp.utils.files import shown
from lamp.utils.run.listing import list_runs

_NUMBER = re.compile(r"(\d{1,9}(?:\.\d*)?|\.\d+)(s?)")


@dataclass(kw_only=True)
class SamplingOptions(CommonOptions):
    """Sampling of the generators."""

    time_steps: int = 10
    """rounds of the masked transformer"""
    cond_scale: float | None = None
    """guidance of the masked transformer; by default the models' own (published: 4 on HumanML3D, 2 on KIT-ML)"""
    res_cond_scale: float | None = None
    """guidance of the residual transformer; by default the models' own (published: 5 on HumanML3D, 2 on KIT-ML)"""
    topkr: float = 0.9
    """share of the codes that the top-k filter leaves out"""
    temperature: float = 1.0
    """temperature of sampling; 0 takes the most likely code"""
    gumbel_sample: bool = False
    """sample with Gumbel noise rather than from the categorical distribution"""
    best_of: int = 1
    """motions made of each prompt, of which the one is kept that LaMP finds most similar to it"""
    batch_size: int = 32
    """motions at a time"""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    """numbers that the transformers compute with; others than float32 are faster on hardware made for them and give
    other motions, which also depend on what is generated in the same batch; int8 is for the CPU"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(time_steps=1, batch_size=1, best_of=1, temperature=0)
        if not 0 <= self.topkr < 1:
            raise UserError(f"--topkr {self.topkr} must be at least 0 and below 1")

    def sampling(self) -> dict[str, Any]:
        """Keyword arguments of `LaMPPipeline.__call__`."""
        return {
            "time_steps": self.time_steps,
            "cond_scale": self.cond_scale,
            "res_cond_scale": self.res_cond_scale,
            "topkr": self.topkr,
            "temperature": self.temperature,
            "gumbel": self.gumbel_sample,
            "best_of": self.best_of,
            "batch_size": self.batch_size,
        }

    def editing(self) -> dict[str, Any]:
        """Keyword arguments of `LaMPPipeline.edit`, `sequence` and `loop`."""
        left_out = ("batch_size", "best_of", "clauses")
        return {name: value for name, value in self.sampling().items() if name not in left_out}


@dataclass(kw_only=True)
class ModelOptions(SamplingOptions):
    """Models"""

    name_needed: ClassVar[bool] = False
    name: str = ""
    """run of the masked transformer; by default the shipped models"""
    res_name: str = ""
    """run of the residual transformer"""
    length_name: str = "length_estimator"
    """run of the length estimator, with --name"""
    which_epoch: str = field(default="best", metadata=alias("--checkpoint"))
    """checkpoint of the masked transformer"""
    models: str = ""
    """folder or hub id with tokenizer, lamp, masked, residual and length; by default the shipped checkpoints/mini"""
    clauses: Literal["models", "yes", "no"] = "models"
    """make what a sentence says in turn ("walks, then bows"), at once ("walks while waving"), how far and how fast part
    by part; by default as suits the models"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.res_name and not self.name:
            there = list_runs(Path(self.checkpoints_dir) / self.dataset_name, "MaskedTransformer")
            raise UserError(f"--res_name needs --name too, the run of the masked transformer; {there}")

    def sampling(self) -> dict[str, Any]:
        """Keyword arguments of `LaMPPipeline.__call__`."""
        return super().sampling() | {"clauses": {"models": None, "yes": True, "no": False}[self.clauses]}


@dataclass(kw_only=True)
class MotionOptions(ModelOptions):
    """Files"""

    ext: str = "default"
    """name of the output folder"""
    output_dir: Path = Path("./generation")
    """where output folders are"""
    motion_length: int = 0
    """frames; 0 lets the model choose"""
    repeat_times: int = 1
    """motions for each prompt"""
    formats: list[str] | None = None
    """files of each motion: npy npz bvh mp4 ... (docs/formats.md); by default npy, bvh and mp4"""
    in_place: bool = False
    """take the travel out: the root stays above the origin"""
    character: Path | None = None
    """rigged humanoid (.glb, .vrm) that gets each motion, too: a file <motion>_<character>.glb"""
    character_map: Path | None = None
    """for a character with other bone names: JSON from our 22 joint names to those of its bones"""
    video: bool = True
    """write mp4 stick figures"""
    bvh: bool = True
    """write BVH"""
    ik: bool = True
    """write copies with foot contact clean-up, suffix _ik"""
    npz: bool = False
    """write npz archives with joints, features, rotations, contacts, fps and text beside the joints"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.formats or ():
            suffix_of(name, "--formats")
        if self.character_map is not None and self.character is None:
            raise UserError("--character_map goes with --character")
        if not self.suffixes:
            raise UserError("no file would be written; name --formats that no other flag takes away")
        self.at_least(motion_length=0, repeat_times=1)

    @property
    def suffixes(self) -> list[str]:
        """Suffixes of the files of each motion: those of --formats, but what other flags leave out or add."""
        names = ["npy", "bvh", "mp4"] if self.formats is None else list(self.formats)
        left_out = {name for name, wanted in (("bvh", self.bvh), ("mp4", self.video)) if not wanted}
        names += ["npz"] if self.npz else []
        return [FORMATS[name] for name in dict.fromkeys(names) if name not in left_out]


@dataclass(kw_only=True)
class GenOptions(MotionOptions):
    """Generate motions from prompts."""

    text_prompt: str = ""
    """sentence"""
    text_path: Path | None = None
    """file with one <text>#<frames> a line; #NA lets the model choose, and one NA makes all NA; > between sentences
    makes one motion of a line (docs/editing.md)"""
    sequence: list[str] | None = None
    """sentences that follow each other in one motion: "a person walks#80" "a person kicks" ..."""
    motion_length: int = 0
    """frames, with --text_prompt; 0 lets the model choose"""
    loop: bool = False
    """make the end of each motion flow into its beginning"""
    data_root: Path | None = field(default=None, metadata=IDLE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum((self.text_path is not None, self.sequence is not None, bool(self.text_prompt.strip()))) != 1:
            raise UserError(
                "give either --text_prompt with a sentence or --text_path with a file of them, or --sequence"
            )
        if self.motion_length and not self.text_prompt:
            raise UserError("--motion_length goes with --text_prompt; in a file or a sequence write <text>#<frames>")
        if self.sequence is not None and self.best_of > 1:
            raise UserError("--best_of goes with single sentences, not with --sequence; leave one of them out")
        if self.sequence is not None and self.clauses == "yes":
            raise UserError("--clauses divides single sentences, --sequence is divided already; leave one of them out")


@dataclass(kw_only=True)
class EditOptions(MotionOptions):
    """Edit a motion: make sections of it anew from a text."""

    source_motion: Path | None = None
    """motion file: .npy (features or joints), .npz, .bvh, .amc (with its .asf)"""
    mask_edit_section: list[str] = field(default_factory=list, metadata=alias("-msec"))
    """sections "start,end" that are made anew: 0.2,0.5 with a point is a part of the motion, 40,80 are frames (20 a
    second; KIT-ML 12.5), 2s,3.5s seconds"""
    text_prompt: str = ""
    """what happens in the sections"""
    motion_length: int = 0
    """frames of the result: what the source lacks is made anew, too, and what it has too much is left out; 0: the
    source's"""
    use_res_model: bool = True
    """make the residual levels of the sections, too; without them they are coarse"""
    keep_frames: bool = True
    """outside the sections the source's own frames, not what its tokens make of them"""
    candidates: int = 8
    """ways to make a section that are tried; the one with the smoothest borders is taken"""
    output_dir: Path = Path("./editing")
    """where output folders are"""
    up: Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None = None
    """up axis of the source; found, and of arrays checked to be +y, when not given"""
    joint_map: Path | None = None
    """for a skeleton with other joint names: JSON from our 22 joint names to those of the source"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source_motion is None:
            raise UserError("--source_motion is missing; name the motion file to edit")
        if not self.text_prompt.strip():
            raise UserError("--text_prompt is missing; write what happens in the sections")
        if not self.mask_edit_section and not self.motion_length:
            raise UserError("--mask_edit_section is missing; give start,end of what is to be made anew, like 0.2,0.5")
        self.at_least(candidates=1)
        if self.best_of > 1:
            raise UserError("--best_of makes whole motions; --candidates says how many ways are tried here")
        if self.clauses != "models":
            raise UserError("--clauses is for whole motions; of a section, give --text_prompt what happens in it")
        self.sections()

    def sections(self) -> tuple[list[tuple[float, float]], Literal["frames", "seconds", "fraction"]]:
        """Starts and ends of --mask_edit_section, and their unit.

        Raises:
            UserError: one is no section, or they have several units.
        """
        found = [_section(text) for text in self.mask_edit_section]
        units = {unit for _, _, unit in found}
        if len(units) > 1:
            raise UserError(f"--mask_edit_section has {' and '.join(sorted(units))}; give all sections in one unit")
        return [(start, end) for start, end, _ in found], units.pop() if units else "frames"


def _section(text: str) -> tuple[float, float, Literal["frames", "seconds", "fraction"]]:
    """Start, end and unit of a section."""
    parts = [_NUMBER.fullmatch(part.strip()) for part in text.split(",")]
    if len(parts) != 2 or parts[0] is None or parts[1] is None:
        raise UserError(
            f"--mask_edit_section {shown(text)} is no section; write start,end like 0.2,0.5 or 40,80 or 2s,3.5s"
        )
    start, end = (float(part[1]) for part in parts if part is not None)
    seconds = {part[2] for part in parts if part is not None}
    if len(seconds) > 1 and start:
        raise UserError(f"--mask_edit_section {shown(text)} has two units; write start,end like 2s,3.5s")
    if "s" in seconds:
        return start, end, "seconds"
    return start, end, "fraction" if "." in text else "frames"
