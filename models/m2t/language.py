"""The decoder-only language models that write captions: a GPT of our sizes, or any of the transformers library."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn

from lamp.models.m2t.vocabulary import INSTALL
from lamp.utils.cli import alias
from lamp.utils.errors import UserError

if TYPE_CHECKING:
    from transformers import GPT2Config, PreTrainedModel

GPT = "gpt"
LORA_MARK = "lora_"


@dataclass(frozen=True)
class CaptionerConfig:
    """Sizes and behaviour of the captioner."""

    query_dim: int = 768
    """width of the motion queries"""
    num_queries: int = 49
    """motion queries in front of a caption"""
    vocab_size: int = 30523
    """words of the tokenizer"""
    llm: str = GPT
    """gpt: a GPT of the sizes below, from scratch; otherwise folder or hub id of a causal language model"""
    finetune: Literal["full", "lora", "frozen"] = "full"
    """what is trained of a language model that --llm names: all, low-rank updates (LoRA), or nothing"""
    num_layers: int = 12
    """layers of the GPT"""
    embed_dim: int = field(default=1024, metadata=alias("--embed_dim_gpt"))
    """width of the GPT"""
    num_heads: int = field(default=16, metadata=alias("--n_head_gpt"))
    """attention heads of the GPT"""
    ff_rate: int = 4
    """width of the GPT's feed-forwards in widths of the GPT"""
    block_size: int = 51
    """longest caption in tokens, its end included"""
    dropout: float = field(default=0.1, metadata=alias("--drop_out_rate"))
    """dropout rate of the GPT"""
    pkeep: float = 1.0
    """probability that training keeps a motion query; the others become zero"""
    lora_rank: int = 16
    """rank of LoRA's updates"""
    lora_alpha: float = 32.0
    """LoRA's updates are multiplied by this / rank"""
    lora_dropout: float = 0.05
    """dropout rate in LoRA's updates"""
    llm_dtype: Literal["float32", "bfloat16"] = "float32"
    """number format of the weights of --llm"""
    prompt: str = ""
    """words that every caption of a language model of its own words begins with, as those of LaMP's release"""
    architecture: dict[str, Any] | None = None
    """configuration of --llm in the transformers library, when all its weights are saved"""

    def __post_init__(self) -> None:
        for name in ("num_layers", "embed_dim", "num_heads", "ff_rate", "lora_rank"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        if self.block_size < 2:
            raise UserError(f"--block_size is {self.block_size}; a word and the end take 2")
        for name in ("dropout", "lora_dropout", "pkeep"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must lie between 0 and 1")
        if self.llm == GPT and self.embed_dim % self.num_heads:
            raise UserError(f"--embed_dim {self.embed_dim} is not a multiple of --num_heads {self.num_heads}")
        if self.llm == GPT and self.finetune != "full":
            raise UserError(f"--finetune {self.finetune} needs a trained language model, named by --llm")

    @property
    def saves_all(self) -> bool:
        """Whether a saved captioner holds the whole language model, rather than naming the one it builds on."""
        return self.finetune == "full"


def build_language(config: CaptionerConfig, *, pretrained: bool) -> "PreTrainedModel":
    """The language model, whose trained parameters require gradients.

    Args:
        config: of the captioner.
        pretrained: start from the weights of `config.llm`; otherwise, where all weights are saved, from random ones.

    Raises:
        UserError: a package is missing, or the language model cannot be had.
    """
    try:
        import transformers
    except ImportError as error:
        raise UserError(f"captions need transformers: {INSTALL}") from error
    if config.llm == GPT:
        return transformers.GPT2LMHeadModel(_gpt_config(config))
    if config.saves_all and not pretrained:
        architecture = dict(config.architecture or {})
        shape = transformers.AutoConfig.for_model(architecture.pop("model_type"), **architecture)
        language = transformers.AutoModelForCausalLM.from_config(shape)
    else:
        with _named(config.llm):
            language = transformers.AutoModelForCausalLM.from_pretrained(config.llm)
    language = language.to(getattr(torch, config.llm_dtype))
    language.requires_grad_(config.finetune == "full")
    return _with_lora(language, config) if config.finetune == "lora" else language


def read_architecture(llm: str) -> dict[str, Any]:
    """Configuration of a language model of the transformers library.

    Raises:
        UserError: transformers is missing, or there is no such model.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise UserError(f"language models need transformers: {INSTALL}") from error
    with _named(llm):
        return AutoConfig.from_pretrained(llm).to_dict()


def checkpoint_gradients(language: "PreTrainedModel") -> None:
    """Let training compute activations twice rather than keep them."""
    with warnings.catch_warnings():
        # Renamed in recent releases of the library, which still have the old name.
        warnings.simplefilter("ignore", FutureWarning)
        language.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def check_positions(language: nn.Module, config: CaptionerConfig, begin: int) -> None:
    """Make sure that motion, `begin` tokens and the longest caption fit.

    Raises:
        UserError: they do not.
    """
    limit = getattr(language.config, "max_position_embeddings", None)
    needed = config.num_queries + begin + config.block_size
    if limit is not None and needed > limit:
        raise UserError(f"{config.llm} takes {limit} tokens, but motion and caption are {needed}; lower --block_size")


def _gpt_config(config: CaptionerConfig) -> "GPT2Config":
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.num_queries + 1 + config.block_size,
        n_embd=config.embed_dim,
        n_layer=config.num_layers,
        n_head=config.num_heads,
        n_inner=config.ff_rate * config.embed_dim,
        resid_pdrop=config.dropout,
        embd_pdrop=config.dropout,
        attn_pdrop=config.dropout,
        # The same function as the library's default, in one kernel.
        activation_function="gelu_pytorch_tanh",
        # The library's defaults are ids of its own vocabulary.
        bos_token_id=None,
        eos_token_id=None,
    )


def _with_lora(language: "PreTrainedModel", config: CaptionerConfig) -> "PreTrainedModel":
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(f"--finetune lora needs peft: {INSTALL}") from error
    # The package divides by it: a fraction is as good as an integer.
    alpha = cast(int, config.lora_alpha)
    lora = LoraConfig(r=config.lora_rank, lora_alpha=alpha, lora_dropout=config.lora_dropout, task_type="CAUSAL_LM")
    try:
        language = cast("PreTrainedModel", inject_adapter_in_model(lora, language))
    except ValueError as error:
        raise UserError(f"--finetune lora: {str(error).splitlines()[0]} ({config.llm}); use --finetune full") from error
    for name, parameter in language.named_parameters():
        if LORA_MARK in name:
            # Updates are small: in bfloat16 most of a training step would be lost.
            parameter.data = parameter.data.float()
    return language


@contextlib.contextmanager
def _named(llm: str) -> Iterator[None]:
    """Turn the library's errors about a language model that cannot be had into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--llm {llm}: no causal language model could be loaded ({reason})") from error
