"""A headless Chromium that tests drive through its DevTools protocol, over a pair of pipes.

Source: https://chromedevtools.github.io/devtools-protocol/; messages are JSON ended by NUL.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_PATIENCE_S = 120.0


def find_chromium() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Browser:
    """One window; `events` collects what it reports."""

    def __init__(self, executable: str, profile: Path) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # The browser reads from descriptor 3 and writes to 4, whatever they are here.
        script = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "-", executable, *_FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.events: list[dict[str, Any]] = []
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def close(self) -> None:
        # A browser whose pipes are closed leaves by itself.
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(_PATIENCE_S)
        finally:
            self._process.kill()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The browser's answer; what it reports until then becomes events."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])
            self.events.append(answer)

    def show(self, address: str) -> None:
        """Load a page, and wait until it has."""
        self._await_load("about:blank")
        self.events.clear()
        self._await_load(address)

    def _await_load(self, address: str) -> None:
        # An address that differs in its hash alone would load nothing: a blank page lies between.
        loader = self.call("Page.navigate", url=address)["loaderId"]
        wanted = {"name": "load", "loaderId": loader}
        while not any(
            event["method"] == "Page.lifecycleEvent" and wanted.items() <= event["params"].items()
            for event in self.events
        ):
            self.events.append(self._read())

    def complaints(self) -> list[dict[str, Any]]:
        """What the page said to its console, and errors that it did not catch."""
        wanted = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [event["params"] for event in self.events if event["method"] in wanted]

    def requests(self) -> list[str]:
        """The addresses that the page asked for, data inside it aside."""
        sent = (e for e in self.events if e["method"] == "Network.requestWillBeSent")
        addresses = (event["params"]["request"]["url"] for event in sent)
        return [address for address in addresses if not address.startswith("data:")]

    def run(self, expression: str) -> Any:
        """The value of JavaScript in the page."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key of the keyboard, by its DevTools name."""
        code = {"Tab": 9, "Enter": 13}[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def look(self, *, width: int, height: int, scheme: str = "light") -> bytes:
        """A PNG of the window, in light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def print(self) -> bytes:
        """A PDF of the page."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            assert left > 0, "Chromium does not answer"
            if select.select([self._in], [], [], left)[0]:
                chunk = os.read(self._in, 1 << 20)
                assert chunk, "Chromium has died"
                self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))
