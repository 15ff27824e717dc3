"""The client against the local stack."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import queue
import threading
import time
import unittest
import uuid
from typing import Any, Dict, List, Tuple

import httpx
from fake import API, FULL_KEY, MINT_KEY, app_credential, connected, zoom
from zoom_vault import AsyncVault, NotificationError, Vault, errors, verify_notification


class Stack(unittest.TestCase):
    def setUp(self) -> None:
        self.vault = Vault(API, FULL_KEY)
        self.addCleanup(self.vault.close)


class Errors(Stack):
    def test_an_unknown_key_is_unauthorized(self) -> None:
        with Vault(API, "zcv_nobody_knows-this-key") as stranger, self.assertRaises(errors.Unauthorized) as raised:
            list(stranger.list_zoom_credentials())
        self.assertEqual(raised.exception.status_code, 401)
        self.assertEqual(raised.exception.code, "FST_ERR_UNAUTHORIZED")
        self.assertTrue(raised.exception.request_id)

    def test_a_key_that_may_only_mint_is_forbidden_to_list(self) -> None:
        with Vault(API, MINT_KEY) as vault, self.assertRaises(errors.Forbidden) as raised:
            list(vault.list_zoom_credentials())
        self.assertEqual(raised.exception.status_code, 403)

    def test_a_body_that_breaks_a_rule_is_a_validation_error_that_names_the_field(self) -> None:
        with self.assertRaisesRegex(errors.Validation, "body/name") as raised:
            self.vault.create_zoom_credential(name="", client_id="an-app", client_secret="its-secret")
        self.assertEqual((raised.exception.status_code, raised.exception.details), (400, None))

    def test_an_unknown_credential_is_not_found(self) -> None:
        with self.assertRaises(errors.ZoomCredentialNotFoundById) as raised:
            self.vault.get_zoom_credential(str(uuid.uuid4()))
        self.assertEqual(raised.exception.status_code, 404)

    def test_an_app_credential_has_no_token_of_a_user(self) -> None:
        credential_id, _ = app_credential(self.vault, "python app")
        with self.assertRaises(errors.ZoomNotAUserCredential) as raised:
            self.vault.mint_zoom_token(credential_id=credential_id, type="onbehalf")
        self.assertEqual(raised.exception.status_code, 400)

    def test_a_user_who_is_gone_must_reconnect_and_details_says_why(self) -> None:
        user = "python-gone"
        credential = connected(self.vault, user)
        zoom("users", {"id": user, "account_id": "clients", "deactivated": True})
        with self.assertRaises(errors.ZoomReconnectRequired) as raised:
            self.vault.mint_zoom_token(credential_id=credential["credential_id"], type="onbehalf")
        self.assertEqual((raised.exception.status_code, raised.exception.details), (409, "user_gone"))

    def test_a_code_that_zoom_does_not_know_is_refused(self) -> None:
        with self.assertRaises(errors.ZoomCodeExchangeFailed) as raised:
            self.vault.create_zoom_credential(
                name="Ada",
                client_id="sandbox-app",
                client_secret="sandbox-secret",
                authorization_code="unknown",
                redirect_uri="http://localhost:3000/callback",
            )
        self.assertEqual(raised.exception.status_code, 400)


class Calls(Stack):
    def test_two_creates_with_one_idempotency_key_make_one_credential(self) -> None:
        key = str(uuid.uuid4())
        first, second = (
            self.vault.create_zoom_credential(name="once", client_id="a", client_secret="b", idempotency_key=key)
            for _ in range(2)
        )
        self.assertEqual(first["credential_id"], second["credential_id"])
        with self.assertRaises(errors.IdempotencyKeyReused):
            self.vault.create_zoom_credential(name="other", client_id="a", client_secret="b", idempotency_key=key)

    def test_two_creates_without_a_key_make_two_credentials(self) -> None:
        ids = {app_credential(self.vault, "twice")[0] for _ in range(2)}
        self.assertEqual(len(ids), 2)

    def test_null_clears_a_field_and_a_field_that_is_left_out_stays(self) -> None:
        created = self.vault.create_zoom_credential(name="x", client_id="a", client_secret="b", extra={"tenant": "t"})
        renamed = self.vault.update_zoom_credential(created["credential_id"], name="y")
        self.assertEqual((renamed["name"], renamed["extra"]), ("y", {"tenant": "t"}))
        self.assertIsNone(self.vault.update_zoom_credential(created["credential_id"], extra=None)["extra"])

    def test_a_check_and_a_restore_work_without_a_body(self) -> None:
        credential_id, _ = app_credential(self.vault, "python check")
        self.assertEqual(self.vault.check_zoom_credential(credential_id)["credential_id"], credential_id)
        self.vault.delete_zoom_credential(credential_id)
        self.assertEqual(self.vault.restore_zoom_credential(credential_id)["credential_id"], credential_id)

    def test_a_rotation_tells_whether_it_is_done(self) -> None:
        connected(self.vault, "python-rotation")
        rotation, cursor = self.vault.rotate_zoom_app_secret("sandbox-app", client_secret="sandbox-secret")
        self.assertTrue(rotation["done"])
        self.assertIsNone(cursor)


class Tokens(Stack):
    def test_an_account_level_credential_mints_a_zak_for_a_user_whom_the_email_names(self) -> None:
        client, account = "python-account-app", "python-account"
        app = {"client_id": client, "client_secret": "its-secret", "redirect_uris": [], "account_id": account}
        zoom("apps", {**app, "scopes": ["user:read:token:admin"]})
        zoom("users", {"id": "python-of-account", "account_id": account, "email": "ada+bots@python.example.com"})
        created = self.vault.create_zoom_credential(
            name="account", client_id=client, client_secret="its-secret", account_id=account
        )
        self.assertEqual((created["credential_type"], created["zoom_account_id"]), ("app", account))
        credential_id = created["credential_id"]
        minted = self.vault.mint_zoom_token(
            credential_id=credential_id, type="zak", zoom_email="ada+bots@python.example.com"
        )
        self.assertEqual((minted["type"], minted["credential_id"]), ("zak", credential_id))
        self.assertTrue(minted["token"])
        with self.assertRaises(errors.ZoomRefused) as raised:
            self.vault.mint_zoom_token(credential_id=credential_id, type="zak", zoom_email="nobody@python.example.com")
        self.assertEqual((raised.exception.status_code, raised.exception.details), (400, "caller"))

    def test_a_url_that_chooses_gives_a_token_of_the_user_whom_the_call_names_until_it_is_revoked(self) -> None:
        email = connected(self.vault, "python-chosen")["zoom_email"]
        created = self.vault.create_choosing_url(types=["onbehalf"], choose="from_call", unverified=True, label="bots")
        self.assertIn(created["url_id"], [it["url_id"] for it in self.vault.list_choosing_urls()])

        given = httpx.get(created["url"], params={"zoom_email": email})
        self.assertEqual((given.status_code, given.headers["content-type"]), (200, "text/plain"))
        self.assertTrue(given.text)
        self.assertEqual(httpx.get(created["url"], params={"zoom_email": "nobody@example.com"}).status_code, 404)

        self.vault.delete_choosing_url(created["url_id"])
        self.assertEqual(httpx.get(created["url"], params={"zoom_email": email}).status_code, 404)

    def test_a_stream_is_signed_as_the_known_values_say(self) -> None:
        app = self.vault.create_zoom_credential(name="media", client_id="client_id", client_secret="client_secret")
        minted = self.vault.mint_zoom_token(
            credential_id=app["credential_id"],
            type="rtms_signature",
            meeting_uuid="4444AAAiAAAAAiAiAiiAii==",
            rtms_stream_id="609340fb2a7946909659956c8aa9250c",
        )
        expected = {
            "type": "rtms_signature",
            "token": "7f07ddea845c761409cd8fcc5edf13638faa339f636c2951da8fc7496305d5e7",
            "expires_at": None,
            "credential_id": app["credential_id"],
        }
        self.assertEqual(minted, expected)


class Vendors(Stack):
    def test_a_url_with_verify_answers_the_vendor_with_a_stored_secret_until_the_secret_is_deleted(self) -> None:
        old, new = ("whsec_" + base64.b64encode(byte * 32).decode() for byte in (b"o", b"n"))

        def call(url: str, secret: str) -> int:
            timestamp = str(int(time.time()))
            key = base64.b64decode(secret.removeprefix("whsec_"))
            signature = base64.b64encode(hmac.new(key, f"m-1.{timestamp}.".encode(), hashlib.sha256).digest()).decode()
            headers = {"webhook-id": "m-1", "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
            return httpx.get(url, headers=headers).status_code

        stored = self.vault.put_vendor_secrets("recall", secrets=[old, new])
        self.assertEqual((stored["vendor"], stored["secrets"]), ("recall", 2))
        credential = connected(self.vault, "python-recall")
        url = self.vault.create_token_url(credential["credential_id"], type="onbehalf", verify="recall")["url"]
        self.assertEqual(httpx.get(url).status_code, 401)
        self.assertEqual([call(url, secret) for secret in (old, new)], [200, 200])

        self.assertEqual(self.vault.put_vendor_secrets("recall", secrets=[new])["secrets"], 1)
        self.assertEqual(self.vault.get_vendor_secrets("recall")["secrets"], 1)
        self.assertEqual([call(url, secret) for secret in (old, new)], [401, 200])

        self.vault.delete_vendor_secrets("recall")
        self.assertEqual(call(url, new), 401)
        for lost in (self.vault.get_vendor_secrets, self.vault.delete_vendor_secrets):
            with self.assertRaises(errors.ZoomVendorSecretNotFound):
                lost("recall")


class Lists(Stack):
    def test_a_list_is_iterated_over_its_pages_and_can_go_on_from_a_cursor(self) -> None:
        # More creates than the 20 changes that a team may make in a second: the client waits and goes on.
        tag = str(uuid.uuid4())
        made = [
            self.vault.create_zoom_credential(
                name=f"page {number}", client_id="a", client_secret="b", extra={"list": tag}
            )["credential_id"]
            for number in range(25)
        ]
        newest_first = list(reversed(made))
        listed = self.vault.list_zoom_credentials(extra=f"list:{tag}", limit=10)
        self.assertEqual([it["credential_id"] for it in listed], newest_first)
        pages = list(listed.pages())
        self.assertEqual([len(page.items) for page in pages], [10, 10, 5])
        cursor = pages[0].next_cursor
        assert cursor is not None
        rest = self.vault.list_zoom_credentials(extra=f"list:{tag}", limit=10, cursor=cursor)
        self.assertEqual([it["credential_id"] for it in rest], newest_first[10:])


class Notifications(Stack):
    def test_notifications_of_the_vault_are_genuine_also_while_the_secret_is_rotated(self) -> None:
        received: queue.Queue[Tuple[Dict[str, str], bytes]] = queue.Queue()

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.put((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}/"

        secrets: List[str] = [self.vault.put_notification_endpoint(url=url, kinds=["credential.purged"])["secret"]]
        self.addCleanup(self.vault.delete_notification_endpoint)
        self.vault.test_notification_endpoint()
        headers, body = received.get(timeout=20)
        self.assertEqual(verify_notification(headers, body, secrets)["type"], "endpoint.test")
        with self.assertRaises(NotificationError):
            verify_notification(headers, body + b" ", secrets)

        rotated = self.vault.put_notification_endpoint(url=url, kinds=["credential.purged"], rotate=True)
        secrets.append(rotated["secret"])
        self.vault.test_notification_endpoint()
        headers, body = received.get(timeout=20)
        for secret in secrets:
            self.assertEqual(verify_notification(headers, body, secret)["type"], "endpoint.test")


class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_the_async_client_creates_lists_and_fails_alike(self) -> None:
        tag = str(uuid.uuid4())
        async with AsyncVault(API, FULL_KEY) as vault:
            for number in range(3):
                await vault.create_zoom_credential(
                    name=f"{number}", client_id="a", client_secret="b", extra={"list": tag}
                )
            listed = vault.list_zoom_credentials(extra=f"list:{tag}", limit=2)
            self.assertEqual([it["name"] async for it in listed], ["2", "1", "0"])
            self.assertEqual([len(page.items) async for page in listed.pages()], [2, 1])
            with self.assertRaises(errors.ZoomCredentialNotFoundById):
                await vault.get_zoom_credential(str(uuid.uuid4()))


if __name__ == "__main__":
    unittest.main()
