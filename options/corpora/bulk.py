"""Options of bulk work: embedding, describing, tokenizing or generating a whole corpus."""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from lamp.options.gen import ModelOptions
from lamp.options.m2t import DecodingOptions
from lamp.utils.cli import positional
from lamp.utils.errors import UserError
from lamp.utils.reading import reading
from lamp.utils.run.provenance import digest

MOTION_TASKS = ("embed", "caption", "tokenize")
TASKS_OF = {
    "res_name": ("generate",),
    "length_name": ("generate",),
    "time_steps": ("generate",),
    "cond_scale": ("generate",),
    "res_cond_scale": ("generate",),
    "topkr": ("generate",),
    "gumbel_sample": ("generate",),
    "best_of": ("generate",),
    "clauses": ("generate",),
    "repeat_times": ("generate",),
    "num_beams": ("caption",),
    "top_p": ("caption",),
    "num_captions": ("caption",),
    "temperature": ("caption", "generate"),
    "precision": ("caption", "generate"),
    "seed": ("caption", "generate"),
    "windows": ("embed", "caption"),
    "joint_map": MOTION_TASKS,
    "up": MOTION_TASKS,
    "num_workers": MOTION_TASKS,
}
"""Tasks that a flag is for, where it is not for all."""
NO_RESULTS = ("res_name", "length_name", "num_workers")
"""Of these, what is no setting of the results: models are known by their digests."""
_SHARD = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(kw_only=True)
class BulkOptions(ModelOptions, DecodingOptions):
    """Embed, describe, tokenize or generate whole corpora."""

    task: Literal["embed", "caption", "tokenize", "generate"] = field(metadata=positional("TASK"))
    """embed: LaMP's embeddings of motions; caption: sentences; tokenize: codes; generate: motions from sentences"""
    source: Path = field(metadata=positional("SOURCE"))
    """motion file, or folder of them (folders below it count too); for generate a file with one <text>#<frames> a
    line"""
    out: Path
    """folder of the results, the same for all processes and later starts"""
    name: str = ""
    """run of LaMP, the captioner, the tokenizer or the masked transformer, by the task; by default the shipped
    models"""
    models: str = ""
    """folder or hub id with the models that the task needs; by default the shipped checkpoints/mini"""
    batch_size: int = 32
    """files or motions of a part of the results, computed together; a killed process loses one part at most"""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"  # type: ignore[assignment]  # not int8 for captions
    """numbers that the transformers (generate) or the language model (caption) compute with; int8: transformers, CPU"""
    repeat_times: int = 1
    """motions for each sentence"""
    joint_map: Path | None = None
    """for a skeleton with other joint names: JSON from our 22 joint names to those of the files"""
    up: Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None = None
    """up axis of the files; found, and of arrays checked to be +y, when not given"""
    windows: bool = False
    """read motions longer than the models know part by part; otherwise only their beginning"""
    num_workers: int = 0
    """processes that read motion files for the one that computes"""
    shard: str = ""
    """i/n: do the i-th of n shares, i from 0 to n-1, beside other processes that do the others"""
    ray: str = ""
    """work on the Ray cluster at this address: "auto", "ray://HOST:10001", or "local" for processes of this machine"""
    ray_workers: int = 0
    """processes on the cluster; by default one for each GPU, without GPUs one for each CPU"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for default in fields(self):
            tasks = TASKS_OF.get(default.name)
            if tasks and self.task not in tasks and getattr(self, default.name) != default.default:
                raise UserError(f"--{default.name} goes with {' and '.join(tasks)}, not with {self.task}; leave it out")
        if self.task == "caption" and self.precision == "int8":
            raise UserError("--precision int8 goes with generate, not with caption; use float32 or bfloat16")
        self.at_least(repeat_times=1, num_beams=1, num_captions=1, num_workers=0, ray_workers=0)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"--top_p {self.top_p} must be above 0 and not above 1")
        if self.task == "caption" and self.temperature <= 0:
            raise UserError(f"--temperature {self.temperature} must be above 0; without sampling, leave --top_p out")
        if self.task == "caption" and self.top_p is None and self.num_captions > self.num_beams:
            raise UserError(f"--num_captions {self.num_captions} is more than --num_beams {self.num_beams}")
        self.share()
        if self.ray and (self.shard or self.num_workers):
            raise UserError("--ray shares the work out by itself; leave --shard and --num_workers out")
        if self.ray_workers and not self.ray:
            raise UserError("--ray_workers goes with --ray")
        if self.out.resolve() == self.source.resolve():
            raise UserError(f"--out {self.out} is SOURCE itself; choose another folder")
        if self.out.resolve().is_relative_to(self.source.resolve()):
            raise UserError(f"--out {self.out} lies in SOURCE, so that results would be taken for items; move it out")

    def share(self) -> tuple[int, int]:
        """Which of how many shares of the work this process does.

        Raises:
            UserError: `--shard` is none.
        """
        if not self.shard:
            return 0, 1
        found = _SHARD.fullmatch(self.shard)
        if found is None:
            raise UserError(f"--shard {self.shard!r} must be i/n, for instance 0/8")
        index, count = map(int, found.groups())
        if index >= count:
            raise UserError(f"--shard {self.shard}: the shares of {count} are 0/{count} to {count - 1}/{count}")
        return index, count

    def settings(self) -> dict[str, Any]:
        """What, besides models and source, the results of the task depend on, as JSON holds it.

        Raises:
            UserError: the joint map cannot be read.
        """
        names = [name for name, tasks in TASKS_OF.items() if self.task in tasks and name not in NO_RESULTS]
        values = {name: getattr(self, name) for name in [*names, "batch_size"]}
        if self.joint_map is not None:
            with reading(self.joint_map, "joint map"):
                values["joint_map"] = f"{self.joint_map.name}@{digest([self.joint_map.read_bytes()])}"
        return values

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages that the task needs."""
        language = ("transformers",) if self.task == "caption" else ()
        return (*language, *(("ray",) if self.ray else ()))
