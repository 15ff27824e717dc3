"""Compares failures with docs/openapi.json: the operation must list the status, and the enum the code. A 500 is never
right, although the document lists it: it means that the vault met something that its code does not know.
"""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Documented:
    def __init__(self):
        document = json.loads((ROOT / "docs/openapi.json").read_text())
        self.operations = [
            (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        self.codes = set(document["components"]["schemas"]["ErrorBody"]["properties"]["code"]["enum"])
        self.mint = document["paths"]["/v2/zoom-tokens"]["post"]["responses"]

    def problem(self, method, path, answer):
        """Says why a failure is not the documented one. `None` if it is."""
        path = path.partition("?")[0]
        if answer.status == 500:
            return f"{method} {path}: a 500: {answer.body[:200]}"
        found = [it for verb, pattern, it in self.operations if verb == method and pattern.fullmatch(path)]
        if not found:
            return f"{method} {path} is not documented"
        responses = found[0]["responses"]
        # "default" stands for the answers of a mint.
        if str(answer.status) not in responses and not ("default" in responses and str(answer.status) in self.mint):
            return f"{method} {path}: status {answer.status} is not documented: {answer.body[:200]}"
        if method == "GET" and path.startswith("/t/"):
            is_text = answer.headers.get("content-type", "").startswith("text/plain")
            is_line = is_text and b"\n" not in answer.body.strip()
            return None if is_line else f"GET /t: not a line of text: {answer.body[:200]}"
        body = answer.json()
        if not isinstance(body, dict) or body.get("success") is not False or body.get("statusCode") != answer.status:
            return f"{method} {path}: not the envelope of an error: {answer.status} {answer.body[:200]}"
        if body.get("code") not in self.codes:
            return f"{method} {path}: code {body.get('code')} is not documented"
        return None
