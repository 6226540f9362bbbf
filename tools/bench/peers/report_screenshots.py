#!/usr/bin/env python3
"""Takes pictures of a report in headless Chromium: at 390, 768 and 1440 pixels, light and dark, and its A4 pages.

    tools/bench/peers/report_screenshots.py report.html --out pictures [--run 'JavaScript to run first']

Needs the program chromium, and pdftoppm for pictures of the pages. Prints every message of the page's script, and the
elements that are wider than the window. Not a part of any test.
"""
import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

WIDTHS = (390, 768, 1440)


class Browser:
    """Chromium, asked through its debugging pipe: JSON messages that end in a zero byte."""

    def __init__(self, profile):
        to_browser, self.out = os.pipe()
        self.inp, from_browser = os.pipe()

        def connect():
            os.dup2(os.dup(to_browser), 3)
            os.dup2(os.dup(from_browser), 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=connect, close_fds=False, stderr=subprocess.DEVNULL)
        self.count, self.session, self.pending = 0, None, b""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime"):
            self.ask(domain + ".enable")

    def message(self):
        while b"\0" not in self.pending:
            part = os.read(self.inp, 1 << 20)
            if not part:
                raise RuntimeError("chromium ended")
            self.pending += part
        text, self.pending = self.pending.split(b"\0", 1)
        message = json.loads(text)
        if message.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            print(json.dumps(message["params"])[:600])
        return message

    def ask(self, method, **params):
        self.count += 1
        request = {"id": self.count, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        while (answer := self.message()).get("id") != self.count:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, page):
        self.ask("Page.navigate", url=page.resolve().as_uri())
        while self.message().get("method") != "Page.loadEventFired":
            pass

    def run(self, script):
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)["result"].get("value")

    def end(self):
        self.process.terminate()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--run", help="JavaScript to run before each picture")
    parser.add_argument("--without-script", action="store_true", help="switch the page's script off")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        try:
            take_pictures(browser, arguments)
        finally:
            browser.end()


def take_pictures(browser, arguments):
    browser.ask("Emulation.setScriptExecutionDisabled", value=arguments.without_script)
    for scheme in ("light", "dark"):
        browser.ask("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
        for width in WIDTHS:
            browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            browser.open(arguments.page)
            if arguments.run:
                print(browser.run(arguments.run))
            wider = browser.run("document.documentElement.scrollWidth - window.innerWidth")
            if wider and wider > 0:
                print(f"{width} pixels: the page is {wider} pixels too wide")
            picture = browser.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            (arguments.out / f"{scheme}_{width}.png").write_bytes(base64.b64decode(picture))
    pdf = browser.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"]
    path = arguments.out / "pages.pdf"
    path.write_bytes(base64.b64decode(pdf))
    if shutil.which("pdftoppm"):
        subprocess.run(["pdftoppm", "-r", "60", "-png", path, arguments.out / "page"], check=True)


if __name__ == "__main__":
    main()
