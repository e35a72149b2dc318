"""The page beside an evaluation's log: its numbers as plots and tables, and the best and worst motions."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from lamp.stages.pages.extremes import Example, Extremes
from lamp.utils.errors import UserError
from lamp.utils.motion import Motion
from lamp.utils.packages import need
from lamp.utils.report.charts import Value, confusion_chart, levels_chart, scores_chart
from lamp.utils.report.page import Part, Table, report_page
from lamp.utils.run.logging import Report
from lamp.utils.scores.evaluation import Scores, Statistic
from lamp.utils.scores.physics import MEASURES
from lamp.utils.scores.published import PAPER, Rows
from lamp.utils.viewer.page import save_page, viewer_page

CONFUSIONS = 15
"""Lines of the table of the most frequent confusions."""
_CONFIDENCE = "Points are means over the repetitions, bars 95 % confidence."
_QUOTED = "Diamonds are published numbers, of the public evaluators and pools of 32."


class EvaluationPage:
    """Collects what is found, and writes it as `<log's name>.html` beside the log.

    Without matplotlib there are no plots, and a line says so; tables and motions are there in any case.

    Args:
        log: of the evaluation.
        heading: the page's title.
    """

    def __init__(self, log: Report, heading: str) -> None:
        self._log, self._heading = log, heading
        self._sections: dict[str, list[Part]] = {}
        self._missing = ""
        try:
            need("matplotlib")
        except UserError as error:
            self._missing = f"plots are left out: {error}"
            print(f"warning: {self._missing}", file=sys.stderr)

    def protocol(
        self, section: str, scores: Scores, made: str, columns: Sequence[str], published: Rows, *, judged: bool = True
    ) -> None:
        """Scores of the field's protocol beside those of real motions and what is published.

        Args:
            section: where it belongs, for instance a split.
            scores: ours.
            made: name of the produced motions' row.
            columns: scores in their order.
            published: rows of the same scores.
            judged: whether motions were produced; otherwise there is only the row of the real ones.
        """
        rows: dict[str, Mapping[str, Value]] = {"real motions": scores.rows["real"]}
        if judged:
            rows[made] = scores.rows["produced"]
        counted = f"{scores.repeats} repetitions of {scores.motions} motions, pools of {scores.pool}"
        self.scores(section, "Scores", rows, columns, published, [counted, *scores.cautions])
        self.scores(section, "How plausible the motions are", rows, list(MEASURES), {}, [])

    def scores(
        self,
        section: str,
        title: str,
        rows: Mapping[str, Mapping[str, Value]],
        columns: Sequence[str],
        published: Rows,
        notes: Sequence[str],
    ) -> None:
        """Rows of scores, ours and published ones."""
        quoted = {f"{name} ({PAPER})": row for name, row in published.items()}
        everything: dict[str, Mapping[str, Value]] = {**rows, **quoted}
        columns = [column for column in columns if any(column in row for row in everything.values())]
        cells = [[name, *(_shown(row.get(column)) for column in columns)] for name, row in everything.items()]
        picture = "" if self._missing else scores_chart(everything, columns, list(quoted))
        alt = f"{title}: {', '.join(columns)}; the table below has the numbers"
        sure = any(isinstance(value, Statistic) for row in rows.values() for value in row.values())
        notes = [*notes, *([_CONFIDENCE] if sure else []), *([_QUOTED] if quoted else [])]
        self._add(section, Part(title, notes, picture, alt, Table(["", *columns], cells)))

    def levels(self, section: str, usage: Sequence[float], perplexity: Sequence[float], codes: int) -> None:
        """Code usage of a tokenizer's levels."""
        picture = "" if self._missing else levels_chart(usage, perplexity, codes)
        cells = [[level, f"{100 * share:.1f}", f"{p:.1f}"] for level, (share, p) in enumerate(zip(usage, perplexity))]
        table = Table(["level", "codes in use, %", "perplexity"], cells)
        self._add(section, Part("Code usage", [], picture, "Codes in use and perplexity of each level", table))

    def confusion(self, section: str, true: Sequence[str], named: Sequence[str]) -> None:
        """Which actions were taken for which, from the label of each motion and the one it was named as."""
        names = sorted({*true, *named})
        place = {name: i for i, name in enumerate(names)}
        counts = np.zeros((len(names), len(names)), dtype=np.int64)
        np.add.at(counts, ([place[name] for name in true], [place[name] for name in named]), 1)
        wrong = Counter((is_, said) for is_, said in zip(true, named) if is_ != said)
        total = Counter(true)
        cells = [[is_, said, count, total[is_]] for (is_, said), count in wrong.most_common(CONFUSIONS)]
        notes = [f"{len(true) - wrong.total()} of {len(true)} motions were named right, of {len(names)} labels."]
        picture = "" if self._missing else confusion_chart(counts, names)
        table = Table(["is", "named as", "motions", "of"], cells) if cells else None
        self._add(section, Part("Confusion of actions", notes, picture, "Confusion matrix of the labels", table))

    def extremes(self, section: str, found: Extremes, what: str, made: str) -> None:
        """The best and worst motions, each beside that of the data.

        Args:
            section: where it belongs.
            found: the motions.
            what: their number, with its unit.
            made: what the motions are, "generated" for instance; empty if they are those of the data.
        """
        for kind, examples in (("Best", found.best), ("Worst", found.worst)):
            shown = [pair for example in examples for pair in _pair(example, made)]
            self.motions(section, f"{kind} motions", shown, [f"By {what}, of the first repetition."])

    def motions(self, section: str, title: str, shown: Sequence[tuple[Motion, str]], notes: Sequence[str]) -> None:
        """Motions with their titles, in the viewer."""
        cells = [[text, motion.text, f"{motion.seconds:.1f}"] for motion, text in shown]
        table = Table(["motion", "text", "seconds"], cells)
        self._add(section, Part(title, notes, table=table, viewer=viewer_page(shown, title)))

    def say(self, section: str, title: str, line: str) -> None:
        """A line of text under a title."""
        self._add(section, Part(title, [line]))

    def write(self) -> None:
        """Write the page."""
        sections = [(title, parts) for title, parts in self._sections.items()]
        page = report_page(self._heading, sections)
        path = self._log.path.with_suffix(".html")
        save_page(page, path)
        print(f"page with plots and motions: {path}")

    def _add(self, section: str, part: Part) -> None:
        if section not in self._sections:
            notes = [self._log.stamp, *([self._missing] if self._missing else [])]
            self._sections[section] = [Part("Made by", notes)]
        self._sections[section].append(part)


def _pair(example: Example, made: str) -> list[tuple[Motion, str]]:
    # What a motion is comes first, since the viewer cuts long titles.
    number = f"{example.value:.2f}"
    if not made:
        return [(example.real, f"{number}: {example.name}")]
    return [(example.real, f"data: {example.name}"), (example.made, f"{made}, {number}: {example.name}")]


def _shown(value: Value | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
