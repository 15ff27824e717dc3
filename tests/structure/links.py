"""Checks every link inside the repository: the file exists, and its anchor too. Needs Python and git alone.

    python3 tests/structure/links.py

1. In Markdown: `[text](page.md#anchor)`, `[text][name]` and `[path/of/a/file]`. Anchors follow the rules of GitHub.
2. In all other files: each mention of a page in `docs` names a page that exists.
"""

import functools
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FENCED = re.compile(r"^( *)(```+).*?^ *\2 *$", re.S | re.M)
CODE = re.compile(r"(`+)[^`].*?\1", re.S)
HEADING = re.compile(r"^ {0,3}#{1,6} +(.+?)[ #]*$", re.M)
INLINE = re.compile(r"\]\(\s*<?([^\s)>]+)>?[^)]*\)")
DEFINITION = re.compile(r"^ {0,3}\[([^\]]+)\]: +(\S+)", re.M)
FULL_REFERENCE = re.compile(r"\[[^\[\]]+\]\[([^\[\]]+)\]")
# A reference without a text of its own. Only paths: other words in brackets may be plain text.
SHORT_REFERENCE = re.compile(r"(?<!\])\[([\w.-]+/[\w./-]+)\](?![\[(:])")
MENTION = re.compile(r"\bdocs/[\w-]+\.md(?:#[\w-]+)?")


def prose(text):
    """Markdown without code, in which brackets are not links."""
    return CODE.sub("", FENCED.sub("", text))


def slug(heading):
    """The anchor that GitHub gives to a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


@functools.cache
def anchors(page):
    text = FENCED.sub("", page.read_text())
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for anchor in map(slug, HEADING.findall(text)):
        # GitHub numbers the headings with the same text.
        number = next(number for number in range(1000) if (f"{anchor}-{number}" if number else anchor) not in found)
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def problem(page, target):
    """What is wrong with a link in a page, or `None`."""
    if re.match(r"[a-z][a-z+.-]*:", target):
        return None
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return f"{target}: no such file"
    if anchor and file.suffix == ".md" and anchor not in anchors(file):
        return f"{target}: no such heading"
    return None


def problems_of_page(page):
    text = prose(page.read_text())
    defined = {name.lower(): target for name, target in DEFINITION.findall(text)}
    used = FULL_REFERENCE.findall(text) + SHORT_REFERENCE.findall(text)
    yield from (f"[{name}]: no such reference" for name in used if name.lower() not in defined)
    yield from filter(None, (problem(page, target) for target in (*INLINE.findall(text), *defined.values())))


def tracked():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in names.split("\0") if name and (path := ROOT / name).is_file()]


def main():
    findings, links = [], 0
    for path in tracked():
        if path.suffix == ".md":
            links += len(INLINE.findall(prose(path.read_text())))
            findings += [f"{path.relative_to(ROOT)}: {it}" for it in problems_of_page(path)]
            continue
        try:
            mentions = MENTION.findall(path.read_text())
        except UnicodeDecodeError:
            continue
        wrong = filter(None, (problem(ROOT / "README.md", mention) for mention in mentions))
        findings += [f"{path.relative_to(ROOT)}: {it}" for it in wrong]
    if links < 300:
        sys.exit(f"found only {links} links, so the check is broken")
    print("\n".join(findings) or f"links: ok, {links} links")
    sys.exit(bool(findings))


main()
