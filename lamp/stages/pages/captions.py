"""The page of an evaluation of captions: scores, and the motions with the best and worst captions."""

from collections.abc import Mapping
from typing import Any

from lamp.data.draws import TestDraws
from lamp.data.loaders import Stats, evaluation_loader
from lamp.stages.caption_evaluation import Described
from lamp.stages.pages.evaluation import EvaluationPage
from lamp.stages.pages.extremes import KEPT, motion_of
from lamp.utils.scores.captions import rouge_of_each
from lamp.utils.scores.evaluation import Statistic
from lamp.utils.scores.published import MOTION_TO_TEXT

MATCHES = ("R@1", "R@2", "R@3", "MM-Dist")
TEXTS = ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr", "BERTScore")


def show_captions(
    page: EvaluationPage,
    draws: TestDraws,
    found: Described,
    texts: Mapping[str, Mapping[str, Any]],
    matches: Mapping[str, Mapping[str, Statistic]],
) -> None:
    """What was found of a split.

    Args:
        page: where to.
        draws: the split.
        found: captions.
        texts: of each rival by name what `score_texts` gives.
        matches: what `score_matches` gives; empty if it was left out.
    """
    section, published = draws.split, MOTION_TO_TEXT.get(draws.spec.name, {})
    if matches:
        page.scores(
            section, "Captions and their motions", matches, MATCHES, published, [f"Pools of {draws.pool} candidates."]
        )
    for protocol in [key for key in ("raw", "tm2t") if key in texts["captioner"]]:
        rows = {name: row[protocol] for name, row in texts.items()}
        notes = [f"{len(found.captions)} captions, protocol {protocol} (docs/protocol.md)."]
        page.scores(section, f"Captions and true captions, {protocol}", rows, TEXTS, published, notes)
    values = rouge_of_each(found.captions, [[text.text for text in truth] for truth in found.truth])
    order = sorted(range(len(values)), key=lambda row: (-values[row], found.names[row]))
    plain = Stats.plain(draws.spec.feature_dim)
    dataset = evaluation_loader(draws.spec, draws.split, batch_size=1, stats=plain).dataset
    for kind, rows_of in (("best", order[:KEPT]), ("worst", order[::-1][:KEPT])):
        batch = dataset.__getitems__([found.samples[row] for row in rows_of])
        shown = []
        for i, row in enumerate(rows_of):
            true = found.truth[row][0].text
            motion = motion_of(batch.motion[i, : int(batch.lengths[i])], f"said: {found.captions[row]} / true: {true}")
            shown.append((motion, f"{values[row]:.0f}: {found.names[row]}"))
        page.motions(section, f"Motions with the {kind} captions", shown, ["By ROUGE-L of the caption, 0 to 100."])
