"""Repairs test data that JSON Schema allows and that no client sends."""

import unicodedata

import schemathesis

# Fields that must not contain characters that nobody sees. The document says so in words: a pattern with categories of
# characters means something else in JavaScript without the flag `u`.
NAMES = ("name", "label")
# Fields that people paste. They must not have blanks around them either.
PASTED = ("client_id", "client_secret", "webhook_secret_token", "authorization_code", "credential_user_id")


def with_whole_numbers(value):
    """JSON Schema counts 5.0 as an integer. The vault accepts only digits, and serializers write integers so."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [with_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: with_whole_numbers(item) for name, item in value.items()}
    return value


def is_hidden(character):
    return character not in "\u200c\u200d" and unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")


def with_visible_characters(body):
    """Replaces each character that nobody sees, which keeps the length."""
    if not isinstance(body, dict):
        return body
    body = dict(body)
    for name in NAMES + PASTED:
        if isinstance(text := body.get(name), str):
            body[name] = "".join("x" if is_hidden(it) else it for it in text)
    for name in PASTED:
        if isinstance(text := body.get(name), str):
            # A joiner is visible inside a text, and a blank at its end.
            body[name] = "".join("x" if it.isspace() or it in "\u200c\u200d" else it for it in text)
    return body


@schemathesis.hook
def map_body(context, body):
    return with_visible_characters(with_whole_numbers(body))
