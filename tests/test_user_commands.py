"""The commands that the project was asked for with, word for word: every flag must be understood."""

import re
import shlex

import pytest

from options.eval import EvalT2MOptions, EvalVQOptions
from options.gen import GenOptions
from options.lamp import LaMPOptions
from options.t2m import T2MOptions
from options.vq import VQOptions
from utils.cli import parse

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
