"""A strict type checker has nothing to say of the README's and the examples' code but of others.

JAX gives `grad`, `jit`, `custom_vjp` and parts of other functions no type, and optax has none.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    "extraPaths": [str(ROOT)],
    "reportUnknownMemberType": False,
    "reportMissingTypeStubs": False,
}
UNTYPED = {"reportUnknownVariableType", "reportUnknownArgumentType", "reportUnknownLambdaType"}
OF_JAX = re.compile(r"jax\.(grad|jit)\(|^@jax\.", re.MULTILINE)


def test_the_code_of_the_readme_and_the_examples_is_typed(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.S | re.M)
    for i, block in enumerate(blocks):
        (tmp_path / f"readme_{i}.py").write_text(block)
    for file in (ROOT / "examples").glob("*.py"):
        shutil.copy(file, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(CONFIG))
    checker = [sys.executable, "-m", "basedpyright", "--outputjson"]
    checker += ["--pythonpath", sys.executable, "-p", str(tmp_path)]
    done = subprocess.run(checker, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    assert result["summary"]["filesAnalyzed"] == len(list(tmp_path.glob("*.py"))) >= 8
    untyped = {file.name for file in tmp_path.glob("*.py") if OF_JAX.search(file.read_text())}
    assert len(untyped) == 3
    said = [
        f"{name}:{report['range']['start']['line'] + 1}: {report['message']}"
        for report in result["generalDiagnostics"]
        if (name := Path(report["file"]).name) not in untyped or report["rule"] not in UNTYPED
    ]
    assert said == []
