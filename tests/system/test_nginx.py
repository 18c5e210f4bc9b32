"""The proxy of a facility for real: its own file, with other ports and paths, before a server that says what it got."""

import base64
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from flows.studio.guard import Names, ProxyGuard
from flows.studio.places import RunsBelow
from tests.system.facility_bench import PAGE_MS, ROOT, free_port, wait
from tests.system.studio_server_bench import Served

pytestmark = pytest.mark.needs_nginx

CONFIGURATION, UPSTREAM = (ROOT / "deployments" / "nginx" / name for name in ("apertura.conf", "upstream.conf"))
STUDIO_SECRET = "between-nginx-and-the-studio"
SERVER_LOGIN = "Basic " + base64.b64encode(b"apertura:of-the-server").decode()


HOSTILE = """<script>
const said = {};
(async () => {
  try { localStorage.setItem("a", "b"); said.storage = "open"; } catch { said.storage = "refused"; }
  for (const [name, path] of [["read", "/api/flow_runs/1"], ["write", "/api/deployments/1/create_flow_run"]]) {
    try {
      const answer = await fetch(path, {method: name === "read" ? "GET" : "POST", credentials: "include"});
      said[name] = answer.status;
    } catch { said[name] = "refused"; }
  }
  try { said.parent = top.document.title; } catch { said.parent = "refused"; }
  said.origin = self.origin;
  window.said = said;
})();
</script>"""
"""A report in which text from outside became a script after all."""


async def told(request: Request) -> JSONResponse:
    if request.url.path == "/ui-settings":
        return JSONResponse({"api_url": "/api", "auth": "BASIC"})
    return JSONResponse(
        {"authorization": request.headers.get("authorization"), "user": request.headers.get("x-forwarded-user")}
    )


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("open")
    await websocket.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    behind, port = free_port(), free_port()
    routes = [
        Route("/{path:path}", told, methods=["GET", "POST", "PATCH", "DELETE"]),
        WebSocketRoute("/{path:path}", socket),
    ]
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=routes), port=behind, log_level="error", ws="websockets-sansio")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    users = [f"{name}:{{PLAIN}}{name}-password" for name in ("viewer", "operator", "somebody")]
    (folder / "users").write_text("\n".join(users) + "\n")
    (folder / "nginx-auth.conf").write_text(f'proxy_set_header Authorization "{SERVER_LOGIN}";\n')
    (folder / "nginx-studio.conf").write_text(f'proxy_set_header X-Apertura-Proxy "{STUDIO_SECRET}";\n')
    (folder / "runs" / "a-run").mkdir(parents=True)
    (folder / "runs" / "a-run" / "run.json").write_text("{}")
    names = Names.of_loopback(port)
    studio = Served(RunsBelow(folder / "runs"), guard=ProxyGuard(names, STUDIO_SECRET), names=names, prefix="/studio")
    (folder / "runs" / "report.html").write_text("a report")
    (folder / "runs" / "out").symlink_to("/etc/passwd")
    (folder / "runs" / "a-run" / "hostile.html").write_text(HOSTILE)
    (folder / "runs" / ".logs").mkdir()
    (folder / "runs" / ".logs" / "today.log").write_text("what the processes print")
    text = CONFIGURATION.read_text() + UPSTREAM.read_text()
    for old, new in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        ("server_name apertura.example.org;", "server_name 127.0.0.1;"),
        ("127.0.0.1:4200", f"127.0.0.1:{behind}"),
        ("127.0.0.1:5110", f"127.0.0.1:{studio.port}"),
        ("alias /data/runs/", f"alias {folder}/runs/"),
        ("/etc/apertura/", f"{folder}/"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    text = "\n".join(line for line in text.splitlines() if "ssl_certificate" not in line)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    head = f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
    whole = f"{head} http {{ access_log off; {temporary}\n{text}\n}}"
    (folder / "nginx.conf").write_text(whole)
    process = subprocess.Popen(
        [str(shutil.which("nginx")), "-c", str(folder / "nginx.conf"), "-e", f"{folder}/error.log"]
    )
    wait(lambda: httpx.get(f"http://127.0.0.1:{port}/", timeout=2).status_code == 401, "nginx", limit_s=120)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait(20)
    studio.close()
    server.should_exit = True
    thread.join(20)


def as_user(name: str) -> tuple[str, str]:
    return name, f"{name}-password"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/",
        "/ui-settings",
        "/api/flow_runs/filter",
        "/runs/report.html",
        "/docs",
        "/studio/",
        "/apertura/metrics",
    ],
)
def test_nobody_enters_without_a_password(proxy: str, path: str) -> None:
    assert httpx.get(f"http://{proxy}{path}", timeout=60).status_code == 401
    assert httpx.get(f"http://{proxy}{path}", auth=("viewer", "guessed"), timeout=60).status_code == 401


@pytest.mark.parametrize("user", ["viewer", "somebody"])
def test_a_viewer_reads_and_writes_nothing(proxy: str, user: str) -> None:
    def status(method: str, path: str) -> int:
        return httpx.request(method, f"http://{proxy}{path}", auth=as_user(user), timeout=60).status_code

    assert status("GET", "/api/flow_runs/1") == 200
    assert status("POST", "/api/flow_runs/filter") == 200
    for method, path in (
        ("POST", "/api/deployments/1/create_flow_run"),
        ("POST", "/api/events"),
        ("POST", "/api/flow_runs/1/set_state"),
        ("PATCH", "/api/work_pools/apertura"),
        ("DELETE", "/api/flow_runs/1"),
    ):
        assert status(method, path) == 403, path


def test_the_server_s_password_replaces_the_user_s(proxy: str) -> None:
    for user in ("viewer", "operator"):
        got = httpx.get(f"http://{proxy}/api/flow_runs/1", auth=as_user(user), timeout=60).json()
        assert got == {"authorization": SERVER_LOGIN, "user": user}


def test_a_viewer_opens_only_the_websockets_that_tell(proxy: str) -> None:
    def opened(user: str, path: str) -> bool:
        login = base64.b64encode(":".join(as_user(user)).encode()).decode()
        try:
            with connect(f"ws://{proxy}{path}", additional_headers={"Authorization": f"Basic {login}"}) as found:
                return found.recv() == "open"
        except InvalidStatus as error:
            return error.response.status_code != httpx.codes.FORBIDDEN

    telling = ["/api/events/out", "/api/logs/out"]
    writing = ["/api/events/in", "/api/task_runs/subscriptions/scheduled", "/api/work_pools/apertura/workers/connect"]
    assert [opened("viewer", path) for path in telling + writing] == [True] * 2 + [False] * 3
    assert all(opened("operator", path) for path in telling + writing)


def test_links_in_the_served_runs_lead_nowhere(proxy: str) -> None:
    assert httpx.get(f"http://{proxy}/runs/report.html", auth=as_user("viewer"), timeout=60).text == "a report"
    assert httpx.get(f"http://{proxy}/runs/out", auth=as_user("viewer"), timeout=60).status_code == 403


def studio_says(proxy: str, user: str, *, forged: dict[str, str] | None = None) -> str:
    """Open a run in the studio as its page does; return what it shows of who looks."""
    login = base64.b64encode(":".join(as_user(user)).encode()).decode()
    page = httpx.get(
        f"http://{proxy}/studio/", params={"run": "a-run"}, auth=as_user(user), headers=forged or {}, timeout=60
    )
    token = re.findall(r'"token":"([^"]+)"', page.text)[0]
    with connect(
        f"ws://{proxy}/studio/ws",
        additional_headers={"Authorization": f"Basic {login}", **(forged or {})},
        origin=Origin(f"http://{proxy}"),
        subprotocols=[Subprotocol("bokeh"), Subprotocol(token)],
    ) as found:
        acknowledged = [str(found.recv(10)) for _ in range(3)]
        assert "ACK" in acknowledged[0]
        for fragment in ('{"msgid": "1", "msgtype": "PULL-DOC-REQ"}', "{}", "{}"):  # header, metadata, content
            found.send(fragment)
        return " ".join(str(found.recv(10)) for _ in range(3))


def test_the_studio_is_told_by_the_proxy_who_looks_and_what_he_may(proxy: str) -> None:
    assert "a-run: 0 of operator, who may write" in studio_says(proxy, "operator")
    assert "a-run: 0 of viewer, who may look" in studio_says(proxy, "viewer")


def test_nobody_makes_himself_an_operator_or_another_user_by_headers_of_his_own(proxy: str) -> None:
    forged = {"X-Apertura-Role": "operator", "X-Forwarded-User": "operator", "X-Apertura-Proxy": STUDIO_SECRET}
    assert "a-run: 0 of viewer, who may look" in studio_says(proxy, "viewer", forged=forged)


def test_one_user_cannot_take_over_the_session_of_another(proxy: str) -> None:
    def status(user: str) -> int:
        login = base64.b64encode(":".join(as_user(user)).encode()).decode()
        try:
            with connect(
                f"ws://{proxy}/studio/ws",
                additional_headers={"Authorization": f"Basic {login}"},
                origin=Origin(f"http://{proxy}"),
                subprotocols=[Subprotocol("bokeh"), Subprotocol(token)],
            ) as found:
                found.recv(10)
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    page = httpx.get(f"http://{proxy}/studio/", params={"run": "a-run"}, auth=as_user("operator"), timeout=60)
    token = re.findall(r'"token":"([^"]+)"', page.text)[0]
    assert status("viewer") == 403
    assert status("somebody") == 403
    assert status("operator") == 101


def test_the_studio_lists_the_runs_and_opens_none_outside(proxy: str) -> None:
    def page(path: str) -> httpx.Response:
        return httpx.get(f"http://{proxy}/studio/{path}", auth=as_user("viewer"), timeout=60)

    assert 'href="?run=a-run"' in page("").text
    for outside in ("..", "../runs", "/etc", "out", "absent"):
        assert (
            httpx.get(
                f"http://{proxy}/studio/", params={"run": outside}, auth=as_user("viewer"), timeout=60
            ).status_code
            == 404
        ), outside
    assert page("static/js/bokeh.min.js").status_code == 200
    assert "nosniff" in page("").headers["x-content-type-options"]
    assert "frame-ancestors 'none'" in page("").headers["content-security-policy"]


def test_a_viewer_gets_no_blocks_no_settings_and_no_work(proxy: str) -> None:
    def status(method: str, path: str, user: str) -> int:
        return httpx.request(method, f"http://{proxy}{path}", auth=as_user(user), timeout=60).status_code

    for method, path in (
        ("GET", "/api/block_documents/1?include_secrets=true"),
        ("GET", "/api/./block_documents/1"),
        ("GET", "/api//block_documents/1"),
        ("GET", "/api/%62lock_documents/1"),
        ("GET", "/api/block_types/slug/x/block_documents"),
        ("POST", "/api/block_documents/filter"),
        ("GET", "/api/admin/settings"),
        ("POST", "/api/work_pools/apertura/get_scheduled_flow_runs"),
        ("POST", "/api/deployments/1/create_flow_run?x=/filter"),
        ("POST", "/api/deployments/1/create_flow_run%3F/x"),
        ("POST", "/api/deployments/filter/create_flow_run"),
        ("PUT", "/api/deployments/filter"),
    ):
        assert status(method, path, "viewer") == 403, path
        assert status(method, path, "operator") in {200, 405}, path


@pytest.mark.parametrize("path", ["/", "/runs/report.html", "/api/health", "/api/flow_runs/1", "/studio/"])
def test_nothing_is_answered_under_another_name(proxy: str, path: str) -> None:
    answer = httpx.get(
        f"http://{proxy}{path}", auth=as_user("operator"), headers={"Host": "rebound.example"}, timeout=60
    )
    assert answer.status_code == 421


def test_who_is_let_in_by_the_proxy_is_not_asked_again_by_the_pages(proxy: str) -> None:
    got = httpx.get(f"http://{proxy}/ui-settings", auth=as_user("viewer"), timeout=60).json()
    assert got == {"api_url": "/api", "auth": None}


def test_what_is_hidden_in_the_folder_of_runs_is_not_served(proxy: str) -> None:
    for path in (".logs/today.log", "%2elogs/today.log", "a-run/../.logs/today.log", ".logs/"):
        assert httpx.get(f"http://{proxy}/runs/{path}", auth=as_user("operator"), timeout=60).status_code == 404, path
    assert httpx.post(f"http://{proxy}/runs/report.html", auth=as_user("operator"), timeout=60).status_code == 405
    assert ".logs" not in httpx.get(f"http://{proxy}/runs/", auth=as_user("operator"), timeout=60).text


@pytest.mark.needs_browser
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_script_in_a_report_has_no_right_on_the_facility_s_origin(proxy: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        credentials = {"username": "operator", "password": "operator-password"}
        page = browser.new_context(http_credentials=credentials).new_page()
        page.set_default_timeout(PAGE_MS)
        page.goto(f"http://{proxy}/runs/a-run/hostile.html")
        page.wait_for_function("window.said")
        said = page.evaluate("window.said")
        browser.close()
    assert said == {"storage": "refused", "read": "refused", "write": "refused", "parent": "", "origin": "null"}
