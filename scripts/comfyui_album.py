"""Have a ComfyUI on this or another machine restore the photos of a folder, through its HTTP API.

    python scripts/comfyui_album.py photos/ -o restored/ --server http://127.0.0.1:8188
    python scripts/comfyui_album.py photos/ -o restored/ --workflow exported.json   # File > Export (API)

Photos are uploaded, queued, waited for and downloaded, a few at a time; what is in the output folder already is left
out, so that the same command goes on where it ended. A workflow of one's own has one Load Image and one Save Image.
"""

import argparse
import json
import logging
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from pathlib import Path
from typing import Any

log = logging.getLogger("comfyui_album")

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
AHEAD = 3
"""Photos in ComfyUI's queue at a time."""
STEPS = {
    "photo": ("LoadImage", {}),
    "model": ("OSDFaceLoadModel", {}),
    "detector": ("OSDFaceLoadDetector", {"detector": "starter (built in)"}),
    "restore": (
        "OSDFaceRestoreFaces",
        {"image": ["photo", 0], "model": ["model", 0], "detector": ["detector", 0]},
    ),
    "save": ("SaveImage", {"images": ["restore", 0], "filename_prefix": "album/photo"}),
}


class ComfyUI:
    """A server, by the calls that its page makes."""

    def __init__(self, url: str):
        self.url = url.rstrip("/") + "/api"

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        request = urllib.request.Request(f"{self.url}/{path}", body, {"Content-Type": kind} if body else {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def upload(self, photo: Path) -> str:
        """Returns the name under which Load Image finds it."""
        border, name = secrets.token_hex(16), secrets.token_hex(8) + photo.suffix
        part = f"--{border}\r\nContent-Disposition: form-data; name="
        body = f'{part}"image"; filename="{name}"\r\n\r\n'.encode() + photo.read_bytes()
        body += f'\r\n{part}"subfolder"\r\n\r\nalbum\r\n--{border}--\r\n'.encode()
        known = json.loads(self.ask("upload/image", body, f"multipart/form-data; boundary={border}"))
        return f"{known['subfolder']}/{known['name']}" if known.get("subfolder") else known["name"]

    def queue(self, graph: dict[str, Any]) -> str:
        return json.loads(self.ask("prompt", json.dumps({"prompt": graph}).encode()))["prompt_id"]

    def wait(self, number: str) -> dict[str, Any]:
        """What is said of a job once it is done."""
        while not (history := json.loads(self.ask(f"history/{number}"))).get(number):
            time.sleep(0.2)
        return history[number]

    def download(self, image: dict[str, str]) -> bytes:
        return self.ask(f"view?{urllib.parse.urlencode(image)}")


def graph_of(server: ComfyUI, workflow: Path | None) -> dict[str, Any]:
    """The jobs' graph: an exported one, or this pack's node with everything as it is by default."""
    if workflow is not None:
        return json.loads(workflow.read_text(encoding="utf-8"))
    graph = {}
    for name, (kind, given) in STEPS.items():
        inputs = json.loads(server.ask(f"object_info/{kind}"))[kind]["input"]["required"]
        graph[name] = {"class_type": kind, "inputs": {key: default(value) for key, value in inputs.items()} | given}
    return graph


def default(about: list[Any]) -> Any:
    """Of an input, as /object_info describes it."""
    more = about[1] if len(about) > 1 else {}
    options = about[0] if isinstance(about[0], list) else more.get("options", [None])
    return more.get("default", options[0] if options else None)


def the_one(graph: dict[str, Any], kind: str) -> str:
    names = [name for name, node in graph.items() if node["class_type"] == kind]
    if len(names) != 1:
        sys.exit(f"The workflow has {len(names)} nodes {kind}. It must have one.")
    return names[0]


def finish(server: ComfyUI, number: str, save: str, photo: Path, output: Path) -> bool:
    """Wait for a photo and write it. Returns whether that went well."""
    known = server.wait(number)
    if known["status"]["status_str"] != "success":
        messages = [about.get("exception_message", "") for _, about in known["status"]["messages"]]
        log.error("%s: %s", photo, " ".join(filter(None, messages)).strip() or "it failed")
        return False
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(output.name + ".part")
    part.write_bytes(server.download(known["outputs"][save]["images"][0]))
    part.replace(output)
    log.info("%s -> %s", photo, output)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--workflow", type=Path, help="exported with File > Export (API)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    server = ComfyUI(options.server)
    graph = graph_of(server, options.workflow)
    load, save = the_one(graph, "LoadImage"), the_one(graph, "SaveImage")
    photos = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    outputs = [options.output / f"{photo.relative_to(options.folder)}.png" for photo in photos]
    left = [(photo, output) for photo, output in zip(photos, outputs, strict=True) if not output.exists()]
    log.info("%d photos, %d of them are left", len(photos), len(left))
    waiting: deque[tuple[str, str, Path, Path]] = deque()
    failed = 0
    for photo, output in left:
        graph[load]["inputs"]["image"] = server.upload(photo)
        waiting.append((server.queue(graph), save, photo, output))
        if len(waiting) == AHEAD:
            failed += not finish(server, *waiting.popleft())
    failed += sum(not finish(server, *job) for job in waiting)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (urllib.error.URLError, ConnectionError) as error:
        body = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else ""
        sys.exit(f"ComfyUI does not answer as it should ({error}). {body}".strip())
