"""The commands that the project was asked for with, word for word: every flag must be understood."""

import re
import shlex

import pytest

from lamp.options.eval import EvalT2MOptions, EvalVQOptions
from lamp.options.gen import GenOptions
from lamp.options.lamp import LaMPOptions
from lamp.options.m2t import M2TOptions
from lamp.options.m2t_eval import M2TEvalOptions
from lamp.options.t2m import T2MOptions
from lamp.options.vq import VQOptions
from lamp.utils.cli import parse

OPTIONS = {
    "gen_t2m.py": GenOptions,
    "train_vq.py": VQOptions,
    "train_lamp.py": LaMPOptions,
    "train_t2m_transformer.py": T2MOptions,
    "eval_t2m_vq.py": EvalVQOptions,
    "eval_t2m_trans_res.py": EvalT2MOptions,
}
COMMANDS = """
python gen_t2m.py --gpu_id 1 --ext exp1 --text_prompt "A person is running on a treadmill."
python gen_t2m.py --gpu_id 1 --ext exp2 --text_path ./assets/text_prompt.txt
python train_vq.py --name vq_name --gpu_id 1 --dataset_name t2m --batch_size 256  --max_epoch 50 --quantize_dropout_prob 0.2 --gamma 0.05
python train_vq.py --name vq_name --quantize_drop_prob 0.2
python train_lamp.py --name lamp_name --gpu_id 2 --dataset_name t2m --batch_size 64 --vq_name vq_name
python train_t2m_transformer.py --name mtrans_name --gpu_id 2 --dataset_name t2m --batch_size 64 --vq_name vq_name
python eval_t2m_vq.py --gpu_id 0 --name vq_name --dataset_name t2m
python eval_t2m_vq.py --gpu_id 0 --name vq_name --dataset_name kit
python eval_t2m_trans_res.py --res_name mtrans_name --dataset_name t2m --name eval_name --gpu_id 1 --cond_scale 4 --time_steps 10 --ext evaluation
python eval_t2m_trans_res.py --res_name mtrans_name_k --dataset_name kit --name eval_name_k --gpu_id 0 --cond_scale 2 --time_steps 10 --ext evaluation
""".strip().splitlines()  # noqa: E501


@pytest.mark.parametrize("command", COMMANDS)
def test_user_command_is_understood(command):
    _, script, *arguments = shlex.split(command)
    options = parse(OPTIONS[script], arguments)
    for flag, value in re.findall(
        r"--(\w+) (?!--)(\S+)", command.replace("quantize_drop_prob", "quantize_dropout_prob")
    ):
        if not value.startswith('"'):
            given = getattr(options, flag)
            assert str(given) == value.removeprefix("./") or float(given) == float(value)


TRAIN_M2T = """python train_m2t.py --exp-name M2T --num-layers 12 --batch-size 80 --embed-dim-gpt 1024 --nb-code 512 \
--n-head-gpt 16 --block-size 51 --ff-rate 4 --drop-out-rate 0.1 --resume-pth your_own_vqvae --vq-name VQVAE \
--out-dir ./output --total-iter 150000 --lr-scheduler 75000 --lr 0.00005 --dataname kit --down-t 2 --depth 3 \
--quantizer ema_reset --eval-iter 10000 --pkeep 0.5 --dilation-growth-rate 3 --vq-act relu"""
EVAL_M2T = """python M2T_eval.py --exp-name Test_M2T --num-layers 9 --batch-size 1 --embed-dim-gpt 1024 --nb-code 512 \
--n-head-gpt 16 --block-size 51 --ff-rate 4 --drop-out-rate 0.1 --resume-pth your_own_vqvae --vq-name VQVAE \
--out-dir ./output --total-iter 150000 --lr-scheduler 75000 --lr 0.0001 --dataname t2m --down-t 2 --depth 3 \
--quantizer ema_reset --eval-iter 10000 --pkeep 0.5 --dilation-growth-rate 3 --vq-act relu \
--resume-trans your_own_m2t"""


def test_captioner_training_is_understood(capsys):
    options = parse(M2TOptions, shlex.split(TRAIN_M2T)[2:])
    assert (options.name, options.dataset_name, options.batch_size) == ("M2T", "kit", 80)
    assert (options.max_iter, options.milestones, options.lr, options.eval_iter) == (150_000, [75_000], 5e-5, 10_000)
    assert (options.model.num_layers, options.model.num_heads, options.model.embed_dim) == (12, 16, 1024)
    assert options.model.pkeep == 0.5 and options.model.block_size == 51
    note = capsys.readouterr().err
    assert note.startswith("note: without effect here: ") and note.count("\n") == 1
    assert "--quantizer" in note and "--out_dir" in note


def test_captioner_evaluation_is_understood(capsys):
    options = parse(M2TEvalOptions, shlex.split(EVAL_M2T)[2:])
    assert (options.captioner, options.ext, options.dataset_name) == ("your_own_m2t", "Test_M2T", "t2m")
    assert options.batch_size == 1 and options.space.name == "your_own_m2t"
    note = capsys.readouterr().err
    assert note.count("\n") == 1 and all(flag in note for flag in ("--num_layers", "--resume_pth", "--total_iter"))
