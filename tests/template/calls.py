"""The DynamoDB and KMS calls that each Lambda makes, read out of the Rust code.

Follows a handler's calls by name, from functions/src into the stores and the envelope, down to the SDK's own methods.
It knows the code's shape and no more: parameters are called what they are (`keys`, `credentials` …), and what a
module is about is called like the module. A call it cannot follow leaves a function of a store that no handler
reaches, and a test looks for those.
"""

import functools
import re

from template import ROOT

# One file or folder each, but for what they share and what only the CLI uses.
STORES = sorted({path.stem for path in (ROOT / "shared/src/stores").iterdir()} - {"mod", "expression", "transaction", "operator", "inspection", "removal", "wrapped"})
OWN = None  # the module that the call is in
# What a receiver's name, or a type's, stands for: a module, or several of which one has the function.
# One type, whose methods are where they are needed: what uses grants calls them as its own.
USE = ["grants", "minting", "record", "check_credential"]
RECEIVERS = {name: [name] for name in (*STORES, "envelope", "grants", "refresh", "app")} | {
    "grant": ["authorization", *USE],
    "unread": ["authorization"],
    "authorizing": ["authorization"],
    **{name: [OWN] for name in ("writing", "mint", "check", "run", "plan", "holdings")},
}
TYPES = {
    "Grant": ["authorization"],
    "Authorization": ["authorization"],
    "Ready": ["minting"],
    "App": ["app"],
    "Plan": [OWN],
    "Holdings": [OWN],
}
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


def sources(module):
    """The module's text: of a file, or of a folder's files."""
    if module == "envelope":
        paths = [ROOT / "shared/src/envelope/mod.rs"]
    else:
        home = ROOT / ("shared/src/stores" if module in STORES else "functions/src")
        paths = [home / f"{module}.rs", *sorted((home / module).glob("*.rs"))]
    return "\n".join(re.sub(r"//.*", "", path.read_text()) for path in paths if path.exists())


@functools.cache
def bodies(module):
    """The functions of a module: `{name: text from its name to the end of its body}`."""
    text = sources(module)
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


@functools.cache
def imports(module):
    """Where a module has its functions from: `{name: module}`."""
    uses = re.findall(r"\buse crate::(\w+)::(?:\{(.*?)\}|(\w+));", sources(module), re.S)
    return {name: home for home, many, one in uses for name in re.findall(r"\w+", many + one)}


def called(module, body):
    """`(module, function)` of every call that can be followed."""
    own = USE if module in USE else [OWN]
    found = [(it, name) for name in re.findall(r"(?:\bself\s*\.\s*|\bSelf::)(\w+)(?:::<[^>]*>)?\(", body) for it in own]
    for receiver, name in re.findall(r"\b(\w+)\s*\.\s*(\w+)\(", body):
        found += [(it, name) for it in RECEIVERS.get(receiver, [])]
    for path, name in re.findall(r"\b(\w+)::(\w+)\(", body):
        found += [(it, name) for it in TYPES.get(path, [path])]
    for name in re.findall(r"(?<![.:\w])(\w+)\(", body):
        found.append((imports(module).get(name, OWN), name))
    resolved = [(it or module, name) for it, name in found]
    return [(it, name) for it, name in resolved if name in bodies(it)]


def purposes(module, body):
    """What the secrets are that a function seals or opens: it names them, or reads them, or what binds them does."""
    binding = bodies(module).get("binding", "") if re.search(r"\bself\.binding\(", body) else ""
    named = re.findall(r"\bSecretId::(\w+)\(|\bsecrets\.(app|grant)\(", body + binding)
    return {word.lower() for words in named for word in words if word}


def calls(handler):
    """`{(store or "kms/purpose", action), …}` of one handler, the module's name given. An index follows its table's name."""
    return follow(handler)[0]


def makers():
    """`{(module, function), …}` of everything in the stores and the envelope that makes a call by itself."""
    return {(module, name) for module in (*STORES, "envelope") for name, body in bodies(module).items() if actions(body)}


def actions(body):
    return {action for pattern, action in SDK.items() if re.search(pattern, body)}


def follow(handler):
    """The calls of a handler and of its Lambda's start, and the functions that were reached."""
    main = (ROOT / f"functions/src/bin/{handler.replace('_', '-')}.rs").read_text()
    warmed = [(name, "warm") for name in re.findall(r"(\w+)\.warm\(\)", main) if name in (*STORES, "envelope")]
    return follow_from((handler, "handle"), *warmed)


def follow_from(*starts):
    """As `follow`, from functions named as `(module, function)`."""
    found, seen, queue = set(), set(), list(starts)
    while queue:
        module, name = queue.pop()
        if (module, name) in seen:
            continue
        seen.add((module, name))
        body = bodies(module)[name]
        for action in actions(body) if module != "envelope" else ():
            index = re.search(r"\.index_name\((\w+)\)", body) if action == "Query" else None
            found.add((module + (f"/{index[1].lower().replace('_', '-')}" if index else ""), action))
        following = called(module, body)
        for at, it in following:
            if at == "envelope":
                found |= {(f"kms/{purpose}", action) for purpose in purposes(module, body) for action in actions(bodies(at)[it])}
        queue.extend(following)
    return found, seen
