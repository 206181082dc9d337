"""Record what a real ComfyUI makes of our nodes:  COMFYUI_PATH=… python -m host.record_object_info"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from .client import furnish, start_comfyui

RECORD = Path(__file__).parent / "object_info.json"
KEPT = (
    *("input", "input_order", "output", "output_is_list", "output_name", "name", "display_name", "description"),
    *("category", "search_aliases", "output_node", "has_intermediate_output"),
)


def ours(object_info: dict[str, Any]) -> dict[str, Any]:
    """Our nodes' part, without what only a machine's own files decide."""
    return {
        name: {key: about[key] for key in KEPT} for name, about in object_info.items() if name.startswith("OSDFace")
    }


if __name__ == "__main__":
    base = Path(tempfile.mkdtemp())
    furnish(base, None)
    server = start_comfyui(base, Path(os.environ["COMFYUI_PATH"]))
    record = json.dumps(ours(server.get("object_info")), indent=1, sort_keys=True)
    RECORD.write_text(record + "\n", encoding="utf-8", newline="\n")
    server.stop()
