"""A sentence made part by part: what happens in order, what arms do meanwhile, and until how much is done."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamp.models import matching
from lamp.models.editing import SEAM_TOKENS
from lamp.models.sentences.amounts import ABOUT, Amount, cut_of, done_by, goes, turns_of
from lamp.models.sentences.checks import Check, Tried, until_passed
from lamp.models.sentences.pace import at_speed
from lamp.models.sentences.plan import WAYS, Part, is_plain
from lamp.models.sentences.together import Arms
from lamp.models.sequences import MIN_FRAMES, Sequences, Told, in_groups, joints_of, noise_in_try, noise_of, shares
from lamp.models.t2m.editor import Editor
from lamp.utils.kinematics.arms import arms_on
from lamp.utils.kinematics.features import mirror_joints
from lamp.utils.kinematics.skeleton import HUMANML3D, MAX_FRAMES
from lamp.utils.motion import Motion
from lamp.utils.motion_features import motion_features
from lamp.utils.prompts import JOIN
from lamp.utils.scores.following.body import Body

STILL = Part("a person stands still", "a person stands still")
"""What comes after an amount that ends a sentence."""
STILL_FRAMES = 32
"""Of `STILL`, where nobody says how long the motion is to be."""
ARMS_FRAMES = 80
"""Of the clip of what arms do: the models know actions of the hands best at about this length."""
TURN_FRAMES = 160
"""Of clips that are cut after a turn around, at least: in less time the models hardly turn so far."""
TRIES = 4
"""Lengths that are tried until an amount is as asked in the joined motion."""
NEAR = {"metres": 0.05, "steps": 1.0, "degrees": 5.0}
"""Differences with which no further length is tried; after the last step a foot is drawn up to the other one."""
MOST_FASTER, MOST_SLOWER = 1.35, 0.7
"""How many times as fast a clip may be played, as in training data (`prepare/mini/composition`)."""


class Planned(Sequences):
    """What `LaMPPipeline` does with a sentence of several parts."""

    def in_parts(
        self,
        prompts: Sequence[str],
        lengths: Sequence[int] | None,
        seeds: Sequence[int],
        best_of: int,
        at_once: int,
        progress: Callable[[int, int], None] | None,
        **how: Any,
    ) -> list[Motion | None]:
        """Motions of the sentences that are made part by part; None for the others.

        Args:
            prompts: sentences.
            lengths: frames of each; None lets the length estimator choose.
            seeds: one for each.
            best_of: clips made of each part.
            at_once: parts that are computed together.
            progress: called with (sentences done, sentences in all).
            how: of sampling.
        """
        motions: list[Motion | None] = [None] * len(prompts)

        def done() -> None:
            if progress is not None:
                progress(len(prompts) - motions.count(None), len(prompts))

        frames = [None] * len(prompts) if lengths is None else lengths
        divisions = [self.divisions(prompt) for prompt in prompts]
        for way in range(max(map(len, divisions), default=0)):
            plans = {
                i: found[way]
                for i, found in enumerate(divisions)
                if motions[i] is None and len(found) > way and not is_plain(found[way])
            }
            ordered = {i: parts for i, parts in plans.items() if all(part.plain for part in parts)}
            told = [
                Told(prompts[i], [part.whole for part in parts], frames[i], seeds[i], [part.frames for part in parts])
                for i, parts in ordered.items()
            ]
            places = iter(ordered)
            for some in in_groups(told, at_once):
                for motion in self.each_in_order(some, best_of=best_of, **how):
                    motions[next(places)] = motion
                done()
            for i, parts in plans.items():
                if i not in ordered:
                    motions[i] = self.planned(prompts[i], parts, frames[i], seed=seeds[i], best_of=best_of, **how)
                    done()
            for i in plans if way == 0 else ():
                motion, recipes = motions[i], self.recipes(self.parts(prompts[i]))
                if motion is not None and recipes:  # several sentences in place of one
                    steps = {text: JOIN.join(part.whole for part in own) for text, own in recipes.items()}
                    motion.meta["wording"] = motion.meta.get("wording", {}) | steps
        return motions

    @torch.inference_mode()
    def planned(
        self,
        text: str,
        parts: Sequence[Part],
        frames: int | None = None,
        *,
        seed: int = 0,
        best_of: int = 1,
        candidates: int = 2,
        **how: Any,
    ) -> Motion | None:
        """What a sentence says in parts, joined as `sequence` does it, in the time of one motion.

        - Arms: what they do is a clip of its own, whose arms the body's clip gets (`utils.kinematics.arms`).
        - An amount: of several clips (`WAYS`) the first one is cut where so much is done; then the body stands. It is
          measured on the result, and cut elsewhere until it is as asked (`TRIES` at most).

        Args:
            text: the sentence, which the motion is of.
            parts: what it says (`models.sentences.plan`).
            frames: of the motion, which parts without an amount share as the length estimator would have them, or alike
                without one; None lets the estimator choose. Not more than `MAX_FRAMES`.
            seed: the same sentence, length and seed give the same motion.
            best_of: clips made of each part without an amount, of which the one is taken that LaMP finds most similar.
            candidates: ways that are tried at each seam, see `edit`.
            how: keyword arguments of `LaMPPipeline.__call__` for sampling.

        Returns:
            None where there is no time for as many parts, or the models do not do so much.

        Raises:
            UserError: no estimator to choose, or `best_of` without LaMP.
        """
        editor = self._editor(candidates, True, how)
        least, most = MIN_FRAMES // self.unit, MAX_FRAMES // self.unit
        room = most if frames is None else min(frames // self.unit, most)
        if room < least * len(parts):
            return None
        ends = parts[-1].amount is not None
        parts = [*parts, STILL] if ends else list(parts)
        long: dict[int, Tensor] = {}
        counts: dict[int, int] = {}
        for i, part in enumerate(parts):
            if part.amount is not None:
                # What is not measured again must not be made anew as a whole at its seams.
                measured_again = ends and i == len(parts) - 2
                shortest = SEAM_TOKENS * ((i > 0) + 1 + (not measured_again))
                alone = ends and len(parts) == 2
                enough = self._enough(editor, part, i, room, shortest, room - least * (len(parts) - 1), seed, alone)
                if enough is None:
                    return None
                long[i], counts[i] = enough
        if ends and len(parts) == 2 and counts[0] == room:
            parts, ends = parts[:1], False
        tokens = self._lengths(parts, counts, room, frames is None, seed)
        if tokens is None:
            return None
        others = {i: parts[i] for i in range(len(parts)) if i not in long}
        made, tried = self._clips(editor, others, tokens, seed, best_of)
        clips = long | made
        rows, texts = [clips[i] for i in range(len(parts))], [part.whole for part in parts]
        # What arms do besides would be lost in other words of the body's action.
        condition = self.text([self.worded(part.whole) if part.plain else part.whole for part in parts])
        seeds = [seed] * len(parts)

        def join(clips: Sequence[Tensor], counts: Sequence[int]) -> Motion:
            lengths = torch.tensor(counts, device=condition.device)
            return self._joined(editor, [texts], condition, clips, lengths, [seeds], candidates)[0]

        amount = parts[-2].amount if ends else None
        motion = join(rows, tokens) if amount is None else self._until_measured(amount, rows, tokens, join)
        if motion is None:
            return None
        # Of an amount, clips in several words were tried.
        said = [part.text for part in parts if part.amount is None] + [
            part.arms.text for part in parts if part.arms is not None
        ]
        motion.meta.update(prompt=text, **self.facts_of(said, tried))
        if len(parts) == 1:
            del motion.meta["sentences"]
        if best_of > 1:
            alike = matching.similarities(self.text, self.tokenizer, [motion], [text])[0]
            motion.meta.update(best_of=best_of, similarity=float(alike))
        return replace(motion, text=text)

    def _lengths(
        self, parts: Sequence[Part], counts: dict[int, int], room: int, free: bool, seed: int
    ) -> list[int] | None:
        """Tokens of each part, in `room` altogether, or in what they want if `free`; None without room for all.

        Args:
            parts: of the motion.
            counts: tokens of parts that have theirs already.
            room: tokens of the motion.
            free: the motion may be shorter.
            seed: of the motion.
        """
        texts, least = [part.text for part in parts], MIN_FRAMES // self.unit
        if free or self.length is not None:
            wanted = self._tokens(None, self.condition(texts), noise_of(texts, [seed] * len(texts))).tolist()
        else:
            wanted = [1] * len(parts)
        if parts[-1] is STILL and free:
            wanted[-1] = STILL_FRAMES // self.unit
        others = [i for i in range(len(parts)) if i not in counts]
        wanted = [wanted[i] for i in others]
        left = room - sum(counts.values())
        left = min(left, sum(wanted)) if free else left
        if left < least * len(others):
            return None
        shared = dict(zip(others, shares(wanted, left, least)))
        return [(counts | shared)[i] for i in range(len(parts))]

    def _clips(
        self, editor: Editor, parts: dict[int, Part], tokens: Sequence[int], seed: int, best_of: int
    ) -> tuple[dict[int, Tensor], list[Tried]]:
        """Codes (n, Q) of parts by their places, each the best of `best_of` for LaMP, and what came of their checks."""
        asked = [(i, part, f" {way}" if way else "") for way in range(best_of) for i, part in parts.items()]
        codes, tried = self._codes(editor, asked, [tokens[i] for i, _, _ in asked], seed)
        chosen = list(range(len(parts)))
        if best_of > 1 and parts:
            made = [
                self.decode(row[None], torch.tensor([len(row)], device=row.device), [self._facts(part.whole, seed)])[0]
                for row, (_, part, _) in zip(codes, asked)
            ]
            alike = matching.similarities(self.text, self.tokenizer, made, [part.whole for _, part, _ in asked])
            best = torch.tensor(alike).reshape(best_of, len(parts)).argmax(0).tolist()
            chosen = [way * len(parts) + place for place, way in enumerate(best)]
        return dict(zip(parts, (codes[row] for row in chosen))), [own for row in chosen for own in tried[row]]

    def _codes(
        self, editor: Editor, asked: Sequence[tuple[int, Part, str]], tokens: Sequence[int], seed: int
    ) -> tuple[list[Tensor], list[list[Tried]]]:
        """Codes (n, Q) of parts, each with its place and the name of the way it is made, arms put in; and what came of
        the checks of each."""
        noise = noise_of([part.text + way for _, part, way in asked], [seed] * len(asked), [at for at, _, _ in asked])
        arms = {i: part.arms for i, (_, part, _) in enumerate(asked) if part.arms is not None}
        names = [own.text + asked[i][2] for i, own in arms.items()]
        arms_noise = noise_of(names, [seed] * len(arms), [f"arms {asked[i][0]}" for i in arms])
        simple = [i for i, (_, part, _) in enumerate(asked) if part.pace is None]
        bodies, hands = [asked[i][1].text for i in simple], [own.text for own in arms.values()]
        counts = [tokens[i] for i in simple] + [ARMS_FRAMES // self.unit] * len(arms)
        made: list[Tensor] = []
        results: list[list[Tried]] = [[] for _ in asked]
        if counts:
            condition = self.condition(bodies + hands)
            lengths = torch.tensor(counts, device=condition.device)
            own_noise = [noise[i] for i in simple] + arms_noise
            checks = self.checks(bodies) + [None] * len(arms)
            made, tried = self._checked(editor, bodies + hands, checks, condition, lengths, own_noise)
            for i, own in zip(simple, tried):
                results[i] += [] if own is None else [own]
        clips = iter(made[: len(simple)])
        rows = [
            next(clips) if part.pace is None else self._at_pace(editor, part, tokens[i], noise[i])
            for i, (_, part, _) in enumerate(asked)
        ]
        places, first = list(arms), made[len(simple) :]

        def with_arms(chosen: list[int], numbers: list[int]) -> list[Tensor | None]:
            clips = [first[k] for k in chosen]
            if max(numbers) > 1:
                again = [noise_in_try(arms_noise[k], number) for k, number in zip(chosen, numbers)]
                condition = self.condition_in_try([hands[k] for k in chosen], numbers)
                clips = self._made(editor, condition, [ARMS_FRAMES // self.unit] * len(chosen), again)
            at = [places[k] for k in chosen]
            return [self._with_arms(editor, rows[i], clip, arms[i]) for i, clip in zip(at, clips)]

        def shown(check: Check, codes: Tensor | None) -> bool:
            # How the trunk tilts is the body's part.
            return codes is not None and replace(check, upright=False).passes(Body.of(joints_of(editor, codes)))

        for i, both, own in zip(places, *until_passed(self.checks(hands), with_arms, shown)):
            results[i] += [] if own is None else [own]
            if both is None:  # the arms do nothing, or would enter the body: all in one go
                (both,) = self._made(editor, self.text([asked[i][1].whole]), [tokens[i]], noise[i : i + 1])
            rows[i] = both
        return rows, results

    def _at_pace(self, editor: Editor, part: Part, tokens: int, seed: int) -> Tensor:
        """Codes (`tokens`, Q) of the clip, of `WAYS`, that goes about as fast as asked; walks may be played faster.

        Args:
            editor: of the models.
            part: with a pace.
            tokens: of the clip.
            seed: of its noise.
        """
        pace = part.pace
        assert pace is not None
        # Of what is played faster there must be more. Longer runs are slower, so these stay as they are.
        count, faster = tokens, pace.fast and not pace.runs
        if faster:
            count = min(int(np.ceil(tokens * MOST_FASTER)), MAX_FRAMES // self.unit)
        texts = [part.text, *[pace.other] * (WAYS - 1)]
        noise = [seed, *noise_of(texts[1:], [seed] * (WAYS - 1), range(1, WAYS))]
        clips = self._made(editor, self.text(texts), [count] * WAYS, noise)
        joints = [joints_of(editor, codes) for codes in clips]
        bodies = [Body.of(own) for own in joints]
        speeds = [float(np.median(body.speed[body.moving])) if body.moving.any() else 0.0 for body in bodies]
        codes, speed = clips[way := at_speed(speeds, pace)], max(speeds[way], 1e-3)
        times = min(max(pace.speed / speed, 1.0), count / tokens) if faster else 1.0
        if not pace.fast and not pace.runs:
            times = max(min(pace.speed / speed, 1.0), MOST_SLOWER)
        if abs(times - 1) < 0.02:
            return codes[:tokens]
        features = motion_features(Motion(joints[way], fps=self.fps * times), HUMANML3D)
        frames = tokens * self.unit
        short = max(0, frames - len(features))  # a frame or two at the end of what was played faster
        return editor.encode(torch.cat((features, features[-1:].expand(short, -1)))[:frames])

    def _with_arms(self, editor: Editor, body: Tensor, arms: Tensor, how: Arms) -> Tensor | None:
        """Codes (n, Q) of a body with the arms of another motion; None where that is not possible."""
        made = arms_on(joints_of(editor, body), joints_of(editor, arms), how.sides, how.hold)
        if made is None:
            return None
        return editor.encode(self._features(made))

    def _features(self, joints: np.ndarray) -> Tensor:
        """Motion features (T, D) of joints (T, J, 3)."""
        # T joints make T - 1 frames of features: the last one goes on as it went.
        joints = np.concatenate((joints, 2 * joints[-1:] - joints[-2:-1])).astype(np.float32)
        return motion_features(Motion(joints, fps=self.fps), HUMANML3D)

    def _enough(
        self, editor: Editor, part: Part, place: int, room: int, shortest: int, most: int, seed: int, alone: bool
    ) -> tuple[Tensor, int] | None:
        """Codes (`room`, Q) of a clip, and after how many of them, `shortest` to `most`, a part's amount is done.

        Args:
            editor, seed: of the motion.
            part, place: with an amount, and its place.
            room: tokens of the motion.
            shortest, most: tokens that the part needs at least, and may take.
            alone: nothing need come after it.

        Returns:
            Where none does so much in time, one that does about as much in all of `room`, if `alone`; or None.
        """
        amount = part.amount
        assert amount is not None
        # One of them as fast as asked, others as fast as they are.
        others = replace(part, pace=None)
        ways = [part, *[others] * (WAYS - 1)]
        if amount.kind == "degrees":  # who is told an angle may walk in a curve, which is less
            ways[1::2] = [replace(others, text=text) for text in turns_of(amount)]
        asked = [(place, own, f" {way}" if way else "") for way, own in enumerate(ways)]
        long = max(room, TURN_FRAMES // self.unit) if amount.is_around else room
        clips, _ = self._codes(editor, asked, [room if way == 1 else long for way in range(WAYS)], seed)
        # Who is told to turn around may do so to the other side; what arms do there, too, is of one side already.
        if amount.side is not None and part.arms is None:
            clips[1::2] = [self._to_side(editor, codes, amount) for codes in clips[1::2]]
        bodies = [Body.of(joints_of(editor, codes)) for codes in clips]
        cut = cut_of(bodies, amount, not goes(part.text), self.unit, shortest, most, room if alone else None)
        return None if cut is None else (clips[cut[0]][:room], cut[1])

    def _to_side(self, editor: Editor, codes: Tensor, turn: Amount) -> Tensor:
        """Codes (n, Q) of a turn as they are, or of its mirror image where it goes to the other side."""
        joints = joints_of(editor, codes)
        if done_by(Body.of(joints), turn)[-1] >= 0:
            return codes
        mirrored = mirror_joints(torch.from_numpy(joints), HUMANML3D).numpy()
        return editor.encode(self._features(mirrored))

    def _until_measured(
        self,
        amount: Amount,
        clips: Sequence[Tensor],
        tokens: Sequence[int],
        join: Callable[[Sequence[Tensor], Sequence[int]], Motion],
    ) -> Motion | None:
        """Clips joined, of which the last but one is as long as it takes until an amount is done in the result.

        None where it is not even about as asked.
        """
        start, total = sum(tokens[:-2]) * self.unit, tokens[-2] + tokens[-1]
        found: dict[int, tuple[float, Motion]] = {}
        count, low, high = tokens[-2], (SEAM_TOKENS - 1, 0.0), (total - SEAM_TOKENS + 1, np.inf)
        while len(found) < TRIES:
            still = clips[-1][[min(i, len(clips[-1]) - 1) for i in range(total - count)]]
            rows, counts = [*clips[:-2], clips[-2][:count], still], [*tokens[:-2], count, total - count]
            motion = join(rows, counts)
            body = Body.of(motion.joints)
            done = float(done_by(body.part(start, len(body)), amount)[-1])
            found[count] = (abs(done - amount.value), motion)
            if found[count][0] <= NEAR[amount.kind]:
                break
            low, high = ((count, done), high) if done < amount.value else (low, (count, done))
            if high[0] - low[0] < 2:
                break
            if np.isfinite(high[1]):
                count = low[0] + round((high[0] - low[0]) * (amount.value - low[1]) / (high[1] - low[1]))
            else:
                count = round(count * amount.value / max(done, amount.value / 2))
            count = min(max(count, low[0] + 1), high[0] - 1)
        off, motion = min(found.values(), key=lambda tried: tried[0])
        return motion if off <= max(ABOUT * amount.value, 1.0 if amount.kind == "steps" else 0.0) else None
