"""Sentence embedding models of the sentence-transformers family, by the transformers library."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lamp.utils.errors import UserError


class SentenceModel:
    """A frozen encoder of sentences, whose states' mean is the embedding (all-mpnet-base-v2 and all-MiniLM are such).

    Args:
        source: hub id or folder of the model.
        flag: what the user named it by, for errors.
        device: where to compute.

    Raises:
        UserError: transformers is not installed or the model cannot be had.
    """

    def __init__(self, source: str, flag: str, device: torch.device | str = "cpu") -> None:
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise UserError(f"{flag} needs transformers: pip install 'lamp-motion[train]'") from error
        try:
            self.tokenizer, model = AutoTokenizer.from_pretrained(source), AutoModel.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise UserError(f"{flag}: {source} cannot be loaded ({str(error).splitlines()[0]})") from error
        self.dim: int = model.config.hidden_size
        self.model: nn.Module = model.eval().requires_grad_(False).to(device)
        self.device = torch.device(device)

    @torch.inference_mode()
    def states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Last states (B, L, dim), zeros beyond a sentence's end, and how many of them (B, 1) are of the sentence."""
        batch = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.device)
        mask = batch["attention_mask"][..., None].float()
        return self.model(**batch).last_hidden_state.float() * mask, mask.sum(1)
