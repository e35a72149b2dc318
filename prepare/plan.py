"""What a data set is to be made of: capture files, and what is said of each clip that is cut from them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lamp.prepare.clips import Clip, Job
from lamp.prepare.names import check_names


@dataclass
class ClipText:
    """What a data set says of a clip.

    Attributes:
        captions, mirrored: of the clip and of its mirror image.
        split: "train", "val", "test", or "test_<part>", which is also in "test".
        heldout, heldout_mirrored: captions in wording that training never uses, for a test of language.
        label, mirrored_label: key of the action; equal labels are the same action.
        timed, timed_mirrored: captions of parts of the clip and of its mirror image, with first and last second.
    """

    captions: list[str]
    mirrored: list[str]
    split: str = "train"
    heldout: list[str] = field(default_factory=list)
    heldout_mirrored: list[str] = field(default_factory=list)
    label: str = ""
    mirrored_label: str = ""
    timed: list[tuple[str, float, float]] = field(default_factory=list)
    timed_mirrored: list[tuple[str, float, float]] = field(default_factory=list)


@dataclass
class Plan:
    """A data set before it is built.

    Attributes:
        jobs: capture files.
        describe: what is said of a finished clip, or the reason to drop it.
        balance: a label's clips are drawn in proportion to (clips of the label) ** `balance` in all: 1 is uniform over
            clips, 0 uniform over labels.
        files: name of the file of a job, where the job could not be called like it.
        resplit: a split for each job that has clips, by job, if the plan's own did not leave a clip in each split that
            training needs; called once all is processed with the jobs that have clips.
        source: of a public set, what was found of it and what its licence is; it may be filled in by `describe`.

    Raises:
        UserError: clips of two jobs could not be told apart by their names.
    """

    jobs: list[Job]
    describe: Callable[[Clip], ClipText | str]
    balance: float = 1.0
    files: dict[str, str] = field(default_factory=dict)
    resplit: Callable[[list[str]], dict[str, str]] | None = None
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_names((job.name, job.path) for job in self.jobs)
