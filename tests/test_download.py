"""Downloads, against a server on this machine that misbehaves as real ones do."""

import contextlib
import hashlib
import io
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
import zipfile
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
import torch

from lamp.data.captions import mapped
from lamp.prepare.download import run
from lamp.prepare.downloads.files import check_file, is_archive, unpack
from lamp.prepare.downloads.install import Downloader, PackageError
from lamp.prepare.downloads.sources import PACKAGES, Link, Package, address
from lamp.prepare.downloads.transfer import LinkError, Patience, fetch
from lamp.utils.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
HURRY = Patience(first_wait=0.0, longest_wait=0.0, timeout=5.0)
DATA = np.random.default_rng(0).bytes(1_500_000)


@dataclass
class Route:
    """How the server answers for one path."""

    content: bytes = b""
    kind: str = "application/octet-stream"
    etag: str = '"1"'
    errors: list[int] = field(default_factory=list)
    """Status codes of the first answers."""
    breaks: list[int] = field(default_factory=list)
    """Bytes after which the next connections end."""
    ranges: bool = True
    hold: bool = False
    """Wait half way until the client goes."""


class Server(ThreadingHTTPServer):
    """Server with routes by path (query included if the route has one) and a list of what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes: dict[str, Route] = {}
        self.asked: list[tuple[str, str]] = []
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Broken connections are what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    """Serves `Server.routes`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Be quiet."""

    def do_GET(self):
        self.close_connection = True
        self.server.asked.append((self.path, self.headers.get("Range", "")))
        route = self.server.routes.get(self.path) or self.server.routes.get(self.path.split("?")[0])
        status = 404 if route is None else route.errors.pop(0) if route.errors else 200
        if status != 200:
            return self.start(status, {"Content-Length": "0", "Content-Type": "text/html"})
        start, total, headers = 0, len(route.content), {"Content-Type": route.kind, "ETag": route.etag}
        if "html" not in route.kind:
            headers["Content-Disposition"] = 'attachment; filename="file"'
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and route.ranges and self.headers.get("If-Range", route.etag) == route.etag:
            start = int(wanted[1])
            if start >= total:
                return self.start(416, {"Content-Range": f"bytes */{total}", "Content-Length": "0"})
            status, headers["Content-Range"] = 206, f"bytes {start}-{total - 1}/{total}"
        body = route.content[start:]
        self.start(status, {**headers, "Content-Length": str(len(body))})
        if route.breaks:
            body = body[: route.breaks.pop(0)]
        if route.hold:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.released.wait(20)
            return None
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def start(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def divert(monkeypatch, url: str) -> None:
    """Send all requests of this process to one server, whatever host they name."""
    send = requests.adapters.HTTPAdapter.send

    def diverted(self, request, *args, **options):
        request.url = url + urllib.parse.urlsplit(request.url)._replace(scheme="", netloc="").geturl()
        return send(self, request, *args, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", diverted)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server(monkeypatch):
    """Running server; the downloads of this test go to it and nowhere else."""
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    divert(monkeypatch, server.url)
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def zipped(files: dict[str, bytes]) -> bytes:
    """Zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    """Compressed tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def checkpoint(**options) -> bytes:
    """File of torch.save."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(4.0)}, buffer, **options)
    return buffer.getvalue()


def array() -> bytes:
    """File of numpy.save."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 300)))
    return buffer.getvalue()


GLOVE = {
    "our_vab_data.npy": array(),
    "our_vab_words.pkl": pickle.dumps(["unk", "walk"]),
    "our_vab_idx.pkl": pickle.dumps({"unk": 0, "walk": 1}),
}


DRIVE_PAGE = "https://drive.google.com/file/d/ID/view"
QUOTA = b'<title>Quota exceeded</title><p class="uc-error-subcaption">Too many users have viewed this file</p>'


@pytest.fixture
def package():
    """A package with a copy on the hub, one in Google Drive and one in the store."""
    return Package(
        name="thing",
        action="models",
        dataset="t2m",
        file="thing.zip",
        target="checkpoints/t2m",
        mirrors=(
            (Link("https://huggingface.co/some/copy/resolve/main/thing.zip", "test"),),
            (Link(DRIVE_PAGE, "test"),),
            (Link("https://store.example/share/thing.zip", "test"),),
        ),
        page="https://example.org/thing",
        expects=("run/model/best.tar", "run/opt.txt"),
    )


HUB, DRIVE, STORE = "/some/copy/resolve/main/thing.zip", "/uc", "/share/thing.zip"
CONTENT = {"run/model/best.tar": checkpoint(), "run/opt.txt": b"name: run\n", "other/opt.txt": b"name: other\n"}


@pytest.fixture
def downloader(server, tmp_path):
    """Downloader into a temporary folder."""
    return Downloader(tmp_path / "root", tmp_path / "cache", HURRY)


def files_in(folder: Path) -> list[str]:
    """Relative paths of all files, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connections_are_resumed(server, tmp_path, ranges):
    # Whole chunks: what is less than one at the end of a broken connection is asked for again.
    route = server.routes["/f"] = Route(DATA, breaks=[6 << 16, 10 << 16], ranges=ranges)
    fetch(f"{server.url}/f", tmp_path / "f", HURRY, sha256=hashlib.sha256(DATA).hexdigest())
    assert (tmp_path / "f").read_bytes() == DATA and files_in(tmp_path) == ["f"] and not route.breaks
    expected = ["", *(f"bytes={size << 16}-" for size in ((6, 16) if ranges else (6, 10)))]
    assert [asked for _, asked in server.asked] == expected


def test_progress_restores_patience(server, tmp_path):
    server.routes["/f"] = Route(DATA, breaks=[100_000] * 12)
    fetch(f"{server.url}/f", tmp_path / "f", HURRY)
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("errors", [[404, 404], [500, 503, 429, 500]])
def test_passing_errors_are_waited_for(server, tmp_path, errors):
    server.routes["/f"] = Route(DATA, errors=list(errors))
    fetch(f"{server.url}/f", tmp_path / "f", HURRY)
    assert (tmp_path / "f").read_bytes() == DATA and len(server.asked) == len(errors) + 1


def test_lasting_errors_end(server, tmp_path):
    with pytest.raises(LinkError, match="answers 404"):
        fetch(f"{server.url}/f", tmp_path / "f", HURRY)
    server.routes["/g"] = Route(DATA, errors=[500] * 9)
    with pytest.raises(LinkError, match="answers 500"):
        fetch(f"{server.url}/g", tmp_path / "g", HURRY)
    assert files_in(tmp_path) == [] and len(server.asked) == HURRY.lasting_attempts + HURRY.attempts


def test_waits_grow_and_respect_the_server(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    server.routes["/f"] = Route(DATA, errors=[500] * 4)
    fetch(f"{server.url}/f", tmp_path / "f", Patience(first_wait=1.0, longest_wait=5.0))
    assert waits == [1.0, 2.0, 4.0, 5.0]


def test_a_changed_file_is_fetched_anew(server, tmp_path):
    url = f"{server.url}/f"
    server.routes["/f"] = Route(DATA, breaks=[500_000], errors=[])
    with pytest.raises(LinkError):
        fetch(url, tmp_path / "f", replace(HURRY, attempts=1))
    assert any(".part/" in name for name in files_in(tmp_path))
    server.routes["/f"] = Route(DATA[::-1], etag='"2"')
    fetch(url, tmp_path / "f", HURRY)
    assert (tmp_path / "f").read_bytes() == DATA[::-1]
    server.routes["/f"] = Route(DATA, breaks=[900_000])
    with pytest.raises(LinkError):
        fetch(url, tmp_path / "f", replace(HURRY, attempts=1))
    # Shorter now, and the server does not tell versions apart: 416.
    server.routes["/f"] = Route(DATA[:300])
    fetch(url, tmp_path / "f", HURRY)
    assert (tmp_path / "f").read_bytes() == DATA[:300] and files_in(tmp_path) == ["f"]


def test_wrong_checksum(server, tmp_path):
    server.routes["/f"] = Route(DATA)
    with pytest.raises(LinkError, match="checksum"):
        fetch(f"{server.url}/f", tmp_path / "f", HURRY, sha256="0" * 64)
    assert files_in(tmp_path) == []
    # The rest of an older version with the same ETag: only the checksum tells, and the whole file comes again.
    with pytest.raises(LinkError):
        server.routes["/f"] = Route(DATA[::-1], breaks=[500_000])
        fetch(f"{server.url}/f", tmp_path / "f", replace(HURRY, attempts=1))
    server.routes["/f"] = Route(DATA)
    fetch(f"{server.url}/f", tmp_path / "f", HURRY, sha256=hashlib.sha256(DATA).hexdigest())
    assert (tmp_path / "f").read_bytes() == DATA


def test_unwritable_cache(server, tmp_path):
    (tmp_path / "file").write_text("")
    server.routes["/f"] = Route(DATA)
    with pytest.raises(UserError, match=r"cannot write .*--cache"):
        fetch(f"{server.url}/f", tmp_path / "file" / "f", HURRY)


FORM = (
    '<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    '<input type="hidden" name="id" value="ID"><input type="hidden" name="confirm" value="t">'
    '<input type="hidden" name="uuid" value="a b"></form>'
)
CONFIRMED = "/download?id=ID&confirm=t&uuid=a+b"


@pytest.mark.parametrize("ranges", [True, False])
def test_drive_confirmation_and_resumed_transfers(server, tmp_path, ranges):
    server.routes[DRIVE] = Route(FORM.encode(), kind="text/html; charset=utf-8")
    server.routes[CONFIRMED] = Route(DATA, breaks=[1 << 19], ranges=ranges)
    with pytest.raises(LinkError):
        fetch(DRIVE_PAGE, tmp_path / "f", replace(HURRY, attempts=1))
    assert sum(path.stat().st_size for path in tmp_path.rglob("content*")) == 1 << 19
    fetch(DRIVE_PAGE, tmp_path / "f", HURRY, sha256=hashlib.sha256(DATA).hexdigest())
    assert (tmp_path / "f").read_bytes() == DATA and files_in(tmp_path) == ["f"]
    assert (f"bytes={1 << 19}-" in [asked for _, asked in server.asked]) and server.asked[0][0] == "/uc?id=ID"


def test_drive_pages_instead_of_the_file(server, tmp_path):
    for message, page in {"Too many users have viewed": QUOTA, "may need to change": b"<title>Sign in</title>"}.items():
        server.routes[DRIVE] = Route(page, kind="text/html")
        with pytest.raises(LinkError, match=message) as caught:
            fetch(DRIVE_PAGE, tmp_path / "g", HURRY)
        assert "\n" not in str(caught.value)
    server.routes["/page"] = Route(b"<title>Sign in</title>", kind="text/html")
    with pytest.raises(LinkError, match="web page instead"):
        fetch(f"{server.url}/page", tmp_path / "g", HURRY)
    assert files_in(tmp_path) == []


def test_mirrors_of_the_hub(monkeypatch):
    link = Link("https://huggingface.co/some/copy/resolve/main/a.zip", "test")
    assert address(link) == link.url and link.page == "https://huggingface.co/some/copy/blob/main/a.zip"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert address(link) == "https://mirror.example/some/copy/resolve/main/a.zip"
    assert address(Link("https://store.example/f", "test")) == "https://store.example/f"


def test_mirrors_in_order_until_one_is_good(server, downloader, package, capsys):
    server.routes[DRIVE] = Route(QUOTA, kind="text/html")
    server.routes[STORE] = Route(zipped(CONTENT))
    downloader.provide(package)
    out = capsys.readouterr().out
    assert out.index("answers 404") < out.index("Too many users") < out.index("installed checkpoints/t2m/run")
    target = downloader.root / "checkpoints" / "t2m"
    assert files_in(target) == sorted(CONTENT) and (target / "run/opt.txt").read_bytes() == CONTENT["run/opt.txt"]
    assert files_in(downloader.cache) == ["thing.zip"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>not an archive", "neither a zip nor a tar"),
        (zipped(CONTENT)[:-40], "neither a zip nor a tar"),
        (tarred(CONTENT)[:-40], "not a complete archive"),
        (zipped({"run/opt.txt": b"x"}), "run/model/best.tar is not in it"),
        (zipped({"run/model/best.tar": checkpoint()}), "run/opt.txt is not in it"),
        (zipped({**CONTENT, "run/model/best.tar": b"not a checkpoint"}), "not a PyTorch checkpoint"),
        (zipped({**CONTENT, "../evil": b"x"}), "path outside"),
        (zipped({**CONTENT, "/tmp/evil": b"x"}), "path outside"),
        (zipped({**CONTENT, "C:\\evil": b"x"}), "path outside"),
        (tarred({**CONTENT, "run/../../evil": b"x"}), "path outside"),
    ],
)
def test_bad_archives_leave_nothing(server, downloader, package, content, message):
    server.routes[HUB] = Route(content)
    with pytest.raises(PackageError, match=message) as caught:
        downloader.provide(package)
    # The way by hand: pages to open, file to get, where to put it.
    for part in ("https://example.org/thing", "drive.google.com/file/d/ID/view", str(downloader.cache / "thing.zip")):
        assert part in str(caught.value)
    assert not downloader.root.exists() and files_in(downloader.cache) == []


def test_damaged_member(server, downloader, package):
    content = bytearray(zipped(CONTENT))
    at = content.index(b"name: other")
    content[at] ^= 1
    server.routes[HUB] = Route(bytes(content))
    with pytest.raises(PackageError, match="not a complete archive"):
        downloader.provide(package)


def test_archives_are_known_by_content(server, downloader, package):
    server.routes[HUB] = Route(tarred({f"checkpoints/t2m/{name}": data for name, data in CONTENT.items()}))
    downloader.provide(replace(package, keep=("run",)))
    assert files_in(downloader.root / "checkpoints" / "t2m") == ["run/model/best.tar", "run/opt.txt"]


def test_links_are_left_out(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo(f"link{kind.decode()}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("real", "x")
    unpack(tmp_path / "a.tar", tmp_path / "tar")
    unpack(tmp_path / "a.zip", tmp_path / "zip")
    assert not (tmp_path / "tar").exists() and files_in(tmp_path / "zip") == ["real"]


def test_what_exists_is_kept_or_put_aside(server, downloader, package, capsys):
    server.routes[HUB] = Route(zipped(CONTENT))
    target = downloader.root / "checkpoints" / "t2m"
    mine = target / "other" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    downloader.provide(package)
    assert "checkpoints/t2m/other exists, left as it is" in capsys.readouterr().out
    assert files_in(target) == ["other/mine.txt", "run/model/best.tar", "run/opt.txt"]
    (target / "run" / "opt.txt").write_text("changed")
    asked = len(server.asked)
    downloader.provide(package)
    assert "already in checkpoints/t2m" in capsys.readouterr().out and len(server.asked) == asked
    downloader.force = True
    downloader.provide(package)
    assert (target / "run" / "opt.txt").read_bytes() == CONTENT["run/opt.txt"] and len(server.asked) == asked
    (old,) = target.glob("run.old-*")
    assert (old / "opt.txt").read_text() == "changed"
    (old,) = target.glob("other.old-*")
    assert (old / "mine.txt").read_text() == "precious"


def test_an_incomplete_folder_is_named(server, downloader, package):
    (downloader.root / "checkpoints" / "t2m" / "run").mkdir(parents=True)
    with pytest.raises(PackageError, match=r"run exists, but .*best.tar does not; --force"):
        downloader.provide(package)
    assert server.asked == []


def test_files_fetched_by_hand(server, downloader, package, capsys):
    downloader.cache.mkdir()
    (downloader.cache / "thing.zip").write_bytes(zipped(CONTENT))
    marked = replace(package, mirrors=((replace(package.mirrors[0][0], sha256="0" * 64),),))
    downloader.provide(marked)
    assert server.asked == [] and "not the published one" in capsys.readouterr().out
    assert (downloader.cache / "thing.zip").is_file()
    downloader.force = True
    (downloader.cache / "thing.zip").write_bytes(b"half a file")
    server.routes[HUB] = Route(zipped(CONTENT))
    downloader.provide(package)
    assert (downloader.cache / "thing.zip.bad").read_bytes() == b"half a file"
    assert (downloader.cache / "thing.zip").read_bytes() == zipped(CONTENT)


@pytest.mark.parametrize("damage", ["index", "content", "end"])
def test_a_damaged_file_in_the_cache_is_fetched_again(server, downloader, package, damage):
    good = zipped(CONTENT)
    bad = bytearray(good)
    if damage == "end":
        del bad[len(bad) // 2 :]
    else:
        bad[good.index(b"PK\x01\x02" if damage == "index" else b"name: run")] ^= 1
    downloader.cache.mkdir()
    (downloader.cache / "thing.zip").write_bytes(bad)
    server.routes[HUB] = Route(good)
    downloader.provide(package)
    assert (downloader.cache / "thing.zip").read_bytes() == good
    assert (downloader.cache / "thing.zip.bad").read_bytes() == bytes(bad)
    assert files_in(downloader.root / "checkpoints" / "t2m") == sorted(CONTENT)


def test_a_damaged_part_in_the_cache_is_fetched_again(server, downloader):
    parts = tuple(
        Link(f"https://store.example/{name}", "test", hashlib.sha256(content).hexdigest(), save_as=name)
        for name, content in GLOVE.items()
    )
    package = next(package for package in PACKAGES if package.name == "glove")
    for name, content in GLOVE.items():
        server.routes[f"/{name}"] = Route(content)
        (downloader.cache / "glove").mkdir(parents=True, exist_ok=True)
        (downloader.cache / "glove" / name).write_bytes(content)
    # One bit in the numbers: the file opens, and only its checksum tells.
    damaged = bytearray(GLOVE["our_vab_data.npy"])
    damaged[-1] ^= 1
    (downloader.cache / "glove" / "our_vab_data.npy").write_bytes(damaged)
    downloader.provide(replace(package, mirrors=(parts,)))
    assert (downloader.root / "glove" / "our_vab_data.npy").read_bytes() == GLOVE["our_vab_data.npy"]
    assert [path for path, _ in server.asked] == ["/our_vab_data.npy"]


@pytest.mark.parametrize("make", [zipped, tarred])
def test_no_damage_goes_unnoticed_or_has_another_error(tmp_path, make):
    good = make({"a.bin": DATA[:2000], "folder/b.bin": DATA[:3000]})
    random = np.random.default_rng(0)
    for number in range(150):
        bad = bytearray(good)
        bad[random.integers(len(bad))] ^= 1 << random.integers(8)
        path = tmp_path / "archive"
        path.write_bytes(bad)
        with contextlib.suppress(LinkError):
            if is_archive(path):
                unpack(path, tmp_path / str(number))


def test_dead_servers_are_asked_once(tmp_path, package, monkeypatch, capsys):
    divert(monkeypatch, "http://127.0.0.1:9")
    downloader = Downloader(tmp_path, tmp_path / "cache", HURRY)
    for name in ("one", "two"):
        with pytest.raises(PackageError, match="could not be downloaded"):
            downloader.provide(replace(package, name=name))
    out = capsys.readouterr().out
    assert out.count("one: from") == 3 and "two: from" not in out and files_in(tmp_path) == []


@pytest.mark.parametrize("content", [checkpoint(), checkpoint(_use_new_zipfile_serialization=False)])
def test_checkpoints_of_both_formats(server, downloader, content):
    package = next(package for package in PACKAGES if package.name == "lamp-vq")
    server.routes["/share/aigc3d/lamp/vq.tar"] = Route(content)
    downloader.provide(package)
    assert (downloader.root / "checkpoints/t2m/lamp_release/vq.tar").read_bytes() == content
    asked = len(server.asked)
    downloader.provide(package)
    assert len(server.asked) == asked


def test_a_checkpoint_that_is_an_archive(server, downloader):
    package = next(package for package in PACKAGES if package.name == "lamp-t2m")
    server.routes["/share/aigc3d/lamp/t2m.tar"] = Route(tarred({"mtrans/model/latest.tar": checkpoint()}))
    downloader.provide(package)
    assert files_in(downloader.root / "checkpoints/t2m/lamp_release") == ["t2m/mtrans/model/latest.tar"]


def test_files_must_open(tmp_path):
    class Code:
        def __reduce__(self):
            return os.system, ("true",)

    bad = {
        "a.pkl": (pickle.dumps(Code()), "more than plain data"),
        "b.pkl": (b"<html>", "not a pickle"),
        "c.npy": (array()[:-8], "not a NumPy array"),
        "d.npy": (b"<html>", "not a NumPy array"),
        "e.pth": (b"<html>", "not a PyTorch checkpoint"),
        "f.tar": (b"", "is empty"),
    }
    for name, (content, message) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LinkError, match=message):
            check_file(tmp_path / name)
    for name, content in GLOVE.items():
        (tmp_path / name).write_bytes(content)
        check_file(tmp_path / name)


def test_table():
    names, files = [package.name for package in PACKAGES], [package.file for package in PACKAGES]
    assert len(set(names)) == len(names) and len(set(files)) == len(files)
    for package in PACKAGES:
        assert package.plain or package.expects, "an archive without a known file cannot be recognised"
        for link in package.links:
            assert link.origin and re.fullmatch(r"([0-9a-f]{64})?", link.sha256)
            assert link.url.startswith("https://")


def test_run_goes_on_after_a_failure(server, tmp_path, capsys):
    files = {"text_mot_match/model/finest.tar": checkpoint(), "Comp_v6_KLD005/opt.txt": b"x"}
    files |= {"Comp_v6_KLD005/meta/mean.npy": array(), "VQVAE/model/net.pth": b""}
    archive = zipped({f"t2m/{name}": content for name, content in files.items()})
    server.routes["/camenduru/MoMask/resolve/main/humanml3d_evaluator.zip"] = Route(archive)
    flags = ["--root", str(tmp_path), "--cache", str(tmp_path / "cache")]
    with pytest.raises(UserError, match="evaluator-kit could not be downloaded") as caught:
        run(["evaluator", *flags], HURRY)
    assert "evaluator-t2m could" not in str(caught.value)
    space = tmp_path / "checkpoints" / "t2m"
    assert files_in(space) == sorted(name for name in files if "VQVAE" not in name)
    command = f"{space}/text_mot_match/model/finest.tar {space}/evaluator --meta {space}/Comp_v6_KLD005/meta --glove"
    assert f"next: python -m lamp.prepare.import_checkpoint {command} {tmp_path}/glove\n" in capsys.readouterr().out
    run(["evaluator", *flags, "--dataset_name", "t2m"], HURRY)
    with pytest.raises(UserError, match="names nothing"):
        run(["evaluator", *flags, "--only", "glove"], HURRY)


def test_list_tells_where_everything_is_from(server, capsys):
    run(["list"])
    out = capsys.readouterr().out
    assert "None of these addresses was opened" in out and all(package.name in out for package in PACKAGES)


def command(tmp_path: Path, server: Server) -> dict[str, object]:
    """Arguments of a process that runs the user's command."""
    environment = {**os.environ, "PYTHON": sys.executable, "LAMP_CACHE": str(tmp_path / "cache")}
    environment |= {"HF_ENDPOINT": server.url, "NO_PROXY": "*"}
    flags = ["--root", str(tmp_path), "--dataset_name", "t2m"]
    script = ["bash", str(ROOT / "prepare" / "download_evaluator.sh"), *flags]
    return {"args": script, "env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def test_users_command_interrupted_and_run_again(server, tmp_path):
    files = {"text_mot_match/model/finest.tar": checkpoint(), "Comp_v6_KLD005/opt.txt": b"x", "Comp_v6_KLD005/a": DATA}
    path, archive = "/camenduru/MoMask/resolve/main/humanml3d_evaluator.zip", zipped(files)
    server.routes[path] = Route(archive, hold=True)
    # What starts tests in the background may have Ctrl-C ignored.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(**command(tmp_path, server), start_new_session=True, preexec_fn=heard)
    deadline = time.monotonic() + 20
    content = "cache/humanml3d_evaluator.zip.*.part/content"
    while time.monotonic() < deadline and not sum(file.stat().st_size for file in tmp_path.glob(content)):
        time.sleep(0.02)
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "run the same command to go on" in out and "Traceback" not in err, err
    (part,) = tmp_path.glob(content)
    have = part.stat().st_size
    assert 0 < have <= len(archive) // 2 and not (tmp_path / "checkpoints").exists()
    server.routes[path] = Route(archive)
    finished = subprocess.run(**command(tmp_path, server), timeout=30)
    assert finished.returncode == 0 and "lamp.prepare.import_checkpoint" in finished.stdout, finished.stderr
    assert server.asked[-1][1] == f"bytes={have}-"
    target = tmp_path / "checkpoints" / "t2m"
    assert {name: (target / name).read_bytes() for name in files} == files
    assert files_in(tmp_path / "cache") == ["humanml3d_evaluator.zip"]


def test_a_missing_package_is_named_with_the_command_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gdown", None)
    for name in ("install", "transfer", "files"):
        monkeypatch.delitem(sys.modules, f"lamp.prepare.downloads.{name}")
    with pytest.raises(UserError, match=r"the package gdown: \S+ -m pip install -e '\.\[download\]'$"):
        run(["models", "--root", str(tmp_path)])
    run(["list"])


def test_an_array_whose_header_does_not_end_is_damaged(tmp_path):
    np.save(tmp_path / "Mean.npy", np.ones(3))
    content = (tmp_path / "Mean.npy").read_bytes()
    (tmp_path / "Mean.npy").write_bytes(content.replace(b")", b"("))
    with pytest.raises(LinkError, match=r"Mean\.npy is not a NumPy array"):
        check_file(tmp_path / "Mean.npy")
    with pytest.raises(ValueError, match=r"Mean\.npy is not an array|header"):
        mapped(tmp_path / "Mean.npy")
