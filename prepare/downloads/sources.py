"""Where the public files are: MoMask's and LaMP's checkpoints, the evaluators of Guo et al., the word vectors.

Every address is copied from the place its `origin` names. None of them was opened when this table was written: links
may be dead, and what the archives hold is known from the public code that reads them. A checksum is given only where
one is published (Git LFS pointers on the Hugging Face hub); for all other files none is known.
"""

import os
from dataclasses import dataclass
from typing import Literal

MOMASK_SCRIPTS = "github.com/EricGuo5513/momask-codes, prepare/*.sh"
LAMP_README = "github.com/gentlefress/LaMP, README.md"
T2M_GPT_SCRIPTS = "github.com/Mael-zys/T2M-GPT, dataset/prepare/*.sh"
HUB_COPY = "a user's copy, as its page on the hub lists it"
NAMED_COPY = "a user's copy, named in public scripts of third parties"
MOMASK_FOLDER = "https://drive.google.com/drive/folders/1sHajltuE2xgHh91H9pFpMAYAkHaX9o57"
HUB = "https://huggingface.co"
STORE = "https://virutalbuy-public.oss-cn-hangzhou.aliyuncs.com"

Dataset = Literal["t2m", "kit"]


@dataclass(frozen=True)
class Link:
    """One file at one place."""

    url: str
    origin: str
    """Where the address is published."""
    sha256: str = ""
    """Empty: none is published."""
    save_as: str = ""
    """Path below the target; empty for an archive that is unpacked there."""

    @property
    def page(self) -> str:
        """Address for a browser."""
        return self.url.replace("/resolve/", "/blob/", 1)


def address(link: Link) -> str:
    """Where a link is fetched from: HF_ENDPOINT names a mirror of the Hugging Face hub, as for its own library."""
    endpoint = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    return link.url.replace(HUB, endpoint, 1) if link.url.startswith(f"{HUB}/") else link.url


@dataclass(frozen=True)
class Package:
    """What one download gives, and the mirrors that have it."""

    name: str
    action: Literal["models", "evaluator", "glove"]
    dataset: Dataset | None
    file: str
    """Name in the cache, and of the file to get by hand."""
    target: str
    """Folder, relative to the root."""
    mirrors: tuple[tuple[Link, ...], ...]
    """Tried in this order; each has everything."""
    page: str
    """Page of the publisher, for a browser."""
    expects: tuple[str, ...] = ()
    """Files below the target that make it complete; the first tells where an archive's content begins."""
    keep: tuple[str, ...] = ()
    """Entries of the archive that are wanted; none named: all."""

    @property
    def links(self) -> tuple[Link, ...]:
        """Links of all mirrors."""
        return tuple(link for mirror in self.mirrors for link in mirror)

    @property
    def plain(self) -> bool:
        """Whether the file is used as it is, not unpacked."""
        return self.mirrors[0][0].save_as == self.file


def _hub(path: str, origin: str, sha256: str = "") -> tuple[Link, ...]:
    return (Link(f"{HUB}/{path}", origin, sha256),)


def _drive(file_id: str, origin: str, sha256: str = "") -> tuple[Link, ...]:
    return (Link(f"https://drive.google.com/file/d/{file_id}/view", origin, sha256),)


def _momask(dataset: Dataset, file: str, expects: tuple[str, ...], *mirrors: tuple[Link, ...]) -> Package:
    return Package(
        f"momask-{dataset}", "models", dataset, file, f"checkpoints/{dataset}", mirrors, MOMASK_FOLDER, expects
    )


def _lamp(name: str, dataset: Dataset, file: str) -> Package:
    """Checkpoint of the LaMP release, which has them in an object store of its own and names no folder for them."""
    link = Link(f"{STORE}/share/aigc3d/lamp/{file}", LAMP_README, save_as=file)
    page = "https://github.com/gentlefress/LaMP#get-you-ready"
    return Package(f"lamp-{name}", "models", dataset, file, f"checkpoints/{dataset}/lamp_release", ((link,),), page)


def _evaluator(dataset: Dataset, file: str, *mirrors: tuple[Link, ...]) -> Package:
    expects = ("text_mot_match/model/finest.tar", "Comp_v6_KLD005/opt.txt")
    # T2M-GPT's archives keep the evaluator's mean and std in the last one.
    keep = ("text_mot_match", "Comp_v6_KLD005", "VQVAEV3_CB1024_CMT_H1024_NRES3")
    folder = f"checkpoints/{dataset}"
    return Package(f"evaluator-{dataset}", "evaluator", dataset, file, folder, mirrors, MOMASK_FOLDER, expects, keep)


# LFS pointer of nanxiz/zcabnzhmm at 357c06b; a public report gives the same checksum for the file in Google Drive.
_HUMANML3D_MODELS_SHA256 = "3ed737fe352c4cdc671b0c133d6c0090690468d58832bd883686188d5f333ec7"
_GLOVE_COPY = {
    "our_vab_data.npy": "73ed9b73ee5bc5ab683661c132b9f98fe305672dffdf70ceeac1bc447543d668",
    "our_vab_words.pkl": "fac88da1be6f00d36b72b88c9745c8ac35a94a7bd6ccf1fa3bab380faf8c2e0d",
    "our_vab_idx.pkl": "d85dce83d2c27a92bb94bb51dc1f55a04fcaa328c359d23eccf648e296c16493",
}

PACKAGES: tuple[Package, ...] = (
    _momask(
        "t2m",
        "humanml3d_models.zip",
        (
            "rvq_nq6_dc512_nc512_noshare_qdp0.2/model/net_best_fid.tar",
            "t2m_nlayer8_nhead6_ld384_ff1024_cdp0.1_rvq6ns/model/latest.tar",
            "tres_nlayer8_ld384_ff1024_rvq6ns_cdp0.2_sw/model/net_best_fid.tar",
        ),
        _hub(
            "nanxiz/zcabnzhmm/resolve/357c06b1f09cf29a2b2b936772e37439e243d86e/humanml3d_models.zip",
            HUB_COPY,
            _HUMANML3D_MODELS_SHA256,
        ),
        _hub("camenduru/MoMask/resolve/main/humanml3d_models.zip", NAMED_COPY),
        _drive("1vXS7SHJBgWPt59wupQ5UUzhFObrnGkQ0", MOMASK_SCRIPTS, _HUMANML3D_MODELS_SHA256),
    ),
    _momask(
        "kit",
        "kit_models.zip",
        (
            "rvq_nq6_dc512_nc512_noshare_qdp0.2_k/model/net_best_fid.tar",
            "t2m_nlayer8_nhead6_ld384_ff1024_cdp0.1_rvq6ns_k/model/latest.tar",
        ),
        _hub("nanxiz/zcabnzhmm/resolve/main/kit_models.zip", HUB_COPY),
        _drive("1FapdHNkxPouasVM8MWgg1f6sd_4Lua2q", MOMASK_SCRIPTS),
    ),
    _lamp("vq", "t2m", "vq.tar"),
    _lamp("qformer-t2m", "t2m", "h3d-qformer.tar"),
    _lamp("qformer-kit", "kit", "kit-qformer.tar"),
    _lamp("t2m", "t2m", "t2m.tar"),
    _lamp("m2t", "t2m", "m2t.pth"),
    _evaluator(
        "t2m",
        "humanml3d_evaluator.zip",
        _hub("camenduru/MoMask/resolve/main/humanml3d_evaluator.zip", NAMED_COPY),
        _drive("19C_eiEr0kMGlYVJy_yFL6_Dhk3RvmwhM", MOMASK_SCRIPTS),
        _drive("1FIiqtkt4F-GVWmnBgtZnv9W3cPWS-oM-", T2M_GPT_SCRIPTS),
    ),
    _evaluator(
        "kit",
        "kit_evaluator.zip",
        _drive("1TKIZ3TSSZawpilC-7Kw7Ws4sNNuzb49p", MOMASK_SCRIPTS),
        _drive("1KNU8CsMAnxFrwopKBBkC8jEULGLPBHQp", T2M_GPT_SCRIPTS),
    ),
    Package(
        name="glove",
        action="glove",
        dataset=None,
        file="glove.zip",
        target="glove",
        mirrors=(
            tuple(
                Link(f"{HUB}/andrewatef/MoMask-test/resolve/main/glove/{name}", HUB_COPY, sha256, save_as=name)
                for name, sha256 in _GLOVE_COPY.items()
            ),
            _drive("1cmXKUT31pqd7_XpJAiWEo1K81TMYHA5n", MOMASK_SCRIPTS),
            _drive("1bCeS6Sh_mLVTebxIgiUHgdPrroW06mb6", T2M_GPT_SCRIPTS),
        ),
        page="https://github.com/EricGuo5513/momask-codes/blob/main/prepare/download_glove.sh",
        expects=tuple(_GLOVE_COPY),
    ),
)
