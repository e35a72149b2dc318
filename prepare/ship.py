"""Turn training runs into the model folders that ship with the code, and write their model cards.

    python -m lamp.prepare.ship weights --dataset_name mini --vq rvq --lamp lamp_run --masked masked_run \
        --residual residual_run --length length_run --evaluator evaluator_run --m2t m2t_run
    (evaluate the shipped models with the eval_*.py scripts)
    python -m lamp.prepare.ship cards --dataset_name mini
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from lamp.models.checkpoints import model_folder, read_run_options
from lamp.models.evaluator import Evaluator
from lamp.models.hub import LaMPModel
from lamp.models.lamp.model import LaMP
from lamp.models.m2t.captioner import Captioner
from lamp.models.t2m.length import LengthEstimator
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_path, read_json, write_json

PARTS: dict[str, tuple[str, type[LaMPModel], str, str]] = {
    "vq": ("tokenizer", RVQVAE, "motion tokenizer (RVQ-VAE)", "train_vq.py --config options/mini/vq.json"),
    "lamp": ("lamp", LaMP, "language-motion model (Q-Former)", "train_lamp.py --config options/mini/lamp.json"),
    "masked": (
        "masked",
        MaskedTransformer,
        "masked transformer (base-level tokens from text)",
        "train_t2m_transformer.py --config options/mini/masked.json",
    ),
    "residual": (
        "residual",
        ResidualTransformer,
        "residual transformer (the other levels)",
        "train_t2m_transformer.py --config options/mini/residual.json",
    ),
    "evaluator": (
        "evaluator",
        Evaluator,
        "evaluators of text and motion (FID, R-precision)",
        "train_evaluator.py --config options/mini/evaluator.json",
    ),
    "m2t": ("m2t", Captioner, "captioner (motion to text)", "train_m2t.py --config options/mini/m2t.json"),
    "length": (
        "length",
        LengthEstimator,
        "length estimator",
        "train_length_estimator.py --config options/mini/length.json",
    ),
}

READING_FILE = "reading.json"
DATA_NOTE = """\
## Data and licence

Trained on the `mini` data set (`python -m lamp.prepare.build_dataset --preset mini`), about 5 hours of motion capture:

- Bandai-Namco-Research-Motiondataset 1 and 2, (c) Bandai Namco Research Inc., CC BY-NC 4.0
- the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu; created with funding from NSF EIA-0196217),
  free for all uses, the data themselves may not be sold
- examples of AnimatedDrawings (MIT)
- ACCAD's Open Motion Data, performer Male1, (c) Advanced Computing Center for the Arts and Design, The Ohio State
  University, CC BY 3.0; converted to joint positions
- BallPlay-M of SkillMimic (Wang et al. 2025; github.com/wyhuai/SkillMimic), Apache-2.0
- G1 Moves (Experiential Technologies, M. Chaiet, 2026; github.com/experientialtech/g1-moves), CC BY 4.0; converted from
  the robot's joints to a human's
- clips of the CMU database as exponential maps, from Li et al. 2018
  (github.com/chaneyddtt/Convolutional-Sequence-to-Sequence-Model-for-Human-Dynamics); terms as above
- box climbing of holosoma-retargeting (Apache-2.0), and DeepMimic's reference motions as Bullet has them
  (pybullet_data, zlib)

Captions: HumanML3D's (MIT) for held-out CMU clips, hand-written templates from the labels elsewhere. `test_cmu` is 13
CMU clips, cut as HumanML3D cuts them (one of them in two), and their mirror images, with HumanML3D's captions of them.
Those are not part of this repository: `--humanml3d` of `build_dataset` takes them from a clone of HumanML3D.
The weights are for **non-commercial use** (CC BY-NC 4.0), with attribution to Bandai Namco Research Inc., CMU
and the others above.
"""
BERT_NOTE = "The language side started from all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0).\n"


def ship_weights(root: Path, runs: dict[str, str], note: str) -> None:
    """Copy the best checkpoint of each run to its shipped folder, in float16, with options that name each other.

    Args:
        root: `checkpoints/<dataset>`.
        runs: part to name of its run.
        note: what the card should say of how these weights came about, beyond command and seed.
    """
    names = {key: PARTS[key][0] for key in PARTS}
    for key, run in runs.items():
        folder, kind, _, _ = PARTS[key]
        source = root / run
        model = kind.from_pretrained(model_folder(source))
        options = read_run_options(source)
        # Where the run and its data lay says nothing to others.
        options |= {"name": folder, "checkpoints_dir": "checkpoints", "data_root": None}
        for flag, part in (("vq_name", "vq"), ("lamp_name", "lamp")):
            if flag in options:
                options[flag] = names[part]
        target = root / folder
        meta = model.meta | ({"note": note} if note else {})
        # Rounded, the weights still are those that other models were built on.
        digest = model.identity.rpartition("@")[2]
        model.save_pretrained(target, dtype=torch.float16, meta=meta, digest=digest)
        write_json(target / "opt.json", options)
        size = sum(file.stat().st_size for file in target.iterdir() if file.is_file())
        print(f"{source} -> {target}, {size / 1e6:.1f} MB")


def write_cards(root: Path) -> None:
    """README.md of every shipped model: what it is, data, licence, command, seed, measured numbers."""
    for folder, kind, title, command in PARTS.values():
        space = root / folder
        config, options = read_json(space / "config.json"), read_run_options(space)
        weights = sum(p.numel() for p in kind.from_pretrained(space).parameters())
        meta = config.get("meta", {})
        lines = [
            f"# {root.name}/{folder}: {title}",
            "",
            f"{weights / 1e6:.1f} M parameters, stored in float16. Trained with",
            "",
            f"    python {command}",
            "",
            f"seed {options['seed']}, {meta.get('iteration', '?')} iterations of {options['batch_size']} samples.",
            *([meta["note"]] if "note" in meta else []),
            *([BERT_NOTE.strip()] if folder == "lamp" else []),
            "",
            DATA_NOTE,
        ]
        if numbers := _numbers(space):
            lines += ["## Held-out numbers", "", *numbers, ""]
        lines += _reading(space)
        with atomic_path(space / "README.md") as aside:
            aside.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
        print(f"wrote {space / 'README.md'}")


def _numbers(space: Path) -> list[str]:
    """The lines of the evaluations' logs, as they were printed, and what made them."""
    lines = []
    for path in sorted((space / "eval").glob("*.log")):
        parts = [line.partition("  [") for line in path.read_text(encoding="utf-8").splitlines()]
        made = dict.fromkeys(f"[{stamp}" for _, bracket, stamp in parts if bracket)
        lines += [f"`eval/{path.name}`:", "", "```", *(text for text, _, _ in parts), "", *made, "```", ""]
    return lines


def _reading(space: Path) -> list[str]:
    """Captions that were read and judged one by one, from `reading.json`: name, caption, a true caption, mark."""
    path = space / READING_FILE
    if not path.is_file():
        return []
    rows = read_json(path)
    right = sum(row["right"] for row in rows)
    return [
        "## Captions read one by one",
        "",
        f"{len(rows)} held-out motions drawn at random (`{READING_FILE}`); {right} captions name the right action.",
        "",
        "| motion | caption | true caption | right |",
        "| --- | --- | --- | --- |",
        *(f"| {r['name']} | {r['caption']} | {r['true']} | {'yes' if r['right'] else 'no'} |" for r in rows),
        "",
    ]


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("weights", "cards"))
    parser.add_argument("--dataset_name", default="mini", help="folder below the checkpoints")
    parser.add_argument("--checkpoints_dir", type=Path, default=Path("checkpoints"), help="where runs are")
    parser.add_argument("--note", default="", help="how the weights came about, for their cards")
    for key, (folder, *_) in PARTS.items():
        parser.add_argument(f"--{key}", help=f"run that becomes {folder}")
    return parser.parse_args(argv)


@main_with_errors
def main() -> None:
    """Weights or cards."""
    args = parse_arguments(sys.argv[1:])
    root = args.checkpoints_dir / args.dataset_name
    if args.action == "cards":
        write_cards(root)
        return
    runs: dict[str, Any] = {key: getattr(args, key) for key in PARTS if getattr(args, key)}
    if not runs:
        raise UserError("name the runs to ship, for instance --vq rvq")
    ship_weights(root, runs, args.note)


if __name__ == "__main__":
    main()
