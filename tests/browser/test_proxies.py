"""The page behind a real nginx with the lines that docs/deployment.md gives, in front of gunicorn and of `serve`."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from gunicorn_server import ROOT, Gunicorn, until
from needs import missing
from viewer_run import make_study, make_viewer_run
from visitor import Visitor

from seq2exp_viz.serve import bind

pytestmark = pytest.mark.browser
DOCS = (ROOT / "docs" / "deployment.md").read_text()
SAID = "Boolean(document.getElementById('server-line')?.checkVisibility())"


def documented_lines() -> str:
    """What the docs tell people to write into nginx's file."""
    [found] = re.findall(r"^    location /viz/ \{\n(?:        .*\n)+    \}$", DOCS, re.M)
    return found


def documented_command() -> tuple[dict[str, str], list[str]]:
    """Variables and words of the gunicorn that the docs start."""
    [line] = re.findall(r"^    (SEQ2EXP_RUNS=.* gunicorn .*)$", DOCS, re.M)
    words = shlex.split(line)
    at = words.index("gunicorn")
    return dict(word.split("=", 1) for word in words[:at]), words[at + 1 :]


class Nginx:
    """A real nginx on a free port."""

    def __init__(self, lines: str, behind: int, folder: Path):
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if program is None:
            missing("needs nginx: `apt-get install nginx-light`")
        with bind("127.0.0.1", 0) as free:
            self.port = free.getsockname()[1]
        self.log = folder / "nginx.log"
        places = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;\n" if os.geteuid() == 0 else ""  # else it could not write where the test may
        (folder / "nginx.conf").write_text(
            f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log {self.log} info;\nevents {{}}\n"
            f"http {{\naccess_log {self.log};\n{places}server {{\nlisten 127.0.0.1:{self.port};\n"
            f"{lines.replace('127.0.0.1:8050', f'127.0.0.1:{behind}')}\n}}\n}}\n"
        )
        command = [program, "-p", str(folder), "-e", str(self.log), "-c", str(folder / "nginx.conf")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(self._answers, 60, self.log)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/viz/", timeout=60).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("proxies")
    return make_viewer_run(folder / "run", make_study(folder / "study"), name="demo")


@pytest.fixture(scope="module")
def gunicorn(run, tmp_path_factory):
    """As the docs start it; only the run, the name and the port are ours."""
    environ, words = documented_command()
    assert environ.keys() == {"SEQ2EXP_RUNS", "SEQ2EXP_HOSTS", "SEQ2EXP_URL_PREFIX"}
    assert words[-1] == "seq2exp_viz.wsgi:application"
    at = words.index("--bind")
    environ |= {"SEQ2EXP_RUNS": str(run), "SEQ2EXP_HOSTS": "127.0.0.1"}
    server = Gunicorn([*words[:at], *words[at + 2 : -1]], environ, tmp_path_factory.mktemp("gunicorn"))
    yield server.port, server.log, ""
    server.stop()


@pytest.fixture(scope="module")
def serve(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    log = folder / "serve.log"
    words = [str(run), "--port", "0", "--no-open", "--url-prefix", "/viz/", "--token", "s3cret"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "seq2exp_viz.cli", "serve", *words], stdout=file, stderr=file, cwd=ROOT
        )
    found = until(lambda: re.search(r"127\.0\.0\.1:(\d+)/viz/\?token=s3cret", log.read_text()), 60, log)
    yield int(found[1]), log, "token=s3cret&"
    process.terminate()
    process.wait(60)


@pytest.fixture(params=["gunicorn", "serve"])
def behind(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def context(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    yield context
    context.close()


def ask(port: int, place: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{place}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answered:
            return answered.status, answered.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def test_the_page_works_behind_the_documented_lines_on_any_port(behind, context, tmp_path):
    port, log, token = behind
    nginx = Nginx(documented_lines(), port, tmp_path)
    try:
        page = Visitor(context.new_page(), f"http://127.0.0.1:{nginx.port}/viz/")
        answers = []
        page.page.on("response", lambda answer: answers.append((answer.request.method, answer.url, answer.status)))
        page.open(f"?{token}gene=MYC")
        for track in ("signal-0", "mask", "elements"):
            assert page.ink(track) > 50, (track, log.read_text()[-2000:])
        page.page.fill("#search", "GATA1")
        page.page.press("#search", "Enter")
        page.until("document.getElementById('gene-head').textContent.includes('GATA1')").quiet()
        posts = [status for method, _, status in answers if method == "POST"]
        assert len(posts) > 5
        assert [answer for answer in answers if answer[2] >= 400] == []
        assert [status for _, url, status in answers if "/data/" in url and "bigWig" in url].count(206) > 0
        assert not page.value(SAID)
        assert page.errors == []
        assert {url.split("/")[2] for url in page.requests if url.startswith("http")} == {f"127.0.0.1:{nginx.port}"}
    finally:
        nginx.stop()


def test_ranges_uploads_and_the_rule_of_access_hold_behind_the_documented_lines(behind, tmp_path):
    port, _, token = behind
    nginx = Nginx(documented_lines(), port, tmp_path)
    shown = {"Authorization": "Bearer s3cret"} if token else {}
    try:
        own = f"http://127.0.0.1:{nginx.port}"
        status, part = ask(nginx.port, "/viz/data/demo/mask.bigWig", Range="bytes=0-3", **shown)
        assert (status, len(part)) == (206, 4)
        rows = "".join(f"chr1\t{start}\t{start + 9}\tname-{'x' * 60}\n" for start in range(0, 30_000, 2))
        assert len(rows) > 1_000_000  # more than nginx lets through by itself
        status, told = ask(nginx.port, "/viz/api/v1/demo/own?name=x.bed", rows.encode(), Origin=own, **shown)
        assert status == 200, told
        assert len(json.loads(told)["features"]) == 15_000
        body = {"Content-Type": "application/json"}
        foreign = [
            {"Origin": "http://evil.example"},
            {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"},
            {"Origin": "http://127.0.0.1"},  # the same name on another port is another site
            {"Origin": own, "Sec-Fetch-Site": "cross-site"},
        ]
        for headers in foreign:
            status, told = ask(nginx.port, "/viz/api/v1/jobs/1/cancel", b"{}", **body, **headers, **shown)
            assert status == 403, (headers, told)
        if not token:
            status, told = ask(nginx.port, "/viz/api/v1/runs", Host="evil.example")
            assert (status, b"evil.example" in told) == (403, True)
            forwarded = {"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1", "Forwarded": "host=127.0.0.1"}
            assert ask(nginx.port, "/viz/api/v1/runs", **forwarded)[0] == 403
        else:
            assert ask(nginx.port, "/viz/api/v1/runs")[0] == 401
    finally:
        nginx.stop()


WRONG = {
    "$host": ("proxy_set_header Host $host;", "$http_host"),  # as the docs once said
    "none": ("", "$http_host"),
    "another name": ("proxy_set_header Host localhost;", "$http_host"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_behind_wrong_lines_the_page_says_what_is_wrong(gunicorn, run, context, tmp_path, wrong):
    line, advice = WRONG[wrong]
    lines, count = re.subn(r"proxy_set_header Host [^;]*;", line, documented_lines())
    assert count == 1
    environ, _ = documented_command()
    server = nginx = None
    try:
        port = gunicorn[0]
        if wrong == "another name":  # one that is let in
            environ |= {"SEQ2EXP_RUNS": str(run), "SEQ2EXP_HOSTS": "127.0.0.1,localhost"}
            server = Gunicorn(["--threads", "4"], environ, tmp_path)
            port = server.port
        nginx = Nginx(lines, port, tmp_path)
        page = Visitor(context.new_page(), f"http://127.0.0.1:{nginx.port}/viz/")
        page.page.goto(page.address)
        page.until(SAID, 60)
        assert advice in page.page.inner_text("#server-line")
        assert f"http://127.0.0.1:{nginx.port}" in page.page.inner_text("#server-line")
    finally:
        for started in (nginx, server):
            if started is not None:
                started.stop()


def test_a_server_that_goes_away_behind_the_proxy_is_told_and_one_that_comes_back_too(run, context, tmp_path):
    environ, _ = documented_command()
    environ |= {"SEQ2EXP_RUNS": str(run), "SEQ2EXP_HOSTS": "127.0.0.1"}
    server = Gunicorn(["--threads", "4"], environ, tmp_path)
    nginx = Nginx(documented_lines(), server.port, tmp_path)
    try:
        page = Visitor(context.new_page(), f"http://127.0.0.1:{nginx.port}/viz/").open("?gene=MYC")
        page.page.wait_for_load_state("networkidle")  # what is asked only once is not asked again
        server.stop()
        page.until(SAID, 60)
        assert "502 Bad Gateway" in page.page.inner_text("#server-line")
        server = Gunicorn(["--threads", "4"], environ, tmp_path, server.port)
        page.until(f"!{SAID}", 60)
    finally:
        nginx.stop()
        server.stop()
