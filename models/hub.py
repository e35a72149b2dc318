"""Saving and loading of model folders: `config.json` + `model.safetensors`, from disk or the Hugging Face hub."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch
from safetensors.torch import save
from torch import nn

from lamp.models.model_files import (
    BROKEN,
    check_meta,
    check_sizes,
    load_weights,
    make_config,
    read_facts,
    read_sizes,
)
from lamp.utils.errors import UserError, brief
from lamp.utils.files import atomic_path, shown, write_json
from lamp.utils.run import provenance

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
Model = TypeVar("Model", bound="LaMPModel[Any]")

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


class LaMPModel(nn.Module, Generic[Config]):
    """Base of all our networks: built from one flat, frozen dataclass, saved as a self-contained folder.

    A subclass sets `config_class`, takes the config as its only constructor argument and keeps it as `self.config`.
    Files other than config and weights that the model needs (a vocabulary) are listed in `extra_files`; they are
    written by `save_extra` and read by `load_extra`.
    """

    config_class: ClassVar[type]
    extra_files: ClassVar[tuple[str, ...]] = ()
    config: Config
    meta: dict[str, Any]
    """Facts about the weights that were saved with them; of a loaded model only."""
    folder: Path | None = None
    """Where the model was loaded from."""

    @classmethod
    def kind(cls) -> str:
        """Name of the network in `config.json`: the class that sets `config_class`, also for subclasses of it."""
        return next(base.__name__ for base in cls.__mro__ if "config_class" in vars(base))

    @classmethod
    def is_whole(cls, config: Any) -> bool:
        """Whether all weights of a network with this config are in its own file."""
        return True

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    def save_extra(self, folder: Path) -> None:
        """Write `extra_files` into `folder`."""

    def load_extra(self, folder: Path) -> None:
        """Read `extra_files` from `folder`."""

    def save_pretrained(
        self,
        folder: str | Path,
        dtype: torch.dtype | None = None,
        meta: dict[str, Any] | None = None,
        digest: str | None = None,
    ) -> None:
        """Write the model folder; each file is written aside and renamed.

        Args:
            folder: where to write.
            dtype: stored type of floating-point weights (for instance `torch.float16` to ship); None keeps theirs.
            meta: facts about the weights (data, training step, tokenizer they depend on), stored under "meta".
            digest: of the weights these are a rounded copy of; None: theirs. Models that were built on a model know it
                by this, see `lamp.models.lineage`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            key: (value.to(dtype) if dtype is not None and value.is_floating_point() else value).detach().contiguous()
            for key, value in self.state_dict().items()
        }
        weights = save(state)
        with atomic_path(folder / WEIGHTS_FILE) as aside:
            # Not save_file: it makes files that only their owner can read.
            aside.write_bytes(weights)
        self.save_extra(folder)
        meta = {**(meta or {}), "digest": digest or provenance.digest([weights])}
        config = {"model": self.kind(), **dataclasses.asdict(self.config), "meta": meta}
        write_json(folder / CONFIG_FILE, config)

    @classmethod
    def from_pretrained(
        cls: type[Model], source: str | Path, subfolder: str = "", device: torch.device | str = "cpu"
    ) -> Model:
        """Load a model folder strictly, in float32 and eval mode.

        Args:
            source: a folder, or a Hugging Face hub id (downloaded once into the hub's cache).
            subfolder: folder below `source`.
            device: where to put the model.

        Raises:
            UserError: the folder or a file is missing, damaged or of another model, or does not fit the configuration.
        """
        from lamp.models import fast  # which knows all networks, and so can be imported by none of their files

        folder = _local_folder(source, subfolder, (CONFIG_FILE, WEIGHTS_FILE, *cls.extra_files))
        config_file, weights = folder / CONFIG_FILE, folder / WEIGHTS_FILE
        values = read_facts(config_file)
        kind, meta = values.pop("model", None), values.pop("meta", {})
        if kind != cls.kind():
            there = shown(str(kind), 60) if kind else "model of unknown kind"
            raise UserError(f"{folder} holds a {there}, not a {cls.kind()}")
        check_meta(meta, config_file)
        config: Any = make_config(cls.config_class, values, config_file)
        with fast.without_draws():
            if cls.is_whole(config):
                check_sizes(lambda: cls(config), config, read_sizes(weights), (config_file, weights))
            model = cls(config)
        load_weights(model, weights)
        try:
            model.load_extra(folder)
        except UserError as error:
            raise UserError(f"{folder}: {str(error).removeprefix(f'{folder}: ')}") from error
        except BROKEN as error:
            raise UserError(f"the vocabulary in {folder} cannot be read ({brief(error)}); fetch it again") from error
        model.meta, model.folder = meta, folder
        return fast.speed_up(model.to(device).eval())

    @property
    def identity(self) -> str:
        """Name of the run, or else of the folder, and digest of the weights: `name@digest`, of a loaded model.

        Raises:
            ValueError: the model was not loaded from a folder.
        """
        if self.folder is None:
            raise ValueError(f"this {self.kind()} was not loaded from a folder, so it has no identity")
        if "digest" not in self.meta:  # saved by a version before digests
            self.meta["digest"] = provenance.digest([(self.folder / WEIGHTS_FILE).read_bytes()])
        return f"{self.meta.get('name', self.folder.name)}@{self.meta['digest']}"


def is_model(source: str | Path, subfolder: str = "") -> bool:
    """Whether `source` (a folder on disk, or a hub id) has a model in `subfolder`."""
    return optional_file(source, f"{subfolder}/{CONFIG_FILE}" if subfolder else CONFIG_FILE) is not None


def optional_file(source: str | Path, name: str) -> Path | None:
    """A file of a folder on disk or of a hub repository (downloaded), or None if there is none."""
    path = Path(source) / name
    if path.is_file():
        return path
    if Path(source).is_dir() or str(source).count("/") != 1:
        return None
    from huggingface_hub import file_exists, hf_hub_download

    return Path(hf_hub_download(str(source), name)) if file_exists(str(source), name) else None


def _local_folder(source: str | Path, subfolder: str, files: tuple[str, ...]) -> Path:
    """Folder with `files`, downloading them when `source` is a hub id and not a folder on disk."""
    folder = Path(source) / subfolder
    if folder.is_dir():
        for name in files:
            if not (folder / name).is_file():
                raise UserError(f"model folder {folder} lacks {name}; train the model again or name another one")
        return folder
    text = str(source)
    if text.count("/") != 1 or text.startswith((".", "/", "~")) or Path(source).exists():
        raise UserError(f"no model folder {folder}; train it, or check the model's name")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        paths = [hf_hub_download(text, name, subfolder=subfolder or None) for name in files]
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"no folder {folder}, and {text} could not be had from the hub: {brief(error)}") from error
    return Path(paths[0]).parent
