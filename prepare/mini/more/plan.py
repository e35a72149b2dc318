"""The additional sources as a part of mini's plan: which files are processed, and what is said of their clips."""

import random
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from lamp.prepare.clips import Clip, Job
from lamp.prepare.mini.more.labels import MoreClip, more_clips
from lamp.prepare.mini.more.sources import SOURCES, Source
from lamp.prepare.plan import ClipText
from lamp.utils.errors import UserError
from lamp.utils.files import files_below

TRAIN_CAPTIONS, TEST_CAPTIONS = 8, 3


class MorePlan:
    """Jobs for the files of the sources that are given, and what is said of their clips.

    Args:
        folders: of each source that is given, by name.

    Raises:
        UserError: a folder holds no file of its source, or lacks what the source needs.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.jobs: list[Job] = []
        self._clips: dict[str, list[MoreClip]] = {}
        known: dict[tuple[str, str], list[MoreClip]] = defaultdict(list)
        for clip in more_clips():
            known[clip.source, clip.name].append(clip)
        for name, source in SOURCES.items():
            if name not in folders:
                print(f"no --{name} DIR: its clips are left out")
                continue
            self._add(source, folders[name], {clip: parts for (of, clip), parts in known.items() if of == name})

    def _add(self, source: Source, folder: Path, known: Mapping[str, list[MoreClip]]) -> None:
        """Take in the files of a source."""
        if source.check is not None:
            source.check(folder)
        files = {source.clip_name(path.resolve()): path for path in files_below(folder, source.suffix)}
        if missing := [name for name in known if name not in files]:
            print(f"{len(missing)} of {len(known)} clips are not in --{source.name} {folder}, the first {missing[:3]}")
        if len(missing) == len(known):
            raise UserError(
                f"--{source.name} {folder} holds none of the clips of mini (such as {missing[0]}{source.suffix})"
            )
        for name, parts in known.items():
            if name not in files:
                continue
            job = f"{source.name}_{name}"
            spans = tuple(part.span for part in parts if part.span is not None)
            limits = (source.read, source.max_speed, source.level, True)
            self.jobs.append(Job(files[name], job, spans, *limits))
            self._clips[job] = parts

    def __contains__(self, job: object) -> bool:
        return job in self._clips

    def describe(self, clip: Clip, rng: random.Random) -> ClipText:
        """What mini says of a part of one of its jobs."""
        shown = self._clips[clip.job][max(0, clip.segment)]
        count = TEST_CAPTIONS if shown.test else TRAIN_CAPTIONS
        captions, mirrored = shown.captions(rng, count), shown.captions(rng, count, mirrored=True)
        split = "test_more" if shown.test else "train"
        return ClipText(captions, mirrored, split, label=shown.label(), mirrored_label=shown.label(mirrored=True))
