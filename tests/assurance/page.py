"""Generates docs/assurance.md: what is claimed, which tests hold each claim, and how each test was seen to fail.

    python3 tests/assurance/page.py > docs/assurance.md
    python3 tests/assurance/page.py --check

The claims are in claims.toml. A test names its claims in a comment line above its attributes or decorators:

    assures 11
    assures 11, 43. Seen to fail: the commit was moved after an event (commit 1234abc)

In a script that .ci/run runs, the line may be anywhere. A name in backticks must be the name of a test. This program
needs Python and git alone.
"""

import ast
import collections
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/assurance.md"
CLAIMS = pathlib.Path(__file__).with_name("claims.toml")
COMMAND = "python3 tests/assurance/page.py > docs/assurance.md"
MUTATIONS = "tests/template/test_mutations.py"

COMMENT = re.compile(r"^ *(?://|#) assures\b(.*)$", re.M)
CONTENT = re.compile(r" (\d+(?:, \d+)*)(?:\. Seen to fail: (\S.*))?")
RUST_TEST = re.compile(r"#\[(?:tokio::)?test\b")
RUST_FUNCTION = re.compile(r" *(?:pub )?(?:async )?fn (\w+)")
NAME_IN_BACKTICKS = re.compile(r"`(\w+)`")

HEAD = """\
# What is proved, and by which test

This page lists what the vault claims, which tests hold each claim, and how each test was seen to fail. It is generated
from comments in the tests. `.ci/run` fails if the page is out of date, so nobody can remove a test unnoticed.

```sh
python3 tests/assurance/page.py > docs/assurance.md
```

- **Seen to fail** says which mistake turned the test red. "On every run" means that another test makes the mistake each
  time and expects the refusal. "Not seen to fail" means that the repository has no record of such a trial.
- **No test** means that nothing in the repository holds the claim.
- *Not held* names the part of a claim that its tests leave out.
- No test has run in AWS: [deploy.md](deploy.md#what-was-tested). DynamoDB, KMS and SQS are emulators on this machine.
  Zoom is the [sandbox](sandbox.md).
"""

Held = collections.namedtuple("Held", "path test evidence")


def tracked():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix not in (".md", ".svg", ".png") and path != pathlib.Path(__file__).resolve():
            try:
                yield name, path.read_text()
            except UnicodeDecodeError:
                continue


def rust_test(lines):
    """The name of the test that starts with these lines: comments and attributes, then the function."""
    attributes, depth = "", 0
    for line in lines:
        if function := RUST_FUNCTION.match(line):
            return function[1] if RUST_TEST.search(attributes) else None
        text = line.strip()
        if not text.startswith("//"):
            if not depth and not text.startswith("#["):
                return None
            attributes += text
            depth += text.count("[") - text.count("]")
    return None


def python_tests(text):
    """The first line of each test, and its name."""
    functions = (it for it in ast.parse(text).body if isinstance(it, ast.FunctionDef) and it.name.startswith("test_"))
    return {min(node.lineno for node in (it, *it.decorator_list)): it.name for it in functions}


def test_below(path, text, line, ci):
    """The name of the test that starts below a line. Empty for a whole script. `None` if nothing there is a test."""
    lines = text.splitlines()
    if path.endswith(".rs"):
        return rust_test(lines[line:])
    if path.endswith(".py"):
        below = line + 1
        while below <= len(lines) and lines[below - 1].startswith("# assures"):
            below += 1
        if name := python_tests(text).get(below):
            return name
    return "" if path in ci else None


def test_names(files):
    names = set()
    for path, text in files.items():
        if path.endswith(".rs"):
            for attribute in RUST_TEST.finditer(text):
                names.add(rust_test(text[text.rfind("\n", 0, attribute.start()) + 1 :].splitlines()))
        elif path.endswith(".py"):
            names |= set(python_tests(text).values())
    return names


def evidence_of(path, test, said, mutations):
    """How a test was seen to fail, or `None`."""
    broken = len(re.findall(rf"^    \(\w+\.{test},", mutations, re.M)) if path.startswith("tests/template/") else 0
    if not broken:
        return said
    ways = "one way" if broken == 1 else f"{broken} ways"
    page = f"on every run: [{MUTATIONS}](../{MUTATIONS}) breaks the template in {ways}"
    return f"{page}; {said}" if said else page


def annotations(files, problems):
    """What holds each claim, by the number of the claim."""
    held = collections.defaultdict(list)
    names, ci = test_names(files), files[".ci/run"]
    for path, text in files.items():
        for comment in COMMENT.finditer(text):
            line = text.count("\n", 0, comment.start()) + 1
            where = f"{path}:{line}"
            content = CONTENT.fullmatch(comment[1])
            if not content:
                problems.append(f"{where}: write `assures 1, 2` or `assures 1, 2. Seen to fail: HOW`")
                continue
            test = test_below(path, text, line, ci)
            if test is None:
                problems.append(f"{where}: no test starts below this line, and .ci/run does not run the file")
                continue
            unknown = set(NAME_IN_BACKTICKS.findall(content[2] or "")) - names
            problems += [f"{where}: `{name}` is not the name of a test" for name in sorted(unknown)]
            evidence = evidence_of(path, test, content[2], files[MUTATIONS])
            for number in content[1].split(", "):
                held[int(number)].append(Held(path, test, evidence))
    return held


def linked(text):
    """Makes links of the pages that a text names."""
    return re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", text)


def claim_text(claim):
    text = f"**{claim['number']}.** {linked(claim['says'])}"
    return f"{text} *Not held: {linked(claim['not_held'])}*" if "not_held" in claim else text


def rows(claim, held):
    says = claim_text(claim)
    if not held:
        yield f"| {says} | **no test**: {linked(claim.get('no_test', ''))} | |"
    for it in held:
        test = f"[{it.path}](../{it.path})" + (f": `{it.test}`" if it.test else "")
        yield f"| {says} | {test} | {linked(it.evidence) if it.evidence else 'not seen to fail'} |"
        says = ""


def stages(claim, ci, problems):
    for stage in claim.get("stages", ()):
        if not re.search(rf"^stage '{re.escape(stage)}'$", ci, re.M):
            problems.append(f"claims.toml: .ci/run has no stage '{stage}', which claim {claim['number']} names")
        yield Held(".ci/run", f"stage '{stage}'", None)


def page(problems):
    files = dict(tracked())
    groups = tomllib.loads(CLAIMS.read_text())["groups"]
    held = annotations(files, problems)
    numbers = collections.Counter(claim["number"] for group in groups for claim in group["claims"])
    problems += [f"claims.toml: {uses} claims have the number {it}" for it, uses in numbers.items() if uses > 1]
    for unknown in held.keys() - numbers.keys():
        paths = ", ".join(sorted({it.path for it in held[unknown]}))
        problems.append(f"{paths}: claims.toml has no claim {unknown}")
    text = ""
    tests, without = set(), []
    for group in groups:
        text += f"\n## {group['title']}\n\n| claim | test | seen to fail |\n| --- | --- | --- |\n"
        for claim in group["claims"]:
            number = claim["number"]
            holders = sorted(held[number], key=lambda it: (it.path, it.test))
            holders += stages(claim, files[".ci/run"], problems)
            tests |= {(it.path, it.test, bool(it.evidence)) for it in holders}
            if not holders:
                without.append(str(number))
            if not holders and "no_test" not in claim:
                problems.append(f"claims.toml: claim {number} has no test, and `no_test` does not say why")
            if holders and "no_test" in claim:
                problems.append(f"claims.toml: claim {number} has a test, so remove `no_test`")
            text += "".join(f"{row}\n" for row in rows(claim, holders))
    seen = len({it[:2] for it in tests if it[2]})
    word = "number" if len(without) == 1 else "numbers"
    missing = f"without a test: {word} {', '.join(without)}" if without else "each has a test"
    summary = (
        f"**{len(numbers)} claims**; {missing}. **{len({it[:2] for it in tests})} tests** are named, "
        f"and {seen} of them were seen to fail.\n"
    )
    return f"{HEAD}\n{summary}{text}"


def main():
    problems = []
    generated = page(problems)
    if sys.argv[1:] == ["--check"]:
        if not PAGE.is_file() or PAGE.read_text() != generated:
            problems.append(f"docs/assurance.md is out of date, run: {COMMAND}")
        print("\n".join(problems) or "docs/assurance.md: ok")
    else:
        print("\n".join(problems), file=sys.stderr)
        sys.stdout.write(generated)
    sys.exit(bool(problems))


main()
