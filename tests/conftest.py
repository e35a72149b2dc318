"""Fixtures shared by the tests."""

import os
import re
import sys

import pytest
import torch

from tests.marks import LACKS, skip_without_browser, skip_without_npm, skip_without_shared

# Tests never reach for a hub; with two workers more threads than one only get in each other's way.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)


def pytest_addoption(parser):
    """`--gpu_device cpu` tries the tests marked `gpu` where there is none."""
    parser.addoption("--gpu_device", default="cuda", help="device of the tests marked gpu")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip what needs a GPU or files beside the repository before its fixtures ask for them."""
    skip_without_shared(item)
    skip_without_npm(item)
    skip_without_browser(item)
    wanted = item.config.getoption("--gpu_device")
    if item.get_closest_marker("gpu") and wanted == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")


LONGEST = (
    "readme",
    "app",
    "processes",
    "user_commands_run",
    "t2m",
    "lamp",
    "m2t",
    "vq",
    "viewer",
    "library",
    "editing",
)
"""Test modules that take longest, which go first where workers get whole files (each file makes its fixtures once)."""


def pytest_collection_modifyitems(items):
    """Begin with the longest files: otherwise one of them would end alone."""
    place = {f"test_{name}": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture
def device(request):
    """Device of a test marked `gpu`."""
    from lamp.utils.run.device import resolve_device

    return resolve_device(-1 if request.config.getoption("--gpu_device") == "cpu" else 0)


def pytest_sessionfinish(session):
    """Let a worker tell what its tests of readers saw."""
    if "tests.fuzzing" in sys.modules and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["fuzz"] = sys.modules["tests.fuzzing"].SEEN.facts()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Add up what workers tell."""
    if "LAMP_FUZZ" in os.environ and (told := getattr(node, "workeroutput", {}).get("fuzz")):
        from tests.fuzzing import SEEN

        SEEN.add(told)


def pytest_terminal_summary(terminalreporter):
    """Say how many tests were skipped for files beside the repository, and what `LAMP_FUZZ` saw."""
    if "LAMP_FUZZ" in os.environ and "tests.fuzzing" in sys.modules:
        terminalreporter.write_line(sys.modules["tests.fuzzing"].SEEN.line())
    count = sum(LACKS in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if count:
        terminalreporter.write_line(f"{count} tests were skipped: they need files of ../shared, {LACKS}")


@pytest.fixture(scope="session")
def sample_data(tmp_path_factory):
    """Folder with a small procedural data set in HumanML3D's layout."""
    from lamp.prepare.make_sample import make_sample

    folder = tmp_path_factory.mktemp("data") / "sample"
    make_sample(folder, clips=24, seed=0)
    return folder


@pytest.fixture(scope="session")
def sample_vocabulary(tmp_path_factory, sample_data):
    """WordPiece file with the words of `sample_data`."""
    texts = " ".join(p.read_text(encoding="utf-8").split("#")[0] for p in (sample_data / "texts").glob("*.txt"))
    words = sorted(set(re.findall("[a-z]+", texts.lower())))
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def sentence_folder(tmp_path_factory):
    """Folder with a random BERT of width 24, as a sentence embedding model."""
    import transformers

    folder = tmp_path_factory.mktemp("sentence")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "person", "walks", "runs", "forward"]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=24, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def opt_folder(tmp_path_factory):
    """A tiny OPT with a tokenizer, as a folder of the library."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<s>", "<pad>", "</s>", "<unk>", "a", "person", "walks", "runs", "slowly"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    folder = tmp_path_factory.mktemp("opt")
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="</s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.OPTConfig(
        vocab_size=len(words),
        hidden_size=16,
        word_embed_proj_dim=16,
        num_hidden_layers=2,
        ffn_dim=32,
        num_attention_heads=2,
        max_position_embeddings=32,
    )
    transformers.OPTForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def plain_tagger(monkeypatch):
    """Stands in for spaCy's English model, which is no package of ours: every word is a noun."""
    import M2T_eval

    def tag(sentences):
        return [[f"{word}/NOUN" for word in sentence.lower().split()] for sentence in sentences]

    monkeypatch.setattr(M2T_eval, "find_spacy_model", lambda: "plain")
    monkeypatch.setattr(M2T_eval, "tag_sentences", tag)
