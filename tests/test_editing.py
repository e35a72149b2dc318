"""Editing, sequences, loops and the best of several: what stays, what is equal, what flows, what is refused."""

import copy
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lamp.models.editing import SEAM_TOKENS, frames_of
from lamp.models.fast import speed_up
from lamp.models.pipeline import LaMPPipeline
from lamp.models.t2m.editor import FADE_FRAMES, Editor, faded
from lamp.models.text_condition import CachedCondition
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.options.gen import EditOptions
from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import features_to_joints, joints_to_features, recover_root
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.looping import close_turn, rounds, through_rounds
from lamp.utils.motion import Motion
from lamp.utils.prompts import Prompts, Step, read_prompts
from tests.test_export import walk
from tests.test_pipeline import assemble, tiny_parts
from tests.test_t2m import LENGTHS, conditions, masked_model, random_codes, residual_model

FEW = {"candidates": 2, "time_steps": 2}


@pytest.fixture(scope="module")
def pipe() -> LaMPPipeline:
    """Small models whose decoder reaches 15 frames, with the features of a walk as statistics."""
    parts = tiny_parts()
    tokenizer, features = parts["tokenizer"], source_features()
    with torch.no_grad():
        tokenizer.mean.copy_(features.mean(0))
        tokenizer.std.copy_(features.std(0).clamp_min(0.05))
        for parameter in tokenizer.decoder.parameters():  # so that every token is seen in the motion
            if parameter.dim() > 1:
                parameter.mul_(2)
        tokenizer.quantizer.codebooks.normal_(generator=torch.Generator().manual_seed(1))
    return assemble(parts)


def source_features(frames: int = 120) -> Tensor:
    return joints_to_features(torch.from_numpy(walk(frames + 1)).float(), HUMANML3D)


def source(frames: int = 120) -> Motion:
    features = source_features(frames)
    return Motion(features_to_joints(features).numpy(), features.numpy(), text="a person walks")


# The transformers


@pytest.mark.parametrize("attention", ["causal", "full"])
@pytest.mark.parametrize("fast", [False, True])
def test_tokens_outside_stay_and_the_fast_networks_give_the_same(attention: str, fast: bool) -> None:
    masked, residual = masked_model(attention=attention), residual_model()
    if fast:
        masked, residual = speed_up(copy.deepcopy(masked)), speed_up(copy.deepcopy(residual))
    codes, mask = random_codes(3, 9, 4), torch.rand(3, 9, generator=torch.Generator().manual_seed(3)) < 0.4
    valid = torch.arange(9) < LENGTHS[:, None]
    how = {"topkr": 0.5, "seeds": [1, 2, 3]}
    base = masked.edit(codes[..., 0], mask, conditions(), LENGTHS, steps=4, **how)
    assert torch.equal(base[valid & ~mask], codes[..., 0][valid & ~mask]) and (base[~valid] == -1).all()
    assert not torch.equal(base[valid], codes[..., 0][valid])
    given = codes.clone()
    given[..., 0] = base
    made = residual.edit(given, mask, conditions(), LENGTHS, **how)
    assert torch.equal(made[valid & ~mask], codes[valid & ~mask]) and torch.equal(made[valid][:, 0], base[valid])
    assert not torch.equal(made[valid & mask][:, 1:], codes[valid & mask][:, 1:])
    plain_base = masked_model(attention=attention).edit(codes[..., 0], mask, conditions(), LENGTHS, steps=4, **how)
    assert torch.equal(base, plain_base)
    assert torch.equal(made, residual_model().edit(given, mask, conditions(), LENGTHS, **how))


# The decoder's reach


@pytest.mark.parametrize(
    "sizes",
    [{"depth": 1}, {"depth": 2}, {"depth": 1, "down_t": 3}, {"depth": 2, "down_t": 1, "dilation_growth_rate": 2}],
)
def test_the_reach_is_what_a_token_changes(sizes: dict[str, int]) -> None:
    torch.manual_seed(0)
    tokenizer = RVQVAE(RVQConfig(num_quantizers=1, nb_code=4, code_dim=8, width=8, activation="silu", **sizes)).eval()
    unit, place = tokenizer.config.frames_per_token, 20
    codes = torch.zeros(1, 41, 1, dtype=torch.long)
    changed = codes.clone()
    changed[0, place] = 1
    with torch.inference_mode():
        tokenizer.quantizer.codebooks.normal_()
        moved = (tokenizer.decode(codes) - tokenizer.decode(changed))[0].abs().amax(1).nonzero()[:, 0]
    assert moved[0] == place * unit - tokenizer.config.reach
    assert moved[-1] == (place + 1) * unit - 1 + tokenizer.config.reach


def test_the_reach_of_the_published_tokenizer() -> None:
    assert RVQConfig().reach == 87


# Editing


def test_features_beyond_the_reach_are_equal_and_later_joints_up_to_one_rigid_motion(pipe: LaMPPipeline) -> None:
    motion = source()
    editor = Editor(pipe.tokenizer, pipe._maker())
    with torch.inference_mode():
        plain = editor.decode(editor.encode(torch.from_numpy(motion.features))[None])[0]
    edited = pipe.edit(motion, "a person waves", (48, 60), keep_frames=False, **FEW)
    first, last = 48 - pipe.tokenizer.config.reach, 60 + pipe.tokenizer.config.reach
    moved = np.abs(edited.features - plain.numpy()).max(1)
    np.testing.assert_allclose(moved[:first], 0, atol=1e-6)
    np.testing.assert_allclose(moved[last:], 0, atol=1e-6)
    assert moved[first] > 1e-6 and moved[last - 1] > 1e-6
    before = features_to_joints(plain).numpy()
    np.testing.assert_allclose(edited.joints[:first], before[:first], atol=1e-5)
    # One turn about the vertical and one shift take all later frames over.
    ours, theirs = (recover_root(torch.from_numpy(f))[0][last] for f in (edited.features, plain.numpy()))
    angle = 2 * float(torch.atan2(theirs[2], theirs[0]) - torch.atan2(ours[2], ours[0]))
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    turned = edited.joints[last:] @ turn.T
    shift = before[last, 0] - turned[0, 0]
    assert np.abs(shift).max() > 1e-3
    np.testing.assert_allclose(turned + shift, before[last:], atol=1e-4)


@pytest.mark.parametrize(
    ("section", "anew"), [((48, 60), (48, 60)), ((0, 21), (0, 24)), ((95, 120), (92, 120)), ((0, 120), (0, 120))]
)
def test_a_sections_surroundings_are_the_sources_own(
    pipe: LaMPPipeline, section: tuple[int, int], anew: tuple[int, int]
) -> None:
    motion = source()
    edited = pipe.edit(motion, "a person waves", section, seed=4, **FEW)
    assert edited.meta["sections"] == [list(anew)] and len(edited) == 120 and edited.text == "a person waves"
    away = np.ones(120, dtype=bool)
    away[max(0, anew[0] - FADE_FRAMES) : anew[1] + FADE_FRAMES] = False
    np.testing.assert_array_equal(edited.features[away], motion.features[away])
    assert np.abs(edited.features - motion.features)[anew[0] : anew[1]].max() > 0.01
    again = pipe.edit(motion, "a person waves", section, seed=4, **FEW)
    np.testing.assert_array_equal(edited.joints, again.joints)
    assert not np.array_equal(edited.joints, pipe.edit(motion, "a person waves", section, seed=5, **FEW).joints)


def test_units_of_sections(pipe: LaMPPipeline) -> None:
    motion = source()
    frames = pipe.edit(motion, "runs", np.array([24, 48]), **FEW)
    for section, unit in (((1.2, 2.4), "seconds"), ((0.2, 0.4), "fraction")):
        np.testing.assert_array_equal(pipe.edit(motion, "runs", section, unit=unit, **FEW).joints, frames.joints)


def test_a_text_for_each_section_and_a_longer_result(pipe: LaMPPipeline) -> None:
    motion = source(80)
    made = pipe.edit(motion, ["runs", "a person waves"], [(0, 16), (40, 52)], length=102, **FEW)
    assert made.meta["sections"] == [[0, 16], [40, 52], [80, 100]] and made.text == "runs; a person waves"
    assert len(made) == 100 and np.isfinite(made.joints).all()
    np.testing.assert_array_equal(made.features[24:32], motion.features[24:32])
    assert pipe.edit(motion, "runs", (60, 80), length=100, **FEW).meta["sections"] == [[60, 100]]
    assert len(pipe.edit(motion, "runs", (8, 16), length=40, **FEW)) == 40


def test_motions_longer_than_the_models_know_are_edited_in_a_window(pipe: LaMPPipeline) -> None:
    motion = source(400)
    made = pipe.edit(motion, "runs", (300, 320), **FEW)
    assert len(made) == 400
    np.testing.assert_array_equal(made.features[:292], motion.features[:292])


def test_without_residual_levels_a_section_is_another(pipe: LaMPPipeline) -> None:
    motion = source()
    full, coarse = (pipe.edit(motion, "runs", (48, 60), residual=some, **FEW) for some in (True, False))
    assert not np.array_equal(full.features[48:60], coarse.features[48:60])
    np.testing.assert_array_equal(full.features[:40], coarse.features[:40])


def test_joints_and_other_rates_are_read(pipe: LaMPPipeline) -> None:
    motion = Motion(walk(181), fps=30.0)
    made = pipe.edit(motion, "runs", (40, 60), **FEW)
    assert made.fps == 20 and len(made) == 120


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"sections": (100, 130)}, "outside of the motion, which has 120 frames"),
        ({"sections": (-4, 8)}, "outside"),
        ({"sections": (float("nan"), 8)}, "no finite start"),
        ({"sections": (40, 40)}, "40,40 .* is empty"),
        ({"sections": []}, "no section"),
        ({"sections": (0.5, 1.2), "unit": "fraction"}, "outside"),
        ({"text": " "}, "no text"),
        ({"text": ["runs", "walks"]}, "2 texts for 1 sections"),
        ({"length": 3}, "less than one token"),
        ({"candidates": 0}, "0 candidates"),
        ({"motion": Motion(walk(4))}, "too few frames"),
        ({"motion": Motion(np.zeros((40, 21, 3)))}, "21 joints"),
        ({"length": 400}, "more than 196 frames"),
    ],
)
def test_edits_that_cannot_be(pipe: LaMPPipeline, how: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pipe.edit(**{"motion": source(), "text": "runs", "sections": (40, 60), **how})


def test_frames_of_a_section() -> None:
    assert frames_of((0.25, 0.5), "fraction", 100, 20) == (25, 50)
    assert frames_of((1, 2.5), "seconds", 100, 20) == (20, 50)


def test_fading_goes_around_a_loop() -> None:
    mask = torch.zeros(40, dtype=torch.bool)
    mask[:4] = True
    made, own = torch.ones(40, 1), torch.zeros(40, 1)
    around, plain = (faded(made, own, mask, around=some)[:, 0] for some in (True, False))
    assert (around[:4] == 1).all() and (around[12:-8] == 0).all() and (plain[12:] == 0).all()
    assert (around[4:12].diff() < 0).all() and (around[-8:].diff() > 0).all()


def test_of_several_ways_neither_a_jump_nor_a_standstill_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that sways as ever, one that jumps at the seam, one that freezes there."""
    frames = torch.arange(40.0)
    ways = torch.zeros(3, 40, 263)
    ways[:, :, 3] = torch.sin(frames / 2)
    ways[0, 20:, 3] += 3
    ways[1, 12:29, 3] = torch.sin(frames[12] / 2)
    editor = Editor(RVQVAE(RVQConfig(num_quantizers=1, nb_code=4, code_dim=8, width=8, depth=1)), None)
    monkeypatch.setattr(Editor, "decode", lambda self, codes: ways)
    assert editor._smoothest(torch.zeros(3, 10, 1), [5]) == 2


# Sequences


def test_a_sequence_has_its_sentences_one_after_the_other(pipe: LaMPPipeline) -> None:
    texts = ["a person walks", "a person waves", "runs"]
    made = pipe.sequence(texts, [40, 61, 24], seed=2, **FEW)
    assert len(made) == 124 and made.text == "a person walks > a person waves > runs"
    assert made.meta["sentences"] == [["a person walks", 0, 40], ["a person waves", 40, 100], ["runs", 100, 124]]
    np.testing.assert_array_equal(made.joints, pipe.sequence(texts, [40, 61, 24], seed=2, **FEW).joints)
    assert not np.array_equal(made.joints, pipe.sequence(texts, [40, 61, 24], seed=3, **FEW).joints)
    # Whether the seam is made anew or not: beyond the decoder's reach nothing changes.
    alone = pipe.sequence(texts[:1], [40], seed=2, **FEW)
    same = 40 - SEAM_TOKENS * 4 - pipe.tokenizer.config.reach
    np.testing.assert_allclose(made.features[:same], alone.features[:same], atol=1e-4)
    assert np.abs(made.features[40 - SEAM_TOKENS * 4 : 40] - alone.features[40 - SEAM_TOKENS * 4 :]).max() > 1e-3


def test_a_sequence_longer_than_the_models_know_with_lengths_of_their_own_choice(pipe: LaMPPipeline) -> None:
    made = pipe.sequence(["a person walks", "runs", "runs"], [196, None, 196], **FEW)
    (_, start, end) = made.meta["sentences"][1]
    assert start == 196 and 24 <= end - start <= 196 and len(made) == end + 196


@pytest.mark.parametrize(
    ("texts", "lengths", "message"),
    [([], None, "no text"), (["runs", ""], None, "no text"), (["runs"], [40, 40], "2 l")],
)
def test_sequences_that_cannot_be(
    pipe: LaMPPipeline, texts: list[str], lengths: list[int] | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pipe.sequence(texts, lengths)


# Loops


def test_a_ring_of_tokens_is_decoded_without_borders(pipe: LaMPPipeline) -> None:
    codes = random_codes(10, 3).clamp(max=15)
    editor = Editor(pipe.tokenizer, pipe._maker())
    with torch.inference_mode():
        ring, long = editor.decode_round(codes), editor.decode(codes.repeat(5, 1)[None])[0]
        np.testing.assert_allclose(ring, long[80:120], atol=1e-5)
        np.testing.assert_allclose(editor.decode_round(codes.roll(3, 0)), ring.roll(12, 0), atol=1e-5)


def test_the_end_of_a_loop_flows_into_its_beginning(pipe: LaMPPipeline) -> None:
    motion = source()
    loop = pipe.loop(motion, seed=1, **FEW)
    assert len(loop) == 120 and loop.text == motion.text and loop.meta["loop"] is True
    seam = SEAM_TOKENS * 4 + FADE_FRAMES
    own = motion.features[seam:-seam, 1:]
    np.testing.assert_array_equal(loop.features[seam:-seam, 1:], own)
    twice = rounds(loop, 2).joints
    # One shift over the floor takes a round to the next: it faces the same way.
    shift = twice[120, 0] - twice[0, 0]
    assert abs(shift[1]) < 1e-5
    np.testing.assert_allclose(twice[120:], twice[:120] + shift, atol=1e-3)
    np.testing.assert_array_equal(loop.joints, pipe.loop(motion, seed=1, **FEW).joints)


def test_what_cleans_feet_and_bones_keeps_a_loop(pipe: LaMPPipeline) -> None:
    # Five steps of 24 frames each: a loop already.
    features = source_features()
    loop = Motion(features_to_joints(features).numpy(), features.numpy(), meta={"loop": True})
    for change in (Motion.with_constant_bones, Motion.with_foot_cleanup):
        changed = through_rounds(loop, change)
        assert len(changed) == 120 and changed.fit is not None
        np.testing.assert_allclose(changed.joints[0, 0, [0, 2]], 0, atol=0.02)
        local = changed.joints - changed.joints[:, :1] * [1, 0, 1]
        step = np.abs(np.diff(local, axis=0)).max()
        assert np.abs(local[0] - local[-1]).max() < 1.2 * step


def test_what_a_round_turns_is_taken_out() -> None:
    features = source_features()
    features[:, 0] = np.pi / 4 / 120  # half of the angle: a quarter turn in all
    closed, turn = close_turn(features)
    assert turn == pytest.approx(90, abs=0.01) and float(closed[:, 0].sum()) == pytest.approx(0, abs=1e-6)
    features[:, 0] = 1.1 * np.pi / 120
    closed, turn = close_turn(features)
    assert turn == pytest.approx(36, abs=0.01) and float(closed[:, 0].sum()) == pytest.approx(np.pi, abs=1e-5)


def test_a_loop_needs_length_and_text(pipe: LaMPPipeline) -> None:
    with pytest.raises(UserError, match="loop needs 16"):
        pipe.loop(source(12))
    short = source(24)
    loop = pipe.loop(short, **FEW)  # one token on either side of the seam, and the frames beside them
    assert len(loop) == 24
    with pytest.raises(UserError, match="no text"):
        pipe.loop(Motion(walk(80)))


# The best of several


def test_the_best_of_several_is_the_most_similar(pipe: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    from lamp.models import matching

    seen = []
    judge = matching.similarities
    monkeypatch.setattr(matching, "similarities", lambda *args: seen.append(judge(*args)) or seen[-1])
    prompts = ["a person walks", "a person waves", "runs"]
    best = pipe(prompts, [40, 60, 24], seed=1, best_of=3)
    assert [motion.meta["similarity"] for motion in best] == [max(seen[0][i : i + 3]) for i in (0, 3, 6)]
    assert all(motion.meta["best_of"] == 3 for motion in best) and len(set(seen[0])) == 9
    for prompt, length, motion in zip(prompts, [40, 60, 24], best):
        (alone,) = pipe(prompt, length, seed=1, best_of=3, batch_size=2)
        np.testing.assert_allclose(alone.joints, motion.joints, atol=1e-4)
    # The first of the three is the one that is made alone.
    (one,) = pipe(prompts[0], 40, seed=1)
    assert judge(pipe.text, pipe.tokenizer, [one], prompts[:1])[0] == pytest.approx(seen[0][0], abs=1e-4)


def test_clip_judges_no_motions(pipe: LaMPPipeline) -> None:
    class Clip:
        dim, words = 32, False

        def __call__(self, texts: list[str]) -> Tensor:
            return torch.zeros(len(texts), 32)

    other = copy.copy(pipe)
    other.text = CachedCondition(Clip())
    with pytest.raises(UserError, match="--best_of"):
        other("runs", 40, best_of=2)
    with pytest.raises(UserError, match="best of 0"):
        pipe("runs", 40, best_of=0)
    cached = copy.copy(pipe)
    cached.text = CachedCondition(pipe.text)
    assert cached("runs", 40, best_of=2)[0].meta["best_of"] == 2


# Prompt files and scripts


def test_prompt_files_of_sequences(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a person walks#80 > runs#NA > waves\nkicks#40\n")
    assert read_prompts(path) == Prompts(
        ["a person walks > runs > waves", "kicks"],
        None,
        [[Step("a person walks", 80), Step("runs", None), Step("waves", None)], [Step("kicks", 40)]],
    )
    for text, message in (
        ("walks > \n", "line 1: no text"),
        ("ok\nwalks > #40", "line 2: no text"),
        ("a#x > b", "'x'"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_prompts(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, part in tiny_parts().items():
        part.save_pretrained(folder / name)
    return folder


def run(script: str, words: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, words)])
    importlib.import_module(script).main()


def test_edit_reads_any_format_and_writes_the_promised_files(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    motion = Motion(walk(81))
    common = [
        "--models",
        models,
        "--gpu_id",
        -1,
        "--time_steps",
        2,
        "--candidates",
        2,
        "--text_prompt",
        "a person waves",
    ]
    for suffix in ("npy", "npz", "bvh"):
        file = motion.save(tmp_path / f"walk.{suffix}")
        words = [
            "--source_motion",
            file,
            "--mask_edit_section",
            "0.2,0.5",
            *common,
            "--formats",
            "npz",
            "--ext",
            suffix,
        ]
        run("edit_t2m", words, monkeypatch)
        made = Motion.load(tmp_path / "editing" / suffix / "joints" / "0" / "sample0_repeat0_len80.npz")
        assert made.meta["sections"] == [[16, 40]] and len(made) == 80
        assert (tmp_path / "editing" / suffix / "joints" / "0" / "sample0_repeat0_len80_ik.npz").is_file()
    run(
        "edit_t2m",
        ["--source_motion", "walk.npy", "-msec", "0,8", "16,24", *common, "--no_video", "--repeat_times", 2],
        monkeypatch,
    )
    folder = tmp_path / "editing" / "default"
    assert len(list((folder / "animations" / "0").glob("*.bvh"))) == 4 and (folder / "opt.json").is_file()
    assert "frames 0 to 7, 16 to 23 made anew" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mask_edit_section", "0.2,0.5"], "--source_motion is missing"),
        (["--source_motion", "walk.npy"], "--mask_edit_section is missing"),
        (["--source_motion", "walk.npy", "--mask_edit_section", "0.2,0.5", "--text_prompt", ""], "--text_prompt"),
        (["--source_motion", "walk.npy", "--mask_edit_section", "0.2-0.5"], "'0.2-0.5' is no section"),
        (["--source_motion", "walk.npy", "--mask_edit_section", "1,2,3"], "'1,2,3' is no section"),
        (["--source_motion", "walk.npy", "--mask_edit_section", "1s,40"], "two units"),
        (["--source_motion", "walk.npy", "--mask_edit_section", "0.1,0.2", "8,16"], "in one unit"),
        (["--source_motion", "walk.npy", "--mask_edit_section", "0.5,1.5"], "outside"),
        (["--source_motion", "walk.npy", "--mask_edit_section", "30,20"], "is empty"),
        (["--source_motion", "short.npy", "--mask_edit_section", "0.2,0.5"], "too few frames"),
        (["--source_motion", "none.npy", "--mask_edit_section", "0.2,0.5"], "none.npy: no such file"),
        (["--source_motion", ".", "--mask_edit_section", "0.2,0.5"], "is a folder"),
        (["--source_motion", "walk.npy", "--mask_edit_section", "0.2,0.5", "--candidates", "0"], "--candidates"),
        (["--source_motion", "walk.npy", "--mask_edit_section", "0.2,0.5", "--best_of", "2"], "--candidates"),
    ],
)
def test_mistakes_of_editing_are_one_line(
    words: list[str],
    message: str,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Motion(walk(81)).save("walk.npy")
    Motion(walk(4)).save("short.npy")
    prompt = [] if "--text_prompt" in words else ["--text_prompt", "runs"]
    with pytest.raises(SystemExit) as stop:
        run("edit_t2m", [*words, *prompt, "--models", models, "--gpu_id", -1], monkeypatch)
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and message in line


def test_sections_in_all_units() -> None:
    def sections(*words: str) -> tuple:
        return EditOptions(source_motion=Path("x"), text_prompt="x", mask_edit_section=list(words)).sections()

    assert sections("0.2,0.5") == ([(0.2, 0.5)], "fraction") and sections("0,0.5", ".5,1.")[1] == "fraction"
    assert sections("0,40", "60,80") == ([(0, 40), (60, 80)], "frames") and sections("0,2.5s") == (
        [(0, 2.5)],
        "seconds",
    )


def test_sequences_and_loops_of_the_script(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--models", models, "--gpu_id", -1, "--time_steps", 2, "--formats", "npz", "--no-ik"]
    run("gen_t2m", [*common, "--sequence", "a person walks#40", "runs#400", "--ext", "list"], monkeypatch)
    assert "400 frames is outside" in capsys.readouterr().err
    listed = Motion.load("generation/list/joints/0/sample0_repeat0_len236.npz")
    Path("prompts.txt").write_text("a person walks#40 > runs#196\nruns#40\n")
    run("gen_t2m", [*common, "--text_path", "prompts.txt", "--ext", "file", "--repeat_times", 2], monkeypatch)
    read = Motion.load("generation/file/joints/0/sample0_repeat0_len236.npz")
    np.testing.assert_array_equal(listed.joints, read.joints)
    assert len(list(Path("generation/file/joints").rglob("*.npz"))) == 4
    words = ["--text_prompt", "a person walks", "--motion_length", 60, "--best_of", 2, "--loop", "--ext", "loop"]
    run("gen_t2m", [*common, *words], monkeypatch)
    loop = Motion.load("generation/loop/joints/0/sample0_repeat0_len60.npz")
    assert loop.meta["loop"] is True and loop.meta["best_of"] == 2
    run("gen_t2m", [*common, *words[:-1], "still", "--in_place"], monkeypatch)
    still = Motion.load("generation/still/joints/0/sample0_repeat0_len60.npz")
    assert np.abs(still.joints[:, 0, [0, 2]]).max() == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sequence", "walks", " #40"], "--sequence: no text"),
        (["--sequence", "walks#x"], "'x' after the #"),
        (["--sequence", "walks", "runs", "--best_of", "2"], "--best_of"),
        (["--sequence", "walks", "--text_prompt", "runs"], "--text_prompt"),
        (["--sequence", "walks", "--motion_length", "40"], "--motion_length"),
        (["--text_path", "prompts.txt", "--best_of", "2"], "--best_of"),
        (["--text_prompt", "walks", "--best_of", "0"], "--best_of"),
    ],
)
def test_mistakes_of_sequences_are_one_line(
    words: list[str],
    message: str,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("walks > runs")
    with pytest.raises(SystemExit) as stop:
        run("gen_t2m", [*words, "--models", models, "--gpu_id", -1], monkeypatch)
    assert stop.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]
