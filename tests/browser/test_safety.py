"""Outputs are untrusted: they neither run code nor send requests."""

from __future__ import annotations

import base64

import pytest

from .bare import drawn

RUN = "top.ran=1;parent.ran=1;window.ran=1;fetch('http://elsewhere.test/ran')"
_PAGE = f"<script>{RUN}</script>"
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="50" height="50" {}</svg>'
)
_DATA = "data:text/html;base64," + base64.b64encode(_PAGE.encode()).decode()

HTML = {
    "a script": _PAGE,
    "a module": f"<script type=module>{RUN}</script>",
    "an image that fails": f'<img src=x onerror="{RUN}">',
    "a frame of its own": f'<iframe srcdoc="{_PAGE}"></iframe>',
    "a frame of data": f'<iframe src="{_DATA}"></iframe>',
    "an object": f'<object data="{_DATA}"></object><embed src="{_DATA}">',
    "a script in a drawing": _SVG.format(f'onload="{RUN}"><script>{RUN}</script>'),
    "an animation": _SVG.format(f'><animate onbegin="{RUN}" attributeName="x" dur="1s"/>'),
    "a table whose cells act": f'<table><tr onmouseover="{RUN}" onclick="{RUN}"><td style="width:9em">cell</td></tr></table>',
    "a table that breaks out": f"</td></table></body></html>{_PAGE}",
    "a link that runs": f'<a href="javascript:{RUN}">link</a>',
    "a link that runs above": f'<a target="_top" href="javascript:{RUN}">link</a>',
    "a link to data": f'<a href="{_DATA}">link</a>',
    "a link in a drawing": _SVG.format(f'><a xlink:href="javascript:{RUN}"><text y="20">link</text></a>'),
    "a form": f'<form action="javascript:{RUN}"><button>link</button></form>',
    "a button": f'<button onclick="{RUN}" onfocus="{RUN}" autofocus>link</button>',
    "another address": '<meta http-equiv="refresh" content="0;url=http://elsewhere.test/meta">',
    "another base": f'<base href="http://elsewhere.test/"><img src="base.png"><script src="base.js"></script>{_PAGE}',
    "things from elsewhere": '<link rel=stylesheet href="http://elsewhere.test/a.css"><img src="http://elsewhere.test/a.png">'
    '<style>@import "http://elsewhere.test/b.css";body{background:url(http://elsewhere.test/b.png)}</style>'
    '<video src="http://elsewhere.test/a.mp4" poster="http://elsewhere.test/p.png"></video>',
}
TEXT = {
    "text/markdown": f"[link](javascript:{RUN}) <img src=x onerror='{RUN}'> ![x](http://elsewhere.test/a.png)",
    "text/latex": f"$\\href{{javascript:{RUN}}}{{link}}$ {_PAGE}",
    "text/plain": _PAGE,
    "text/x-stderr": _PAGE,
    "text/x-error": f"<img src=x onerror='{RUN}'>",
    "application/javascript": RUN,
    "text/unknown": _PAGE,
}
PICTURES = {
    "image/svg+xml": _SVG.format(
        f'onload="{RUN}"><script>{RUN}</script><image xlink:href="http://elsewhere.test/a.png"/>'
        f'<foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" srcdoc="{_PAGE}"/></foreignObject>'
    ),
    "image/png": f'x" onerror="{RUN}',
}
# Every image has loaded or failed, and every frame has loaded. A frame with a blocked address has no document.
LOADED = """() => [document, ...[...document.querySelectorAll('iframe')].map((frame) => frame.contentDocument)].every(
  (page) => !page || page.readyState === 'complete' && [...page.images].every((image) => image.complete))"""
OUTPUTS = [
    *(pytest.param("text/html", data, id=what) for what, data in HTML.items()),
    *(pytest.param(mime, data, id=mime) for mime, data in (TEXT | PICTURES).items()),
]


@pytest.fixture(scope="module")
def bare(empty_page):
    """Open the panel of a run's task."""
    page = empty_page
    page.load()
    page.begin(drawn(["%dag d", "%%task a\nx = 1"]))
    run = {"id": "r", "state": "success", "created": 1, "started": 1, "ended": 2, "partial": False, "error": ""}
    page.receive({"kind": "change", "number": 1, "run": "r", "tasks": {"a": {"state": "success"}}, "summary": run})
    page.page.select_option(".nbdag-runs", index=1)
    page.page.locator(".nbdag-box").click()
    return page


def show(bare, mime, data, number):
    """Show this output as that of a new attempt."""
    attempt = {
        "map_index": -1,
        "try_number": number,
        "state": "success",
        "started": 1,
        "ended": 2,
        "error": "",
        "notes": [],
    }
    empty = {each: [] for each in ("options", "upstream", "downstream", "inputs", "outputs", "durations")}
    bare.receive(
        {"kind": "task", "task": "a", "run": "r", "doc": "", "cell": 0, "source": [], "attempts": [attempt], **empty}
    )
    bare.page.wait_for_function(f"bare.sent.some((asked) => asked.kind === 'attempt' && asked.try_number === {number})")
    message = {
        "kind": "attempt",
        "run": "r",
        "task": "a",
        "map_index": -1,
        "try_number": number,
        "rendered": [],
        "log": "",
        "path": "",
    }
    bare.receive({**message, "outputs": [{"mime": mime, "data": data}]})


@pytest.mark.parametrize(("mime", "data"), OUTPUTS)
def test_no_output_runs_code_or_sends_requests(bare, mime, data):
    show(bare, mime, data, 1 + list(OUTPUTS).index(next(o for o in OUTPUTS if o.values == (mime, data))))
    before = len(bare.page.context.pages)
    bare.page.wait_for_selector(".nbdag-outputs > *")
    bare.page.wait_for_function(LOADED)
    if mime == "text/html":
        frame = bare.page.frame_locator(".nbdag-outputs iframe")
        frame.locator("body").wait_for(state="attached")
        for target in ("td", ":text('link')"):
            for each in frame.locator(target).all():
                each.hover(force=True)
                each.click(force=True, no_wait_after=True)
        bare.page.wait_for_function(LOADED)
        assert bare.page.locator(".nbdag-outputs iframe").get_attribute("sandbox") == "allow-same-origin"
    elif mime not in PICTURES:
        assert bare.page.locator(".nbdag-outputs pre").inner_text().strip() == data.strip(), "complete, and as text"
        assert bare.page.locator(".nbdag-outputs pre *").count() == 0
    bare.page.evaluate("bare.later()")
    assert bare.page.evaluate("window.ran") is None
    assert [url for url in bare.fetched if "nbdag.test" not in url] == []
    assert len(bare.page.context.pages) == before
    assert bare.page.url == "http://nbdag.test/"
