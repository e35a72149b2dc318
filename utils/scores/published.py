"""Published numbers, to print beside ours (`--compare`).

From LaMP (ICLR 2025, arXiv 2410.07093), whose tables quote the other systems; evaluators of Guo et al., 20 repetitions.
"""

from collections.abc import Mapping
from types import MappingProxyType

PAPER = "LaMP, arXiv 2410.07093"
_T2M_COLUMNS = ("FID", "R@1", "R@2", "R@3", "MM-Dist", "Diversity")
_RETRIEVAL_COLUMNS = ("R@1", "R@2", "R@3", "R@5", "R@10")

Rows = Mapping[str, Mapping[str, float]]


def _rows(columns: tuple[str, ...], rows: Mapping[str, tuple[float | None, ...]]) -> Rows:
    return MappingProxyType(
        {
            name: {column: value for column, value in zip(columns, values) if value is not None}
            for name, values in rows.items()
        }
    )


TEXT_TO_MOTION: Mapping[str, Rows] = {
    "t2m": _rows(
        _T2M_COLUMNS,
        {
            "real motions": (0.002, 0.511, 0.703, 0.797, 2.974, 9.503),
            "MoMask": (0.045, 0.521, 0.713, 0.807, 2.958, None),
            "LaMP-T2M": (0.032, 0.557, 0.751, 0.843, 2.759, 9.571),
        },
    ),
    "kit": _rows(
        _T2M_COLUMNS,
        {
            "real motions": (0.031, 0.424, 0.649, 0.779, 2.788, 11.08),
            "MoMask": (0.204, 0.433, 0.656, 0.781, 2.779, None),
            "LaMP-T2M": (0.141, 0.479, 0.691, 0.826, 2.704, 10.929),
        },
    ),
}


def published_real(dataset: str) -> Rows:
    """The row of the real motions; none of a data set that nobody published numbers of."""
    return {name: row for name, row in TEXT_TO_MOTION.get(dataset, {}).items() if name == "real motions"}


RETRIEVAL: Mapping[str, Rows] = {
    "t2m": _rows(
        _RETRIEVAL_COLUMNS,
        {
            "LaMP, text to motion": (67.2, 81.9, 87.0, 92.0, 95.7),
            "LaMP, motion to text": (68.0, 82.1, 87.5, 92.2, 96.9),
        },
    ),
}

MOTION_TO_TEXT: Mapping[str, Rows] = {
    "t2m": _rows(
        ("R@1", "R@3", "MM-Dist", "BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr", "BERTScore"),
        {"LaMP-M2T": (0.547, 0.831, 2.808, 47.8, 13.0, 37.1, 28.9, 32.7)},
    ),
}
