"""What a person does with a page: looks, clicks with a mouse, types on a keyboard."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

from tests.e2e.ui.chromium import BrowserError, Chromium

WIDTH = 1280
SEEN_S = 120.0
"""How long a person waits for something to show; pages are slow on a busy machine."""

_BETWEEN_PAGES = ("navigated or closed", "context was destroyed", "Cannot find context", "context with specified id")

# Elements that can be seen, by CSS and the text they show; the innermost of those in one another comes first.
_FIND = """(css, text, row) => {
  const shown = e => { const r = e.getBoundingClientRect(), s = getComputedStyle(e);
    return r.width > 0 && r.height > 0 && s.visibility !== 'hidden'; };
  const said = e => (e.innerText || e.getAttribute('aria-label') || e.value || '').trim();
  const found = [...document.querySelectorAll(css)].filter(shown).filter(e => text === null || said(e) === text)
    .filter(e => row === null || e.closest('tr, [role=row], li')?.innerText.includes(row));
  return found.filter(e => !found.some(o => o !== e && e.contains(o)));
}"""
# Where its middle is, once it has come to rest and nothing lies over it.
_AIM = """async (e) => {
  e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
  const before = e.getBoundingClientRect();
  await new Promise(done => setTimeout(done, 100));
  const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
  if (!e.isConnected || before.x !== r.x || before.y !== r.y || e.disabled) return null;
  const top = document.elementFromPoint(x, y);
  return top && (e.contains(top) || top.contains(e) || top.closest('label')?.contains(e)) ? [x, y] : null;
}"""


class Page:
    """The one tab of a browser."""

    def __init__(self, browser: Chromium, address: str) -> None:
        self.browser = browser
        self.address = address
        for domain in ("Page", "Runtime", "Network"):
            browser.ask(f"{domain}.enable")
        self.size(WIDTH, 800)

    def size(self, width: int, height: int, scale: float = 1.0) -> None:
        """Make the window so large."""
        self.browser.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def go(self, path: str) -> None:
        """Type an address in."""
        url = path if "://" in path else f"{self.address}{path}"
        answer = self.browser.ask("Page.navigate", url=url)
        assert not answer.get("errorText"), f"{url}: {answer['errorText']}"

    def run(self, script: str) -> Any:
        """Evaluate JavaScript; promises are waited for. None while one page goes and the next one comes."""
        try:
            answer = self.browser.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        except BrowserError as error:
            if not any(said in str(error) for said in _BETWEEN_PAGES):
                raise
            return None
        if "exceptionDetails" in answer:
            return None
        return answer["result"].get("value")

    @property
    def url(self) -> str:
        """Where we are."""
        return str(self.run("location.href"))

    @property
    def text(self) -> str:
        """What can be read."""
        return str(self.run("document.body.innerText"))

    def until(self, script: str, what: str, *, timeout_s: float = SEEN_S) -> Any:
        """Wait until a script gives something that is true, and give that."""
        deadline = time.monotonic() + timeout_s
        while not (found := self.run(script)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout_s:g} s for {what} at {self.url}; it shows:\n{self.text[:3000]}")
            time.sleep(0.2)
        return found

    def see(self, text: str, css: str = "body", *, timeout_s: float = SEEN_S) -> None:
        """Wait until a text can be read."""
        script = (
            f"[...document.querySelectorAll({json.dumps(css)})].some(e => e.innerText.includes({json.dumps(text)}))"
        )
        self.until(script, repr(text), timeout_s=timeout_s)

    def click(self, css: str, text: str | None = None, *, row: str | None = None) -> None:
        """Click on what is to be seen, with the mouse; `row`: in the line of a table that says this."""
        x, y = self._aim(css, text, row)
        for kind, buttons in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            self.browser.ask(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1
            )

    def hover(self, x: float = 1.0, y: float = 1.0) -> None:
        """Move the mouse, out of the way by default."""
        self.browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def fill(self, css: str, text: str) -> None:
        """Click into a field and type over what is there."""
        self.click(css)
        self.press("a", "KeyA", 65, ctrl=True)
        self.type(text)

    def type(self, text: str) -> None:
        """Type where the cursor is."""
        self.browser.ask("Input.insertText", text=text)

    def press(self, key: str, code: str, number: int, *, ctrl: bool = False) -> None:
        """Press a key."""
        said = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 2 if ctrl else 0}
        if key == "Enter":
            said["text"] = "\r"
        for kind in ("keyDown", "keyUp"):
            commands = {"commands": ["selectAll"]} if ctrl and kind == "keyDown" else {}
            self.browser.ask("Input.dispatchKeyEvent", type=kind, **said, **commands)

    def enter(self) -> None:
        """Press Enter."""
        self.press("Enter", "Enter", 13)

    def opened(self, url: str, *, timeout_s: float = SEEN_S) -> None:
        """Wait until a click has opened a tab of that address, and close that tab."""
        deadline = time.monotonic() + timeout_s
        while not (tabs := [one for one in self._other_tabs() if one["url"] == url]):
            if time.monotonic() > deadline:
                found = [one["url"] for one in self._other_tabs()]
                raise TimeoutError(f"waited {timeout_s:g} s for a tab with {url}; there are {found}")
            time.sleep(0.2)
        for one in tabs:
            self.browser.ask("Target.closeTarget", targetId=one["targetId"])

    def _other_tabs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.browser.ask("Target.getTargets")["targetInfos"]
        return [one for one in found if one["type"] == "page"]

    def shoot(self, path: Path, *, css: str | None = None) -> None:
        """Make a picture of the window, or of one element."""
        self.hover()
        more: dict[str, Any] = {}
        if css is not None:
            box = self.until(
                f"(() => {{const r = ({_FIND})({json.dumps(css)}, null, null)[0]?.getBoundingClientRect();"
                " return r ? {x: r.x, y: r.y, width: r.width, height: r.height} : null})()",
                css,
            )
            more["clip"] = {**box, "scale": 1}
        path.write_bytes(base64.b64decode(self.browser.ask("Page.captureScreenshot", format="png", **more)["data"]))

    def _aim(self, css: str, text: str | None, row: str | None) -> tuple[float, float]:
        one = f"({_FIND})({json.dumps(css)}, {json.dumps(text)}, {json.dumps(row)})[0]"
        script = f"(async () => {{const e = {one}; return e ? await ({_AIM})(e) : null}})()"
        x, y = self.until(script, " ".join(["something to click on:", css, text or "", row or ""]))
        return x, y
