"""A headless Chromium by the pipe of its own protocol: no driver, no server, no package between."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--remote-debugging-pipe",
)
_END = b"\0"


@dataclass
class Page:
    """A tab.

    Attributes:
        browser: whose it is.
        session: its id.
        problems: errors and warnings of its console, uncaught exceptions, and what its policy refused.
        requests: URLs that it asked for, its own document apart.
    """

    browser: Browser
    session: str
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol for this tab."""
        return self.browser.send(method, self.session, **parameters)

    def open(self, path: Path, *, scripts: bool = True) -> None:
        """Load a file, and wait until it is there."""
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.problems.clear()
        self.requests.clear()
        self.browser.events.clear()
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.browser.wait_for("Page.loadEventFired", self.session)

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False, media: str = "screen") -> None:
        """Set the size of the window, the colours that are preferred, and screen or print."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def run(self, script: str) -> Any:
        """Return the value of an expression, of a promise what it is fulfilled with."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"].get("exception", {}).get("description", answer))
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key: Tab, Enter, or a letter."""
        codes = {"Tab": (9, None), "Enter": (13, "\r"), " ": (32, " ")}
        code, text = codes[key] if key in codes else (ord(key.upper()), key)
        down = {"type": "keyDown", "key": key, "windowsVirtualKeyCode": code} | ({"text": text} if text else {})
        self.send("Input.dispatchKeyEvent", **down)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def picture(self, *, whole: bool = False) -> bytes:
        """Return a PNG of the window, or of the whole page."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def printed(self) -> bytes:
        """Return the page as PDF, as it is on paper: what `look` says of screens holds for paper, too."""
        self.send("Emulation.setEmulatedMedia", media="print", features=[])
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])


class Browser:
    """A Chromium that this process talks to."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()

        def number_the_pipes() -> None:  # 3 and 4 are where Chromium looks for them
            reading, writing = os.dup(to_browser), os.dup(from_browser)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        self.process = subprocess.Popen(
            [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(3, 4, to_browser, from_browser),
            preexec_fn=number_the_pipes,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._rest = b""
        self._number = 0
        self._pages: dict[str, Page] = {}
        self.events: list[tuple[str, str]] = []

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method, and return its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._write, json.dumps(message).encode() + _END)
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]

    def wait_for(self, event: str, session: str) -> None:
        """Wait until an event has come."""
        while (event, session) not in self.events:
            self._receive()

    def page(self) -> Page:
        """Open a tab that listens to what goes wrong in it."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        return page

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(AssertionError, OSError):
            self.send("Browser.close")
        os.close(self._write)
        self.process.wait(timeout=20)
        os.close(self._read)

    def _receive(self) -> dict[str, Any]:
        while _END not in self._rest:
            part = os.read(self._read, 1 << 16)
            assert part, "Chromium has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(_END)
        found: dict[str, Any] = json.loads(message)
        if "method" in found:
            self._note(found["method"], found.get("sessionId", ""), found["params"])
        return found

    def _note(self, event: str, session: str, told: dict[str, Any]) -> None:
        self.events.append((event, session))
        page = self._pages.get(session)
        if page is None:
            return
        if event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            page.problems.append(f"console: {told['args']}")
        elif event == "Runtime.exceptionThrown":
            page.problems.append(f"exception: {told['exceptionDetails']}")
        elif event == "Log.entryAdded":
            page.problems.append(f"log: {told['entry']['text']}")
        elif event == "Network.requestWillBeSent" and told.get("type") != "Document":
            page.requests.append(told["request"]["url"])


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start a Chromium for the length of a `with` block; its profile goes with it."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile))
        try:
            yield browser
        finally:
            browser.close()
