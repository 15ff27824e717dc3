"""A server that answers as a test tells it, and remembers the requests.

This file also has what the tests know about the local stack.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import os
import threading
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import httpx
from zoom_vault import Vault, types

API = os.environ["API_URL"]
ZOOM = os.environ["ZOOM_OAUTH_BASE_URL"]
FULL_KEY, MINT_KEY = os.environ["FULL_KEY"], os.environ["MINT_KEY"]
SECRET_KEY = "zcv_acme_this-is-the-key"

# asyncio's debug mode would report each slow step, such as the reading of certificates.
logging.getLogger("asyncio").setLevel(logging.ERROR)

CREDENTIAL = {"success": True, "data": {"credential_id": "1", "name": "Ada"}}


class Request(NamedTuple):
    method: str
    path: str
    headers: Dict[str, str]
    body: bytes


class Reply(NamedTuple):
    status: int
    body: Any
    headers: Dict[str, str] = {}
    #: Seconds to wait before the answer.
    delay: float = 0


DROP = Reply(0, None)


def failure(status: int, code: str, headers: Optional[Dict[str, str]] = None, **more: Any) -> Reply:
    body = {"success": False, "error": "…", "code": code, "statusCode": status, "message": f"why: {code}", **more}
    return Reply(status, body, headers or {})


class Fake:
    def __init__(self, url: str) -> None:
        self.url = url
        self.replies: List[Reply] = []
        self.requests: List[Request] = []

    def vault(self, **options: Any) -> Vault:
        return Vault(self.url, SECRET_KEY, **options)


@contextlib.contextmanager
def fake(*replies: Reply) -> Iterator[Fake]:
    """Answers with each reply in turn."""
    stopped = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            started.requests.append(Request(self.command, self.path, headers, body))
            reply = started.replies.pop(0)
            stopped.wait(reply.delay)
            if reply.status == 0:
                self.close_connection = True
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"content-length": str(len(content)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    started = Fake(f"http://127.0.0.1:{server.server_port}")
    started.replies.extend(replies)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield started
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


def zoom(path: str, body: Dict[str, Any]) -> Any:
    """Tells the sandbox something."""
    answer = httpx.post(f"{ZOOM}/sandbox/{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def connected(vault: Vault, user: str) -> types.Credential:
    """A credential of a new user of the sandbox."""
    zoom("users", {"id": user, "account_id": "clients", "email": f"{user}@example.com"})
    redirect_uri = "http://localhost:3000/callback"
    code = zoom("codes", {"client_id": "sandbox-app", "redirect_uri": redirect_uri, "user_id": user})["code"]
    return vault.create_zoom_credential(
        name=user,
        client_id="sandbox-app",
        client_secret="sandbox-secret",
        authorization_code=code,
        redirect_uri=redirect_uri,
    )


def app_credential(vault: Vault, name: str) -> Tuple[str, types.Credential]:
    credential = vault.create_zoom_credential(name=name, client_id="an-app", client_secret="its-secret")
    return credential["credential_id"], credential
