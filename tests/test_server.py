"""The server: byte ranges, who is let in, ports and prefixes, and that it starts without torch."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import InputError
from seq2exp_viz import serve as server
from seq2exp_viz.app import RangesFirst, clean_prefix
from seq2exp_viz.serving.byte_ranges import BLOCK, RangeError, byte_range, send_bytes, version_of
from seq2exp_viz.serving.security import Access, access_for, content_security_policy, is_loopback, protect


@pytest.fixture(scope="module")
def payload() -> bytes:
    return bytes(range(256)) * 40


@pytest.fixture(scope="module")
def client(payload, tmp_path_factory):
    path = tmp_path_factory.mktemp("bytes") / "file.bin"
    path.write_bytes(payload)
    app = Flask("test")
    app.add_url_rule("/file", view_func=lambda: send_bytes(path, request), methods=["GET"])
    return app.test_client()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-9", (0, 10)),
        ("bytes=90-200", (90, 100)),
        ("bytes=95-", (95, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=9-3", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("items=0-5", None),
    ],
)
def test_a_range_header_of_a_file_of_100_bytes(header, expected):
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-120", "bytes=-0", "bytes=0-9,20-29"])
def test_a_range_that_cannot_be_served_is_refused(header):
    with pytest.raises(RangeError):
        byte_range(header, 100)


@given(st.text(max_size=60), st.integers(0, 10**13))
def test_any_header_gives_a_range_inside_the_file_or_a_refusal(text, size):
    for header in (text, f"bytes={text}"):
        try:
            found = byte_range(header, size)
        except RangeError:
            continue
        assert found is None or 0 <= found[0] < found[1] <= size


@given(st.integers(0, 12_000), st.integers(0, 12_000))
def test_the_bytes_of_a_range_are_those_of_the_file(client, payload, start, length):
    answer = client.get("/file", headers={"Range": f"bytes={start}-{start + length}"})
    if start >= len(payload):
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(payload)}"
    else:
        assert answer.status_code == 206
        assert answer.data == payload[start : start + length + 1]
        assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(answer.data) - 1}/{len(payload)}"


def test_a_whole_file_says_that_it_takes_ranges(client, payload):
    answer = client.get("/file")
    assert (answer.status_code, answer.data) == (200, payload)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "no-cache"


def test_head_tells_the_length_without_the_bytes(client, payload):
    answer = client.head("/file")
    assert answer.headers["Content-Length"] == str(len(payload))
    assert answer.data == b""


def test_an_unchanged_file_is_not_sent_again(client):
    tag = client.get("/file").headers["ETag"]
    assert client.get("/file", headers={"If-None-Match": tag}).status_code == 304


def test_a_range_of_an_older_version_brings_the_whole_new_file(client, payload):
    answer = client.get("/file", headers={"Range": "bytes=0-9", "If-Range": '"old"'})
    assert (answer.status_code, answer.data) == (200, payload)


def test_a_versioned_address_may_be_kept_and_an_outdated_one_not(tmp_path):
    path = tmp_path / "track.bigWig"
    path.write_bytes(b"abc")
    app = Flask("test")
    app.add_url_rule("/file", view_func=lambda: send_bytes(path, request))
    version = version_of(path)
    assert "immutable" in app.test_client().get(f"/file?v={version}").headers["Cache-Control"]
    path.write_bytes(b"abcd")
    assert app.test_client().get(f"/file?v={version}").headers["Cache-Control"] == "no-cache"


def test_a_long_file_arrives_whole_and_its_handle_is_closed(tmp_path):
    path = tmp_path / "long.bin"
    path.write_bytes(b"0123456789abcdef" * (BLOCK // 16) + b"tail" * 100)
    app = Flask("test")
    app.add_url_rule("/file", view_func=lambda: send_bytes(path, request))
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else None
    answer = app.test_client().get("/file")
    assert answer.data == path.read_bytes()
    answer.close()
    if before is not None:
        assert len(list(Path("/proc/self/fd").iterdir())) <= before


def guarded(access: Access):
    app = Flask("test")
    app.add_url_rule("/", view_func=lambda: "in", methods=["GET", "POST"])
    protect(app, access, content_security_policy([]))
    return app.test_client()


def test_on_this_machine_no_token_is_asked_for():
    assert access_for("127.0.0.1").token is None
    assert guarded(access_for("localhost")).get("/", headers={"Host": "localhost:8050"}).data == b"in"


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::", "node7", "192.168.0.4"])
def test_any_other_address_gets_a_random_token(host):
    first, second = access_for(host).token, access_for(host).token
    assert first != second
    assert len(first) >= 32
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8050", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_name_is_refused_so_that_rebinding_fails(host):
    assert guarded(Access()).get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:1", "LOCALHOST:2", "[::1]:8050"])
def test_this_machines_names_are_let_in(host):
    assert guarded(Access()).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(("shown", "status"), [({}, 401), ({"Authorization": "Token secret"}, 206)])
def test_ranges_that_are_answered_before_flask_need_the_token_too(tmp_path, shown, status):
    path = tmp_path / "big.bin"
    path.write_bytes(b"0123456789")

    class RunRegistry:
        def get(self, key):
            return self if key == "run" else None

        def file(self, name):
            return path if name == "big.bin" else None

    app = Flask("test")
    access = Access(token="secret")
    protect(app, access, "")
    app.wsgi_app = RangesFirst(app.wsgi_app, RunRegistry(), access)
    answer = app.test_client().get("/data/run/big.bin", headers={"Range": "bytes=2-4", **shown})
    assert answer.status_code == status
    assert answer.data == b"234" or status == 401
    for other in ("/data/run/other", "/data/nope/big.bin", "/data/run/../big.bin"):
        found = app.test_client().get(other, headers={"Range": "bytes=0-1", "Authorization": "Token secret"})
        assert found.status_code == 404


def test_a_token_is_traded_for_a_cookie_and_leaves_the_address():
    client = guarded(Access(token="secret"))
    assert client.get("/").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    answer = client.get("/?run=a&token=secret&gene=MYC")
    assert (answer.status_code, answer.headers["Location"]) == (302, "./?run=a&gene=MYC")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert client.get("/").data == b"in"


def test_an_empty_token_is_none_at_all():
    assert access_for("127.0.0.1", "").token is None
    assert access_for("0.0.0.0", "").token


def test_a_program_shows_the_token_in_a_header():
    client = guarded(Access(token="secret"))
    assert client.get("/", headers={"Authorization": "Bearer secret"}).data == b"in"
    assert client.get("/", headers={"Authorization": "Bearer sécret"}).status_code == 401


def test_another_site_cannot_post():
    client = guarded(Access())
    local = {"Host": "127.0.0.1:8050"}
    assert client.post("/", headers={**local, "Origin": "http://evil.example"}).status_code == 403
    assert client.post("/", headers={**local, "Origin": "http://127.0.0.1:8050"}).status_code == 200


def test_every_answer_keeps_the_page_on_this_machine():
    for answer in (guarded(Access()).get("/", headers={"Host": "localhost"}), guarded(Access(token="x")).get("/")):
        assert "connect-src 'self' data: blob:" in answer.headers["Content-Security-Policy"]
        assert "unsafe-eval" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_taken_port_that_was_asked_for_is_an_error_and_the_default_moves_on(monkeypatch):
    taken = server.bind("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with taken:
        with pytest.raises(InputError, match=f"port {port}"):
            server.bind("127.0.0.1", port)
        monkeypatch.setattr(server, "DEFAULT_PORT", port)
        with server.bind("127.0.0.1", None) as other:
            assert other.getsockname()[1] > port


@pytest.mark.parametrize(
    ("text", "expected"), [("", "/"), ("/", "/"), ("a/b", "/a/b/"), ("/a/b/", "/a/b/"), ("//a", "/a/")]
)
def test_a_prefix_begins_and_ends_with_a_slash(text, expected):
    assert clean_prefix(text) == expected


def test_the_hubs_proxy_path_is_the_default_prefix(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    assert server.hub_prefix(8050) == "/user/ada/proxy/8050/"


def test_the_address_names_this_machine_where_all_are_listened_on():
    assert server.url("0.0.0.0", 80, "/", "t") == f"http://{socket.gethostname()}:80/?token=t"
    assert server.url("::1", 80) == "http://[::1]:80/"


def test_the_web_process_never_imports_torch():
    heavy = "[name for name in sys.modules if name.split('.')[0] in ('torch', 'numba')]"
    code = f"import sys, seq2exp_viz.serve, seq2exp_viz.notebook; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
