"""Our nodes among ComfyUI's own modules, in a process without its server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .client import ROOT

BEGIN = """
import importlib.util, json, sys
checkout, pack, *switches = sys.argv[1:]
sys.argv = ["main.py", "--cpu", *switches]
sys.path.insert(0, checkout)
import comfy.options
comfy.options.enable_args_parsing()
import comfy.cli_args, comfy.model_management as management, torch
spec = importlib.util.spec_from_file_location("pack", pack + "/__init__.py", submodule_search_locations=[pack])
sys.modules["pack"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from pack.nodes import operations, runtime
torch.set_num_threads(1)
mode = torch.inference_mode()
mode.__enter__()

def tell(value):
    print("TOLD " + json.dumps(value))

def load(*precisions):
    return runtime.shared_weights("starter (built in)", "none", *(precisions or ("auto",)))

torch.manual_seed(0)
face = torch.rand(1, 3, 64, 64)
def restore(weights):
    return weights.one_step(1)(face, weights.vre(1)(face).embeds)
"""


def among_comfyui(checkout: Path, base: Path, *switches: str, run: str) -> Any:
    """What the Python code `run` tells, after ComfyUI of `checkout` was started with `switches` on a CPU.

    base: ComfyUI's folder for models and whatever else.
    """
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    command = [python, "-c", BEGIN + run, str(checkout), str(ROOT), "--base-directory", str(base), *switches]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("TOLD ")[2].splitlines()[0])
