"""No key and no token is in what a program prints or logs by accident."""

from __future__ import annotations

import json
import logging
import pprint
import sys
import traceback
import unittest
from typing import Any, Callable, List

from fake import DROP, SECRET_KEY, Reply, failure, fake
from zoom_vault import AsyncVault, Vault, VaultError


def shown(value: Any) -> str:
    """What a program could show of a value: also the fields, and what the fields refer to."""
    texts: List[str] = []

    def walk(it: Any, depth: int) -> None:
        texts.append(f"{it!r} {it} {pprint.pformat(it)}")
        if depth < 6:
            for inner in vars(it).values() if hasattr(it, "__dict__") else []:
                walk(inner, depth + 1)

    walk(value, 0)
    return " ".join(texts)


class Secrets(unittest.TestCase):
    def test_the_key_is_in_no_repr_of_a_client(self) -> None:
        url = "https://vault.example.com"
        for vault in (Vault(url, SECRET_KEY), AsyncVault(url, SECRET_KEY)):
            self.assertNotIn("this-is-the-key", shown(vault))

    def test_the_key_and_the_body_are_in_no_error(self) -> None:
        calls: List[Callable[[Vault], object]] = [
            lambda vault: vault.create_zoom_credential(name="x", client_id="a", client_secret="the-client-secret"),
            lambda vault: list(vault.list_zoom_credentials()),
        ]
        cut_off = Reply(200, b'{"success": true, "data": {"token": "t-secret')
        for reply in (DROP, failure(401, "FST_ERR_UNAUTHORIZED"), cut_off):
            for call in calls:
                with fake(reply) as server:
                    with self.assertRaises(VaultError) as raised:
                        call(server.vault(max_retries=0))
                error = raised.exception
                stack = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
                for text in (shown(error), stack, shown(error.__context__), shown(error.__cause__)):
                    for secret in ("this-is-the-key", "the-client-secret", "t-secret"):
                        self.assertNotIn(secret, text)

    def test_a_key_with_a_line_feed_is_refused_without_being_shown(self) -> None:
        with self.assertRaises(ValueError) as raised:
            Vault("https://vault.example.com", SECRET_KEY + "\n")
        self.assertNotIn("this-is-the-key", shown(raised.exception))

    def test_the_key_goes_to_https_and_this_machine_only(self) -> None:
        refused = (
            "http://vault.example.com",
            "ftp://localhost",
            "https://user:word@vault.example.com",
            "localhost:80",
            "",
        )
        for url in refused:
            with self.subTest(url), self.assertRaises(ValueError) as raised:
                Vault(url, SECRET_KEY)
            self.assertNotIn("word@", str(raised.exception))
        local = ("http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000")
        for url in (*local, "https://vault.example.com/live"):
            Vault(url, SECRET_KEY).close()
        Vault("http://vault:3000", SECRET_KEY, allow_http=True).close()

    def test_a_token_is_hidden_from_repr_and_readable_for_programs(self) -> None:
        data = {"type": "zak", "token": "t-secret", "inner": [{"url": "u-secret", "secret": None}]}
        with fake(Reply(200, {"success": True, "data": data})) as server:
            token: Any = server.vault().mint_zoom_token(credential_id="1", type="zak")
        self.assertEqual(token["token"], "t-secret")
        self.assertEqual(json.loads(json.dumps(token)), data)
        texts = [repr(token), str(token), f"{token}"]
        if sys.version_info >= (3, 10):  # the pprint of Python 3.9 ignores the repr of a wide dict
            texts.append(pprint.pformat(token))
        for text in texts:
            self.assertNotIn("-secret", text)
            self.assertIn("'token': '[hidden]'", text)

    def test_the_log_of_httpx_has_no_secret_at_any_level(self) -> None:
        with fake(Reply(200, {"success": True, "data": {"token": "t-secret"}})) as server:
            with self.assertLogs(level=logging.DEBUG) as logged:
                server.vault().mint_zoom_token(credential_id="1", type="zak")
        self.assertNotIn("t-secret", "".join(logged.output))
        self.assertNotIn("this-is-the-key", "".join(logged.output))


if __name__ == "__main__":
    unittest.main()
