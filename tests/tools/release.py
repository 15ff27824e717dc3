"""Makes two folders like those of deploy/release, with functions that do nothing: `release.py FOLDER`.

`FOLDER/release` has right checksums. In `FOLDER/damaged`, one function and the template have changed.
"""

import hashlib
import json
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
import package  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

folder = pathlib.Path(sys.argv[1])
release, damaged = folder / "release", folder / "damaged"
template = yaml_parse(package.TEMPLATE.read_text())
code = release / "code/zoom-credentials/0.0.0-000000000000/x86_64"
code.mkdir(parents=True)
for name, _ in package.functions(template):
    (code / f"{name}.zip").write_text(name)
packaged = package.package(template, "0.0.0", "zoom-credentials/0.0.0-000000000000", ["x86_64"])
(release / "template.json").write_text(json.dumps(packaged))
(release / "stack-policy.json").write_text("{}")
files = [path for path in release.rglob("*") if path.is_file()]
sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(release)}\n" for path in files]
(release / "SHA256SUMS").write_text("".join(sums))

shutil.copytree(release, damaged)
for path in [damaged / "template.json", next(damaged.rglob("*.zip"))]:
    path.write_text(path.read_text() + " ")
