"""What bulk work does with the items of a part: the same functions in one process, many, or on a cluster."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lamp.models.checkpoints import check_network, model_folder, read_run_options
from lamp.models.fast import speed_up
from lamp.models.hub import LaMPModel
from lamp.models.lamp.embedder import LaMPEmbedder, pooled
from lamp.models.lamp.model import LaMP
from lamp.models.lineage import check_built_on
from lamp.models.matching import check_judge
from lamp.models.pipeline import LaMPPipeline
from lamp.models.vq.model import RVQVAE
from lamp.options.corpora.bulk import BulkOptions
from lamp.stages.bulk.items import FileReader, Item, Read
from lamp.stages.bulk.parts import Part
from lamp.stages.captions import load_captioner, write_captions_of
from lamp.stages.motion_output import load_pipeline
from lamp.utils.capture.joint_map import load_joint_map
from lamp.utils.errors import UserError
from lamp.utils.home import shipped_models
from lamp.utils.kinematics.features import FeatureLayout, features_to_joints
from lamp.utils.kinematics.skeleton import MAX_FRAMES, SKELETONS
from lamp.utils.motion import Motion
from lamp.utils.motion_features import FeatureReader


class Task:
    """Reads the items of a part and computes its results.

    Attributes:
        models: names with digests.
        read: what is done without the models; other processes may do it.
    """

    models: dict[str, str]
    read: Callable[[list[Item]], Any]

    def check(self, items: Sequence[Item]) -> None:
        """Make sure, before anything is written, that the models can do this with all items.

        Raises:
            UserError: they cannot.
        """

    def __call__(self, read: Any) -> Part:
        """Results of what was read."""
        raise NotImplementedError


def make_task(options: BulkOptions, device: torch.device) -> Task:
    """The task of the options, with its models loaded.

    Raises:
        UserError: a model is missing or cannot be read.
    """
    if options.task == "generate":
        return Generate(load_pipeline(options, device), options.sampling())
    tasks = {"embed": Embed.from_options, "caption": Caption, "tokenize": Tokenize}
    return tasks[options.task](options, device)


class Embed(Task):
    """LaMP's embeddings of motions: of each query, and their mean."""

    def __init__(self, lamp: LaMP, tokenizer: RVQVAE, size: int) -> None:
        check_built_on(lamp, "tokenizer", tokenizer)
        speed_up(lamp)
        speed_up(tokenizer, frozen=True)
        self.embedder, self.tokenizer, self.size = LaMPEmbedder(lamp, tokenizer), tokenizer, size
        self.shape = (lamp.config.num_query_tokens, lamp.config.embed_dim)

    @classmethod
    def from_options(cls, options: BulkOptions, device: torch.device) -> "Embed":
        """With the models that the options name."""
        if options.name:
            root, space = options.checkpoints_dir / options.dataset_name, _space(options, LaMP)
            lamp = LaMP.from_pretrained(model_folder(space, options.which_epoch), device=device)
            vq = model_folder(root / read_run_options(space)["vq_name"])
            tokenizer = RVQVAE.from_pretrained(vq, device=device)
        else:
            source = options.models or shipped_models()
            lamp = LaMP.from_pretrained(source, "lamp", device)
            tokenizer = RVQVAE.from_pretrained(source, "tokenizer", device)
        task = cls(lamp, tokenizer, options.batch_size)
        task.models = {"lamp": lamp.identity, "tokenizer": tokenizer.identity}
        task.read = _file_reader(options, tokenizer, lamp.config.num_query_tokens)
        return task

    def __call__(self, read: Read) -> Part:
        """Arrays "queries" (B, nq, E) and "pooled" (B, E), float16."""
        queries = torch.zeros(len(read.features), *self.shape)
        for places, motion, lengths in chunks(read.features, self.size, self.tokenizer):
            queries[places] = self.embedder.motions(motion, lengths).float().cpu()
        read.part.arrays = {"queries": queries.numpy().astype(np.float16)}
        read.part.arrays["pooled"] = pooled(queries).numpy().astype(np.float16)
        return read.part


class Tokenize(Task):
    """The tokenizer's codes of whole motions."""

    def __init__(self, options: BulkOptions, device: torch.device) -> None:
        if options.name:
            folder = model_folder(_space(options, RVQVAE), options.which_epoch)
            self.tokenizer = RVQVAE.from_pretrained(folder, device=device)
        else:
            self.tokenizer = RVQVAE.from_pretrained(options.models or shipped_models(), "tokenizer", device)
        speed_up(self.tokenizer, frozen=True)
        self.size, self.models = options.batch_size, {"tokenizer": self.tokenizer.identity}
        self.read = _file_reader(options, self.tokenizer)

    @torch.inference_mode()
    def __call__(self, read: Read) -> Part:
        """Array "codes" (N, Q), all motions one behind the other, int16; rows say `first` and `tokens`."""
        levels, unit = self.tokenizer.config.num_quantizers, self.tokenizer.config.frames_per_token
        kind = np.int16 if self.tokenizer.config.nb_code < 2**15 else np.int32
        codes: dict[int, np.ndarray] = {}
        for places, motion, lengths in chunks(read.features, self.size, self.tokenizer):
            found = self.tokenizer.encode(motion, lengths).cpu().numpy().astype(kind)
            codes |= {place: rows[: len(read.features[place]) // unit] for place, rows in zip(places, found)}
        ends = np.cumsum([0, *(len(codes[place]) for place in range(len(codes)))]).tolist()
        for row in read.part.rows:
            if "place" in row:
                place = row.pop("place")
                row |= {"first": ends[place], "tokens": len(codes[place])}
        everything = [codes[place] for place in range(len(codes))]
        read.part.arrays = {"codes": np.concatenate([np.zeros((0, levels), kind), *everything])}
        return read.part


class Caption(Task):
    """Sentences that describe motions."""

    def __init__(self, options: BulkOptions, device: torch.device) -> None:
        self.pipe, self.options = load_captioner(options, device), options
        pipe, queries = self.pipe, self.pipe.queries
        parts: dict[str, LaMPModel[Any]] = {"m2t": pipe.captioner, "lamp": queries.lamp, "tokenizer": queries.tokenizer}
        self.models = {name: part.identity for name, part in parts.items()}
        self.read = _file_reader(options, queries.tokenizer, queries.lamp.config.num_query_tokens)

    def __call__(self, read: Read) -> Part:
        """Rows with `captions`, best first."""
        motions = [
            Motion(features_to_joints(torch.from_numpy(features)).numpy(), features, self.pipe.skeleton.fps)
            for features in read.features
        ]
        captions = write_captions_of(self.pipe, motions, self.options)
        for row in read.part.rows:
            if "place" in row:
                row["captions"] = captions[row.pop("place")]
        return read.part


class Generate(Task):
    """Motions from sentences."""

    def __init__(self, pipe: LaMPPipeline, sampling: dict[str, Any]) -> None:
        self.pipe, self.sampling, self.read = pipe, sampling, list
        networks: dict[str, LaMPModel[Any] | None] = {"tokenizer": pipe.tokenizer, "masked": pipe.masked}
        networks |= {"residual": pipe.residual, "length": pipe.length}
        loaded = {name: part for name, part in networks.items() if part is not None and part.folder is not None}
        self.models = {name: part.identity for name, part in loaded.items()}
        self.models |= {
            "text encoder": pipe.text.identity,
            "guidance": f"{pipe.guidance.cond_scale:g} {pipe.guidance.res_cond_scale:g} {pipe.guidance.clauses}",
        }
        if pipe.wordings is not None:
            self.models["wordings"] = pipe.wordings.identity

    def check(self, items: Sequence[Item]) -> None:
        """See `Task`: lengths that are not given, and `best_of`, need models that not every set has."""
        if self.pipe.length is None and any(item.frames is None for item in items):
            raise UserError("no length estimator here; write <text>#<frames> in each line of SOURCE")
        if self.sampling["best_of"] > 1:
            check_judge(self.pipe.text)

    def __call__(self, read: list[Item]) -> Part:
        """An array of features (T, D) for each motion, which other commands read, and rows with its prompt."""
        texts, frames = [item.text for item in read], [item.frames for item in read]
        known = [number for number in frames if number is not None]
        seeds = [item.seed for item in read]
        motions = self.pipe(texts, known if len(known) == len(read) else None, seeds=seeds, **self.sampling)
        part = Part()
        for item, motion in zip(read, motions):
            part.rows.append(
                {"file": item.name, "prompt": item.text, "frames": len(motion), "seed": item.seed, "fps": motion.fps}
            )
            assert motion.features is not None  # `decode` made it of them
            part.arrays[item.name.removesuffix(".npy")] = motion.features
        return part


def chunks(features: Sequence[np.ndarray], size: int, tokenizer: RVQVAE) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Places, normalised features (B, T, D) and lengths (B,) of motions of similar length, on the tokenizer's device.

    Args:
        features: (T, D) of each motion.
        size: motions at a time; fewer where they are so long that they would take more memory than so many of the
            length that models know.
        tokenizer: normalises.
    """
    order = sorted(range(len(features)), key=lambda place: len(features[place]))
    while order:
        some = order[-size:]
        room = size * MAX_FRAMES // len(features[some[-1]])
        some = some[-max(room, 1) :]
        del order[-len(some) :]
        padded = pad_sequence([torch.from_numpy(features[place]) for place in some], batch_first=True)
        lengths = torch.tensor([len(features[place]) for place in some], device=tokenizer.device)
        yield some, tokenizer.normalize(padded.to(tokenizer.device)), lengths


def _file_reader(options: BulkOptions, tokenizer: RVQVAE, tokens: int | None = None) -> FileReader:
    """Reads files for a tokenizer, of each the frames of so many tokens, or all."""
    config = tokenizer.config
    skeleton, unit = SKELETONS[FeatureLayout.of_dim(config.input_width).num_joints], config.frames_per_token
    reader = FeatureReader(skeleton, unit, None if tokens is None else tokens * unit)
    joint_map = None if options.joint_map is None else load_joint_map(options.joint_map)
    return FileReader(reader, options.windows, joint_map, options.up)


def _space(options: BulkOptions, network: type[LaMPModel[Any]]) -> Path:
    """Folder of the run --name, which is of the network that the task needs."""
    check_network(options.space, network.kind(), "--name")
    return options.space
