"""Turn a checkpoint of a public system into a model folder of this code.

    python -m lamp.prepare.import_checkpoint SRC DST

SRC is a file of MoMask, of the LaMP release or of Guo et al.'s evaluators; what it is and its sizes are found out from
its weights. DST is `checkpoints/<dataset>/<name>`, or the public run's own folder, into which the model is then put.
A MoMask set, its tokenizer first:

    T=checkpoints/t2m; VQ=rvq_nq6_dc512_nc512_noshare_qdp0.2; MASKED=t2m_nlayer8_nhead6_ld384_ff1024_cdp0.1_rvq6ns
    RES=tres_nlayer8_ld384_ff1024_rvq6ns_cdp0.2_sw
    python -m lamp.prepare.import_checkpoint $T/$VQ/model/net_best_fid.tar $T/$VQ
    python -m lamp.prepare.import_checkpoint $T/$MASKED/model/latest.tar $T/$MASKED
    python -m lamp.prepare.import_checkpoint $T/$RES/model/net_best_fid.tar $T/$RES
    python -m lamp.prepare.import_checkpoint $T/length_estimator/model/finest.tar $T/length_estimator
    python -m lamp.prepare.import_checkpoint $T/text_mot_match/model/finest.tar $T/evaluator --glove glove
    python gen_t2m.py --dataset_name t2m --name $MASKED --res_name $RES --text_prompt "a person jumps"

LaMP's, which comes without `opt.txt` and `meta/` (META: a folder with the mean.npy and std.npy of its tokenizer):

    python -m lamp.prepare.import_checkpoint vq.tar $T/lamp_vq --meta META
    python -m lamp.prepare.import_checkpoint h3d-qformer.tar $T/lamp --condition t2m.tar --meta META
    python -m lamp.prepare.import_checkpoint t2m.tar $T/lamp_t2m --vq_name lamp_vq --lamp_name lamp
    python -m lamp.prepare.import_checkpoint m2t.pth $T/lamp_m2t --vq_name lamp_vq --lamp_name lamp
    python gen_t2m.py --dataset_name t2m --name lamp_t2m --text_prompt "a person jumps" --motion_length 80
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lamp.models.hub import CONFIG_FILE
from lamp.models.text_condition import CLIP_SOURCE
from lamp.prepare.public.files import CheckpointFile, read_checkpoint, read_options
from lamp.prepare.public.kinds import Kind, recognise
from lamp.prepare.public.request import IMPORTED, Part, Request, plain_name, read_config
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_folder, write_json
from lamp.utils.reading import is_finite

OPTIONS_FILE = "opt.json"
# What runs have and imports do not: public ones, and ours.
OF_RUNS = ("model", "meta", "opt.txt", "state", "latest")
HELP = {
    "opt": "opt.txt of the public run; by default the one beside the checkpoint or its folder model/",
    "meta": "folder with mean.npy and std.npy of the tokenizer or evaluator; by default meta/ of the public run",
    "vq_name": "tokenizer beside DST that the model was trained with; by default the one that opt.txt names",
    "lamp_name": "LaMP model beside DST that encodes the text; without it, and unless the file has its own, CLIP does",
    "clip": "hub id or folder of the CLIP model that encodes the text, of the transformers library",
    "vocab": "vocabulary of a LaMP model: vocab.txt, its folder, or a hub id; by default bert-base-uncased",
    "condition": "LaMP text-to-motion file whose text condition a LaMP pretraining model takes over",
    "glove": "folder of the public GloVe files (our_vab_*) that an evaluator reads; by default ./glove if it has them",
    "llm": "folder or hub id of the language model of a captioner, for its tokenizer; by default facebook/opt-2.7b",
}
# What neither tensors nor keys tell; flags win over opt.txt.
TOLD = {
    "n_heads": (int, "attention heads of a masked or residual transformer, or of a captioner's language model"),
    "bert_heads": (int, "attention heads of a Q-Former"),
    "attention": (str, "attention of a masked transformer: full (MoMask), soft (the LaMP release) or causal"),
    "num_quantizers": (int, "levels of a tokenizer, which is refused if it has others"),
    "dilation_growth_rate": (int, "of a tokenizer's residual blocks"),
    "vq_act": (str, "non-linearity of a tokenizer: relu, silu or gelu"),
    "vq_norm": (str, "norm of a tokenizer's residual blocks: LN"),
}


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("src", type=Path, metavar="SRC", help="public checkpoint: .tar, .pth or .pt")
    parser.add_argument("dst", type=Path, metavar="DST", help="model folder to write, checkpoints/<dataset>/<name>")
    for name, text in HELP.items():
        is_path = name in ("opt", "meta", "condition", "glove")
        default = CLIP_SOURCE if name == "clip" else None
        parser.add_argument(f"--{name}", type=Path if is_path else str, default=default, help=text)
    for name, (kind, text) in TOLD.items():
        choices = ("full", "soft", "causal") if name == "attention" else None
        parser.add_argument(f"--{name}", type=kind, choices=choices, help=f"{text}; by default opt.txt's")
    return parser.parse_args(argv)


def is_public_run(folder: Path, file: CheckpointFile) -> bool:
    """Whether `folder` is the one of the public run, `<folder>/model/<file>`."""
    return file.path.parent.name == "model" and folder.resolve() == file.space.resolve()


def check_destination(folder: Path, file: CheckpointFile) -> None:
    """Make sure that writing `folder` replaces nothing but an earlier import.

    Raises:
        UserError: it is something else, or has more than an import.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    in_place = is_public_run(folder, file)
    imported = IMPORTED in read_config(folder).get("meta", {})
    others = [name for name in OF_RUNS if (folder / name).exists()]
    if in_place and (imported or not (folder / CONFIG_FILE).exists()):
        return
    if not imported or others:
        holds = f" (it holds {', '.join(others)})" if others else ""
        raise UserError(f"{folder} exists and is no import of this file{holds}; choose another DST")


def convert(args: argparse.Namespace, file: CheckpointFile) -> tuple[Kind, Request, list[Part]]:
    """Find out what the file is, and convert all that comes of it."""
    kind, state = recognise(file)
    flags = {name: getattr(args, name) for name in TOLD}
    heads = flags.pop("bert_heads")
    options = read_options(file, args.opt, flags)
    if heads is not None:
        options["bert"] = {"num_attention_heads": heads}
    chosen = {name: getattr(args, name) for name in HELP if name != "opt"}
    request = Request(file, state, options, args.dst, **chosen)
    left = [place for place, other in file.states.items() if other is not state]
    if left and len(left) < len(file.states):
        request.notes.append(f"left out: {', '.join(left)}")
    try:
        return kind, request, kind.convert(request)
    except (RuntimeError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{file.path}: the tensors of this {kind.title} do not fit each other: {reason}") from error


@contextmanager
def writing(folder: Path, in_place: bool) -> Iterator[Path]:
    """Yield a temporary folder that becomes `folder` on success, or whose files go into it if `in_place`."""
    if not in_place:
        with atomic_folder(folder) as aside:
            yield aside
        return
    with tempfile.TemporaryDirectory(prefix=".import", dir=folder) as name:
        yield Path(name)
        # The configuration makes it a model, and so comes last.
        for path in sorted(Path(name).iterdir(), key=lambda path: path.name == CONFIG_FILE):
            if path.is_dir():
                shutil.rmtree(folder / path.name, ignore_errors=True)
            os.replace(path, folder / path.name)


def write_all(parts: Sequence[Part], request: Request, facts: dict[str, Any]) -> None:
    """Write model folders; none of them appears before all are complete.

    Raises:
        UserError: a folder cannot be written.
    """
    try:
        with ExitStack() as stack:
            for part in parts:
                folder = request.dst.parent / part.name
                aside = stack.enter_context(writing(folder, is_public_run(folder, request.file)))
                for place, model in (("", part.model), *part.inside.items()):
                    model.save_pretrained(aside / place, meta=facts)
                names = {"name": part.name, "dataset_name": folder.resolve().parent.name}
                write_json(aside / OPTIONS_FILE, names | part.options)
    except OSError as error:
        raise UserError(f"cannot write {request.dst}: {error.strerror or error}; choose another DST") from error


@main_with_errors
def main() -> None:
    """Read, convert, write."""
    args = parse_arguments(sys.argv[1:])
    for name in ("vq_name", "lamp_name"):
        if getattr(args, name) is not None:
            plain_name(getattr(args, name), f"--{name}")
    if args.dst.name in ("", ".."):
        args.dst = args.dst.resolve()
    file = read_checkpoint(args.src)
    check_destination(args.dst, file)
    kind, request, parts = convert(args, file)
    facts: dict[str, Any] = {key: value for key, value in file.facts.items() if is_finite(value)}
    facts |= {IMPORTED: file.path.name, "kind": kind.title}
    if "name" in request.options:
        facts["public_name"] = request.options["name"]
    write_all(parts, request, facts)
    for part in parts:
        size = sum(parameter.numel() for parameter in part.model.parameters())
        print(f"{kind.title}: {request.dst.parent / part.name} ({type(part.model).__name__}, {size / 1e6:.1f} M)")
    for note in dict.fromkeys(request.notes):
        print(f"note: {note}")


if __name__ == "__main__":
    main()
