"""A report in the browser: what a reader does with it, and what it then shows. For report_check.py."""
import csv
import io
import json
import re
import time


class Page:
    """A page in the browser. Selectors are CSS; a chart is named by its data-chart."""

    def __init__(self, browser, path, width=1440, touch=False):
        self.browser, self.address = browser, path
        browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=touch)
        browser.ask("Emulation.setTouchEmulationEnabled", enabled=touch, maxTouchPoints=1)
        self.open(fresh=True)

    def open(self, fresh=False):
        self.browser.open(self.address)
        if fresh:
            self.run("sessionStorage.clear()")
            self.browser.open(self.address)

    def run(self, script):
        return self.browser.run(script)

    def all(self, selector, of="textContent"):
        return self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((each) => each.{of})")

    def figure(self, chart, inside=""):
        return f'figure[data-chart="{chart}"] {inside}'.strip()

    def shown(self, chart, inside):
        """The elements of the picture that is shown, as a JavaScript array."""
        return (f"[...[...document.querySelectorAll({json.dumps(self.figure(chart, 'svg'))})]"
                f".find((svg) => svg.getClientRects().length).querySelectorAll({json.dumps(inside)})]")

    def box(self, element):
        """Scrolls to an element, a JavaScript expression. Returns its left, top, width and height in the window."""
        return self.run(f"((element) => {{ element.scrollIntoView({{block: 'center'}}); const box = "
                        f"element.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; }})({element})")

    def mouse(self, kind, x, y):
        self.browser.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="none" if kind == "mouseMoved" else "left",
                         clickCount=1)

    def click(self, element):
        left, top, width, height = self.box(element)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, left + width / 2, top + height / 2)

    def click_in(self, chart, inside):
        self.click(f"document.querySelector({json.dumps(self.figure(chart, inside))})")

    def click_legend(self, chart, index):
        self.click(self.shown(chart, f'.entry[data-series="{index}"] text') + "[0]")

    def key(self, name, shift=False):
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
        event = {"key": name, "code": "Space" if name == " " else name, "windowsVirtualKeyCode": codes[name],
                 "modifiers": 8 if shift else 0}
        text = {"text": "\r"} if name == "Enter" else {}
        self.browser.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **event, **text)
        self.browser.ask("Input.dispatchKeyEvent", type="keyUp", **event)

    def choose(self, name, value):
        self.run(f"""(() => {{
          const label = [...document.querySelectorAll('.options label')].find((each) => each.textContent.startsWith('{name}'));
          const select = label.querySelector('select');
          select.value = '{value}';
          select.dispatchEvent(new Event('change'));
        }})()""")

    # ---- What the page then shows ----

    def focus(self):
        return self.run("document.activeElement.matches('svg') ? 'chart ' + document.activeElement.closest('figure').dataset.chart"
                        " : document.activeElement.closest('.entry') ? 'entry ' + document.activeElement.dataset.series"
                        " : document.activeElement.textContent || document.activeElement.tagName")

    def values(self, chart):
        """The box of values: its heading and {name: value}; None where there is no box."""
        return self.run(f"""((box) => box && [box.firstChild.textContent, Object.fromEntries([...box.querySelectorAll('tr')].map(
          (row) => [...row.cells].map((cell) => cell.textContent.trim())))])(document.querySelector('{self.figure(chart, ".values")}'))""")

    def point_at(self, chart, x_value, touch=False):
        """Points at a value on the x axis. The markup names the frame of the chart."""
        left, right, top, bottom, x0, x1, *_ = map(float, self.run(f"""[...document.querySelectorAll('{self.figure(chart, "svg")}')]
          .find((svg) => svg.getClientRects().length).dataset.frame""").split())
        picture = f"""[...document.querySelectorAll('{self.figure(chart, "svg")}')].find((svg) => svg.getClientRects().length)"""
        box, units = self.box(picture), self.run(picture + ".viewBox.baseVal.width")
        scale = box[2] / units
        x = box[0] + scale * (left + (x_value - x0) / (x1 - x0) * (right - left))
        y = box[1] + scale * (top + bottom) / 2
        if touch:
            self.browser.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            self.browser.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        else:
            self.mouse("mouseMoved", x, y)
        return x

    def path(self, chart, index=0):
        """The points of the line with number `index` among those shown, in the picture's units."""
        d = self.run(self.shown(chart, ".line") + f"[{index}].getAttribute('d')")
        return [tuple(map(float, point.split())) for point in re.split("[ML]", d)[1:]]

    def save(self, chart, folder):
        """Presses the button CSV. Returns the rows of the file."""
        self.browser.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder.resolve()))
        self.click_in(chart, ".save")
        path = folder / f"{chart}.csv"
        for _ in range(200):
            if path.exists():
                break
            time.sleep(0.05)
        rows = list(csv.reader(io.StringIO(path.read_text())))
        path.unlink()
        return rows
