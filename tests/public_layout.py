"""Public checkpoints for the tests of their import: our own tiny models under the public names, in the public files."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lamp.models.evaluator import EvaluatorConfig
from lamp.models.t2m.length import LengthConfig, LengthEstimator
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.prepare.import_checkpoint import main
from lamp.prepare.public.weights.vq import source_name

# Checkpoints come with this beside the weights.
BESIDE = {"ep": np.float64(3.0), "total_it": 70, "scheduler": {"milestones": Counter([5]), "_last_lr": [np.float32(1)]}}
OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
TRUNK = {"num_tokens": 16, "code_dim": 12, "latent_dim": 24, "ff_size": 32, "num_layers": 2, "num_heads": 3}
CLIP_DIM = 24
SMALL_EVALUATOR = EvaluatorConfig(movement_hidden=12, movement_latent=8, text_hidden=8, motion_hidden=8, embed_dim=8)


def run(*arguments: Any) -> None:
    """The script with a command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["import_checkpoint.py", *map(str, arguments)])
        main()


def refused(capsys: pytest.CaptureFixture, *arguments: Any) -> str:
    """The one line of a command that exits with code 2."""
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def public_run(
    folder: Path, content: dict[str, Any], options: dict[str, Any], file: str = "net_best_fid.tar", meta: int = 0
) -> Path:
    """A public run: `model/<file>`, `opt.txt` and, `meta` features wide, the statistics; the path of the checkpoint."""
    (folder / "model").mkdir(parents=True)
    torch.save(content, folder / "model" / file)
    lines = [f"{key}: {value}" for key, value in sorted(options.items())]
    text = "\n".join(["------------ Options -------------", *lines, "-------------- End ----------------", ""])
    (folder / "opt.txt").write_text(text, encoding="utf-8")
    if meta:
        (folder / "meta").mkdir()
        random = np.random.RandomState(0)
        np.save(folder / "meta" / "mean.npy", random.standard_normal(meta).astype(np.float32))
        np.save(folder / "meta" / "std.npy", random.uniform(0.5, 1.5, meta).astype(np.float32))
    return folder / "model" / file


def public_tokenizer(model: RVQVAE) -> dict[str, Tensor]:
    """Our tokenizer's weights under MoMask's names."""
    named = {source_name(key, model.config): value for key, value in model.state_dict().items()}
    return {key: value for key, value in named.items() if key is not None}


def public_trunk(model: MaskedTransformer | ResidualTransformer) -> dict[str, Tensor]:
    """Encoder and head under MoMask's names, with the table of positions that its files have."""
    names = {
        "encoder.input_projection": "input_process.poseEmbedding",
        "encoder.condition_projection": "cond_emb",
        "encoder.layers": "seqTransEncoder.layers",
        "head.dense": "output_process.dense",
        "head.norm": "output_process.LayerNorm",
        "head.output": "output_process.poseFinal",
        ".qkv.": ".self_attn.in_proj_",
        ".out.": ".self_attn.out_proj.",
    }
    state = {"position_enc.pe": torch.zeros(50, 1, model.config.latent_dim)}
    for key, value in model.state_dict().items():
        if key.startswith(("encoder.", "head.")):
            for ours, public in names.items():
                key = key.replace(ours, public)
            state[key] = value
    return state


def public_masked(model: MaskedTransformer) -> dict[str, Tensor]:
    return public_trunk(model) | {"token_emb.weight": model.token_embedding.weight.data}


def public_residual(model: ResidualTransformer) -> dict[str, Tensor]:
    level, tables = model.level_embedding.weight.data, model.code_tables.data
    return public_trunk(model) | {
        "quant_emb.weight": level.T.clone(),
        "quant_emb.bias": torch.zeros(level.shape[1]),
        "token_embed_weight_": tables[:1].clone(),
        "embed_proj_shared_weight": tables[1:-1].clone(),
        "output_proj_weight_": tables[-1:].clone(),
    }


def public_length(model: LengthEstimator) -> dict[str, Tensor]:
    """The last hidden layer has no dropout in the public stack, which moves the numbers of what follows."""
    state = model.state_dict()
    return {key.replace("layers.12.", "output.11.").replace("layers.", "output."): state[key] for key in state}


def by_module(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Weights of each of the modules that make up the evaluators; our buffers left out."""
    modules: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        module, dot, name = key.partition(".")
        if dot:
            modules.setdefault(module, {})[name] = value
    return modules


PUBLIC = {"vq": public_tokenizer, "masked": public_masked, "residual": public_residual, "length": public_length}


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """Models of our own whose sizes and variants a MoMask set has, with weights that make every input matter."""
    torch.manual_seed(0)
    models = {
        "vq": RVQVAE(RVQConfig(num_quantizers=3, nb_code=16, code_dim=12, width=16, depth=2)),
        "masked": MaskedTransformer(MaskedConfig(**TRUNK, cond_dim=CLIP_DIM, attention="full")),
        "residual": ResidualTransformer(ResidualConfig(**TRUNK, cond_dim=CLIP_DIM, num_quantizers=3, predict_pad=True)),
        "length": LengthEstimator(LengthConfig(cond_dim=CLIP_DIM)),
    }
    for model in models.values():
        for tensor in model.parameters():
            if tensor.dim() > 1:
                torch.nn.init.normal_(tensor, std=tensor[0].numel() ** -0.5)
        model.eval().requires_grad_(False)
    for level in models["vq"].quantizer.levels:
        torch.nn.init.normal_(level.codebook)
    return models
