"""Metrics of captions: BLEU, ROUGE-L and CIDEr by pycocoevalcap's scorers, BERTScore by bert_score.

pycocoevalcap: BLEU (Papineni et al., ACL 2002) with the closest reference's length, ROUGE-L (Lin, 2004) with beta 1.2
and the best precision and recall over the references, CIDEr-D (Vedantam et al., CVPR 2015) with idf of the references
scored.  BERTScore: Zhang et al., ICLR 2020.
"""

import contextlib
import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamp.utils.errors import UserError
from lamp.utils.packages import need
from lamp.utils.tagging import tag_sentences, token_words

Protocol = Literal["raw", "tm2t"]

TM2T_REFERENCES = 3
DEFAULT_ENCODER = "roberta-large"  # of English in bert_score's own table, and of the published numbers
INSTALL = 'pip install -e ".[captions]"'


@dataclass(frozen=True)
class CaptionScores:
    """Scores of a corpus, times 100.

    Attributes:
        protocol: how texts became tokens.
        samples: captions scored.
        bleu1, bleu2, bleu3, bleu4: BLEU of n-grams up to that length, 0 to 100.
        rouge_l: ROUGE-L, 0 to 100.
        cider: CIDEr-D, 0 to 1000; a corpus of one sample has 0, as every n-gram is in all samples.
    """

    protocol: Protocol
    samples: int
    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    rouge_l: float
    cider: float


@dataclass(frozen=True)
class BertScore:
    """BERTScore of a corpus, and of what it was made.

    Attributes:
        f1: mean F1 times 100, 100 for equal texts.
        samples: captions scored.
        model: encoder, as it was named.
        num_layers: the layer whose outputs are compared.
        rescaled: whether 0 is the similarity of unrelated sentences (the package's baseline of that encoder).
        idf: whether tokens are weighted by how rare they are in the references.
    """

    f1: float
    samples: int
    model: str
    num_layers: int
    rescaled: bool
    idf: bool


def caption_scores(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    protocol: Protocol = "raw",
    prediction_tokens: Sequence[Sequence[str]] | None = None,
    reference_tokens: Sequence[Sequence[Sequence[str]]] | None = None,
) -> CaptionScores:
    """Score a corpus of captions by BLEU, ROUGE-L and CIDEr.

    Args:
        predictions: one caption a sample; empty ones score 0.
        references: of each sample, one or more.
        protocol: "raw" takes all texts as written, with white space between tokens (ROUGE-L takes each blank for a
            boundary, so that of two in a row comes an empty token, as in the published scores).  "tm2t" takes up to
            three references and of all texts the lower-case lemmas of `lamp.utils.tagging`, which drop punctuation.
        prediction_tokens: `word/POS` of the predictions for "tm2t"; by default spaCy makes them.
        reference_tokens: `word/POS` of the references for "tm2t", as text files have them; by default spaCy makes them.

    Raises:
        UserError: pycocoevalcap, or for "tm2t" spaCy, is missing.
        ValueError: numbers of predictions and references differ, or a sample has no reference.
    """
    _check_samples(predictions, references)
    if protocol == "tm2t":
        tokens = tag_sentences(predictions) if prediction_tokens is None else prediction_tokens
        predictions = [" ".join(token_words(sentence)) for sentence in tokens]
        references = _lemma_references(references, reference_tokens)
        _check_samples(predictions, references)
    elif protocol != "raw":
        raise ValueError(f"unknown protocol {protocol!r}")
    return CaptionScores(protocol, len(predictions), **_coco_scores(predictions, references))


def rouge_of_each(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """ROUGE-L (0 to 100) of each caption, of texts as written; arguments and errors as of `caption_scores`."""
    _check_samples(predictions, references)
    need("pycocoevalcap")
    from pycocoevalcap.rouge.rouge import Rouge

    truth = {index: list(texts) for index, texts in enumerate(references)}
    guess = {index: [text] for index, text in enumerate(predictions)}
    return [100 * float(value) for value in Rouge().compute_score(truth, guess)[1]]


def bert_score_f1(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    model: str | Path = DEFAULT_ENCODER,
    num_layers: int | None = None,
    rescale: bool = True,
    idf: bool = False,
    language: str = "en",
    device: torch.device | str = "cpu",
    batch_size: int = 64,
) -> BertScore:
    """Score a corpus of captions by BERTScore F1; of several references the best one counts.

    Args:
        predictions: one caption a sample; an empty one has F1 0 before rescaling, as in the package.
        references: of each sample, one or more.
        model: folder or hub id of an encoder.  A folder that bears the name of a model in bert_score's table (such as
            `.../roberta-large`) counts as that model.
        num_layers: the layer whose outputs are compared; by default that of bert_score's table for models it knows,
            the last but one for others.
        rescale: rescale by the package's baseline where it has one for the model, layer and language.
        idf: weight tokens by their inverse document frequency in the references.
        language: of the baseline.
        device: where to compute.
        batch_size: sentences at a time.

    Raises:
        UserError: bert_score is missing, or the encoder cannot be had or has no such layer.
        ValueError: numbers of predictions and references differ, or a sample has no reference.
    """
    _check_samples(predictions, references)
    encoder = _load_encoder(str(model), num_layers)
    f1 = _f1_of_best(predictions, references, encoder, idf=idf, device=device, batch_size=batch_size)
    baseline = _baseline(encoder, language) if rescale else None
    if baseline is not None:
        f1 = (f1 - baseline) / (1 - baseline)
    return BertScore(
        f1=100 * f1.double().mean().item(),
        samples=len(predictions),
        model=str(model),
        num_layers=encoder.num_layers,
        rescaled=baseline is not None,
        idf=idf,
    )


def _check_samples(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(predictions) != len(references) or not predictions:
        raise ValueError(f"{len(predictions)} predictions for {len(references)} samples with references")
    for index, texts in enumerate(references):
        if isinstance(texts, str) or not texts:
            raise ValueError(f"sample {index} has {texts!r} where a list of one or more references belongs")


def _lemma_references(
    references: Sequence[Sequence[str]], tokens: Sequence[Sequence[Sequence[str]]] | None
) -> list[list[str]]:
    if tokens is None:
        references = [texts[:TM2T_REFERENCES] for texts in references]
        tagged = iter(tag_sentences(chain(*references)))
        tokens = [[next(tagged) for _ in texts] for texts in references]
    return [[" ".join(token_words(sentence)) for sentence in group[:TM2T_REFERENCES]] for group in tokens]


def _coco_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError:
        raise UserError(f"caption metrics need pycocoevalcap: {INSTALL}") from None
    truth = {index: list(texts) for index, texts in enumerate(references)}
    guess = {index: [text] for index, text in enumerate(predictions)}
    with contextlib.redirect_stdout(io.StringIO()):  # the scorers print their counts
        bleu = Bleu(4).compute_score(truth, guess)[0]
        rouge = Rouge().compute_score(truth, guess)[0]
        # Without any word in the references there are no document frequencies, for which the scorer is not prepared.
        cider = Cider().compute_score(truth, guess)[0] if any(map(str.split, chain(*references))) else 0.0
    scores = {f"bleu{n}": score for n, score in enumerate(bleu, start=1)} | {"rouge_l": rouge, "cider": cider}
    return {name: 100 * float(score) for name, score in scores.items()}


def check_encoder(model: str) -> None:
    """Make sure that BERTScore's packages are installed and an encoder's configuration can be had.

    Raises:
        UserError: they are not, or it cannot.
    """
    need("bert_score", "transformers")
    from transformers import AutoConfig

    with _quiet_transformers():
        try:
            AutoConfig.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise _no_encoder(model, error) from error


def _no_encoder(model: str, error: Exception) -> UserError:
    return UserError(
        f"{model}: no encoder for BERTScore could be loaded ({str(error).splitlines()[0]}); name a folder with "
        "config.json, weights and tokenizer, or a hub id (which needs the network once)"
    )


@dataclass(frozen=True)
class _Encoder:
    """An encoder cut off after `num_layers`; `known` is its name in bert_score's table, if it has one."""

    network: nn.Module
    tokenizer: Any
    num_layers: int
    known: str | None


def _load_encoder(model: str, num_layers: int | None) -> _Encoder:
    try:
        from bert_score.utils import model2layers
        from transformers import AutoConfig, AutoModel
    except ImportError:
        raise UserError(f"BERTScore needs bert_score and transformers: {INSTALL}") from None
    known = _known_name(model, model2layers)
    with _quiet_transformers():
        try:
            config = AutoConfig.from_pretrained(model)
            depth = config.num_hidden_layers
            layer = model2layers.get(known, depth - 1) if num_layers is None else num_layers
            if not 0 <= layer <= depth:
                raise UserError(f"{model}: BERTScore's number of layers must be 0 to {depth}, not {layer}")
            config.num_hidden_layers = layer  # weights of later layers are left out, as bert_score does
            network = AutoModel.from_pretrained(model, config=config).float().eval()
            tokenizer = _load_tokenizer(model, config)
        except (OSError, ValueError) as error:
            raise _no_encoder(model, error) from error
    return _Encoder(network.get_encoder() if config.is_encoder_decoder else network, tokenizer, layer, known)


def _known_name(model: str, table: Mapping[str, int]) -> str | None:
    """Name of a model in bert_score's table: as it is, or for a folder the last one or two parts of its path."""
    parts = Path(model).resolve().parts
    names = ["/".join(parts[-2:]), parts[-1]] if Path(model).is_dir() else [model]
    return next((name for name in names if name in table), None)


def _load_tokenizer(model: str, config: Any) -> Any:
    from transformers import AutoTokenizer, GPT2Tokenizer, RobertaTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    if isinstance(tokenizer, (GPT2Tokenizer, RobertaTokenizer)):
        # bert_score asks for the blank before the first word at each call, where current tokenizers overlook it.
        tokenizer = AutoTokenizer.from_pretrained(model, add_prefix_space=True)
    positions = getattr(config, "max_position_embeddings", None) or 512
    if tokenizer.model_max_length > positions:  # a folder may not say it; RoBERTa has two positions more than tokens
        tokenizer.model_max_length = positions - 2
    return tokenizer


def _f1_of_best(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    encoder: _Encoder,
    *,
    idf: bool,
    device: torch.device | str,
    batch_size: int,
) -> Tensor:
    """F1 (samples,) with each prediction's best reference; pairs with an empty text, which crash bert_score, have 0."""
    from bert_score.utils import bert_cos_score_idf, get_idf_dict

    pairs = [
        (index, prediction, reference)
        for index, prediction in enumerate(predictions)
        for reference in references[index]
        if prediction.strip() and reference.strip()
    ]
    best = torch.zeros(len(predictions))
    if not pairs:
        return best
    samples, guesses, truths = (list(column) for column in zip(*pairs))
    special = (encoder.tokenizer.cls_token_id, encoder.tokenizer.sep_token_id)
    weights: dict[int, float] = defaultdict(lambda: 1.0, dict.fromkeys(special, 0.0))
    if idf:
        weights = get_idf_dict(list(filter(str.strip, chain(*references))), encoder.tokenizer, nthreads=0)
    scores = bert_cos_score_idf(
        encoder.network.to(device), truths, guesses, encoder.tokenizer, weights, batch_size=batch_size, device=device
    )
    return best.scatter_reduce(0, torch.tensor(samples), scores[:, 2], "amax", include_self=False)


def _baseline(encoder: _Encoder, language: str) -> float | None:
    """Mean F1 of unrelated sentences, from the package's file for the encoder and language; None if it has none."""
    import bert_score

    path = Path(bert_score.__file__).parent / "rescale_baseline" / language / f"{encoder.known}.tsv"
    if encoder.known is None or not path.is_file():
        return None
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return next((float(row["F"]) for row in rows if int(row["LAYER"]) == encoder.num_layers), None)


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bars and no remarks on unused weights while a model is loaded."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
