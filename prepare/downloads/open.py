"""Addresses of the public files, and opening them: servers, certificates, cookies, Google Drive's pages."""

import html.parser
import http.cookiejar
import os
import re
import ssl
import urllib.parse
import urllib.request
from dataclasses import dataclass
from functools import cache
from typing import Any

from lamp.prepare.downloads.sources import STORE, Link

_PAGE_BYTES = 1 << 20


class LinkError(Exception):
    """This link does not give the file; another one may."""


class HostError(LinkError):
    """The link's server cannot be reached at all."""


@dataclass(frozen=True)
class Hosts:
    """Base addresses; the environment variables LAMP_HUB_URL, LAMP_DRIVE_URL, LAMP_STORE_URL name other servers."""

    hub: str
    drive: str
    store: str

    @classmethod
    def from_environment(cls) -> "Hosts":
        """The public servers, or those the environment names (HF_ENDPOINT counts for the hub too)."""
        from huggingface_hub import constants

        public = {
            "hub": constants.ENDPOINT,
            "drive": "https://drive.usercontent.google.com",
            "store": STORE,
        }
        return cls(
            **{host: os.environ.get(f"LAMP_{host.upper()}_URL", url).rstrip("/") for host, url in public.items()}
        )

    def url(self, link: Link) -> str:
        """Address that a program fetches."""
        if link.host == "hub":
            from huggingface_hub import hf_hub_url

            return hf_hub_url(link.where, link.path, revision=link.revision, endpoint=self.hub)
        if link.host == "drive":
            # With confirm, large files skip the page that says no virus scan was made, mostly.
            return f"{self.drive}/download?id={link.where}&export=download&confirm=t"
        return f"{self.store}/{link.where}"


def open_file(url: str, have: int, version: str, timeout: float) -> Any:
    """Open `url` from byte `have` on, through the pages that Google Drive puts before large files.

    Args:
        url: what to open.
        have: bytes that are not needed any more.
        version: what the server called the file that they are from; another version is sent whole.
        timeout: seconds without a byte.

    Returns:
        The answer (status 200: from the beginning, 206: from `have` on).

    Raises:
        LinkError: a page came instead of the file.
        OSError: no connection, or an answer with an error code.
    """
    opener = _opener()
    headers = {"User-Agent": "lamp-motion", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        headers |= {"If-Range": version} if version else {}
    for _ in range(3):
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
        if not response.headers.get("Content-Type", "").lower().startswith("text/html"):
            return response
        with response:
            page = response.read(_PAGE_BYTES).decode("utf-8", "replace")
            url = _confirmed_address(page, response.url)
    raise LinkError("asks for confirmation again and again")


def _opener() -> urllib.request.OpenerDirector:
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=_certificates()), cookies)


@cache
def _certificates() -> ssl.SSLContext:
    """Certificates of the system, and of certifi for Pythons that have none."""
    context = ssl.create_default_context()
    try:
        import certifi

        context.load_verify_locations(certifi.where())
    except ImportError:
        pass
    return context


class _Page(html.parser.HTMLParser):
    """Title of a page, and the form that confirms a download."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title = self.action = ""
        self.fields: dict[str, str] = {}
        self._in_title = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the form's address and its hidden fields."""
        values = {name: value or "" for name, value in attrs}
        self._in_title = tag == "title"
        if tag == "form" and "confirm" not in self.fields:
            self.action, self.fields = values.get("action", ""), {}
        elif tag == "input" and self.action and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")

    def handle_data(self, data: str) -> None:
        """Note the title."""
        if self._in_title:
            self.title, self._in_title = data.strip(), False


def _confirmed_address(text: str, address: str) -> str:
    """Address behind Google Drive's "cannot scan for viruses" page.

    Raises:
        LinkError: the page is another one: quota used up, login, or simply not the file.
    """
    page = _Page(text)
    if "confirm" in page.fields and "id" in page.fields:
        return urllib.parse.urljoin(address, page.action) + "?" + urllib.parse.urlencode(page.fields)
    if re.search(r"quota|too many users", text, re.IGNORECASE):
        raise LinkError("the download quota of this file is used up for today")
    if "accounts.google.com" in urllib.parse.urlsplit(address).netloc:
        raise LinkError("this file needs a login")
    raise LinkError(f"answers with a web page ({page.title[:60] or 'no title'}) instead of the file")
