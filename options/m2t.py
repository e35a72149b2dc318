"""Options of motion to text: training the captioner, and captioning motion files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from lamp.models.m2t.language import GPT, CaptionerConfig
from lamp.options.common import CommonOptions, TrainOptions
from lamp.utils.cli import IDLE, alias, nested
from lamp.utils.errors import UserError


@dataclass(kw_only=True)
class IdleOptions:
    """Flags of the public code that mean nothing here, each with the reason."""

    resume_pth: str | None = field(default=None, metadata=IDLE)  # LaMP knows its tokenizer
    out_dir: str | None = field(default=None, metadata=IDLE)  # --checkpoints_dir, --dataset_name and --name say where
    nb_code: int | None = field(default=None, metadata=IDLE)  # a property of LaMP's tokenizer
    down_t: int | None = field(default=None, metadata=IDLE)  # a property of LaMP's tokenizer
    depth: int | None = field(default=None, metadata=IDLE)  # a property of LaMP's tokenizer
    quantizer: str | None = field(default=None, metadata=IDLE)  # a property of LaMP's tokenizer
    dilation_growth_rate: int | None = field(default=None, metadata=IDLE)  # a property of LaMP's tokenizer
    vq_act: str | None = field(default=None, metadata=IDLE)  # a property of LaMP's tokenizer


@dataclass(kw_only=True)
class M2TOptions(TrainOptions, IdleOptions):
    """Train the captioner (motion to text)."""

    name: str = field(default="m2t_name", metadata=alias("--exp_name"))
    """name of the run; its space is <checkpoints_dir>/<dataset_name>/<name>"""
    dataset_name: str = field(default="t2m", metadata=alias("--dataname"))
    """t2m (HumanML3D), kit (KIT-ML), mini (the shipped one), or a name of your own for dataset/<name> or --data_root"""
    lamp_name: str = "lamp_name"
    """LaMP model whose motion queries are described"""
    vq_name: str = ""
    """tokenizer; the one that LaMP was trained with, which is also the default"""
    train_lamp: bool = False
    """train LaMP's motion side along with the captioner; it is then saved with it"""
    augment: bool = False
    """random crops of the motions, so that queries are computed for each batch rather than once"""
    resume_trans: str = ""
    """run, or model folder, of a captioner to start from; its sizes are taken over"""
    words: Literal["all", "used"] = "all"
    """with --llm gpt: all of LaMP's words, or those of the training captions only (smaller and faster)"""
    init_words: Literal["none", "lamp"] = "none"
    """with --llm gpt: start the word embeddings from LaMP's; needs --embed_dim of LaMP's width"""
    gradient_checkpointing: bool = False
    """compute the language model's activations twice rather than keep them: less memory, more time"""
    max_iter: int = field(default=150_000, metadata=alias("--total_iter"))
    """stop after this many iterations in total; 0: train all epochs"""
    max_epoch: int = 100_000
    """epochs to train; usually --max_iter ends training"""
    milestones: list[int] = field(default_factory=lambda: [75_000], metadata=alias("--lr_scheduler"))
    """iterations at which the learning rate is multiplied by --gamma"""
    gamma: float = 0.05
    """factor of the learning rate at each of --milestones"""
    lr: float = 1e-4
    """learning rate after warm-up"""
    weight_decay: float = 1e-6
    """AdamW's weight decay, not on biases and norms"""
    grad_clip: float = 1.0
    """largest norm of the gradient; 0: not clipped"""
    eval_every_e: int = 0
    """epochs between two evaluations; 0: only after the last"""
    eval_iter: int = field(default=10_000, metadata=alias("--eval_every_iter"))
    """also evaluate each time this many iterations are done; 0: off"""
    model: CaptionerConfig = nested(
        CaptionerConfig, skip=("query_dim", "num_queries", "vocab_size", "prompt", "architecture")
    )
    """sizes of the captioner"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.llm != GPT and (self.words, self.init_words) != ("all", "none"):
            raise UserError("--words and --init_words are for --llm gpt; other language models have words of their own")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages: language models, LoRA, and the scores of validation."""
        lora = ("peft",) if self.model.finetune == "lora" else ()
        return (*super().packages, "transformers", "pycocoevalcap", *lora)


@dataclass(kw_only=True)
class DecodingOptions(CommonOptions):
    """Writing captions."""

    num_beams: int = 5
    """beams of the search; 1 takes the most likely word each time"""
    top_p: float | None = None
    """sample from the words that together have this probability, instead of searching"""
    temperature: float = 1.0
    """temperature of sampling"""
    num_captions: int = 1
    """captions of each motion, best first; at most --num_beams unless sampled"""
    batch_size: int = 32
    """motions at a time"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """numbers that the language model computes with; bfloat16 is faster, with another word here and there, which may
    also depend on the other motions of the batch"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(batch_size=1)


@dataclass(kw_only=True)
class CaptionOptions(DecodingOptions):
    """Describe motion files."""

    name_needed: ClassVar[bool] = False
    name: str = ""
    """run of the captioner; by default the shipped models"""
    which_epoch: str = field(default="best", metadata=alias("--checkpoint"))
    """checkpoint of the captioner"""
    models: str = ""
    """folder or hub id with tokenizer, lamp and m2t; by default the shipped checkpoints/mini"""
    motion: Path = field(metadata=alias("--motion_path"))
    """motion file, or folder of them: .npy (features or joints), .npz, .bvh, .amc (with its .asf)"""
    data_root: Path | None = field(default=None, metadata=IDLE)
    joint_map: Path | None = None
    """for a skeleton with other joint names: JSON from our 22 joint names to those of the file"""
    up: Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None = None
    """up axis of the files; found, and of arrays checked to be +y, when not given"""
    windows: bool = False
    """describe motions longer than the models know part by part; otherwise only their beginning"""
    out: Path | None = None
    """also write the captions to this .json or .csv file"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out is not None and self.out.suffix.lower() not in (".json", ".csv"):
            raise UserError(f"--out {self.out} must end in .json or .csv")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages: captioners are language models of transformers."""
        return ("transformers",)
