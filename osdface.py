"""The `osdface` command without installing it, with the Python that runs ComfyUI:  PYTHON osdface.py COMMAND …

The Python inside ComfyUI's portable version does not look for modules beside the script that it runs: this one tells
it where they are.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

if __name__ == "__main__":
    from osdface_core.cli import console

    console()
