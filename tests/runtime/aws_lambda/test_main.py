"""The handler that is configured in Lambda: the process is prepared before the function is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_the_functions_handler_is_found_after_the_process_was_prepared(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\nhandler = os.environ['ORT_DISABLE_TELEMETRY']\n")
    code = "import json, sys; from hearth.aws_lambda.main import handler; print(json.dumps(handler))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == "1"
