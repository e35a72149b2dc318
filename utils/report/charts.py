"""Plots as SVG text, drawn by matplotlib (extra `train`); the same numbers give the same text."""

import io
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from lamp.utils.scores.evaluation import Statistic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

OURS, REAL, PUBLISHED = "#0b57d0", "#1b7f4d", "#8a5a00"
_SETTINGS: Any = {"svg.hashsalt": "lamp", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
_MOST_COLUMNS = 4
_NAMED = 60
"""Labels of a confusion plot that can still be read."""

Value = Statistic | float


def levels_chart(usage: Sequence[float], perplexity: Sequence[float], codes: int) -> str:
    """Share of the codes in use (0 to 1) and perplexity (1 to `codes`) of each level of a tokenizer."""
    levels = np.arange(len(usage))
    with _figure(7.2, 2.6) as (figure, text):
        shares, spread = figure.subplots(1, 2)
        shares.bar(levels, 100 * np.asarray(usage), color=OURS)
        shares.set(title="Codes in use", ylabel="%", ylim=(0, 100))
        spread.bar(levels, perplexity, color=REAL)
        spread.set(title="Perplexity", ylabel=f"of {codes} codes", ylim=(0, None))
        for axes in (shares, spread):
            axes.set_xticks(levels, [str(level) for level in levels])
            axes.set_xlabel("level")
    return text()


def scores_chart(rows: Mapping[str, Mapping[str, Value]], columns: Sequence[str], quoted: Sequence[str]) -> str:
    """A panel for each score: a point for each row, with its 95 % confidence where that is known.

    Args:
        rows: scores by name of the row; a row may lack some.
        columns: scores to draw; those that no row has are left out.
        quoted: rows that are other people's numbers, drawn as diamonds.
    """
    columns = [column for column in columns if any(column in row for row in rows.values())]
    wide = min(len(columns), _MOST_COLUMNS)
    high = -(-len(columns) // wide)
    with _figure(2.4 * wide + 2.4, (0.32 * len(rows) + 0.9) * high) as (figure, text):
        panels = figure.subplots(high, wide, squeeze=False, sharey=True).ravel()
        for axes, column in zip(panels, columns):
            for place, (name, row) in enumerate(rows.items()):
                if column in row:
                    _point(axes, row[column], place, name in quoted, name.startswith("real"))
            axes.set_title(column)
            axes.margins(x=0.15)
            axes.grid(axis="x", alpha=0.3)
        panels[0].set_yticks(range(len(rows)), rows)
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        for axes in panels[len(columns) :]:
            axes.remove()
    return text()


def confusion_chart(counts: np.ndarray, names: Sequence[str]) -> str:
    """How often motions of a label (row) were named as another (column), in shares of the row.

    Args:
        counts: (L, L) motions.
        names: of the L labels; of more than can be read, those with the most wrongly named motions are drawn.
    """
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    wrong = counts.sum(1) + counts.sum(0) - 2 * counts.diagonal()
    chosen = np.sort(np.argsort(-wrong, kind="stable")[:_NAMED])
    side = 1.8 + 0.17 * len(chosen)
    with _figure(side + 0.8, side) as (figure, text):
        axes = figure.subplots()
        image = axes.imshow(shares[np.ix_(chosen, chosen)], cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        ticks, words = range(len(chosen)), [_cut(names[i]) for i in chosen]
        axes.set_xticks(ticks, words, rotation=90, fontsize=7)
        axes.set_yticks(ticks, words, fontsize=7)
        axes.set(xlabel="named as", ylabel="is")
        figure.colorbar(image, ax=axes, shrink=0.6, label="share of the motions")
    return text()


def _point(axes: Any, value: Value, place: int, quoted: bool, real: bool) -> None:
    mean, interval = (value.mean, value.interval) if isinstance(value, Statistic) else (value, 0.0)
    color = PUBLISHED if quoted else REAL if real else OURS
    axes.errorbar(mean, place, xerr=interval or None, fmt="D" if quoted else "o", ms=5, capsize=3, color=color)


def _cut(name: str, longest: int = 28) -> str:
    # A dollar sign would begin a formula.
    return (name if len(name) <= longest else f"{name[: longest - 1]}…").replace("$", r"\$")


@contextmanager
def _figure(width: float, height: float) -> "Iterator[tuple[Figure, Any]]":
    """A figure of a size in inches, and what gives its SVG when it is drawn; no window and no state are shared."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")

        def text() -> str:
            file = io.StringIO()
            with matplotlib.rc_context(_SETTINGS):
                figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "LaMP"})
            return file.getvalue()

        yield figure, text
