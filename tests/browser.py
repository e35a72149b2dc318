"""Chromium without a screen, driven by selenium."""

import functools
import http.server
import io
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.marks import NPM, chromium

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
)


@contextmanager
def opened(width: int = 1280, height: int = 800) -> "Iterator[Chrome]":
    """A browser with a window of a size; also below what windows of a desktop can have."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium() or ""
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        resize(driver, width, height)
        # Pages begin still: drawing without a graphics card takes all of a processor.
        still = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", still)
        yield driver
    finally:
        driver.quit()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder's files can be had meanwhile."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def resize(driver: "Chrome", width: int, height: int) -> None:
    """Another size of the window."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def troubles(driver: "Chrome") -> list[str]:
    """Errors and warnings of the console so far, but those about drawing without a graphics card."""
    lines = [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    return [line for line in lines if "GPU stall" not in line and "swiftshader" not in line.lower()]


def picture(take: Callable[[], bytes], patience: float = 60.0, pause: float = 1.0) -> bytes:
    """A PNG, asked for again for `patience` seconds: a busy Chromium gives up on some ("aborted by navigation").

    The pauses between let it draw: asked at once, it gave up three times in a row on a machine with busy neighbours.
    """
    from selenium.common.exceptions import TimeoutException

    end = time.monotonic() + patience
    while time.monotonic() < end:
        with suppress(TimeoutException):
            return take()
        time.sleep(pause)
    return take()


def pixels(driver: "Chrome") -> np.ndarray:
    """The window's content (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(picture(driver.get_screenshot_as_png))).convert("RGB")).astype(int)


def serious_findings(driver: "Chrome") -> list[dict[str, Any]]:
    """What axe-core finds serious or critical in the page that is open; it must be in `.npm-ci`."""
    driver.execute_script((Path(NPM) / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8"))
    found = driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    return [
        {"id": rule["id"], "where": json.dumps([node["target"] for node in rule["nodes"]])[:300]}
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
