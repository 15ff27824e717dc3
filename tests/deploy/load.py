"""Fills the deployed vault, and calls it without a pause until it is told to stop: `load.py STACK REPORT`.

The program creates credentials with grants and token URLs, and then writes the file REPORT.ready. Four callers read
credentials, mint tokens and call token URLs. The first mint of a credential refreshes its grant, because the sandbox's
first access token lives for a minute. On the signal TERM, the program looks once more at everything, and writes REPORT
as JSON: how many calls succeeded, each call that failed, and each row of the beginning that is gone.

When a function gets new code, the emulator kills the program that runs, and the gateway answers 502. Lambda lets a
program answer its request first. So a call that the emulator cut off is sent again, once, and counted. Later mints do
not refresh, because a program that is killed during a refresh can lose the grant (docs/reliability.md).

When the routes change, the emulator replaces the API by one with a new id. AWS changes the API in place. So a call that
finds no API looks for the new one for at most a minute, and is sent there.
"""

import concurrent.futures
import itertools
import json
import os
import pathlib
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

import boto3

KEY, ZOOM = os.environ["API_KEY"], os.environ["ZOOM_OAUTH_BASE_URL"]
STACK, REPORT = sys.argv[1], pathlib.Path(sys.argv[2])
GATEWAY = boto3.client("apigateway")
# What the emulator answers if no API has the id, or if the API has no stage yet.
NO_API = '{"message": "Not Found"}'
USERS, CALLERS = 12, 4
REDIRECT = "http://localhost:3000/callback"
TABLES = ["Credentials", "Pairs", "Secrets", "Keys", "Requests", "TokenUrls", "Events"]
stopped = threading.Event()
address = {}


def api():
    """The address of the stack's API. While the emulator replaces the API, there are two: the new one counts."""
    apis = [it for it in GATEWAY.get_rest_apis()["items"] if it["name"] == STACK]
    newest = max(apis, key=lambda it: it["createdDate"])
    return f"{GATEWAY.meta.endpoint_url}/restapis/{newest['id']}/live/_user_request_"


def post(url, body, headers=None):
    headers = {"content-type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=90) as response:
        text = response.read()
        return json.loads(text) if text else None


def vault(path, body=None):
    return post(address["api"] + path, body, {"x-meeting-baas-api-key": KEY})


def fill():
    """A credential with a grant, and a token URL for it, of each user."""
    app = {"client_id": "sandbox-app", "redirect_uri": REDIRECT}
    post(f"{ZOOM}/sandbox/faults", {"endpoint": "token", "kind": "override", "set": {"expires_in": 60}, "times": USERS})
    for number in range(USERS):
        user = f"load-{number}"
        post(f"{ZOOM}/sandbox/users", {"id": user, "account_id": "load", "email": f"{user}@load.example"})
        code = post(f"{ZOOM}/sandbox/codes", app | {"user_id": user})["code"]
        body = app | {"name": user, "client_secret": "sandbox-secret", "authorization_code": code}
        credential = vault("/v2/zoom-credentials", body)["data"]["credential_id"]
        url = vault(f"/v2/zoom-credentials/{credential}/token-urls", {"type": "zak", "label": "load"})["data"]["url"]
        yield credential, url.removeprefix("https://vault.example")


def rows():
    """The keys of all rows of the vault."""
    outputs = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    names = {it["OutputKey"]: it["OutputValue"] for it in outputs}
    client = boto3.client("dynamodb")
    for table in TABLES:
        name = names[f"{table}Table"]
        keys = [it["AttributeName"] for it in client.describe_table(TableName=name)["Table"]["KeySchema"]]
        for page in client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True):
            for row in page["Items"]:
                yield (table, *(row[key]["S"] for key in keys))


def call(credential, path, kind, cut_off=None, until=None):
    """Sends one request. Returns nothing if it succeeded, and what went wrong otherwise. `cut_off` counts."""
    until = until or time.monotonic() + 60
    try:
        match kind:
            case "get":
                vault(f"/v2/zoom-credentials/{credential}")
            case "mint":
                vault("/v2/zoom-tokens", {"credential_id": credential, "type": "zak"})
            case "token URL":
                urllib.request.urlopen(address["api"] + path, timeout=90).read()
    except urllib.error.HTTPError as error:
        text = error.read().decode()[:300]
        if error.code == 502 and "Runtime.ExitError" in text and cut_off is not None:
            cut_off.append(kind)
            return call(credential, path, kind)
        if error.code == 404 and text == NO_API and time.monotonic() < until:
            time.sleep(0.2)
            address["api"] = api()
            return call(credential, path, kind, cut_off, until)
        return f"{kind}: {error.code} {text}"
    except OSError as error:
        return f"{kind}: {error}"


def caller(credentials, cut_off):
    kinds = itertools.cycle(["get", "mint", "token URL", "mint", "get"])
    results = []
    for credential in itertools.cycle(credentials):
        if stopped.is_set():
            return results
        results.append(call(*credential, next(kinds), cut_off))


def main():
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    address["api"] = api()
    credentials = list(fill())
    before = set(rows())
    REPORT.with_suffix(".ready").touch()
    cut_off = []
    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        # Each caller begins with another credential.
        turned = [credentials[start:] + credentials[:start] for start in range(CALLERS)]
        results = list(itertools.chain.from_iterable(pool.map(caller, turned, itertools.repeat(cut_off))))
    results += [call(*credential, kind) for credential in credentials for kind in ("get", "mint", "token URL")]
    failures = [result for result in results if result]
    lost = sorted(before - set(rows()))
    succeeded = len(results) - len(failures)
    report = {"succeeded": succeeded, "cut off": len(cut_off), "failures": failures, "rows lost": lost}
    REPORT.write_text(json.dumps(report, indent=1))


main()
