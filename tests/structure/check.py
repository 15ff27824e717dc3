"""Checks the rules of docs/architecture.md on what may import what. Needs cargo-modules.

    python3 tests/structure/check.py

1. No module of `shared` or `functions` imports in a circle.
2. `envelope`, `stores` and `zoom` do not import each other. One exception: `stores` imports `envelope::sealed`.
3. They, and the domain below them, import no use case: no `grants`, `authorize`, `keep_alive`, `purge`, `restore`.
4. The CLI does not link `functions`. In `functions`, only `http` and the runtime name statuses of HTTP.
"""

import graphlib
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTSIDE = ("envelope", "stores", "zoom")
USE_CASES = ("authorize", "grants", "keep_alive", "purge", "restore", "revoke", "error", "invocation", "time_limit")
EDGE = re.compile(r'"([\w:]+)" -> "([\w:]+)" \[label="uses"')


def imports(crate):
    """`{module: {module, …}}`: which module of a crate imports which."""
    command = ["cargo", "modules", "dependencies", "--package", crate, "--lib"]
    command += ["--no-fns", "--no-types", "--no-traits", "--no-externs", "--no-sysroot", "--no-owns"]
    graph = {}
    for module, imported in EDGE.findall(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout):
        if module != imported:
            graph.setdefault(module, set()).add(imported)
    if len(graph) < 20:
        sys.exit(f"cargo modules lists only {len(graph)} modules of {crate}: has its output changed?")
    return graph


def circle(graph):
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" -> ".join(reversed(error.args[1]))]
    return []


def forbidden(graph):
    """Imports of `shared` against rules 2 and 3."""
    for module, imported in sorted((module, it) for module, all_of_it in graph.items() for it in all_of_it):
        source, target = (name.split("::")[1:] or ["lib"] for name in (module, imported))
        if source[0] in OUTSIDE and target[0] in OUTSIDE and source[0] != target[0]:
            if not (source[0] == "stores" and target == ["envelope", "sealed"]):
                yield f"{module} imports {imported}"
        if source[0] not in (*USE_CASES, "lib") and target[0] in USE_CASES:
            yield f"{module} imports {imported}"


def statuses():
    """Files of `functions` outside `http` that name a status of HTTP."""
    for path in sorted((ROOT / "functions/src").rglob("*.rs")):
        if "http" not in path.relative_to(ROOT / "functions/src").parts and "StatusCode" in path.read_text():
            yield f"{path.relative_to(ROOT)} names StatusCode"


def links_of_the_cli():
    tree = subprocess.run(["cargo", "tree", "--package", "cli", "--edges", "normal", "--locked"], cwd=ROOT, check=True, capture_output=True, text=True)
    return ["the CLI links the crate functions"] if re.search(r"\bfunctions v", tree.stdout) else []


def main():
    shared = imports("shared")
    findings = [*circle(shared), *forbidden(shared), *circle(imports("functions")), *statuses(), *links_of_the_cli()]
    print("\n".join(findings) or "structure: ok")
    sys.exit(bool(findings))


main()
