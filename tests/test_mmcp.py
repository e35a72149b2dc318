"""The back end for animation programs, asked by the protocol's own client over HTTP."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from lamp.models.pipeline import LaMPPipeline
from lamp.utils.export.body_plan import HUMAN_PLAN
from lamp.utils.gltf.container import Gltf
from lamp.utils.kinematics.geometry import quat_multiply, quat_rotate
from lamp.utils.motion import Motion
from tests.test_export import walk

pytest.importorskip("motionmcp", reason="needs the extra mmcp")
from motionmcp.errors import ProtocolError
from motionmcp.schemas import GenerateRequest

from lamp.serve.mmcp import LaMPBackbone

ROOT = Path(__file__).resolve().parent.parent
client = pytest.importorskip("motionmcp.client.http")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of `lamp serve-mmcp`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lamp", "serve-mmcp", "--port", str(port), "--gpu_id", "-1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stdout is not None and "LaMP answers at" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def capabilities(server: str) -> dict[str, Any]:
    for _ in range(50):
        try:
            return client.get_capabilities(server)
        except client.MmcpError:
            time.sleep(0.1)
    return client.get_capabilities(server)


def request_of(skeleton: dict[str, Any], frames: int = 40, **more: Any) -> dict[str, Any]:
    return {
        "protocol_version": "1.0",
        "model": "lamp",
        "skeleton": skeleton,
        "segments": [{"type": "text", "prompt": "a person walks forward", "duration_frames": frames}],
        "options": {"seed": 3},
        **more,
    }


def played(document: dict[str, Any]) -> tuple[list[str], np.ndarray]:
    """Names and places (T, J, 3) of the nodes, as a player of the animation has them."""
    import base64

    data = base64.b64decode(document["buffers"][0]["uri"].partition(",")[2])

    def values(index: int) -> torch.Tensor:
        entry = document["accessors"][index]
        view = document["bufferViews"][entry["bufferView"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[entry["type"]]
        array = np.frombuffer(data, "<f4", entry["count"] * width, view["byteOffset"])
        return torch.from_numpy(array.reshape(-1, width).astype(np.float64))

    nodes, animation = document["nodes"], document["animations"][0]
    keys = {
        (channel["target"]["node"], channel["target"]["path"]): values(
            animation["samplers"][channel["sampler"]]["output"]
        )
        for channel in animation["channels"]
    }
    parents = {child: i for i, node in enumerate(nodes) for child in node.get("children", ())}
    places: dict[int, torch.Tensor] = {}
    turns: dict[int, torch.Tensor] = {}
    count = len(keys[document["scenes"][0]["nodes"][0], "translation"])
    pending = list(document["scenes"][0]["nodes"])
    for i in pending:
        pending += nodes[i].get("children", [])
        local = keys.get((i, "translation"), torch.tensor(nodes[i]["translation"]).double().expand(count, 3))
        turn = keys[i, "rotation"][:, [3, 0, 1, 2]]
        above = parents.get(i)
        places[i] = local if above is None else places[above] + quat_rotate(turns[above], local)
        turns[i] = turn if above is None else quat_multiply(turns[above], turn)
    return [node["name"] for node in nodes], torch.stack([places[i] for i in range(len(nodes))], 1).numpy()


def test_the_client_gets_a_walk_on_our_skeleton(server: str, capabilities: dict[str, Any]) -> None:
    (model,) = capabilities["models"]
    assert model["fps"] == 20 and model["supported_segments"] == ["text"]
    names, joints = played(client.generate(server, request_of(model["canonical_skeleton"])))
    assert joints.shape == (40, 22, 3)
    order = [names.index(name) for name in HUMAN_PLAN.names]
    pipe = LaMPPipeline.from_pretrained()
    expected = pipe("a person walks forward", 40, seed=3)[0].with_foot_cleanup().joints
    apart = np.linalg.norm(joints[:, order] - expected, axis=-1)
    # Another body's bones, legs planted the same. Pelvis and shoulders of two sources of motion are built differently.
    assert np.median(apart[:, [7, 8, 10, 11]]) < 0.02 and apart.max() < 0.12


def test_the_answer_is_a_glb_file(server: str, capabilities: dict[str, Any], tmp_path: Path) -> None:
    body = json.dumps(request_of(capabilities["models"][0]["canonical_skeleton"])).encode()
    headers = {"Content-Type": "application/json", "Accept": "model/gltf-binary"}
    ask = urllib.request.Request(f"{server}/generate", body, headers)
    with urllib.request.urlopen(ask) as answer:
        assert answer.headers["Content-Type"] == "model/gltf-binary"
        (tmp_path / "walk.glb").write_bytes(answer.read())
    document = Gltf.load(tmp_path / "walk.glb").document
    assert len(document["animations"]) == 1 and len(document["nodes"]) == 22
    headers["Accept"] = "application/json"
    with urllib.request.urlopen(urllib.request.Request(f"{server}/generate", body, headers)) as answer:
        assert "uri" in json.load(answer)["buffers"][0]


def mixamo(scale: float = 0.5) -> dict[str, Any]:
    """A smaller T-posed character with a root above its hips, turned bones, a finger and a tail."""
    from lamp.utils.export.fit import rest_directions

    names = {
        "Hips": 0, "Spine": 3, "Spine1": 6, "Spine2": 9, "Neck": 12, "Head": 15, "LeftShoulder": 13, "LeftArm": 16,
        "LeftForeArm": 18, "LeftHand": 20, "RightShoulder": 14, "RightArm": 17, "RightForeArm": 19, "RightHand": 21,
        "LeftUpLeg": 1, "LeftLeg": 4, "LeftFoot": 7, "LeftToeBase": 10, "RightUpLeg": 2, "RightLeg": 5, "RightFoot": 8,
        "RightToeBase": 11,
    }  # fmt: skip
    of_joint = {joint: name for name, joint in names.items()}
    directions = rest_directions().numpy()
    lengths = {4: 0.4, 5: 0.4, 7: 0.42, 8: 0.42, 18: 0.26, 19: 0.26, 20: 0.25, 21: 0.25}
    joints = [{"name": "Armature", "parent": None, "rest_translation": [0, 0, 0], "rest_rotation": [0, 0, 0, 1]}]
    for name, joint in names.items():
        parent = HUMAN_PLAN.parents[joint]
        offset = directions[joint] * lengths.get(joint, 0.13) * scale
        if joint == 0:
            offset = np.array([0, 0.93, 0]) * scale
        joints.append({
            "name": f"mixamorig:{name}",
            "parent": "Armature" if parent < 0 else f"mixamorig:{of_joint[parent]}",
            "rest_translation": offset.tolist(),
            "rest_rotation": [0, 0, 0, 1],
        })  # fmt: skip
    tail = {"name": "tail", "parent": "mixamorig:Hips", "rest_translation": [0, 0, -0.1], "rest_rotation": [0, 0, 0, 1]}
    return {"joints": [*joints, tail]}


def test_a_character_of_the_program_walks_at_its_own_size(server: str, capabilities: dict[str, Any]) -> None:
    skeleton = mixamo()
    names, joints = played(client.generate(server, request_of(skeleton, frames=60, timing={"fps": 30})))
    assert joints.shape == (60, 24, 3) and names == [joint["name"] for joint in skeleton["joints"]]
    at = {name: joints[:, i] for i, name in enumerate(names)}
    shin = at["mixamorig:LeftFoot"] - at["mixamorig:LeftLeg"]
    assert np.allclose(np.linalg.norm(shin, axis=-1), 0.42 * 0.5, atol=1e-4)
    toes = np.minimum(at["mixamorig:LeftToeBase"][:, 1], at["mixamorig:RightToeBase"][:, 1])
    assert np.abs(toes - 0.02).max() < 0.04  # one foot at least stands
    travelled = at["mixamorig:Hips"][-1] - at["mixamorig:Hips"][0]
    assert travelled[2] > 0.4 and abs(travelled[0]) < 0.4


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"segments": [{"type": "text", "prompt": " ", "duration_frames": 40}]}, "invalid_request"),
        ({"segments": [{"type": "text", "prompt": "walk", "duration_frames": 4000}]}, "invalid_options"),
        ({"segments": [{"type": "text", "prompt": "walk", "duration_frames": 300}]}, "invalid_request"),
        ({"segments": [{"type": "text", "prompt": "walk", "duration_frames": n} for n in (40, 10)]}, "invalid_request"),
        ({"segments": [{"type": "text", "prompt": p, "duration_frames": 30} for p in ("walk", " ")]},
         "invalid_request"),
        ({"segments": [{"type": "text", "prompt": "walk", "duration_frames": 150}] * 9}, "invalid_options"),
        ({"segments": [{"type": "unconditioned", "duration_frames": 30}]}, "unsupported_segment"),
        ({"options": {"seed": -1}}, "invalid_options"),
        ({"options": {"guidance": {"type": "separated", "weight": [1, 2]}}}, "invalid_options"),
        ({"options": {"model_options": {"time_steps": 1000}}}, "invalid_options"),
        ({"timing": {"fps": 0.01}}, "invalid_options"),
        ({"skeleton": {"joints": [{"name": "a", "rest_translation": [0, 0, 0], "rest_rotation": [0, 0, 0, 1]}]}},
         "invalid_skeleton"),
        ({"skeleton": {"joints": [{"name": "a", "rest_translation": [0, 0, 0], "rest_rotation": [0, 0, 0, 0]}]}},
         "invalid_skeleton"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_by_a_code_and_a_line(
    change: dict[str, Any], code: str, server: str, capabilities: dict[str, Any]
) -> None:
    with pytest.raises(client.MmcpError) as caught:
        client.generate(server, request_of(capabilities["models"][0]["canonical_skeleton"]) | change)
    assert caught.value.code == code
    assert "Traceback" not in str(caught.value) and "--" not in str(caught.value)


def test_the_same_request_gives_the_same_motion(server: str, capabilities: dict[str, Any]) -> None:
    request = request_of(capabilities["models"][0]["canonical_skeleton"], frames=24)
    request["options"] |= {"num_samples": 2, "guidance": {"type": "regular", "weight": [2.0]}}
    first, again = (client.generate(server, request) for _ in range(2))
    assert first["buffers"] == again["buffers"] and len(first["animations"]) == 2
    request["options"]["guidance"] = {"type": "nocfg"}
    assert client.generate(server, request)["buffers"] != first["buffers"]


def test_several_segments_are_a_sequence(server: str, capabilities: dict[str, Any]) -> None:
    (model,) = capabilities["models"]
    assert model["supports_segment_seed"] and model["chunking"] == "stitched"
    texts = ["a person walks forward", "a person bows"]
    request = request_of(model["canonical_skeleton"])
    request["segments"] = [
        {"type": "text", "prompt": text, "duration_frames": 40 + 20 * i, "seed": 5 + i} for i, text in enumerate(texts)
    ]
    answer = client.generate(server, request)
    assert answer["extensions"]["MMCP_motion"]["samples"][0]["chunk_boundaries"] == [40]
    names, joints = played(answer)
    assert joints.shape == (100, 22, 3)
    order = [names.index(name) for name in HUMAN_PLAN.names]
    expected = LaMPPipeline.from_pretrained().sequence(texts, [40, 60], seeds=[5, 6]).with_foot_cleanup().joints
    assert np.median(np.linalg.norm(joints[:, order] - expected, axis=-1)) < 0.02
    # Another seed of the second sentence leaves the first as it was, but for the tokens at the seam.
    request["segments"][1]["seed"] = 7
    _, other = played(client.generate(server, request))
    apart = np.abs(other - joints).max((1, 2))
    assert apart[:16].max() < 0.03 and apart[60:].max() > 0.05  # bone lengths are those of the whole
    # At another frame rate the seam is where the client asked for it, in its own frames.
    request["segments"] = [segment | {"duration_frames": 37} for segment in request["segments"]]
    answer = client.generate(server, request | {"timing": {"fps": 25}})
    assert len(played(answer)[1]) == 74
    assert answer["extensions"]["MMCP_motion"]["samples"][0]["chunk_boundaries"] == [37]


def test_names_of_other_sites_are_refused(server: str, capabilities: dict[str, Any]) -> None:
    ask = urllib.request.Request(f"{server}/capabilities", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(ask)
    assert caught.value.code == 400


def test_a_port_that_is_taken_is_one_line(server: str) -> None:
    command = [sys.executable, "serve_mmcp.py", "--port", server.rpartition(":")[2]]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=dict(os.environ))
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1 and "--port" in ended.stderr


def test_a_stopped_server_gives_up_what_it_computes() -> None:
    class Making:
        """A pipeline that is told to stop while it computes."""

        fps, unit = 20.0, 4

        def __call__(self, prompts: object, lengths: object, **how: Any) -> list[Motion]:
            if "on_step" in how:
                backbone.close()
                how["on_step"](1, 10)
            return [Motion(walk(40))]

    backbone = LaMPBackbone(cast(LaMPPipeline, Making()))
    spec = backbone.capabilities().model_dump(mode="json")
    with pytest.raises(ProtocolError, match="being stopped"):
        backbone.generate(GenerateRequest.model_validate(request_of(spec["canonical_skeleton"])))
