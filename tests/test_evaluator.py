"""The evaluators of Guo et al.: the public networks' outputs, word vectors, loss, padding."""

import pickle

import numpy as np
import pytest
import torch

from lamp.models.evaluator import (
    Evaluator,
    EvaluatorConfig,
    MovementAutoencoder,
    PairedEmbeddings,
    load_evaluator,
    pair_loss,
)
from lamp.models.words import WORD_CLASSES, WORD_DIM, WordVectors, hashed_vector, read_glove, read_our_vab
from lamp.utils.errors import UserError
from tests.golden import load_golden, procedural_weights
from tests.marks import needs_golden

TINY = EvaluatorConfig(
    input_width=67, movement_hidden=16, movement_latent=12, text_hidden=10, motion_hidden=14, embed_dim=8
)
CAPTION = "a/DET person/NOUN walk/VERB forward/ADV slowly/ADV".split()


def public_evaluator(golden) -> Evaluator:
    sizes = golden["config"]
    model = Evaluator(
        EvaluatorConfig(
            input_width=sizes["dim_pose"],
            movement_hidden=sizes["dim_movement_enc_hidden"],
            movement_latent=sizes["dim_movement_latent"],
            text_hidden=sizes["dim_text_hidden"],
            motion_hidden=sizes["dim_motion_hidden"],
            embed_dim=sizes["dim_coemb_hidden"],
            max_frames=sizes["T"],
        )
    ).eval()
    own = model.state_dict()
    public = [key for key in own if key.split(".")[0].endswith("_encoder")]
    weights = golden.get("state_dict") or procedural_weights({key: own[key].shape for key in public})
    assert set(weights) == set(public)
    model.load_state_dict(own | weights)
    return model


@pytest.mark.parametrize(
    "name",
    [pytest.param("t2m_evaluator_small", marks=needs_golden("t2m_evaluator_small")), "t2m_evaluator_default"],
)
@torch.no_grad()
def test_the_public_outputs(name):
    golden = load_golden(name)
    model, given, wanted = public_evaluator(golden), golden["inputs"], golden["outputs"]
    tolerance = {"rtol": 1e-4, "atol": 2e-5}
    torch.testing.assert_close(model.movement_encoder(given["motion"][..., :-4]), wanted["movements"], **tolerance)
    motions = model.encode_motion(given["motion"], given["m_lens"])
    torch.testing.assert_close(motions, wanted["motion_embedding"], **tolerance)
    texts = model.text_encoder(given["word_embs"], given["pos_onehot"], given["cap_lens"])
    torch.testing.assert_close(texts, wanted["text_embedding"], **tolerance)


@pytest.fixture(scope="module")
def tiny() -> Evaluator:
    torch.manual_seed(0)
    model = Evaluator(TINY).eval()
    model.mean.normal_()
    model.std.uniform_(0.5, 2)
    return model


def test_padding_and_batch_do_not_change_embeddings(tiny):
    motion = torch.randn(3, 196, 67)
    lengths = torch.tensor([40, 196, 80])
    together = tiny.embed_motions(motion, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = tiny.embed_motions(motion[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-6)
    noisy = motion.clone()
    noisy[0, 40:] = float("nan")
    torch.testing.assert_close(tiny.embed_motions(noisy, lengths), together)


def test_captions_alone_or_together(tiny):
    captions = [CAPTION, CAPTION[:2], CAPTION * 8]
    together = tiny.embed_texts(captions)
    for row, caption in enumerate(captions):
        torch.testing.assert_close(tiny.embed_texts([caption])[0], together[row], rtol=1e-5, atol=1e-6)


def test_reading_captions(tiny):
    text = tiny.read_texts([["walk/NOUN", "quietly/ADV", "x/XX"], CAPTION * 8])
    assert text.words.shape == (2, 22, WORD_DIM) and text.lengths.tolist() == [5, 22]
    classes = [WORD_CLASSES[i] for i in text.classes[0].argmax(-1).tolist()]
    assert classes[:5] == ["OTHER", "Act_VIP", "ADV", "OTHER", "OTHER"]
    np.testing.assert_array_equal(text.words[0, 1], hashed_vector("walk"))
    with pytest.raises(UserError, match="word/POS"):
        tiny.read_texts([["walk"]])


def test_hashed_vectors():
    walk, walks, sit = (hashed_vector(word) for word in ("walk", "walks", "sit"))

    def cosine(a, b):
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert walk.shape == (WORD_DIM,) and cosine(walk, walks) > 0.15 > abs(cosine(walk, sit))
    np.testing.assert_array_equal(walk, hashed_vector("walk"))


def write_our_vab(folder, words) -> np.ndarray:
    data = np.random.RandomState(0).standard_normal((len(words), WORD_DIM)).astype(np.float32)
    np.save(folder / "our_vab_data.npy", data)
    (folder / "our_vab_words.pkl").write_bytes(pickle.dumps(list(words)))
    (folder / "our_vab_idx.pkl").write_bytes(pickle.dumps({word: i for i, word in enumerate(words)}))
    return data


def test_public_word_vectors(tmp_path):
    data = write_our_vab(tmp_path, ["unk", "walk", "sos"])
    words = read_our_vab(tmp_path)
    vector, kind = words("walk", "NOUN")
    np.testing.assert_array_equal(vector, data[1])
    assert WORD_CLASSES[kind] == "Act_VIP"
    vector, kind = words("zebra", "NOUN")
    np.testing.assert_array_equal(vector, data[0])
    assert WORD_CLASSES[kind] == "OTHER"


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_with_code_is_refused(tmp_path, capsys):
    write_our_vab(tmp_path, ["unk", "walk"])
    (tmp_path / "our_vab_words.pkl").write_bytes(pickle.dumps([Evil()]))
    with pytest.raises(UserError, match=r"builtins\.print"):
        read_our_vab(tmp_path)
    assert "run" not in capsys.readouterr().out
    (tmp_path / "our_vab_words.pkl").unlink()
    with pytest.raises(UserError, match="download_glove"):
        read_our_vab(tmp_path)


def test_glove_text(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text(
        "".join(f"{word} {' '.join([str(i)] * WORD_DIM)}\n" for i, word in enumerate(["walk", "sit", "jump"]))
    )
    words = read_glove(path, ["walk", "sit"])
    assert set(words.words) == {"walk", "sit", "unk"} and words.source == "glove glove.txt"
    assert words("sit", "VERB")[0][0] == 1 and words("never", "VERB")[0][0] == 0.5
    path.write_text("walk 1 2 3\n")
    with pytest.raises(UserError, match="line 1"):
        read_glove(path, ["walk"])


def test_saved_with_its_words(tmp_path):
    vectors = WordVectors("glove x", ["unk", "walk"], np.ones((2, WORD_DIM), np.float32))
    config = EvaluatorConfig(**{**vars(TINY), "word_vectors": "glove x", "num_words": 2})
    model = Evaluator(config).eval()
    with pytest.raises(UserError, match="do not fit"):
        model.set_words(WordVectors("glove x", ["unk"], np.ones((1, WORD_DIM), np.float32)))
    model.set_words(vectors)
    space = tmp_path / "evaluator"
    model.save_pretrained(space / "latest")
    again, folder = load_evaluator(tmp_path, "evaluator", 67)
    assert folder == space / "latest"
    torch.testing.assert_close(again.embed_texts([CAPTION]), model.embed_texts([CAPTION]))
    with pytest.raises(UserError, match="train_evaluator"):
        load_evaluator(tmp_path, "nobody", 67)
    with pytest.raises(UserError, match="67 features"):
        load_evaluator(tmp_path, "evaluator", 263)


def test_pair_loss():
    motions = torch.tensor([[0.0, 0], [3, 4], [0, 0]])
    pairs = PairedEmbeddings(texts=torch.tensor([[1.0, 0], [3, 4], [0, 0]]), motions=motions)
    ids = torch.tensor([0, 1, 2])
    pull, push = pair_loss(pairs, ids, 10.0, shift=1)
    # Rotated by one: motion 0 meets text 2 (distance 0), 1 text 0 (sqrt(20)), 2 text 1 (5).
    assert pull.item() == pytest.approx(1 / 3)
    assert push.item() == pytest.approx((100 + (10 - 20**0.5) ** 2 + 25) / 3, rel=1e-5)
    both = [pair_loss(pairs, ids, 10.0, shift=shift)[1] for shift in (1, 2)]
    assert pair_loss(pairs, ids, 10.0)[1].item() == pytest.approx(sum(both).item() / 2)
    # Motions of one label do not push each other.
    _, push = pair_loss(pairs, torch.tensor([0, 1, 0]), 10.0, shift=1)
    assert push.item() == pytest.approx(((10 - 20**0.5) ** 2 + 25) / 2, rel=1e-5)


def test_movement_autoencoder_learns():
    torch.manual_seed(0)
    model = MovementAutoencoder(TINY).train()
    motion = torch.randn(8, 1, 67).repeat(1, 24, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        movements, recon = model(motion)
        assert movements.shape == (8, 6, 12) and recon.shape == (8, 24, 63)
        loss = (recon - motion[..., :63]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
