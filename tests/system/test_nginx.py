"""The proxy of a facility for real: its own file, with other ports and paths, before a server that says what it got."""

import base64
import os
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

from tests.system.facility_bench import ROOT, free_port, wait

pytestmark = pytest.mark.needs_nginx

CONFIGURATION = ROOT / "deployments" / "nginx" / "apertura.conf"
SERVER_LOGIN = "Basic " + base64.b64encode(b"apertura:of-the-server").decode()


async def told(request: Request) -> JSONResponse:
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
    (folder / "runs").mkdir()
    (folder / "runs" / "report.html").write_text("a report")
    (folder / "runs" / "out").symlink_to("/etc/passwd")
    text = CONFIGURATION.read_text()
    for old, new in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        ("127.0.0.1:4200", f"127.0.0.1:{behind}"),
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
    wait(lambda: httpx.get(f"http://127.0.0.1:{port}/", timeout=2).status_code == 401, "nginx", limit_s=20)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait(20)
    server.should_exit = True
    thread.join(20)


def as_user(name: str) -> tuple[str, str]:
    return name, f"{name}-password"


@pytest.mark.parametrize("path", ["/", "/v2/", "/api/flow_runs/filter", "/runs/report.html", "/docs"])
def test_nobody_enters_without_a_password(proxy: str, path: str) -> None:
    assert httpx.get(f"http://{proxy}{path}", timeout=10).status_code == 401
    assert httpx.get(f"http://{proxy}{path}", auth=("viewer", "guessed"), timeout=10).status_code == 401


@pytest.mark.parametrize("user", ["viewer", "somebody"])
def test_a_viewer_reads_and_writes_nothing(proxy: str, user: str) -> None:
    def status(method: str, path: str) -> int:
        return httpx.request(method, f"http://{proxy}{path}", auth=as_user(user), timeout=10).status_code

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
        got = httpx.get(f"http://{proxy}/api/flow_runs/1", auth=as_user(user), timeout=10).json()
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
    assert httpx.get(f"http://{proxy}/runs/report.html", auth=as_user("viewer"), timeout=10).text == "a report"
    assert httpx.get(f"http://{proxy}/runs/out", auth=as_user("viewer"), timeout=10).status_code == 403
