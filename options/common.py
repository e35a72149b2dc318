"""Options that scripts share: what a run is called, where it lives, on which device, and how long it trains."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar, Literal

from lamp.utils.cli import TRANSIENT, alias
from lamp.utils.errors import UserError
from lamp.utils.files import is_plain_name, shown
from lamp.utils.run.listing import list_runs

PLAIN_NAMES = ("name", "ext", "evaluator", "start_from")
"""Flags, beside all that end in `_name`, that name a file or folder in a place that is given."""

MOST_ANIMATIONS = 16
"""Two motions are shown for each, and a browser draws them all at once."""


@dataclass(kw_only=True)
class CommonOptions:
    """Run"""

    name_needed: ClassVar[bool] = True
    name: str
    """name of the run; its space is <checkpoints_dir>/<dataset_name>/<name>"""
    dataset_name: str = "t2m"
    """t2m (HumanML3D), kit (KIT-ML), mini (the shipped one), or a name of your own for dataset/<name> or --data_root"""
    checkpoints_dir: Path = Path("./checkpoints")
    """where the spaces of all runs are"""
    gpu_id: int | None = None
    """GPU of a single process, -1 for the CPU; by default the best device; launchers (torchrun) place by themselves"""
    seed: int = 3407
    """seed of everything random"""

    def __post_init__(self) -> None:
        """Check what can be checked without looking at data.

        Raises:
            UserError: a value that cannot be.
        """
        needed = {"dataset_name", "ext", *(["name"] if self.name_needed else [])}
        for field_name in (f.name for f in fields(self) if f.name in PLAIN_NAMES or f.name.endswith("_name")):
            name = getattr(self, field_name)
            if (name or field_name in needed) and not is_plain_name(name):
                hint = "; --data_root names a folder" if field_name == "dataset_name" else ""
                if field_name == "name" and not name:
                    hint = f"; {list_runs(Path(self.checkpoints_dir) / self.dataset_name)}"
                raise UserError(f"--{field_name} {shown(name)} must be a plain name: it becomes a file or folder{hint}")
        if self.gpu_id is not None and self.gpu_id < -1:
            raise UserError(f"--gpu_id {self.gpu_id}: give a GPU's number, or -1 for the CPU")
        self.at_least(seed=0)

    def at_least(self, **least: float) -> None:
        """Check options by their names.

        Raises:
            UserError: one of them is below its least value.
        """
        for name, value in least.items():
            if getattr(self, name) < value:
                must = "must not be negative" if value == 0 else f"must be at least {value}"
                raise UserError(f"--{name} {getattr(self, name)} {must}")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages that the script needs with these options."""
        return ()

    @property
    def space(self) -> Path:
        """Folder of the run: weights, options, logs, state."""
        return Path(self.checkpoints_dir) / self.dataset_name / self.name


@dataclass(kw_only=True)
class DataOptions(CommonOptions):
    """Data"""

    data_root: Path | None = None
    """folder of the data set, of HumanML3D's layout; by default the one of --dataset_name"""


@dataclass(kw_only=True)
class TrainOptions(DataOptions):
    """Training"""

    batch_size: int = 64
    """samples a step and process"""
    max_epoch: int = 50
    """epochs to train"""
    max_iter: int = 0
    """stop after this many iterations in total; 0: train all epochs"""
    max_minutes: float = 0.0
    """stop cleanly after this many minutes, to be resumed with --is_continue; 0: no limit"""
    lr: float = 2e-4
    """learning rate after warm-up"""
    warm_up_iter: int = 2000
    """iterations over which the learning rate rises from 0"""
    milestones: list[int] = field(default_factory=lambda: [50_000])
    """iterations at which the learning rate is multiplied by --gamma"""
    gamma: float = 0.1
    """factor of the learning rate at each of --milestones"""
    weight_decay: float = 0.0
    """AdamW's weight decay"""
    grad_clip: float = 0.0
    """largest norm of the gradient; 0: not clipped"""
    gradient_accumulation_steps: int = 1
    """batches an iteration (an update of the weights)"""
    ema_decay: float = 0.0
    """decay of the averaged weights that are evaluated and saved, for instance 0.999; 0: no averaging"""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """number format of the forward pass"""
    num_workers: int = 0
    """processes that load data; 0: the training process itself"""
    data_on_gpu: Literal["auto", "yes", "no"] = "auto"
    """the GPU holds all motions (HumanML3D: 2 GB) and cuts the batches; auto: if they take a quarter of its free
    memory at most and --num_workers is 0"""
    compile: Literal["no", "default", "reduce-overhead"] = "no"
    """let PyTorch's compiler fuse the model, which needs a C++ compiler and takes minutes before the first iteration,
    and again where sizes change; reduce-overhead: replay CUDA graphs besides"""
    log_every: int = 50
    """iterations between two lines of the log"""
    save_latest: int = 500
    """iterations between two savings of latest/ and state/; 0: only at the end of epochs"""
    save_every_e: int = 0
    """epochs between two models that are kept for good, as epoch_<number>/; 0: none"""
    eval_every_e: int = 1
    """epochs between two evaluations; 0: only after the last"""
    eval_iter: int = field(default=0, metadata=alias("--eval_every_iter"))
    """also evaluate each time this many iterations are done; 0: off"""
    is_continue: bool = field(default=False, metadata=TRANSIENT)
    """resume the run --name where it stopped"""
    overwrite: bool = field(default=False, metadata=TRANSIENT)
    """start anew in a space that holds a run already, and delete that run"""

    def __post_init__(self) -> None:
        """Check values that exclude each other.

        Raises:
            UserError: a value that cannot be, or two that exclude each other.
        """
        super().__post_init__()
        self.at_least(batch_size=1, max_epoch=1, gradient_accumulation_steps=1, log_every=1)
        self.at_least(max_iter=0, max_minutes=0, lr=0, warm_up_iter=0, gamma=0, weight_decay=0, grad_clip=0)
        self.at_least(num_workers=0, save_latest=0, save_every_e=0, eval_every_e=0, eval_iter=0)
        if self.data_on_gpu == "yes" and self.num_workers:
            raise UserError("--data_on_gpu yes and --num_workers exclude each other: the GPU cuts the batches")
        if self.compile == "reduce-overhead" and self.gradient_accumulation_steps > 1:
            raise UserError("--compile reduce-overhead cannot accumulate gradients; take --compile default")
        if not 0 <= self.ema_decay < 1:
            raise UserError(f"--ema_decay {self.ema_decay} must be at least 0 and below 1")
        if self.is_continue and self.overwrite:
            raise UserError("--is_continue and --overwrite exclude each other: resume, or start anew")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages that training needs."""
        return "accelerate", "tensorboard"


@dataclass(kw_only=True)
class AnimationOptions(TrainOptions):
    """Animations"""

    animate_every_e: int = 10
    """epochs between two times that validation motions, as the model makes them, are written to animations/ in the
    space, as a page, videos and an image in TensorBoard; also at the end of training; 0: never"""
    animate_motions: int = 4
    """how many motions, always the same"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(animate_every_e=0)
        if not 1 <= self.animate_motions <= MOST_ANIMATIONS:
            raise UserError(f"--animate_motions {self.animate_motions} must be 1 to {MOST_ANIMATIONS}")
