"""What an operator writes beside the files of deployments/ (README.md there), and what he then sees of the facility."""

import base64
import datetime as dt
import secrets
import shutil
import ssl
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.system.facility_bench import PAGE_MS, wait
from tests.system.rooms import World

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deployments"
NAME = "apertura.example.org"
USERS = ("viewer", "operator")


def write_secrets(folder: Path, owner: int) -> dict[str, str]:
    """Write the files of README's "Secrets"; return what is in them."""
    folder.mkdir(parents=True)
    made = {
        "auth-string": f"apertura:{secrets.token_urlsafe(24)}",
        "database-password": secrets.token_urlsafe(24),
        "encryption-key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "studio-secret": secrets.token_urlsafe(24),
    }
    for name, value in made.items():
        path = folder / name
        path.write_text(value + "\n")
        path.chmod(0o400)
        shutil.chown(path, owner, owner)
    return made


def write_proxy_files(folder: Path, made: dict[str, str], group: int) -> None:
    """Write what nginx reads in /etc/apertura."""
    (folder / "tls").mkdir(parents=True, exist_ok=True)
    login = base64.b64encode(made["auth-string"].encode()).decode()
    (folder / "nginx-auth.conf").write_text(f'proxy_set_header Authorization "Basic {login}";\n')
    (folder / "nginx-studio.conf").write_text(f'proxy_set_header X-Apertura-Proxy "{made["studio-secret"]}";\n')
    (folder / "users").write_text("".join(f"{name}:{{PLAIN}}{name}-password\n" for name in USERS))
    write_certificate(folder / "tls")
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "site.yaml":
            path.chmod(0o440)
            shutil.chown(path, 0, group)


def write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )


def write_alarms(folder: Path) -> None:
    """Write the two addresses that the example's site file names; nobody listens there."""
    folder.mkdir(parents=True)
    for name in ("operators", "instrument-desk"):
        (folder / name).write_text("json://127.0.0.1:9/\n")


class Facility:
    """A facility as its users see it: by its name, through nginx, with their passwords."""

    def __init__(self, world: World, address: str) -> None:
        self.world, self.address = world, address

    def ask(self, method: str, path: str, user: str | None = "operator", **options: Any) -> httpx.Response:
        """Send one request from the network of the facility."""
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

        def asked() -> httpx.Response:
            with httpx.Client(verify=trusting, timeout=120, trust_env=False) as client:
                return client.request(
                    method,
                    f"https://{self.address}{path}",
                    auth=(user, f"{user}-password") if user else None,
                    headers={"Host": NAME, **options.pop("headers", {})},
                    extensions={"sni_hostname": NAME},
                    **options,
                )

        return self.world.ask(asked)

    def runs(self) -> list[dict[str, Any]]:
        found = self.ask("POST", "/api/flow_runs/filter", json={"flows": {"name": {"any_": ["solve-series"]}}})
        return list(found.raise_for_status().json())

    def finished(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait for the runs of the pipeline to end; return them."""
        wait(
            lambda: len(runs := self.runs()) >= count and all(run["state_type"] == "COMPLETED" for run in runs),
            f"{count} completed runs",
            step_s=1.0,
        )
        return self.runs()

    def seen(self, run_id: str, folder: str, user: str, picture: Path | None = None) -> dict[str, str]:
        """Open the page of a run, its report and the studio in a browser; return what is on them."""
        from playwright.sync_api import sync_playwright

        said = {}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=str(self.world.browser()),
                args=["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {NAME} {self.address}"],
            )
            context = browser.new_context(
                ignore_https_errors=True, http_credentials={"username": user, "password": f"{user}-password"}
            )
            context.set_default_timeout(3 * PAGE_MS)
            page = context.new_page()
            for name, address, text in (
                ("report", f"/runs/{folder}/report.html", "No crystals"),
                ("studio", "/studio/", folder),
                ("run", f"/v2/runs/flow-run/{run_id}", "first: No crystals"),
            ):
                page.goto(f"https://{NAME}{address}", wait_until="domcontentloaded")
                page.get_by_text(text, exact=False).first.wait_for()
                said[name] = page.locator("body").inner_text()
            if picture:
                page.screenshot(path=picture)
            browser.close()
        return said
