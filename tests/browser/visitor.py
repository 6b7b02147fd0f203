"""Somebody who looks at the page in a browser, and a log of what the page did."""

import time

QUIET = (  # the tracks that are switched on are there: the page itself waits some seconds for them, then goes on
    "[...seq2exp.state.shown].every(id => seq2exp.trackOf(id) !== null)"
    " && seq2exp.igvBrowser().trackViews.every(row => row.viewports.every(view => !view.loading))"
)
MODEL_SECONDS = 180  # for the model process to start and to answer on a busy machine
WHERE = """(() => {
  const at = document.activeElement, line = document.getElementById("message");
  return { locus: seq2exp.state.locus, drawn: document.body.dataset.drawn, message: line && line.textContent,
    focus: at && at.outerHTML.slice(0, 200), width: document.getElementById("igv")?.clientWidth };
})()"""


class Visitor:
    """A page with what a test asks of it, and a log of all it did."""

    def __init__(self, page, address: str):
        self.page, self.address = page, address
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", self._failed)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _failed(self, request) -> None:
        if request.failure == "csp":  # held back by the page's policy: it never left the browser
            self.requests.remove(request.url)

    def open(self, query: str = "") -> "Visitor":
        self.page.goto(self.address + query)
        return self.settle()

    def settle(self) -> "Visitor":
        self.until("document.body.dataset.drawn !== undefined", 60)
        return self.quiet()

    def quiet(self) -> "Visitor":
        """Wait until no track is loading."""
        return self.until(QUIET)

    def until(self, expression: str, seconds: float = 25) -> "Visitor":
        """Wait for a JavaScript expression (the policy of the page forbids playwright's own way of waiting)."""
        self.when(expression, seconds)
        return self

    def when(self, expression: str, seconds: float = 25):
        """The value of a JavaScript expression, as soon as it is a true one."""
        end = time.monotonic() + seconds
        while not (value := self.page.evaluate(expression)):
            assert time.monotonic() < end, f"still not true after {seconds} s: {expression}\n{self.where()}"
            self.page.wait_for_timeout(40)
        return value

    def where(self) -> dict:
        """What a failing test says of the page."""
        return {"errors": self.errors, **self.page.evaluate(WHERE)}

    def value(self, expression: str):
        return self.page.evaluate(expression)

    def features(self, track: str) -> list[dict]:
        """What igv.js holds of a track, from its own state."""
        return self.value(
            f"(() => {{ const track = seq2exp.trackOf('{track}');"
            " const c = track && track.trackView.viewports[0].featureCache;"
            " return c ? JSON.parse(JSON.stringify(c.features)) : []; })()"
        )

    def ink(self, track: str) -> int:
        """Pixels of a track that are not white."""
        return self.value(
            f"(() => {{ const c = seq2exp.trackOf('{track}').trackView.viewports[0].canvas;"
            " if (!c) return 0;"  # nothing was drawn since the view moved
            " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
            " for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 0 && d[i] + d[i + 1] + d[i + 2] < 720) n++;"
            " return n; })()"
        )

    def pixels(self, track: str, colour: tuple[int, int, int]) -> int:
        """Pixels of a track that have a colour, or nearly so."""
        return self.value(
            f"(() => {{ const c = seq2exp.trackOf('{track}').trackView.viewports[0].canvas;"
            " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
            f" const near = (i, k, x) => Math.abs(d[i + k] - x) < 12;"
            " for (let i = 0; i < d.length; i += 4)"
            f"   if (near(i, 0, {colour[0]}) && near(i, 1, {colour[1]}) && near(i, 2, {colour[2]})) n++;"
            " return n; })()"
        )
