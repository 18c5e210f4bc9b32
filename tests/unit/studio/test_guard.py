"""Who may enter the studio: every request is judged by its name, its origin, its token or its cookie."""

from dataclasses import replace

import pytest

from flows.studio.guard import (
    PROXY_HEADER,
    ROLE_HEADER,
    USER_HEADER,
    Asked,
    Denial,
    Entrance,
    Guard,
    Names,
    ProxyGuard,
    TokenGuard,
    Visitor,
    origin_of,
    policy,
)

NAMES = Names.of_loopback(5110, "https://Apertura.example.org/studio/")
DESK = TokenGuard(NAMES, token="t" * 32, user="ada", cookie_name="apertura-5110")
FACILITY = ProxyGuard(NAMES, secret="s" * 24)
THROUGH_PROXY = {PROXY_HEADER: "s" * 24, USER_HEADER: "ada", ROLE_HEADER: "operator"}


def asked(**changes: object) -> Asked:
    plain = Asked("GET", "127.0.0.1:5110", None, websocket=False, query={}, cookies={}, headers={})
    return plain._replace(**changes)


def status(guard: Guard, request: Asked) -> int:
    found = guard.admit(request)
    return found.status if isinstance(found, Denial) else 200


def test_the_token_is_exchanged_for_the_cookie_and_the_cookie_is_its_owner() -> None:
    found = DESK.admit(asked(query={"token": "t" * 32}))
    assert found == Entrance("apertura-5110", DESK.cookie)
    assert DESK.admit(asked(cookies={"apertura-5110": DESK.cookie})) == Visitor("ada", may_write=True)
    assert replace(DESK, cookie=TokenGuard(NAMES, "t" * 32, "ada", "c").cookie).cookie != DESK.cookie


@pytest.mark.parametrize("query", [{}, {"token": ""}, {"token": "t" * 31}, {"token": "T" * 32}, {"token": "\udcff"}])
def test_without_the_token_nobody_enters_and_is_told_what_to_do(query: dict[str, str]) -> None:
    found = DESK.admit(asked(query=query))
    assert isinstance(found, Denial)
    assert found.status == 403
    assert "apertura draw" in found.advice


@pytest.mark.parametrize("cookies", [{}, {"apertura-5110": "guessed"}, {"apertura-5111": DESK.cookie}])
def test_another_cookie_is_none(cookies: dict[str, str]) -> None:
    assert status(DESK, asked(cookies=cookies)) == 403


def test_a_websocket_needs_the_cookie_and_the_studio_s_own_origin() -> None:
    mine = {"apertura-5110": DESK.cookie}
    own = "http://127.0.0.1:5110"
    assert status(DESK, asked(websocket=True, origin=own, cookies=mine)) == 200
    assert status(DESK, asked(websocket=True, origin=own)) == 403
    assert status(DESK, asked(websocket=True, origin=own, query={"token": "t" * 32})) == 403, "a token is no cookie"
    for origin in (None, "null", "http://127.0.0.1:5111", "https://127.0.0.1:5110", "http://evil.example"):
        assert status(DESK, asked(websocket=True, origin=origin, cookies=mine)) == 403, origin


@pytest.mark.parametrize("guard", [DESK, FACILITY])
def test_only_its_own_names_its_own_pages_and_reading_methods_are_answered(guard: Guard) -> None:
    good = asked(cookies={"apertura-5110": DESK.cookie}, headers=THROUGH_PROXY)
    assert status(guard, good) == 200
    assert status(guard, good._replace(host="localhost:5110")) == 200
    assert status(guard, good._replace(host="apertura.example.org", origin="https://apertura.example.org")) == 200
    for host in ("evil.example:5110", "127.0.0.1", "127.0.0.1:5111", "", "apertura.example.org.evil.example"):
        assert status(guard, good._replace(host=host)) == 421, host
    assert status(guard, good._replace(origin="http://evil.example")) == 403
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "CONNECT"):
        assert status(guard, good._replace(method=method)) == 405


def test_behind_the_proxy_its_secret_is_needed_and_the_role_decides() -> None:
    assert FACILITY.admit(asked(headers=THROUGH_PROXY)) == Visitor("ada", may_write=True, vouched=True)
    for role in ("viewer", "", "Operator", "operator "):
        found = FACILITY.admit(asked(headers={**THROUGH_PROXY, ROLE_HEADER: role}))
        assert found == Visitor("ada", may_write=False, vouched=True), role
    assert status(FACILITY, asked(headers={**THROUGH_PROXY, PROXY_HEADER: "guessed"})) == 403
    assert status(FACILITY, asked(headers={**THROUGH_PROXY, PROXY_HEADER: ""})) == 403
    assert status(FACILITY, asked(headers={**THROUGH_PROXY, USER_HEADER: "\r\n"})) == 403


def test_an_origin_is_written_as_browsers_write_it() -> None:
    assert origin_of("https://Example.org:443/studio/?a=b") == "https://example.org"
    assert origin_of("http://127.0.0.1:80") == "http://127.0.0.1"
    assert origin_of("http://example.org:8080/x") == "http://example.org:8080"


def test_the_policy_names_no_source_but_this_server_and_no_script_without_its_nonce() -> None:
    parts = dict(part.split(" ", 1) for part in policy(NAMES, "n0nce").split("; "))
    assert parts["default-src"] == "'none'"
    assert parts["frame-ancestors"] == "'none'"
    assert "'unsafe-inline'" not in parts["script-src"]
    assert "'nonce-n0nce'" in parts["script-src"]
    assert parts["connect-src"].split() == [
        "'self'",
        "ws://127.0.0.1:5110",
        "ws://localhost:5110",
        "wss://apertura.example.org",
    ]
