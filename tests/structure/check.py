"""Checks the rules of docs/architecture.md on which file may import which, and the length of lines. Needs Python, Cargo
and git.

    python3 tests/structure/check.py

1. No file of `shared` or `functions` imports itself through others.
2. `envelope`, `stores`, `zoom`, `delivery` and `queue` do not import each other. One exception: `stores` imports
   `envelope::sealed`.
3. They, and the domain below them, import no use case: not `grants`, `authorize`, `keep_alive`, `purge`, `restore` …
4. The CLI does not link `functions`. In `functions`, only `http` names statuses of HTTP.
5. Lines of pages and of Python, and comments in Rust, have at most 120 columns. Tables, code and addresses may have
   more.
6. No file has the marks of a merge with conflicts.
"""

import graphlib
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTSIDE = ("envelope", "stores", "zoom", "delivery", "queue")
USE_CASES = (
    "authorize", "counted", "delete", "grants", "import", "keep_alive", "pair_end", "purge", "purge_now", "restore",
    "error", "invocation", "time_limit",
)
# What must not be read as code: comments and texts.
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"', re.S)
# A path that begins in the crate or at a parent, with the tree in braces that may follow it.
PATH = re.compile(r"\b(?:crate|super|self)(?:::(?:\w+|\{[^;]*?\}(?=[;,\s])))+", re.S)

MAX_COLUMNS = 120
# In a page: a row of a table, or the address of a link.
UNBREAKABLE = re.compile(r"\||\[[^]]+\]: ")
# A program that wraps lines may have moved a mark to the middle of a line.
# A comment that is no row of a table. `cargo fmt` wraps all other lines of Rust.
COMMENT = re.compile(r"\s*//[/!]? (?!\|)")
MARK_OF_A_MERGE = re.compile(r"<{7} |>{7} ")


def modules(crate):
    """`{module's path as a tuple: file}`, binaries left out."""
    source = ROOT / crate / "src"
    found = {}
    for path in source.rglob("*.rs"):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[0] not in ("bin", "main"):
            found[tuple(it for it in parts if it not in ("lib", "mod"))] = path
    return found


def expand(path):
    """`a::{b, c::d}` as `a::b` and `a::c::d`."""
    head, brace, tail = path.partition("{")
    if not brace:
        yield path
        return
    depth, begin, tail = 0, 0, tail[: tail.rindex("}")]
    for at, letter in enumerate(tail + ","):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            if tail[begin:at].strip():
                yield from expand(head + tail[begin:at].strip())
            begin = at + 1


def imports(crate):
    """`{module: {module, …}}`: the longest part of each path that is a file."""
    known = modules(crate)
    graph = {}
    for module, file in known.items():
        code = NOT_CODE.sub("", file.read_text())
        for path in (it for found in PATH.findall(code) for it in expand(found)):
            words = [word.strip() for word in path.split("::")]
            at = {"crate": (), "self": module, "super": module[:-1]}[words[0]]
            for word in words[1:]:
                at = at[:-1] if word == "super" else (*at, word)
            while at not in known:
                at = at[:-1]
            if at not in (module, ()):
                graph.setdefault(module, set()).add(at)
    return graph


def name(module):
    return "::".join(module) or "lib"


def circles(crate):
    try:
        graphlib.TopologicalSorter(imports(crate)).prepare()
    except graphlib.CycleError as error:
        yield f"{crate}: " + " -> ".join(map(name, reversed(error.args[1])))


def forbidden():
    """Imports of `shared` against rules 2 and 3."""
    edges = ((module, it) for module, imported in imports("shared").items() for it in imported)
    for module, imported in sorted(edges):
        area, target = (module or ("lib",))[0], imported[0]
        crosses = area in OUTSIDE and target in OUTSIDE and area != target
        if crosses and not (area == "stores" and imported == ("envelope", "sealed")):
            yield f"shared: {name(module)} imports {name(imported)}"
        if area not in (*USE_CASES, "lib") and target in USE_CASES:
            yield f"shared: {name(module)} imports {name(imported)}"


def statuses():
    for module, file in sorted(modules("functions").items()):
        if module[:1] != ("http",) and "StatusCode" in file.read_text():
            yield f"functions: {name(module)} names StatusCode"


def links_of_the_cli():
    tree = output("cargo", "tree", "--package", "cli", "--edges", "normal", "--locked")
    if re.search(r"\bfunctions v", tree):
        yield "cli: links the crate functions"


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def long_lines():
    for name in output("git", "ls-files", "*.md", "*.py", "*.rs").splitlines():
        # In the first folder, each line is a row of a table, or a sentence of a page with computed figures.
        is_other = name.startswith("tests/template/") or "/_generated/" in name
        if is_other or not (ROOT / name).is_file():
            continue
        is_page, is_code = name.endswith(".md"), False
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            is_code ^= is_page and line.lstrip().startswith("```")
            is_free = is_page and (is_code or UNBREAKABLE.match(line))
            is_free = is_free or name.endswith(".rs") and not COMMENT.match(line)
            if len(line) > MAX_COLUMNS and not is_free:
                yield f"{name}:{number}: {len(line)} columns, more than {MAX_COLUMNS}"


def unfinished_merges():
    for name in output("git", "ls-files").splitlines():
        path = ROOT / name
        text = path.read_text(errors="replace") if path.is_file() else ""
        for number, line in enumerate(text.splitlines(), 1):
            if MARK_OF_A_MERGE.search(line):
                yield f"{name}:{number}: a mark of a merge with conflicts"


def main():
    counts = {crate: sum(map(len, imports(crate).values())) for crate in ("shared", "functions")}
    if min(counts.values()) < 100:
        sys.exit(f"found only so many imports, so the check is broken: {counts}")
    findings = [*circles("shared"), *circles("functions"), *forbidden(), *statuses(), *links_of_the_cli()]
    findings += [*long_lines(), *unfinished_merges()]
    print("\n".join(findings) or f"structure: ok, imports between files: {counts}")
    sys.exit(bool(findings))


main()
