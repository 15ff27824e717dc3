"""Repairs test data that JSON Schema allows and that no client sends."""

import schemathesis


def with_whole_numbers(value):
    """JSON Schema counts 5.0 as an integer. The vault accepts only digits, and serializers write integers so."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [with_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: with_whole_numbers(item) for name, item in value.items()}
    return value


@schemathesis.hook
def map_body(context, body):
    return with_whole_numbers(body)
