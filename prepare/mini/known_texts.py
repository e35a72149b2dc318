"""Write what the shipped LaMP needs to say that a prompt is outside what it knows: `lamp/known.safetensors`.

    python -m lamp.prepare.mini.known_texts --data dataset/mini --models checkpoints/mini

Kept are captions of training that are far from each other (farthest-point sampling), so that none that is left out is
far from all. The threshold is the lowest that 90 % of one half of the unrelated prompts (`unknown_prompts.json`, those
at even places) are below; it is refused if it is above 1 % or more of the validation captions. Rates on everything else
are printed.
"""

import argparse
import json
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import save

from lamp.data.text import parse_captions
from lamp.models.lamp.known import KNOWN_FILE, KnownTexts, text_means
from lamp.models.lamp.model import LaMP
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_path

KEPT = 2400
CAUGHT = 0.9
FALSE_ALARMS = 0.01


def captions_of(data: Path, split: str, folder: str = "texts") -> list[str]:
    """Distinct captions of a split.

    Raises:
        UserError: the data set lacks it.
    """
    try:
        names = (data / f"{split}.txt").read_text(encoding="utf-8").split()
        texts = [(data / folder / f"{name}.txt") for name in names]
        found = [c.text for path in texts if path.is_file() for c in parse_captions(path.read_text("utf-8")).captions]
    except OSError as error:
        raise UserError(f"--data {data}: {split}.txt cannot be read; build the mini data set first") from error
    return list(dict.fromkeys(found))


def far_apart(points: torch.Tensor, count: int) -> list[int]:
    """Farthest-point sampling (Gonzalez 1985) of points (N, H) of length 1, from the first on."""
    chosen, near = [0], points @ points[0]
    while len(chosen) < min(count, len(points)):
        chosen.append(int(near.argmin()))
        near = torch.maximum(near, points @ points[chosen[-1]])
    return chosen


@main_with_errors
def main() -> None:
    """Captions to the file, and the rates at which sentences are below its threshold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("dataset/mini"), help="folder that build_dataset made")
    parser.add_argument("--models", type=Path, default=Path("checkpoints/mini"), help="folder with lamp")
    options = parser.parse_args()
    lamp = LaMP.from_pretrained(options.models, "lamp")
    train = text_means(lamp, captions_of(options.data, "train"))
    kept = train[far_apart(train, KEPT)]
    whole = (kept / kept.abs().max(1, keepdim=True).values * 127).round().to(torch.int8)
    known = KnownTexts(torch.nn.functional.normalize(whole.float(), dim=-1), 0.0)
    prompts = json.loads(files(__package__).joinpath("unknown_prompts.json").read_text(encoding="utf-8"))
    unrelated, other = prompts["unrelated"], prompts["other motion"]
    sets = {"unrelated, calibration half": unrelated[::2], "validation": captions_of(options.data, "val")}
    sets |= {"unrelated, other half": unrelated[1::2], "motions that mini lacks": other}
    for split in ("test_seen", "test_unseen"):
        sets[split] = captions_of(options.data, split)
        sets[f"{split}, held-out wordings"] = captions_of(options.data, split, "texts_heldout")
    scores = {name: torch.tensor(known.closeness(lamp, texts)) for name, texts in sets.items()}
    threshold = float(scores["unrelated, calibration half"].quantile(CAUGHT))
    rates = {name: float((values < threshold).float().mean()) for name, values in scores.items()}
    if rates["validation"] >= FALSE_ALARMS:
        raise UserError(f"{rates['validation']:.1%} of the validation captions would be called unknown; keep more")
    facts = {"threshold": f"{threshold:.4f}", "lamp": lamp.meta["digest"]}
    with atomic_path(options.models / "lamp" / KNOWN_FILE) as aside:
        aside.write_bytes(save({"captions": whole}, facts))
    print(f"{len(kept)} of {len(train)} captions, threshold {threshold:.4f}; below it are")
    for name, rate in rates.items():
        print(f"  {rate:6.1%} of {len(sets[name]):5d}  {name}")


if __name__ == "__main__":
    main()
