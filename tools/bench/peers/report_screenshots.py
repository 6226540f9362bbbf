#!/usr/bin/env python3
"""Takes pictures of a report in headless Chromium: at 390, 768 and 1440 pixels, light and dark, and its A4 pages.

    tools/bench/peers/report_screenshots.py report.html --out pictures [--run 'JavaScript to run first']

Needs the program chromium, and pdftoppm for pictures of the pages. Prints every message of the page's script, and the
widths at which the page is wider than the window. report_check.py checks what the page does.
"""
import argparse
import base64
import pathlib
import shutil
import subprocess
import tempfile

from chromium import Browser

WIDTHS = (390, 768, 1440)


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
