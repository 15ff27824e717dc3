"""The DynamoDB and KMS calls that each Lambda makes, read out of the Rust code.

Follows a handler's calls by name, from functions/src into the stores and the envelope, down to the SDK's own methods.
It knows the code's shape and no more: parameters are called what they are (`keys`, `credentials` …). A call it cannot
follow leaves a function of a store that no handler reaches, and a test looks for those.
"""

import re

from template import ROOT

# One file or folder each, but for what they share and what only the CLI uses.
STORES = sorted({path.stem for path in (ROOT / "shared/src/stores").iterdir()} - {"mod", "expression", "transaction", "operator"})
# What a receiver's name stands for.
RECEIVERS = {name: name for name in STORES} | {
    "envelope": "envelope",
    "grant": "authorization",
    "writing": None,  # the handler's own module
}
TYPES = {"Grant": "authorization", "Plan": None, "Authorization": "authorization"}
SDK = {
    r"\.get_item\(\)": "GetItem",
    r"\.put_item\(\)": "PutItem",
    r"\.update_item\(\)": "UpdateItem",
    r"\.delete_item\(\)": "DeleteItem",
    r"\.query\(\)": "Query",
    r"\.scan\(\)": "Scan",
    r"\.batch_get_item\(\)": "BatchGetItem",
    r"\bWrite::put\(": "PutItem",
    r"\bWrite::update\(": "UpdateItem",
    r"\bWrite::delete\(": "DeleteItem",
    r"\bWrite::check\(": "ConditionCheckItem",
    r"\.generate_data_key\(\)": "GenerateDataKey",
    r"\.decrypt\(\)": "Decrypt",
    r"\.encrypt\(\)": "Encrypt",
    r"\.re_encrypt\(\)": "ReEncrypt",
}


def module_path(module):
    if module in STORES:
        alone = ROOT / f"shared/src/stores/{module}.rs"
        return alone if alone.exists() else ROOT / f"shared/src/stores/{module}/mod.rs"
    if module == "envelope":
        return ROOT / "shared/src/envelope/mod.rs"
    return ROOT / f"functions/src/{module}.rs"


def bodies(module):
    """The functions of a module: `{name: text from its name to the end of its body}`."""
    text = re.sub(r"//.*", "", module_path(module).read_text())
    found = {}
    for match in re.finditer(r"\bfn (\w+)", text):
        depth, begun = 0, False
        for end in range(match.end(), len(text)):
            if text[end] == "{":
                depth, begun = depth + 1, True
            elif text[end] == "}":
                depth -= 1
            if begun and depth == 0:
                break
            if text[end] == ";" and not begun:
                break
        found[match[1]] = found.get(match[1], "") + text[match.start() : end + 1]
    return found


def called(module, body, known):
    """`(module, function)` of every call that can be followed."""
    for name in re.findall(r"(?:\bself\s*\.\s*|\bSelf::)(\w+)(?:::<[^>]*>)?\(", body):
        yield module, name
    for receiver, name in re.findall(r"\b(\w+)\s*\.\s*(\w+)\(", body):
        if receiver in RECEIVERS:
            yield RECEIVERS[receiver] or module, name
    for path, name in re.findall(r"\b(\w+)::(\w+)\(", body):
        if path in TYPES:
            yield TYPES[path] or module, name
        elif module_path(path).exists():
            yield path, name
    for name in re.findall(r"(?<![.:\w])(\w+)\(", body):
        if name in known:
            yield module, name


def calls(handler):
    """`{(store or "kms", action), …}` of one handler, the module's name given. An index follows its table's name."""
    return follow(handler)[0]


def makers():
    """`{(module, function), …}` of everything in the stores and the envelope that makes a call by itself."""
    return {
        (module, name)
        for module in (*STORES, "envelope")
        for name, body in bodies(module).items()
        if any(re.search(pattern, body) for pattern in SDK)
    }


def follow(handler):
    """The calls of a handler and of its Lambda's start, and the functions that were reached."""
    main = (ROOT / f"functions/src/bin/{handler.replace('_', '-')}.rs").read_text()
    warmed = [(RECEIVERS[name], "warm") for name in re.findall(r"(\w+)\.warm\(\)", main) if name in RECEIVERS]
    found, seen, queue = set(), set(), [(handler, "handle"), *warmed]
    while queue:
        module, name = queue.pop()
        if (module, name) in seen:
            continue
        seen.add((module, name))
        known = bodies(module)
        if name not in known:
            continue
        body = known[name]
        for pattern, action in SDK.items():
            if re.search(pattern, body):
                target = "kms" if module == "envelope" else module
                if action == "Query" and (index := re.search(r"\.index_name\((\w+)\)", body)):
                    target += "/" + index[1].lower().replace("_", "-")
                found.add((target, action))
        queue.extend(called(module, body, known))
    return found, seen
