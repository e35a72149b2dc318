"""LaMP as a back end of the Motion Model Context Protocol (MMCP), which animation programs ask over HTTP.

A request carries the skeleton of the program's own character. The motion comes back on that skeleton: our motion is
put on it as `lamp.utils.character` puts one on a character's file.
"""

import base64
import json
import math
import re
import threading
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastapi import FastAPI, Request, Response
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import StreamingResponse
from motionmcp import Backbone, ModelSpec, MotionResult
from motionmcp.backbone import Limits
from motionmcp.errors import ProtocolError
from motionmcp.schemas import GenerateRequest, Joint, ModelOption, Options, Skeleton, TextSegment
from motionmcp.server import build_app

from lamp.models.pipeline import LaMPPipeline
from lamp.models.sequences import MIN_FRAMES
from lamp.serve.network import LOCAL
from lamp.utils.character.retarget import retarget
from lamp.utils.character.rig import Rig, read_rig, turns_of
from lamp.utils.errors import UserError
from lamp.utils.export.fit import SkeletonFit
from lamp.utils.export.npz import RATES, foot_contacts
from lamp.utils.gltf.animation import continuous, rest_positions
from lamp.utils.gltf.container import Gltf
from lamp.utils.kinematics.geometry import quat_rotate
from lamp.utils.kinematics.skeleton import HUMANML3D, MAX_FRAMES
from lamp.utils.motion import Motion

GLB, GLTF = "model/gltf-binary", "model/gltf+json"
MOST_JOINTS = 1000
LONGEST_PROMPT = 1000  # characters
LARGEST_SEED = 2**32
LONGEST = 60.0  # seconds, of all segments
STEPS = (1, 50)
_FEET = ("leftFoot", "leftToes", "rightFoot", "rightToes")
"""VRM's names of the joints of `foot_contacts`."""


class LaMPBackbone(Backbone):
    """What the protocol's server asks for capabilities and motions. Requests are answered one at a time.

    Args:
        pipe: the models.

    Raises:
        UserError: they have not the 22 joints of HumanML3D.
    """

    model_id = "lamp"

    def __init__(self, pipe: LaMPPipeline) -> None:
        self.pipe, self._lock, self._closed = pipe, threading.Lock(), False
        (still,) = pipe("a person stands still", MIN_FRAMES)
        if still.joints.shape[1] != HUMANML3D.num_joints:
            raise UserError("--models makes motions of KIT-ML's skeleton; MMCP needs one of HumanML3D's")
        self._skeleton = own_skeleton(still.rotations())

    def close(self) -> None:
        """Stop what is computed, and refuse what comes; handlers of signals may call it."""
        self._closed = True

    def _check(self, done: int, total: int) -> None:
        if self._closed:
            raise ProtocolError("model_unavailable", "the server is being stopped; ask again when it was started anew")

    def capabilities(self) -> ModelSpec:
        """What requests may hold."""
        pipe, seconds = self.pipe, MAX_FRAMES / self.pipe.fps
        return ModelSpec(
            id=self.model_id,
            fps=pipe.fps,
            canonical_skeleton=self._skeleton,
            supports_retargeting=True,
            supported_segments=["text"],
            supported_guidance_types=["nocfg", "regular"],
            predicted_contact_joints=[self._skeleton.joints[joint].name for joint in (7, 10, 8, 11)],
            supports_segment_seed=True,
            native_clip_seconds=seconds,
            chunking="stitched",
            recommended_max_duration_seconds=LONGEST,
            limits=Limits(max_duration_seconds=LONGEST, max_prompt_length=LONGEST_PROMPT),
            model_options=[
                ModelOption(
                    name="time_steps",
                    type="integer",
                    title="Steps",
                    description="rounds in which the codes of a motion are filled in",
                    default=10,
                    minimum=STEPS[0],
                    maximum=STEPS[1],
                )
            ],
        )

    def generate(self, request: GenerateRequest) -> MotionResult:
        """Motions on the skeleton of the request.

        Raises:
            ProtocolError: a request that this model cannot answer.
        """
        options = request.options or Options()
        rig = rig_of(request.skeleton)
        fps = request.fps(self.pipe.fps)
        with self._lock:
            motions = self._motions(request, options, fps)
            try:
                placed = [placed_on(motion, rig) for motion in motions]
            except UserError as error:
                raise ProtocolError("invalid_skeleton", str(error)) from error
        names = [joint.name for joint in request.skeleton.joints]
        contacts = np.stack([foot_contacts(motion.rotations(), motion.fps) for motion in motions])
        feet = {names[rig.bones[role]]: contacts[:, :, i] for i, role in enumerate(_FEET) if role in rig.bones}
        rotations, roots = (np.stack(values).astype(np.float32) for values in zip(*placed))
        ends = np.cumsum([segment.duration_frames for segment in request.segments if isinstance(segment, TextSegment)])
        seams = [ends[:-1].tolist()] * len(motions)
        return MotionResult(rotations, roots, foot_contacts=feet, chunk_boundaries=seams, notes=self._notes(request))

    def _motions(self, request: GenerateRequest, options: Options, fps: float) -> list[Motion]:
        """Of one segment a motion, of several a sequence, `num_samples` of it."""
        segments = [segment for segment in request.segments if isinstance(segment, TextSegment)]
        if not segments or len(segments) < len(request.segments):
            raise ProtocolError("invalid_request", "segments are texts; send one at least")
        if not RATES[0] <= fps <= RATES[1]:
            raise ProtocolError("invalid_request", f"timing.fps {fps:g}: give {RATES[0]:g} to {RATES[1]:g}")
        prompts = [segment.prompt for segment in segments]
        if not all(prompt.strip() for prompt in prompts):
            raise ProtocolError("invalid_request", "a prompt is empty; write what the person does")
        if options.guidance is not None and options.guidance.type == "separated":
            raise ProtocolError("invalid_options", "guidance is nocfg or regular")
        lengths = self._lengths([segment.duration_frames for segment in segments], fps)
        seeds = self._seeds(segments, options)
        steps = int((options.model_options or {}).get("time_steps", 10))
        how: dict[str, Any] = {"time_steps": steps, "on_step": self._check}
        if options.guidance is not None:  # a scale of 1 leaves the model's own answer to the prompt
            how["cond_scale"] = options.guidance.weight[0] if options.guidance.weight else 1.0
        if len(segments) == 1:
            count = options.num_samples
            made = self.pipe(prompts * count, lengths * count, seeds=[own for (own,) in seeds], **how)
        else:
            made = [self.pipe.sequence(prompts, lengths, seeds=own, **how) for own in seeds]
        return [_cut(_finished(motion, options.post_processing).at_rate(fps), request.total_frames) for motion in made]

    def _lengths(self, durations: list[int], fps: float) -> list[int]:
        """Frames to generate of each segment, in whole tokens: a little more in all than is asked for, which is cut.

        A segment begins at the token that is nearest to its first frame.
        """
        shortest, longest = MIN_FRAMES / self.pipe.fps, MAX_FRAMES / self.pipe.fps
        for number, frames in enumerate(durations):
            seconds = frames / fps
            if seconds > longest + 1e-6 or (len(durations) > 1 and seconds < shortest - 1e-6):
                raise ProtocolError(
                    "invalid_request",
                    f"segment {number} has {seconds:.2f} s; give at most {longest:g}, of several at least {shortest:g}",
                )
        unit = self.pipe.unit
        begins = [round(sum(durations[:number]) / fps * self.pipe.fps / unit) for number in range(len(durations))]
        last = math.ceil(((sum(durations) - 1) / fps * self.pipe.fps + 1) / unit - 1e-6)
        tokens = [after - begin for begin, after in zip(begins, [*begins[1:], last])]
        return [min(max(count * unit, MIN_FRAMES), MAX_FRAMES) for count in tokens]

    def _seeds(self, segments: list[TextSegment], options: Options) -> list[list[int]]:
        """For each sample a seed of each segment."""
        drawn = int(np.random.default_rng().integers(LARGEST_SEED)) if options.seed is None else options.seed
        seeds = [drawn if segment.seed is None else segment.seed for segment in segments]
        for seed in seeds:
            if not 0 <= seed < LARGEST_SEED:
                raise ProtocolError("invalid_options", f"seed {seed}: give 0 to {LARGEST_SEED - 1}")
        return [[seed + sample for seed in seeds] for sample in range(options.num_samples)]

    def _notes(self, request: GenerateRequest) -> list[dict[str, Any]]:
        prompts = [segment.prompt for segment in request.segments if isinstance(segment, TextSegment)]
        lines = self.pipe.notes(prompts)
        return [{"code": "prompt", "severity": "warning", "message": line} for line in lines]


def _finished(motion: Motion, clean_feet: bool) -> Motion:
    return motion.with_foot_cleanup() if clean_feet else motion.with_constant_bones()


def _cut(motion: Motion, frames: int) -> Motion:
    """The first frames; the last pose is held where resampling leaves one frame too few."""
    fit = motion.rotations()
    take = np.minimum(np.arange(frames), len(motion) - 1)
    cut = SkeletonFit(fit.offsets, fit.rotations[take], fit.root[take], fit.joints[take])
    return Motion(cut.joints, fps=motion.fps, text=motion.text, meta=motion.meta, fit=cut)


def own_skeleton(fit: SkeletonFit) -> Skeleton:
    """Our skeleton in its T-pose, standing on the floor, as the protocol has it."""
    places = rest_positions(fit)
    offsets = places - places[[max(parent, 0) for parent in fit.plan.parents]]
    offsets[0] = places[0]
    names = fit.plan.names
    return Skeleton(
        joints=[
            Joint(
                name=name,
                parent=None if parent < 0 else names[parent],
                rest_translation=tuple(np.round(offset, 6).tolist()),
                rest_rotation=(0.0, 0.0, 0.0, 1.0),
            )
            for name, parent, offset in zip(names, fit.plan.parents, offsets)
        ]
    )


def rig_of(skeleton: Skeleton) -> Rig:
    """The request's skeleton with the bones that were found in it.

    Raises:
        ProtocolError: no human's skeleton.
    """
    joints = skeleton.joints
    if len(joints) > MOST_JOINTS:
        raise ProtocolError("invalid_skeleton", f"{len(joints)} joints; {MOST_JOINTS} are the most")
    place = {joint.name: i for i, joint in enumerate(joints)}
    nodes: list[dict[str, Any]] = [
        {"name": joint.name, "translation": list(joint.rest_translation), "rotation": _unit(joint)} for joint in joints
    ]
    for i, joint in enumerate(joints):
        if joint.parent is not None:
            nodes[place[joint.parent]].setdefault("children", []).append(i)
    document = {"nodes": nodes, "skins": [{"joints": list(range(len(joints)))}]}
    try:
        rig = read_rig(Gltf(document), Path("skeleton"))
    except UserError as error:
        message = re.split(r";? *(name|write|pass|give)[^;]*--character_map", str(error))[0]
        raise ProtocolError("invalid_skeleton", f"{message}; use the usual names of bones") from error
    # In the order of the request.
    order = np.argsort(rig.nodes)
    back = {int(old): new for new, old in enumerate(order)}
    parents = [back[rig.parents[old]] if rig.parents[old] >= 0 else -1 for old in order]
    bones = {role: back[bone] for role, bone in rig.bones.items()}
    return Rig(list(range(len(joints))), parents, rig.local[order], rig.world[order], bones)


def _unit(joint: Joint) -> list[float]:
    turn = np.array(joint.rest_rotation, dtype=np.float64)
    length = np.linalg.norm(turn)
    if not 1e-6 < length < 1e6:
        raise ProtocolError("invalid_skeleton", f"joint {joint.name[:40]!r} has no unit quaternion as rest_rotation")
    return (turn / length).tolist()


def placed_on(motion: Motion, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations (T, N, 4) as (x, y, z, w) of all nodes of a rig, and where its root is (T, 3).

    Raises:
        UserError: no motion can be put on this rig.
    """
    made = retarget(motion.rotations(), rig)
    still = turns_of(rig.local).numpy()
    rotations = np.repeat(still[None], len(motion), axis=0)
    for node, turns in made.rotations.items():
        rotations[:, node] = turns.numpy()
    rotations = np.stack([continuous(rotations[:, node]) for node in range(rotations.shape[1])], axis=1)
    # Only the root of the skeleton travels: it goes wherever that brings the hips.
    hips = rig.bones["hips"]
    shift = made.hips - torch.from_numpy(rig.local[hips, :3, 3])
    if rig.parents[hips] >= 0:
        shift = quat_rotate(turns_of(rig.world[[rig.parents[hips]]]), shift)
    return rotations[..., [1, 2, 3, 0]], rig.local[0, :3, 3] + shift.numpy()


def build_server(backbone: LaMPBackbone, host: str) -> FastAPI:
    """The protocol's server.

    Args:
        backbone: the models.
        host: address that will be listened on. Below 127.0.0.1 only requests to this computer's own names are answered,
            so that pages of other sites cannot ask by a name that they let point here.
    """
    app = build_app(backbone, title="LaMP")
    if host in LOCAL:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL))

    @app.exception_handler(TypeError)
    async def unreadable(request: Request, error: TypeError) -> Response:
        """The package looks a segment's type up before it knows that it is a text."""
        if traceback.extract_tb(error.__traceback__)[-1].name != "_gate_segment_types":
            raise error
        refuse: Any = app.exception_handlers[ProtocolError]
        return await refuse(request, ProtocolError("schema_validation", "the type of a segment is no text"))

    @app.middleware("http")
    async def packed(request: Request, answer: Callable[[Request], Awaitable[StreamingResponse]]) -> Response:
        """Motions go in binary to clients that say that they can read it: three quarters of the text's size."""
        response = await answer(request)
        accepted = GLB in request.headers.get("accept", "")
        if not accepted or not response.headers.get("content-type", "").startswith(GLTF):
            return response
        parts = [part.encode() if isinstance(part, str) else part async for part in response.body_iterator]
        return Response(as_glb(json.loads(b"".join(parts))), media_type=GLB)

    return app


def as_glb(document: dict[str, Any]) -> bytes:
    """A glTF document that has its one buffer in itself, as a GLB file."""
    data = base64.b64decode(document["buffers"][0].pop("uri").partition(",")[2])
    return Gltf(document, bytearray(data)).packed()
