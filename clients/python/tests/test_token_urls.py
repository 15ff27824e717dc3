"""The URLs that choose, against a server that answers as the vault does."""

from __future__ import annotations

import json
import unittest
from typing import Any, Dict

from fake import Reply, failure, fake
from zoom_vault import AsyncVault, errors

URL = "https://vault.example.com/t/ztu_u-secret"


def first_and_last_page() -> Any:
    def page(url_id: str, headers: Dict[str, str]) -> Reply:
        return Reply(200, {"success": True, "data": [{"url_id": url_id}]}, headers)

    return page("1", {"x-next-cursor": "c-2"}), page("2", {})


class UrlsThatChoose(unittest.IsolatedAsyncioTestCase):
    def test_a_new_url_is_hidden_from_repr_and_readable_for_programs(self) -> None:
        data = {"url_id": "1", "url": URL, "choose": "from_call"}
        with fake(Reply(201, {"success": True, "data": data})) as server:
            created = server.vault().create_choosing_url(
                types=["onbehalf", "zak"], choose="from_call", call_keys={"user": ["host"]}, verify=["recall"]
            )
        self.assertEqual(created["url"], URL)
        self.assertNotIn("u-secret", f"{created!r} {created}")
        request = server.requests[0]
        self.assertEqual((request.method, request.path), ("POST", "/v2/token-urls"))
        sent = json.loads(request.body)
        self.assertEqual((sent["types"], sent["verify"]), (["onbehalf", "zak"], ["recall"]))
        self.assertEqual((sent["choose"], sent["call_keys"]), ("from_call", {"user": ["host"]}))
        self.assertEqual(len(sent), 4)

    def test_a_creation_is_not_repeated(self) -> None:
        unavailable = failure(503, "FST_ERR_UNAVAILABLE", {"retry-after": "0"})
        with fake(unavailable) as server, self.assertRaises(errors.Unavailable):
            server.vault().create_choosing_url(types=["zak"], choose="from_call", unverified=True)
        self.assertEqual(len(server.requests), 1)

    def test_the_list_is_iterated_over_its_pages(self) -> None:
        with fake(*first_and_last_page()) as server:
            listed = [it["url_id"] for it in server.vault().list_choosing_urls(limit=1)]
        self.assertEqual(listed, ["1", "2"])
        paths = [request.path for request in server.requests]
        self.assertEqual(paths, ["/v2/token-urls?limit=1", "/v2/token-urls?limit=1&cursor=c-2"])

    async def test_the_async_client_iterates_too(self) -> None:
        with fake(*first_and_last_page()) as server:
            async with AsyncVault(server.url, "key") as vault:
                listed = [it["url_id"] async for it in vault.list_choosing_urls()]
        self.assertEqual(listed, ["1", "2"])

    def test_a_revocation_names_the_url(self) -> None:
        with fake(Reply(200, {"success": True, "data": {"message": "revoked"}})) as server:
            server.vault().delete_choosing_url("7")
        self.assertEqual((server.requests[0].method, server.requests[0].path), ("DELETE", "/v2/token-urls/7"))


if __name__ == "__main__":
    unittest.main()
