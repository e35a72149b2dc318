"""Pages of the documentation: their links lead somewhere, and pictures stay small."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def anchors(page: Path) -> set[str]:
    """Names of the headings of a page as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """Links of a page to files or headings that are not there."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        if name.startswith(("http:", "https:", "mailto:")):
            continue
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# A *fine* one, see: x\n")
    (tmp_path / "a.md").write_text("[x](b.md#a-fine-one-see-x) [y](b.md#no) ![z](c.png) [w](https://x.example)\n")
    assert dead_links(tmp_path / "a.md") == ["b.md#no", "c.png"]


def test_the_gallery_is_small_and_whole() -> None:
    pictures = set((ROOT / "docs" / "gallery").iterdir())
    shown = re.findall(r"!\[[^\]]+\]\(gallery/([^)]+)\)", (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8"))
    assert {picture.name for picture in pictures} == set(shown) and len(shown) >= 5
    assert sum(picture.stat().st_size for picture in pictures) < 600_000
