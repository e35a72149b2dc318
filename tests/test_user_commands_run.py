"""The user's commands, word for word and in their order, on folders in HumanML3D's and KIT-ML's layout.

Each runs as it stands, with flags behind it that make models and training small; of the names, those of the runs that
the evaluations read are the ones that the trainings before them wrote.
"""

import importlib
import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from lamp.prepare.make_sample import make_sample

TINY = {
    "train_evaluator": "--movement_hidden 8 --movement_latent 8 --text_hidden 8 --motion_hidden 8 --embed_dim 8 "
    "--movement_batch_size 8 --movement_epoch 1",
    "train_vq": "--width 32 --code_dim 32 --nb_code 32 --num_quantizers 3 --window_size 32",
    "train_lamp": "--bert none --vocab vocab.txt --hidden_size 32 --num_layers 2 --num_heads 2 --intermediate_size 64 "
    "--cross_attention_width 32 --embed_dim 32 --max_positions 64",
    "train_t2m_transformer": "--latent_dim 32 --ff_size 32 --n_layers 1 --n_heads 2 --token_dim 16",
    "train_m2t": "--num-layers 1 --embed-dim-gpt 16 --n-head-gpt 2 --batch-size 8 --total-iter 2",
    "eval_t2m_vq": "--repeat_times 2",
    "eval_t2m_trans_res": "--repeat_times 2 --mm_batches 1 --mm_motions 3 --time_steps 2",
    "M2T_eval": "--repeat_times 2",
    "gen_t2m": "--motion_length 40 --time_steps 2",
}
FEW = "--max_iter 2 --warm_up_iter 1 --batch_size 8"
T2M = """
train_vq.py --name vq_name --gpu_id 1 --dataset_name t2m --batch_size 256  --max_epoch 50 --quantize_dropout_prob 0.2 --gamma 0.05
train_lamp.py --name lamp_name --gpu_id 2 --dataset_name t2m --batch_size 64 --vq_name vq_name
train_t2m_transformer.py --name mtrans_name --gpu_id 2 --dataset_name t2m --batch_size 64 --vq_name vq_name
train_t2m_transformer.py --name rtrans_name --gpu_id 2 --dataset_name t2m --batch_size 64 --vq_name vq_name --transformer residual
eval_t2m_vq.py --gpu_id 0 --name vq_name --dataset_name t2m
eval_t2m_trans_res.py --res_name rtrans_name --dataset_name t2m --name mtrans_name --gpu_id 1 --cond_scale 4 --time_steps 10 --ext evaluation
train_m2t.py --exp-name M2T --num-layers 12 --batch-size 80 --embed-dim-gpt 1024 --nb-code 512 --n-head-gpt 16 --block-size 51 --ff-rate 4 --drop-out-rate 0.1 --resume-pth your_own_vqvae --vq-name VQVAE --out-dir ./output --total-iter 150000 --lr-scheduler 75000 --lr 0.00005 --dataname t2m --down-t 2 --depth 3 --quantizer ema_reset --eval-iter 10000 --pkeep 0.5 --dilation-growth-rate 3 --vq-act relu
M2T_eval.py --exp-name Test_M2T --num-layers 9 --batch-size 1 --embed-dim-gpt 1024 --nb-code 512 --n-head-gpt 16 --block-size 51 --ff-rate 4 --drop-out-rate 0.1 --resume-pth your_own_vqvae --vq-name VQVAE --out-dir ./output --total-iter 150000 --lr-scheduler 75000 --lr 0.0001 --dataname t2m --down-t 2 --depth 3 --quantizer ema_reset --eval-iter 10000 --pkeep 0.5 --dilation-growth-rate 3 --vq-act relu --resume-trans M2T
gen_t2m.py --gpu_id 1 --ext exp1 --text_prompt "A person is running on a treadmill."
""".strip().splitlines()  # noqa: E501
KIT = """
train_vq.py --name vq_name --gpu_id 1 --dataset_name kit --batch_size 256  --max_epoch 50 --quantize_dropout_prob 0.2 --gamma 0.05
train_lamp.py --name lamp_name --gpu_id 2 --dataset_name kit --batch_size 16 --vq_name vq_name
train_t2m_transformer.py --name mtrans_name_k --gpu_id 2 --dataset_name kit --batch_size 16 --vq_name vq_name
train_t2m_transformer.py --name rtrans_name_k --gpu_id 2 --dataset_name kit --batch_size 16 --vq_name vq_name --transformer residual
eval_t2m_vq.py --gpu_id 0 --name vq_name --dataset_name kit
eval_t2m_trans_res.py --res_name rtrans_name_k --dataset_name kit --name mtrans_name_k --gpu_id 0 --cond_scale 2 --time_steps 10 --ext evaluation
""".strip().splitlines()  # noqa: E501


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty working directory with a vocabulary, no encoder for BERTScore, and no hub."""
    monkeypatch.chdir(tmp_path)
    words = "a the person man walks forward runs waves with right left hand stands and turns".split()
    Path("vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    return tmp_path


def run_all(commands: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for command in commands:
        script, *arguments = shlex.split(command)
        name = script.removesuffix(".py")
        few = FEW if name.startswith("train") and name != "train_m2t" else ""
        monkeypatch.setattr(sys, "argv", [script, *arguments, *f"{few} {TINY[name]}".split()])
        importlib.import_module(name).main()


def test_humanml3d(workplace, plain_tagger, monkeypatch):
    make_sample("sample", clips=24, seed=0)
    # HumanML3D has neither labels nor weights.
    shutil.copytree("sample", "dataset/HumanML3D", ignore=shutil.ignore_patterns("*.json"))
    run_all(["train_evaluator.py --dataset_name t2m", *T2M], monkeypatch)
    space = Path("checkpoints/t2m")
    for log in ("vq_name/eval/reconstruction", "mtrans_name/eval/evaluation", "M2T/eval/Test_M2T"):
        assert "commit" in (space / f"{log}.log").read_text(encoding="utf-8")
        assert json.loads((space / f"{log}.json").read_text(encoding="utf-8"))["test"]
    joints = list(Path("generation/exp1/joints/0").glob("*.npy"))
    assert {path.name for path in joints} == {"sample0_repeat0_len40.npy", "sample0_repeat0_len40_ik.npy"}


def test_kit(workplace, monkeypatch):
    make_sample("sample", clips=24, seed=0, skeleton="kit")
    shutil.copytree("sample", "dataset/KIT-ML", ignore=shutil.ignore_patterns("*.json"))
    run_all(["train_evaluator.py --dataset_name kit", *KIT], monkeypatch)
    rows = json.loads(Path("checkpoints/kit/mtrans_name_k/eval/evaluation.json").read_text())["test"]["rows"]
    assert rows["produced"]["FID"]["mean"] > 0 and rows["real"]["R@3"]["mean"] > 0
