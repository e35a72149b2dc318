"""The evaluators: text and motion in one space, trained apart from what they judge (Guo et al. 2022, section 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from lamp.models.checkpoints import model_folder
from lamp.models.hub import LaMPModel
from lamp.models.words import HASHED, UNKNOWN, WORD_CLASSES, WORD_DIM, WordVectors
from lamp.utils.errors import UserError
from lamp.utils.kinematics.skeleton import MAX_FRAMES
from lamp.utils.run.listing import list_runs
from lamp.utils.run.processes import gather, mean_over_processes, own_rows

FRAMES_PER_MOVEMENT = 4
# The last four features, the foot contacts, are not shown to the evaluators.
CONTACTS = 4
WORDS_FILE = "words.txt"
_START, _END, _PAD = "sos/OTHER", "eos/OTHER", f"{UNKNOWN}/OTHER"


@dataclass(frozen=True)
class EvaluatorConfig:
    """Sizes of the evaluators; the defaults are the published ones.

    Attributes:
        input_width: features of a frame.
        movement_hidden, movement_latent: widths of the movement encoder and its output.
        text_hidden, motion_hidden: widths of the recurrent encoders, each direction.
        embed_dim: width of the common space.
        max_text_len: words of a caption that are read.
        max_frames: longest motion.
        word_vectors: where the word vectors come from (see `WordVectors`).
        num_words: words with stored vectors; 0 for vectors made from letters.
    """

    input_width: int = 263
    movement_hidden: int = 512
    movement_latent: int = 512
    text_hidden: int = 512
    motion_hidden: int = 1024
    embed_dim: int = 512
    max_text_len: int = 20
    max_frames: int = MAX_FRAMES
    word_vectors: str = HASHED
    num_words: int = 0


class MovementEncoder(nn.Module):
    """Four frames to one movement vector: two strided convolutions."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv1d(config.input_width - CONTACTS, config.movement_hidden, 4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(config.movement_hidden, config.movement_latent, 4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(config.movement_latent, config.movement_latent)

    def forward(self, motion: Tensor) -> Tensor:
        """(B, T, D - 4) -> (B, T / 4, movement_latent)."""
        return self.out_net(self.main(motion.transpose(1, 2)).transpose(1, 2))


class MovementDecoder(nn.Module):
    """Mirror image of the encoder; only its training needs it."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        width = config.input_width - CONTACTS
        self.main = nn.Sequential(
            nn.ConvTranspose1d(config.movement_latent, config.movement_hidden, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose1d(config.movement_hidden, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(width, width)

    def forward(self, movements: Tensor) -> Tensor:
        """(B, n, movement_latent) -> (B, 4 n, D - 4)."""
        return self.out_net(self.main(movements.transpose(1, 2)).transpose(1, 2))


class RecurrentEncoder(nn.Module):
    """A bidirectional GRU over a sequence; its two last states become one embedding."""

    def __init__(self, input_width: int, hidden: int, embed_dim: int) -> None:
        super().__init__()
        self.input_emb = nn.Linear(input_width, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.hidden = nn.Parameter(torch.randn(2, 1, hidden))
        self.output_net = nn.Sequential(
            nn.Linear(2 * hidden, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, embed_dim)
        )

    def embed(self, sequence: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, input_width) of `lengths` (B,) -> (B, embed_dim)."""
        packed = pack_padded_sequence(self.input_emb(sequence), lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed, self.hidden.expand(-1, len(sequence), -1).contiguous())
        return self.output_net(torch.cat([last[0], last[1]], dim=-1))


class TextEncoder(RecurrentEncoder):
    """Word vectors and word classes to an embedding."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__(WORD_DIM, config.text_hidden, config.embed_dim)
        self.pos_emb = nn.Linear(len(WORD_CLASSES), WORD_DIM)

    def forward(self, words: Tensor, classes: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, 300) and one-hot (B, L, 15) -> (B, embed_dim)."""
        return self.embed(words + self.pos_emb(classes), lengths)


class MotionEncoder(RecurrentEncoder):
    """Movements to an embedding."""

    def forward(self, movements: Tensor, lengths: Tensor) -> Tensor:
        """(B, n, movement_latent) of `lengths` (B,) -> (B, embed_dim)."""
        return self.embed(movements, lengths)


@dataclass
class TextInput:
    """Captions as the text encoder reads them: words (B, L, 300), classes (B, L, 15) one-hot, lengths (B,)."""

    words: Tensor
    classes: Tensor
    lengths: Tensor


@dataclass
class PairedEmbeddings:
    """Embeddings (B, E) of captions and of their motions."""

    texts: Tensor
    motions: Tensor


class Evaluator(LaMPModel[EvaluatorConfig]):
    """Text and motion encoders with the statistics and the word vectors that they were trained with."""

    config_class = EvaluatorConfig
    extra_files = (WORDS_FILE,)
    mean: Tensor
    std: Tensor
    word_table: Tensor

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        self.config = config
        self.movement_encoder = MovementEncoder(config)
        self.text_encoder = TextEncoder(config)
        self.motion_encoder = MotionEncoder(config.movement_latent, config.motion_hidden, config.embed_dim)
        self.apply(_initialize)
        self.register_buffer("mean", torch.zeros(config.input_width))
        self.register_buffer("std", torch.ones(config.input_width))
        self.register_buffer("word_table", torch.zeros(config.num_words, WORD_DIM))
        self._vectors: WordVectors | None = None if config.num_words else WordVectors(config.word_vectors)

    def train(self, mode: bool = True) -> "Evaluator":
        """Train text and motion encoder; the movement encoder, trained before, stays as it is."""
        super().train(mode)
        self.movement_encoder.eval()
        return self

    def set_words(self, vectors: WordVectors) -> None:
        """Take over word vectors, as many as the config says.

        Raises:
            UserError: they are others than the config's.
        """
        if len(vectors.words) != self.config.num_words or vectors.source != self.config.word_vectors:
            raise UserError(
                f"{len(vectors.words)} word vectors {vectors.source} do not fit an evaluator of "
                f"{self.config.num_words} {self.config.word_vectors}"
            )
        self._vectors = vectors
        self.word_table.copy_(torch.from_numpy(vectors.vectors))

    def save_extra(self, folder: Path) -> None:
        """Write the words, one a line."""
        (folder / WORDS_FILE).write_text("\n".join(self._word_vectors().words), encoding="utf-8")

    def load_extra(self, folder: Path) -> None:
        """Read the words."""
        words = [word for word in (folder / WORDS_FILE).read_text(encoding="utf-8").split("\n") if word]
        self._vectors = WordVectors(self.config.word_vectors, words, self.word_table.numpy())

    def _word_vectors(self) -> WordVectors:
        if self._vectors is None:
            raise UserError("this Evaluator has no word vectors; load it with from_pretrained or call set_words")
        return self._vectors

    def normalize(self, features: Tensor) -> Tensor:
        """Features (..., D) as the data have them to what the encoders see."""
        return (features - self.mean) / self.std

    @torch.inference_mode()
    def embed_motions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings (B, E) of motions, whatever the padding holds.

        Args:
            features: (B, T, D) as in the data, not normalised.
            lengths: (B,) frames, multiples of 4.
        """
        return self.encode_motion(self.normalize(features.to(self.device)), lengths)

    def encode_motion(self, motion: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings (B, E) of normalised motions (B, T, D)."""
        lengths = lengths.to(motion.device)
        valid = torch.arange(motion.shape[1], device=motion.device) < lengths[:, None]
        motion = motion.masked_fill(~valid[..., None], 0.0)
        # The public code pads to the longest motion there is, and the last movement sees four frames beyond the end;
        # these four make it the same in any batch.
        room = min(self.config.max_frames, motion.shape[1] + FRAMES_PER_MOVEMENT) - motion.shape[1]
        motion = F.pad(motion[..., :-CONTACTS], (0, 0, 0, max(room, 0)))
        return self.motion_encoder(self.movement_encoder(motion), lengths // FRAMES_PER_MOVEMENT)

    @torch.inference_mode()
    def embed_texts(self, tokens: Sequence[Sequence[str]]) -> Tensor:
        """Embeddings (B, E) of captions, given as their `word/POS` lemmas."""
        return self.encode_text(self.read_texts(tokens))

    def encode_text(self, text: TextInput) -> Tensor:
        """Embeddings (B, E) of captions read by `read_texts`."""
        return self.text_encoder(text.words, text.classes, text.lengths)

    def read_texts(self, tokens: Sequence[Sequence[str]]) -> TextInput:
        """Captions to word vectors and classes: cut at `max_text_len` words, framed by start and end, padded.

        Raises:
            UserError: a token is not of the form `word/POS`.
        """
        size, vectors = self.config.max_text_len + 2, self._word_vectors()
        words = np.zeros((len(tokens), size, WORD_DIM), np.float32)
        classes = np.zeros((len(tokens), size, len(WORD_CLASSES)), np.float32)
        lengths = []
        for row, caption in enumerate(tokens):
            framed = [_START, *caption[: self.config.max_text_len], _END]
            lengths.append(len(framed))
            for column, token in enumerate(framed + [_PAD] * (size - len(framed))):
                word, slash, tag = token.rpartition("/")
                if not slash:
                    raise UserError(f"caption token '{token}' is not of the form word/POS; check the texts folder")
                vector, kind = vectors(word, tag)
                words[row, column], classes[row, column, kind] = vector, 1.0
        device = self.device
        return TextInput(
            torch.from_numpy(words).to(device), torch.from_numpy(classes).to(device), torch.tensor(lengths)
        )

    def forward(self, motion: Tensor, lengths: Tensor, text: TextInput) -> PairedEmbeddings:
        """Embeddings of normalised motions (B, T, D) and of their captions, for training."""
        return PairedEmbeddings(texts=self.encode_text(text), motions=self.encode_motion(motion, lengths))


def load_evaluator(
    root: str | Path, name: str, input_width: int, device: torch.device | str = "cpu", which: str = "best"
) -> tuple[Evaluator, Path]:
    """The evaluator `name` below `root` (`checkpoints/<dataset>`), and its model folder.

    Raises:
        UserError: there is none, or it reads other features.
    """
    space = Path(root) / name
    if not space.is_dir():
        raise UserError(
            f"no evaluator {space}; train one with `python train_evaluator.py --dataset_name {space.parent.name} "
            f"--name {name}`, fetch the published one (`bash prepare/download_evaluator.sh`) and import it "
            "(`python -m lamp.prepare.import_checkpoint`), or name another with --evaluator; "
            f"{list_runs(root, 'Evaluator')}"
        )
    folder = model_folder(space, which)
    evaluator = Evaluator.from_pretrained(folder, device=device)
    if evaluator.config.input_width != input_width:
        raise UserError(
            f"evaluator {folder} reads {evaluator.config.input_width} features, the data have {input_width}; "
            "name another with --evaluator"
        )
    return evaluator, folder


def optional_evaluator(
    root: str | Path, name: str, input_width: int, device: torch.device | str = "cpu"
) -> Evaluator | None:
    """As `load_evaluator`, but none, with a line that says so, where there is none: training goes on without FID."""
    if (Path(root) / name).is_dir():
        return load_evaluator(root, name, input_width, device)[0]
    print(f"no evaluator {Path(root) / name}: validation goes without FID (train_evaluator.py trains one)")
    return None


class MovementAutoencoder(LaMPModel[EvaluatorConfig]):
    """Movement encoder with its decoder: trained first, by itself (Guo et al. 2022, section 4.1)."""

    config_class = EvaluatorConfig

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = MovementEncoder(config)
        self.decoder = MovementDecoder(config)
        self.apply(_initialize)

    def forward(self, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised motions (B, T, D) to movements (B, T / 4, L) and their reconstruction (B, T, D - 4)."""
        movements = self.encoder(motion[..., :-CONTACTS])
        return movements, self.decoder(movements)


def pair_loss(
    pairs: PairedEmbeddings, motion_ids: Tensor, margin: float, shift: int | None = None
) -> tuple[Tensor, Tensor]:
    """Contrastive margin loss on Euclidean distances: pull pairs together, push others apart (Hadsell et al. 2006).

    Args:
        pairs: embeddings (B, E) of a batch.
        motion_ids: (B,) equal for motions that must not serve as each other's negatives.
        margin: distance beyond which others are left alone.
        shift: the others are the batches of all processes, put together, rotated by this many places; None takes all
            others, which is the mean over all rotations.

    Returns:
        Mean loss of the pairs, and of the others.
    """
    own = (pairs.texts - pairs.motions).square().sum(-1)
    rows, all_texts, all_ids = own_rows(len(own)), gather(pairs.texts), gather(motion_ids)
    shifts = range(1, len(all_ids)) if shift is None else [shift]
    texts = torch.stack([all_texts.roll(places, 0)[rows] for places in shifts])
    usable = torch.stack([all_ids.roll(places, 0)[rows] != motion_ids for places in shifts]).float()
    push = (margin - F.pairwise_distance(texts, pairs.motions)).clamp_min(0).square() * usable
    return own.mean(), push.sum() / mean_over_processes(usable.sum()).clamp_min(1)


def _initialize(module: nn.Module) -> None:
    """Xavier's initialisation, as the public code has it."""
    if isinstance(module, nn.Linear | nn.Conv1d | nn.ConvTranspose1d):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
