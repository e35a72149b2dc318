"""Which runs and models there are, for messages about one that is not there or is of another kind."""

from pathlib import Path

from lamp.utils.files import read_json

WORDS = {
    "RVQVAE": "tokenizer",
    "LaMP": "LaMP",
    "MaskedTransformer": "masked transformer",
    "ResidualTransformer": "residual transformer",
    "LengthEstimator": "length estimator",
    "Captioner": "captioner",
    "Evaluator": "evaluator",
    "MovementAutoencoder": "movement auto-encoder",
}
"""What a network's class is called."""
SHOWN = 8


def network_in(space: str | Path) -> str:
    """Class of the network of a run or model folder, by its `config.json`; "" where there is none."""
    for file in (Path(space) / "config.json", *sorted(Path(space).glob("*/config.json"))):
        try:
            kind = read_json(file).get("model", "")
        except (OSError, ValueError, AttributeError, RecursionError):
            continue
        if isinstance(kind, str) and kind in WORDS:
            return kind
    return ""


def list_runs(root: str | Path, kind: str = "") -> str:
    """The runs and models in a folder such as `checkpoints/t2m`, for a message.

    Args:
        root: the folder.
        kind: class of network; by default all, each with what it is.

    Returns:
        For instance "residual transformers in checkpoints/t2m: rtrans_name, other", with "none yet" for none.
    """
    folders = sorted(path for path in Path(root).glob("*") if path.is_dir())
    found = {path.name: network for path in folders if (network := network_in(path))}
    if kind:
        names = [name for name, network in found.items() if network == kind]
    else:
        # A name that says what it is needs no more words.
        told = {name: WORDS[network].split()[0].lower() in name.lower() for name, network in found.items()}
        names = [name if told[name] else f"{name} ({WORDS[network]})" for name, network in found.items()]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    what = f"{WORDS[kind]}s" if kind else "runs"
    # The end of the path is enough, and leaves room in the message for the names.
    return f"{what} in {Path(*Path(root).parts[-2:])}: {', '.join(names[:SHOWN]) or 'none yet'}{more}"
