"""`Studio`: everything that the app and its API do, on models that are loaded once."""

import contextlib
import re
import tempfile
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lamp.library.licences import licence_of
from lamp.library.reader import MotionReader
from lamp.library.search import Library
from lamp.library.store import Store
from lamp.models import matching
from lamp.models.pipeline import LaMPPipeline
from lamp.models.sentences.understanding import wording_notes
from lamp.models.sequences import MIN_FRAMES
from lamp.models.text_condition import lamp_of
from lamp.serve.desk import Desk, Kind
from lamp.utils.capture.files import read_in_metres
from lamp.utils.errors import UserError
from lamp.utils.export import FORMATS, suffix_of
from lamp.utils.files import shown as quoted
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion, with_constant_bones
from lamp.utils.motion_features import motion_features
from lamp.utils.scores.physics import foot_skating_ratio
from lamp.utils.threads.memory import give_back
from lamp.utils.viewer.page import viewer_page
from lamp.web.schemas import (
    LONGEST_UPLOAD,
    MOST_SAMPLES,
    Captions,
    DescribeAsk,
    EditAsk,
    FindOrMakeAsk,
    MakeAsk,
    Reply,
    SearchAsk,
    Shown,
)

KEPT, KEPT_BYTES = 100, 512 * 2**20
"""Motions that are remembered, and about how much memory they may take; the newest one may take any."""
TOGETHER = 32
"""Motions that are computed at a time at most; one of several parts counts as several."""
CAPTIONS = 32
"""Motions that are described between two looks at whether that is still wanted."""
FILES, VIDEOS = 32, 4
"""Conversions of motions from and to files that may wait, and drawings of videos."""
UPLOADS = (".bvh", ".npy", ".npz")
NO_LIBRARY = "no library here: make one with `lamp index FOLDER --out DIR`, then start `lamp app --library DIR`"


@dataclass(frozen=True)
class Kept:
    """A motion that further requests may name: as it was made, and as it is shown and saved."""

    source: Motion
    shown: Motion
    facts: Shown

    @property
    def size(self) -> int:
        """Bytes, with the rotations that files are made from."""
        arrays = (self.source.joints, self.source.features, self.shown.joints)
        joints = self.shown.joints.size // 3
        # In float64, of both: rotations of four numbers and places of three for each joint.
        return sum(array.nbytes for array in arrays if array is not None) + 2 * 8 * 7 * joints


@dataclass(frozen=True)
class Judged:
    """A motion that was made, the same with constant bones, and what LaMP says of it: fields of `Shown`."""

    motion: Motion
    rigid: Motion
    said: dict[str, Any]


class Studio:
    """Make, edit, describe and search motions.

    Args:
        pipe: the models.
        library: what is searched, if anything.
        waiting: requests that may wait.

    Raises:
        UserError: the models are not of HumanML3D's skeleton.
    """

    def __init__(self, pipe: LaMPPipeline, library: Library | None = None, waiting: int = 8) -> None:
        if pipe.fps != HUMANML3D.fps:
            raise UserError("--models makes motions of KIT-ML's skeleton; the app needs models of HumanML3D's")
        self.pipe, self.library, self.desk = pipe, library, Desk(waiting)
        # Not behind the models; videos take so long that what plays a motion must not wait behind them either.
        self.files, self.videos = Desk(FILES), Desk(VIDEOS)
        self.desks = (self.desk, self.files, self.videos)
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._bytes = 0  # of all that are kept
        # What a full desk makes is not forgotten before it is fetched.
        self._most = max(KEPT, 2 * self.desk.most * MOST_SAMPLES)
        self._lock, self._threads = threading.Lock(), torch.get_num_threads()

    @classmethod
    def open(cls, pipe: LaMPPipeline, library: Path | None, waiting: int) -> "Studio":
        """With the library of a folder.

        Raises:
            UserError: it is no library, or of other models.
        """
        searched = None
        if library is not None:
            searched = Library(Store(library), MotionReader.of(pipe))
        return cls(pipe, searched, waiting)

    def cancel(self, job: str) -> bool:
        """Cancel what a request of this name waits for or computes; False: there is none."""
        return any([desk.cancel(job) for desk in self.desks])

    def close(self) -> None:
        """Refuse what waits and what comes, and cancel what is computed; handlers of signals may call it."""
        for desk in self.desks:
            desk.close()

    def warm_up(self) -> None:
        """Make and describe a motion, so that the first request need not wait for the captioner and its libraries."""
        with contextlib.suppress(UserError), self._turn() as check:  # what lacks is said to those who ask
            motions = self.pipe("a person walks", MIN_FRAMES, on_step=lambda done, total: check())
            check()
            self.pipe.caption(motions, num_beams=1)

    @contextlib.contextmanager
    def _turn(self, job: str = "") -> Iterator[Callable[[], None]]:
        """A turn at the models, in a thread that may have begun while another one used torch on one core only."""
        with self.desk.turn(job) as check:
            torch.set_num_threads(self._threads)
            yield check

    def make(self, ask: MakeAsk) -> Reply:
        """Motions of a sentence, computed with those of others who wait at the same time.

        Raises:
            UserError: an empty prompt, or the request was refused or cancelled.
        """
        prompt = _sentence(ask.prompt)
        ask = ask.model_copy(update={"prompt": prompt})
        parts = sum(part.clips for part in self.pipe.divisions(prompt)[0]) if self.pipe.guidance.clauses else 1
        alike = (ask.steps, ask.guidance, ask.seconds is None, ask.caption)
        made = self.desk.together(ask.job, Kind(alike, self._make_all, TOGETHER), ask, ask.samples * parts)
        # The rest is no work for the models: each does it by itself, while the next are computed.
        return Reply(motions=self._keep_made(made, ask), **self._of_prompt(prompt, [one.motion for one in made]))

    def _make_all(self, asks: Sequence[MakeAsk], check: Callable[[], None]) -> list[list[Judged]]:
        """Motions of requests that agree in steps, guidance and whether they have a length."""
        torch.set_num_threads(self._threads)
        rows = [(ask, ask.seed + number) for ask in asks for number in range(ask.samples)]
        lengths = [round(ask.seconds * self.pipe.fps) for ask, _ in rows if ask.seconds is not None]
        prompts = [ask.prompt for ask, _ in rows]
        motions = self.pipe(
            prompts,
            lengths or None,
            seeds=[seed for _, seed in rows],
            batch_size=TOGETHER,
            alone=True,
            on_step=lambda done, total: check(),
            time_steps=asks[0].steps,
            cond_scale=asks[0].guidance,
        )
        said = self._said(motions, prompts, check, asks[0].caption)
        judged = map(Judged, motions, with_constant_bones(motions), said)
        return [[next(judged) for _ in range(ask.samples)] for ask in asks]

    def edit(self, ask: EditAsk) -> Reply:
        """A motion with a span made anew.

        Raises:
            UserError: no such motion, a span that is empty or outside, or the request was refused or cancelled.
        """
        prompt, kept = _sentence(ask.prompt), self.kept(ask.motion)
        with self._turn(ask.job) as check:
            made, part = self._edited(kept.source, prompt, ask, check)
            (said,) = self._said([part], [prompt], check)
            shown = self._keep(made, made.with_foot_cleanup(), "edited", prompt, **said)
            return Reply(motions=[shown], **self._of_prompt(prompt, [made]))

    def _edited(self, source: Motion, prompt: str, ask: EditAsk, check: Callable[[], None]) -> tuple[Motion, Motion]:
        """As long as the source's features, and the new span in whole tokens, of which alone the sentence speaks.

        The models make whole tokens; for the last one the source's last frame is repeated.
        """
        features = motion_features(source, HUMANML3D)
        frames, unit, fps = len(features), self.pipe.unit, self.pipe.fps
        if frames >= unit:
            whole = torch.cat((features, features[-1:].expand(-frames % unit, -1)))
            source = Motion(features_to_joints(whole).numpy(), whole.numpy(), fps)
        span = (ask.start, min(ask.end, frames / fps))
        made = self.pipe.edit(source, prompt, span, unit="seconds", seed=ask.seed, on_step=lambda *_: check())
        first, last = made.meta["sections"][0]
        assert made.features is not None
        part = Motion(made.joints[first:last], made.features[first:last], fps)
        facts = made.meta | {"sections": [[first, min(last, frames)]]}
        return Motion(made.joints[:frames], made.features[:frames], fps, made.text, facts), part

    def describe(self, ask: DescribeAsk) -> Captions:
        """What happens in a motion.

        Raises:
            UserError: no such motion, or the request was refused or cancelled.
        """
        kept = self.kept(ask.motion)
        with self._turn(ask.job):
            beams = max(3, ask.count)
            return Captions(captions=self.pipe.caption([kept.source], num_beams=beams, num_captions=ask.count)[0])

    def search(self, ask: SearchAsk) -> Reply:
        """Clips of the library.

        Raises:
            UserError: there is no library, neither a sentence nor a motion, or the request was refused or cancelled.
        """
        if bool(ask.prompt.strip()) == bool(ask.motion):
            raise UserError("search by a sentence or by a motion; give one of them")
        prompt = " ".join(ask.prompt.split())
        query = prompt or self.kept(ask.motion).source
        with self._turn(ask.job) as check:
            found = self._found(query, ask.count, check)
            return Reply(motions=found, **(self._of_prompt(prompt) if prompt else {}))

    def find_or_make(self, ask: FindOrMakeAsk) -> Reply:
        """Clips of the library and generated motions, in the order of how well LaMP thinks they match.

        Raises:
            UserError: there is no library, an empty prompt, or the request was refused or cancelled.
        """
        prompt = _sentence(ask.prompt)
        with self._turn(ask.job) as check:
            found = self._found(prompt, ask.found, check)
            own = MakeAsk(prompt=prompt, seed=ask.seed, samples=ask.samples)
            (made,) = self._make_all([own], check)
            both = [*found, *self._keep_made(made, own)]
            both.sort(key=lambda motion: -(motion.match or 0.0))
            return Reply(motions=both, **self._of_prompt(prompt, [one.motion for one in made]))

    def upload(self, name: str, data: bytes, job: str = "") -> Shown:
        """Take a motion file.

        Raises:
            UserError: it holds no motion, or a longer one than may be; or the request was refused or cancelled.
        """
        with self.files.turn(job):
            return self._uploaded(name, data)

    def _uploaded(self, name: str, data: bytes) -> Shown:
        suffix = Path(name).suffix.lower()
        if suffix not in UPLOADS:
            raise UserError(f"{quoted(Path(name).name)}: motion files are {', '.join(UPLOADS)}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"upload{suffix}")
            path.write_bytes(data)
            try:
                motion = read_in_metres(path)
            except UserError as error:
                raise UserError(str(error).replace(str(path), quoted(Path(name).name))) from error
        if motion.seconds > LONGEST_UPLOAD:
            raise UserError(f"the motion has {motion.seconds:.0f} s; upload at most {LONGEST_UPLOAD:.0f}")
        if motion.joints.shape[1] != HUMANML3D.num_joints:
            raise UserError("the motion has KIT-ML's 21 joints; these models know HumanML3D's 22")
        return self._keep(motion, motion.with_constant_bones(), "uploaded", motion.text or Path(name).stem)

    def kept(self, name: str) -> Kept:
        """A motion by its id.

        Raises:
            UserError: there is none of this id.
        """
        with self._lock:
            if name not in self._kept:
                raise UserError("there is no such motion any more; make or upload it again")
            self._kept.move_to_end(name)
            return self._kept[name]

    def file(self, name: str, format_: str, job: str = "") -> tuple[str, bytes]:
        """Name and content of a motion's file in a format.

        Raises:
            UserError: no such motion or format, or the request was refused or cancelled.
        """
        kept, suffix = self.kept(name), suffix_of(format_)
        words = "_".join(re.findall(r"[a-z0-9]+", kept.facts.title.lower()))[:48] or "motion"
        desk = self.videos if suffix == FORMATS["mp4"] else self.files
        with desk.turn(job), tempfile.TemporaryDirectory() as folder:
            return words + suffix, kept.shown.save(Path(folder, f"motion{suffix}")).read_bytes()

    def page(self, names: Sequence[str], job: str = "") -> str:
        """A page that plays motions side by side.

        Raises:
            UserError: there is none of an id, or the request was refused or cancelled.
        """
        motions = [self.kept(name) for name in names]
        titles = [f"{i}. {kept.facts.kind}: {kept.facts.title}" for i, kept in enumerate(motions, start=1)]
        with self.files.turn(job):
            return viewer_page([(kept.shown, title) for kept, title in zip(motions, titles)])

    def _found(self, query: str | Motion, count: int, check: Callable[[], None]) -> list[Shown]:
        if self.library is None:
            raise UserError(NO_LIBRARY)
        found = []
        for answer in self.library.search(query, count):
            check()
            clip = self.library.motion(answer)
            place = f"{answer.file}, {answer.start:.1f} to {answer.end:.1f} s"
            licence = licence_of(self.library.source, answer.file)
            title, clean = answer.caption or answer.file, clip.with_constant_bones()
            more = {"match": answer.score, "caption": answer.caption, "licence": licence, "source": place}
            found.append(self._keep(clip, clean, "real", title, **more))
        return found

    def _said(
        self, motions: Sequence[Motion], prompts: Sequence[str], check: Callable[[], None], caption: bool = True
    ) -> list[dict[str, Any]]:
        """What LaMP thinks of motions."""
        check()
        scores: Sequence[float | None] = [None] * len(motions)
        if lamp_of(self.pipe.text) is not None:
            scores = matching.similarities(self.pipe.text, self.pipe.tokenizer, motions, prompts)
        check()
        captions: list[list[str]] = [] if caption else [[""]] * len(motions)
        for start in range(0, len(motions) if caption else 0, CAPTIONS):
            captions += self.pipe.caption(motions[start : start + CAPTIONS], num_beams=3)
            check()
        return [{"match": _rounded(score), "caption": own[0]} for score, own in zip(scores, captions, strict=True)]

    def _keep_made(self, made: Sequence[Judged], ask: MakeAsk) -> list[Shown]:
        """Remember motions as a request wants them shown."""
        shown = []
        for one in made:
            clean = one.rigid.with_foot_cleanup() if ask.clean_feet else one.rigid
            shown.append(self._keep(one.motion, clean, "made", ask.prompt, **one.said))
        return shown

    def _of_prompt(self, prompt: str, made: Sequence[Motion] = ()) -> dict[str, Any]:
        notes = self.pipe.notes([prompt]) + wording_notes(made)
        return {"notes": notes, "outside": bool(self.pipe.unlike_prompts([prompt]))}

    def _keep(self, original: Motion, clean: Motion, kind: str, title: str, **more: object) -> Shown:
        name = uuid.uuid4().hex[:16]
        facts = Shown.model_validate(
            {
                "id": name,
                "kind": kind,
                "title": title,
                "seconds": round(clean.seconds, 3),
                "frames": len(clean),
                "fps": clean.fps,
                "skating": round(float(foot_skating_ratio(clean.joints, clean.fps)), 4),
                "files": {format_: f"/api/motions/{name}/{format_}" for format_ in FORMATS},
                "viewer": f"/api/view?ids={name}",
                **more,
            }
        )
        with self._lock:
            self._kept[name] = kept = Kept(original, clean, facts)
            self._bytes += kept.size
            while len(self._kept) > 1 and (len(self._kept) > self._most or self._bytes > KEPT_BYTES):
                self._bytes -= self._kept.popitem(last=False)[1].size
        give_back()
        return facts


def _sentence(prompt: str) -> str:
    prompt = " ".join(prompt.split())
    if not prompt:
        raise UserError("the prompt is empty; write what the person does")
    return prompt


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)
