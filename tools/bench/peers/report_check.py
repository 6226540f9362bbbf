#!/usr/bin/env python3
"""Checks what a reader can do with a report in headless Chromium, with real pointers, fingers and keys.

    tools/bench/peers/report_check.py [--gptmoe build/gptmoe] [--keep FOLDER]

Makes up runs, writes their reports with `gptmoe report`, and compares what the page shows with numbers that it computes
from the runs. Prints a line for each check; the exit code is 1 if one fails. Needs the programs chromium, and pdftotext
for the printed pages. Without pdftotext these are not checked, and a line says so.
"""
import argparse
import base64
import html
import math
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from chromium import Browser
from report_page import Page
from report_runs import ARMS, RATES, STEPS, TOKENS, brief, loss, make_reports, means, perplexity, seconds, with_band

WIDTHS = (390, 768, 1440)
failures = 0


def check(name, condition, seen=""):
    global failures
    failures += not condition
    print(f"{'ok    ' if condition else 'FAILED'} {name}" + ("" if condition else f": {seen}"))


def same(name, seen, expected):
    check(name, seen == expected, f"{seen!r} instead of {expected!r}")


def close(name, seen, expected, slack):
    inside = len(seen) == len(expected) and all(abs(a - b) <= slack for a, b in zip(seen, expected))
    check(name, inside, f"{seen} instead of {expected}")


TOPK, DEFAULT = ARMS.values()


def check_pointing(page):
    page.point_at("by-tokens", 12 * TOKENS)
    heading, values = page.values("by-tokens") or ("", {})
    same("pointing names the place", heading, "12 k training tokens")
    same("pointing shows the values of all lines", values, {TOPK: with_band("topk", 12), DEFAULT: with_band("default", 12)})
    page.point_at("by-tokens", 16.4 * TOKENS)
    _, values = page.values("by-tokens") or ("", {})
    between = means("topk", 12) + (16 - 12) / 6 * (means("topk", 18) - means("topk", 12))
    check("≈ marks a value between two measurements", values.get(TOPK, "").startswith("≈ ")
          and abs(float(values[TOPK][2:]) - between) < 0.01, values)
    same("the value beside it is measured", values.get(DEFAULT), with_band("default", 16))
    page.mouse("mouseMoved", 3, 3)
    same("the values go when the pointer leaves", page.values("by-tokens"), None)


def check_tapping(browser, path):
    page = Page(browser, path, width=390, touch=True)
    page.point_at("by-tokens", 12 * TOKENS, touch=True)
    _, values = page.values("by-tokens") or ("", {})
    same("a tap shows the values, after the finger has left", values.get(DEFAULT), with_band("default", 12))
    box = page.run("(({left, right}) => [left, right])(document.querySelector('.values')?.getBoundingClientRect() ?? {left: -1})")
    check("the values are inside a phone's window", box[0] >= 0 and box[1] <= 390, box)
    page.point_at("gap", 12 * TOKENS, touch=True)
    check("a tap on another chart moves the values there",
          page.values("by-tokens") is None and page.values("gap") is not None, page.all(".values"))
    heading = page.box("document.querySelector('h1')")
    browser.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": heading[0] + 5, "y": heading[1] + 5}])
    browser.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    same("a tap elsewhere hides them", page.all(".values"), [])


def check_keys(page):
    page.run("document.querySelector('.options button').focus()")
    order = []
    for _ in range(6):
        page.key("Tab")
        order.append(page.focus())
    same("Tab goes to a chart's buttons, the chart and its legend", order,
         ["linear", "CSV", "chart by-tokens", "entry 0", "entry 1", "CSV"])
    for _ in range(3):
        page.key("Tab", shift=True)
    same("and back", page.focus(), "chart by-tokens")
    said = "document.querySelector('[aria-live]').textContent"
    for key, step in (("ArrowRight", 4), ("ArrowRight", 6), ("ArrowRight", 8), ("ArrowLeft", 6), ("End", 60),
                      ("ArrowRight", 60), ("Home", 4), ("ArrowLeft", 4)):
        page.key(key)
        heading, values = page.values("by-tokens") or ("", {})
        same(f"{key} moves to {step} k tokens", heading, f"{step} k training tokens")
        sentence = f"{heading}: " + "; ".join(f"{name} {value}" for name, value in values.items())
        same("and says it to screen readers", page.run(said), sentence)
    same("the values by key are those by pointer", values, {DEFAULT: with_band("default", 4)})
    page.key("Escape")
    same("Escape hides the values", page.values("by-tokens"), None)
    page.key("ArrowLeft")
    same("the first ArrowLeft shows the end", page.values("by-tokens")[0], "60 k training tokens")
    page.key("Tab", shift=True)
    page.key("Tab")
    check("the values stay while the focus is in the chart", page.values("by-tokens") is not None)
    for _ in range(3):
        page.key("Tab")
    same("the values go when the focus leaves", (page.focus(), page.values("by-tokens")), ("CSV", None))
    for _ in range(2):
        page.key("Tab", shift=True)
    page.key("Enter")
    same("Enter hides a line", page.all('figure[data-chart="by-tokens"] .drawn .entry.off'), [TOPK])
    same("and keeps the focus", page.focus(), "entry 0")
    page.key("Tab", shift=True)
    page.key("Home")
    same("keys read the lines that are shown", page.values("by-tokens")[1], {DEFAULT: with_band("default", 4)})
    page.key("Tab")
    page.key(" ")
    same("the space bar shows it again", page.all(".drawn"), [])
    same("and keeps the focus", page.focus(), "entry 0")
    picture = "[...document.querySelectorAll('figure[data-chart=\"by-tokens\"] svg')].find((svg) => svg.getClientRects().length)"
    same("a chart with keys is an application with a name",
         page.run(f"[{picture}.getAttribute('role'), {picture}.getAttribute('aria-label')]"),
         ["application", "Validation perplexity against training tokens"])


def check_log(page):
    def ticks():
        return [float(text) for text in page.run(page.shown("by-tokens", ".tick[text-anchor=end]") + ".map((each) => each.textContent)")]

    def expected(scale):
        top, bottom = path[0][1], path[-1][1]
        first, last = scale(means("topk", 6)), scale(means("topk", 60))
        return [top + (scale(means("topk", step)) - first) / (last - first) * (bottom - top) for step in range(6, 61, 6)]

    path = page.path("by-tokens")
    close("the markup's axis is logarithmic", [y for _, y in path], expected(math.log), 0.15)
    same("its button offers the other scale", page.all(page.figure("by-tokens", ".scale")), ["linear"])
    page.click_in("by-tokens", ".scale")
    path = page.path("by-tokens")
    close("“linear” makes it linear", [y for _, y in path], expected(float), 0.15)
    steps = [b - a for a, b in zip(ticks(), ticks()[1:])]
    check("with ticks at equal distances", len(steps) > 1 and max(steps) - min(steps) < 1e-9, steps)
    same("and a title without “log scale”", page.run(page.shown("by-tokens", ".title") + "[0].textContent"), "validation perplexity")
    same("only one chart is redrawn", len(page.all(".drawn")), 1)
    page.click_in("by-tokens", ".scale")
    same("“log” brings back the markup's picture", page.all(".drawn"), [])
    page.click_in("loss", ".scale")
    same("a linear chart becomes logarithmic", page.run(page.shown("loss", ".title") + "[0].textContent"),
         "training loss, nats per token (log scale)")
    ys = [y for _, y in page.path("loss")]
    high = page.run("document.querySelector('figure[data-chart=loss] .drawn svg').viewBox.baseVal.height")
    check("inside the picture", all(0 < y < high - 42 for y in ys), (min(ys), max(ys), high))
    logs = [math.log(loss("topk", step)) for step in range(1, STEPS + 1)]
    close("at the places of the logarithms", ys, [ys[0] + (log - logs[0]) / (logs[-1] - logs[0]) * (ys[-1] - ys[0]) for log in logs], 0.2)
    page.click_in("loss", ".scale")
    same("there is no log where a value is not positive",
         page.run("document.querySelector('figure[data-chart=gap] .scale').getClientRects().length"), 0)


def check_axis(page, folder):
    before = {chart: page.path(chart) for chart in ("by-tokens", "by-time", "loss")}
    titles = lambda chart: page.run(page.shown(chart, ".title") + ".map((each) => each.textContent)")
    page.choose("x axis", "steps")
    for chart in ("by-tokens", "by-time", "loss", "gap"):
        same(f"steps: the axis of {chart}", titles(chart)[-1], "training steps")
    xs = [x for x, _ in page.path("by-time")]
    spread = [(x - xs[0]) / (xs[-1] - xs[0]) for x in xs]
    close("steps: each point is at its step", spread, [(step - 6) / 54 for step in range(6, 61, 6)], 0.001)
    page.choose("x axis", "seconds")
    same("time: the axis", titles("by-tokens")[-1], "training time, minutes")
    topk, default = page.path("by-tokens", 0)[-1][0], page.path("by-tokens", 1)[-1][0]
    close("time: the slower arm ends later", [(topk - page.path("by-tokens", 0)[0][0]) / (default - page.path("by-tokens", 0)[0][0])],
          [(600 - 60) / (660 - 60)], 0.002)
    same("time: a chart along time keeps its picture", page.path("by-time"), before["by-time"])
    close("time: CSV has the minutes", [float(row[1]) for row in page.save("loss", folder)[1:61]],
          [seconds("topk", step) / 60 for step in range(1, STEPS + 1)], 1e-6)
    page.choose("x axis", "tokens")
    same("tokens: charts along tokens keep theirs", [page.path(chart) for chart in ("by-tokens", "loss")],
         [before["by-tokens"], before["loss"]])
    same("tokens: the chart along time changes", titles("by-time")[-1], "training tokens")
    page.choose("x axis", "")
    same("as drawn: all are the markup's", page.all(".drawn"), [])


def check_smoothing(page, folder):
    plain = page.save("loss", folder)
    same("CSV: the heading", plain[0], ["line", "training tokens", "training loss, nats per token"])
    same("CSV: the lines, and a row for each point", [row[0] for row in plain[1:]], [TOPK] * STEPS + [DEFAULT] * STEPS)
    ys = [loss("topk", step) for step in range(1, STEPS + 1)]
    close("CSV: x", [float(row[1]) for row in plain[1:61]], [step * TOKENS for step in range(1, STEPS + 1)], 0.5)
    close("CSV: y", [float(row[2]) for row in plain[1:61]], ys, 1e-5)
    for size in (3, 7, 15):
        page.choose("smoothing", size)
        reach = [min(size // 2, i, STEPS - 1 - i) for i in range(STEPS)]
        expected = [sum(ys[i - r:i + r + 1]) / (2 * r + 1) for i, r in enumerate(reach)]
        close(f"smoothing: the mean of {size} points", [float(row[2]) for row in page.save("loss", folder)[1:61]], expected, 2e-5)
        same("smoothing: no band of seeds", page.run(page.shown("by-tokens", ".band") + ".length"), 0)
    page.choose("smoothing", 1)
    banded = page.save("by-tokens", folder)
    same("CSV: with the band", banded[0][3:], ["low", "high"])
    close("CSV: its limits", [float(cell) for cell in banded[1][2:]],
          [means("topk", 6), perplexity("topk", 1, 6), perplexity("topk", 2, 6)], 1e-3)


def check_hiding(page, folder):
    charts = page.all("figure[data-chart]", "dataset.chart")
    drawn = {chart: page.run(page.shown(chart, ".line") + ".length") for chart in charts}
    page.click_legend("by-tokens", 0)
    for chart in ("by-tokens", "by-time", "loss"):
        same(f"hiding: {chart} has one line fewer", page.run(page.shown(chart, ".line") + ".length"), drawn[chart] - 1)
        same(f"hiding: its legend is pale", page.run(page.shown(chart, ".entry.off") + ".map((each) => each.textContent)"), [TOPK])
    same("hiding: CSV leaves it out", {row[0] for row in page.save("by-tokens", folder)[1:]}, {DEFAULT})
    page.click_legend("by-tokens", 1)
    same("hiding all: the chart says so", page.run(page.shown("by-tokens", ".note") + ".map((each) => each.textContent)"),
         ["nothing to show"])
    page.click_legend("by-tokens", 1)
    page.click_legend("by-tokens", 0)
    same("showing them again: the markup's pictures", page.all(".drawn"), [])


def check_memory(page, other):
    page.choose("x axis", "steps")
    page.choose("smoothing", 3)
    page.click_legend("by-tokens", 1)
    before = [page.path(chart) for chart in ("by-tokens", "loss")]
    page.open()
    same("a reload keeps the choices", [page.path(chart) for chart in ("by-tokens", "loss")], before)
    same("and shows them", page.all(".options select", "value"), ["steps", "3"])
    page.browser.open(other)
    same("another page has its own", page.all(".options select", "value"), ["", "1"])
    page.open()
    page.click("document.querySelector('.options button')")
    same("reset brings back the markup's pictures", page.all(".drawn"), [])
    page.open()
    same("and a reload keeps that", (page.all(".drawn"), page.all(".options select", "value")), ([], ["", "1"]))


def check_sweep(browser, path):
    page = Page(browser, path)
    tried = [f"{rate:g}" for rate in RATES]
    texts = page.run(page.shown("sweep", ".tick[text-anchor=middle]") + ".map((each) => each.textContent)")
    same("sweep: ticks at the values tried", texts, tried)
    page.run("[...document.querySelectorAll('figure[data-chart=sweep] svg')].find((svg) => svg.getClientRects().length).focus()")
    for rate in RATES:
        page.key("ArrowRight")
        heading, values = page.values("sweep") or ("", {})
        same(f"sweep: values at {rate:g}", (heading.split()[0], values.get(TOPK, "").split()[0]),
             (f"{rate:g}", brief(means("topk", 60) + 1000 * (rate - 1e-3))))
    page.click_in("sweep", ".scale")
    texts = page.run(page.shown("sweep", ".tick[text-anchor=middle]") + ".map((each) => each.textContent)")
    same("sweep: the redrawn chart has the same ticks", texts, tried)
    page.choose("x axis", "steps")
    same("sweep: its axis does not change",
         page.run(page.shown("sweep", ".title") + ".map((each) => each.textContent)")[-1].split(".")[-1],
         "learning_rate")


# ---- The page as a whole ----


def check_page(browser, path):
    for script in (True, False):
        browser.ask("Emulation.setScriptExecutionDisabled", value=not script)
        words = "" if script else " without script"
        for width in WIDTHS:
            page = Page(browser, path, width)
            too_wide = page.run("document.documentElement.scrollWidth - window.innerWidth")
            check(f"{width} pixels{words}: the page is not wider", too_wide <= 0, f"{too_wide} pixels")
            pictures = page.run("[...document.querySelectorAll('figure')].map((figure) => "
                                "[...figure.querySelectorAll('svg')].filter((svg) => svg.getClientRects().length).length)")
            same(f"{width} pixels{words}: each figure shows one picture", set(pictures), {1})
            hidden = page.run("""[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth &&
              !getComputedStyle(box).backgroundImage.includes('gradient')).length""")
            same(f"{width} pixels{words}: tables that scroll have a shade", hidden, 0)
        if not script:
            same("without script: no controls", page.all(".tools, .options, .values"), [])
            hints = page.run(page.shown("by-tokens", ".hint title") + ".length")
            same("without script: each point has a tooltip", hints, STEPS // 6 + STEPS // 4)
    browser.ask("Emulation.setScriptExecutionDisabled", value=False)
    page = Page(browser, path)
    ids = page.all("[id]", "id")
    same("ids are unique", sorted(ids), sorted(set(ids)))
    page.click_legend("by-tokens", 0)
    ids = page.all("[id]", "id")
    same("ids of redrawn charts are unique too", sorted(ids), sorted(set(ids)))


def words_of(pdf, kind):
    return subprocess.run(["pdftotext", kind, pdf, "-"], check=True, capture_output=True).stdout.decode()


def check_print(browser, path, folder):
    if not shutil.which("pdftotext"):
        print("note   pdftotext was not found: the printed pages were not checked")
        return
    page = Page(browser, path)
    headings = page.all("h2, h3")
    cells = [cell for cell in page.all(".scroll th, .scroll td", "innerText") if cell]
    hidden = set(page.all("details:not([open]) th, details:not([open]) td"))
    pdf = browser.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"]
    (folder / "page.pdf").write_bytes(base64.b64decode(pdf))
    text = words_of(folder / "page.pdf", "-layout")
    pages = [[line.strip() for line in each.splitlines() if line.strip()] for each in text.split("\f")]
    stranded = [each[-1] for each in pages if each and each[-1] in headings]
    same("print: no heading ends a page", stranded, [])
    places = words_of(folder / "page.pdf", "-bbox")
    sheet = float(re.search('<page width="([^"]+)"', places)[1])
    words = {html.unescape(word): float(end) for end, word in re.findall('xMax="([^"]+)" yMax="[^"]+">([^<]*)</word>', places)}
    check("print: nothing is beyond the paper's edge", max(words.values()) <= sheet, max(words.items(), key=lambda item: item[1]))
    lost = {word for cell in cells if cell not in hidden for word in cell.split() if word not in words}
    same("print: every word of the tables is on paper", lost, set())
    for word in ("CSV", "reset", "smoothing"):
        check(f"print: no “{word}”", word not in text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gptmoe", type=pathlib.Path, default=pathlib.Path("build/gptmoe"))
    parser.add_argument("--keep", type=pathlib.Path, help="a new folder for the made-up runs and their reports")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or pathlib.Path(temporary) / "runs"
        folder.mkdir()
        two, sweep = make_reports(arguments.gptmoe.resolve(), folder)
        browser = Browser(pathlib.Path(temporary) / "profile")
        try:
            page = Page(browser, two)
            check_pointing(page)
            check_tapping(browser, two)
            page = Page(browser, two)
            check_keys(page)
            check_log(page)
            check_axis(page, folder)
            check_smoothing(page, folder)
            check_hiding(page, folder)
            check_memory(page, sweep)
            check_sweep(browser, sweep)
            check_page(browser, two)
            check_print(browser, sweep, folder)
            same("the page's script throws and logs nothing", browser.messages, [])
        finally:
            browser.end()
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
