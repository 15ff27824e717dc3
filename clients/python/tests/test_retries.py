"""Which calls the client repeats, and how it reads answers, against a server that fails on purpose."""

from __future__ import annotations

import pickle
import time
import unittest
from typing import Callable, Dict

from fake import CREDENTIAL, DROP, SECRET_KEY, Fake, Reply, failure, fake
from zoom_vault import AsyncVault, NoAnswerError, Vault, errors
from zoom_vault._generated.errors import BY_CODE

TOO_MANY = failure(429, "FST_ERR_TOO_MANY_REQUESTS", {"retry-after": "1"})
UNAVAILABLE = failure(503, "FST_ERR_UNAVAILABLE", {"retry-after": "0"}, details="storage_silent")
RUNNING = failure(409, "FST_ERR_CONFLICT", {"retry-after": "0"})
CREATED = Reply(201, CREDENTIAL)
DONE = Reply(200, {"success": True, "data": {}})

# A second request could undo what another caller has done since the first one.
UNDOING: Dict[str, Callable[[Vault], object]] = {
    "put_vendor_secrets": lambda vault: vault.put_vendor_secrets("recall", secrets=["whsec_old", "whsec_new"]),
    "delete_vendor_secrets": lambda vault: vault.delete_vendor_secrets("recall"),
    "update_zoom_credential": lambda vault: vault.update_zoom_credential("1", name="Ada", idempotency_key="k-1"),
    "put_zoom_app": lambda vault: vault.put_zoom_app("a", client_secret="s", webhook_secret_token="w"),
    "delete_zoom_app": lambda vault: vault.delete_zoom_app("a"),
    "delete_notification_endpoint": lambda vault: vault.delete_notification_endpoint(),
    "delete_zoom_credential": lambda vault: vault.delete_zoom_credential("1"),
}


def create(server: Fake) -> None:
    server.vault().create_zoom_credential(name="Ada", client_id="a", client_secret="b")


class Retries(unittest.TestCase):
    def test_every_call_waits_for_retry_after_and_is_repeated_after_a_429(self) -> None:
        with fake(TOO_MANY, CREATED) as server:
            began = time.monotonic()
            server.vault().create_token_url("1", type="onbehalf")
            self.assertGreaterEqual(time.monotonic() - began, 1)
            self.assertEqual(len(server.requests), 2)

    def test_a_create_is_repeated_with_the_same_idempotency_key(self) -> None:
        with fake(UNAVAILABLE, DROP, RUNNING, CREATED, CREATED) as server:
            create(server)
            keys = {request.headers["idempotency-key"] for request in server.requests}
            self.assertEqual((len(server.requests), len(keys)), (4, 1))
            create(server)
            self.assertNotIn(server.requests[4].headers["idempotency-key"], keys)

    # Seen to fail: the key was the text `None`, the same for all calls.
    def test_none_as_idempotency_key_makes_a_key_for_each_call(self) -> None:
        with fake(CREATED, CREATED) as server:
            for _ in range(2):
                server.vault().create_zoom_credential(name="x", client_id="a", client_secret="b", idempotency_key=None)
            keys = {request.headers["idempotency-key"] for request in server.requests}
            self.assertEqual((len(keys), "None" in keys), (2, False))

    # Seen to fail: a NoAnswerError, which says that the request may have taken effect.
    def test_an_idempotency_key_that_no_header_can_have_is_a_mistake_of_the_caller(self) -> None:
        for key in ("a\nb", "a b", "é", ""):
            with self.subTest(key), fake() as server, self.assertRaisesRegex(ValueError, "idempotency_key"):
                server.vault().update_zoom_credential("1", name="Ada", idempotency_key=key)

    def test_a_call_that_would_make_a_second_thing_is_not_repeated(self) -> None:
        for reply, error in ((UNAVAILABLE, errors.Unavailable), (RUNNING, errors.Conflict), (DROP, NoAnswerError)):
            with self.subTest(error), fake(reply, CREATED) as server:
                with self.assertRaises(error):
                    server.vault().create_token_url("1", type="onbehalf")
                self.assertEqual(len(server.requests), 1)
                self.assertNotIn("idempotency-key", server.requests[0].headers)

    # Seen to fail: the client repeated each of these calls.
    def test_a_call_that_could_undo_a_later_change_is_repeated_after_a_429_only(self) -> None:
        at_once = failure(429, "FST_ERR_TOO_MANY_REQUESTS", {"retry-after": "0"})
        for name, call in UNDOING.items():
            for reply, error in ((UNAVAILABLE, errors.Unavailable), (RUNNING, errors.Conflict), (DROP, NoAnswerError)):
                with self.subTest(name, error=error), fake(at_once, reply, DONE) as server:
                    with self.assertRaises(error):
                        call(server.vault())
                    self.assertEqual(len(server.requests), 2)

    def test_an_update_with_an_authorization_code_is_repeated_with_the_same_idempotency_key(self) -> None:
        with fake(UNAVAILABLE, DROP, RUNNING, DONE) as server:
            server.vault().update_zoom_credential("1", authorization_code="c", redirect_uri="https://a.example")
            keys = {request.headers["idempotency-key"] for request in server.requests}
            self.assertEqual((len(server.requests), len(keys)), (4, 1))

    def test_the_revocation_of_a_token_url_is_repeated(self) -> None:
        with fake(UNAVAILABLE, DROP, DONE, DROP, DONE) as server:
            server.vault().delete_token_url("1", "2")
            server.vault().delete_choosing_url("2")
            self.assertEqual(len(server.requests), 5)

    def test_a_mint_is_repeated_if_a_refresh_is_running(self) -> None:
        with fake(UNAVAILABLE, Reply(200, {"success": True, "data": {"token": "t"}})) as server:
            self.assertEqual(server.vault().mint_zoom_token(credential_id="1", type="zak")["token"], "t")

    def test_a_failure_without_retry_after_is_not_repeated(self) -> None:
        failures = ((503, "FST_ERR_UNAVAILABLE"), (429, "FST_ERR_TOO_MANY_REQUESTS"), (500, "FST_ERR_INTERNAL"))
        for status, code in failures:
            with self.subTest(code), fake(failure(status, code), CREATED) as server:
                with self.assertRaises(BY_CODE[code]):
                    server.vault().get_zoom_credential("1")
                self.assertEqual(len(server.requests), 1)

    def test_a_wait_that_is_too_long_fails_at_once_and_says_how_long(self) -> None:
        with fake(failure(429, "FST_ERR_TOO_MANY_REQUESTS", {"retry-after": "31"}), CREATED) as server:
            with self.assertRaises(errors.TooManyRequests) as raised:
                create(server)
            self.assertEqual((raised.exception.retry_after, len(server.requests)), (31, 1))

    def test_the_client_gives_up_after_three_retries(self) -> None:
        with fake(*[UNAVAILABLE] * 5) as server:
            with self.assertRaises(errors.Unavailable) as raised:
                create(server)
            self.assertEqual((raised.exception.details, len(server.requests)), ("storage_silent", 4))

    def test_a_silent_vault_is_a_time_out(self) -> None:
        with fake(Reply(200, CREDENTIAL, delay=5)) as server:
            with self.assertRaises(NoAnswerError) as raised:
                server.vault(timeout=0.2, max_retries=0).get_zoom_credential("1")
            self.assertEqual(raised.exception.reason, "TIMEOUT")

    def test_a_redirect_is_not_followed(self) -> None:
        with fake() as other, fake(Reply(307, b"", {"location": f"{other.url}/v2/overview"})) as server:
            with self.assertRaises(errors.ApiError) as raised:
                server.vault().get_overview()
            self.assertEqual((raised.exception.status_code, raised.exception.code, other.requests), (307, None, []))


class AsyncRetries(unittest.IsolatedAsyncioTestCase):
    async def test_the_async_client_repeats_the_same_calls(self) -> None:
        with fake(UNAVAILABLE, DROP, CREATED, UNAVAILABLE) as server:
            async with AsyncVault(server.url, SECRET_KEY) as vault:
                await vault.create_zoom_credential(name="Ada", client_id="a", client_secret="b")
                keys = {request.headers["idempotency-key"] for request in server.requests}
                self.assertEqual((len(server.requests), len(keys)), (3, 1))
                with self.assertRaises(errors.Unavailable):
                    await vault.create_token_url("1", type="onbehalf")
            self.assertEqual(len(server.requests), 4)


class Answers(unittest.TestCase):
    def test_each_code_has_its_own_error(self) -> None:
        self.assertGreater(len(BY_CODE), 25)
        for code, kind in BY_CODE.items():
            headers = {"x-request-id": "r-1"}
            with self.subTest(code), fake(failure(418, code, headers, details="why")) as server:
                with self.assertRaises(kind) as raised:
                    server.vault().get_overview()
                error = raised.exception
                self.assertEqual(str(error), f"why: {code}")
                fields = (error.code, error.status_code, error.details, error.request_id)
                self.assertEqual(fields, (code, 418, "why", "r-1"))
                copied = pickle.loads(pickle.dumps(error))
                self.assertEqual((type(copied), str(copied), copied.details), (kind, str(error), "why"))

    def test_a_code_of_a_later_version_is_an_api_error(self) -> None:
        with fake(failure(409, "FST_ERR_OF_TOMORROW")) as server, self.assertRaises(errors.ApiError) as raised:
            server.vault().get_overview()
        self.assertEqual((type(raised.exception), raised.exception.code), (errors.ApiError, "FST_ERR_OF_TOMORROW"))

    def test_an_answer_of_a_proxy_is_an_api_error_without_a_code(self) -> None:
        for reply in (Reply(502, b"<html>Bad gateway"), Reply(200, b"<html>Welcome"), Reply(200, b'{"success": true')):
            with self.subTest(reply.body), fake(reply) as server, self.assertRaises(errors.ApiError) as raised:
                server.vault().get_overview()
            self.assertEqual((raised.exception.status_code, raised.exception.code), (reply.status, None))
            self.assertNotIn("html", str(raised.exception))

    # Seen to fail: the query had `cursor=None`.
    def test_a_list_without_a_cursor_or_a_limit_begins_at_the_first_page(self) -> None:
        with fake(Reply(200, {"success": True, "data": []})) as server:
            self.assertEqual(list(server.vault().list_events(cursor=None, limit=None, kind=None)), [])
            self.assertEqual([request.path for request in server.requests], ["/v2/events?limit=100"])

    def test_an_id_cannot_name_another_path(self) -> None:
        with fake(Reply(200, CREDENTIAL)) as server:
            for wrong in ("", ".", ".."):
                with self.assertRaisesRegex(ValueError, "id must not be"):
                    server.vault().get_zoom_credential(wrong)
            server.vault().get_zoom_credential("a/../b?c#d")
            self.assertEqual([request.path for request in server.requests], ["/v2/zoom-credentials/a%2F..%2Fb%3Fc%23d"])


if __name__ == "__main__":
    unittest.main()
