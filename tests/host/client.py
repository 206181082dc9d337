"""Start a host, the stand-in or a real ComfyUI, and talk to it."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from links import link
from PIL import Image
from spandrel_files import UPSCALER, write_restorer, write_upscaler

ROOT = Path(__file__).parent.parent.parent
PACK = "osdface-comfyui"
ODD_NODES = Path(__file__).with_name("odd_nodes.py")
DETECTOR = "detection_mobilenet0.25_Final.pth"
RESTORER = "GFPGANv1.4.pth"
STARTER = ROOT / "osdface_core" / "weights" / "starter" / "detector.safetensors"


class Server:
    """A running host with a base folder of its own: models/, input/, output/."""

    def __init__(self, command: list[str], base: Path, cwd: Path):
        self.base, self.port = base, free_port()
        self.is_standin = "host.server" in command
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = base / "server.log"
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= dict.fromkeys(("HOME", "USERPROFILE"), str(base))  # where a person's agreements are kept
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], cwd=cwd, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"the host ended: {self.log.read_text(encoding='utf-8')[-2000:]}")
            try:
                if "OSDFaceRestoreFaces" in self.get("object_info"):
                    self.post("settings/Comfy.TutorialCompleted", True)  # else a first visit opens the templates
                    return
            except (urllib.error.URLError, ConnectionError):
                pass
            time.sleep(0.2)
        raise RuntimeError(f"the host does not answer: {self.log.read_text(encoding='utf-8')[-2000:]}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/{path}") as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        content = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/{path}", content, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def start(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """Queue a prompt; returns ComfyUI's answer, with `prompt_id` or `node_errors`."""
        return self.post("prompt", {"prompt": prompt, "client_id": "test"})

    def finish(self, number: str) -> dict[str, Any]:
        for _ in range(6000):
            history = self.get(f"history/{number}")
            if number in history:
                return history[number]
            time.sleep(0.1)
        raise RuntimeError("the prompt does not end")

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """Run a prompt to its end; returns the outputs by node. Raises NodeError with the message the user sees."""
        answer = self.start(prompt)
        if answer.get("node_errors"):
            raise NodeError(json.dumps(answer["node_errors"]))
        entry = self.finish(answer["prompt_id"])
        if entry["status"]["status_str"] != "success":
            raise NodeError(json.dumps(entry["status"]["messages"]))
        return entry["outputs"]

    def picture(self, output: dict[str, Any], number: int = 0) -> np.ndarray:
        """An image that an output node has shown."""
        query = urllib.parse.urlencode(output["images"][number])
        with urllib.request.urlopen(f"{self.url}/api/view?{query}") as answer:
            return np.array(Image.open(io.BytesIO(answer.read())).convert("RGB"))


class NodeError(Exception):
    """What a prompt failed with."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start_standin(base: Path) -> Server:
    command = [sys.executable, "-m", "host.server", "--base", str(base), "--pack", str(ROOT)]
    return Server(command, base, ROOT / "tests")


def start_comfyui(base: Path, checkout: Path) -> Server:
    """A real ComfyUI with a base folder of its own, run by $COMFYUI_PYTHON or this Python."""
    (base / "custom_nodes").mkdir()
    link(base / "custom_nodes" / PACK, ROOT)
    link(base / "custom_nodes" / ODD_NODES.name, ODD_NODES)
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    options = ["--cpu", "--listen", "127.0.0.1", "--base-directory", str(base), "--disable-api-nodes"]
    database = ["--database-url", "sqlite:///:memory:"]
    return Server([python, str(checkout / "main.py"), *options, *database], base, checkout)


def furnish(base: Path, shared: Path | None) -> None:
    """Put photos, a detector, and a small face restorer and upscaler into a host's folders: the real detector where the
    shared data is, else the starter's."""
    inputs, detectors = base / "input", base / "models" / "facedetection"
    restorers, upscalers = base / "models" / "facerestore_models", base / "models" / "upscale_models"
    for folder in (inputs, detectors, restorers, upscalers):
        folder.mkdir(parents=True, exist_ok=True)
    write_restorer(restorers / RESTORER)
    write_upscaler(upscalers / UPSCALER)
    shutil.copy(ROOT / "photos" / "astronaut.png", inputs)
    Image.new("RGB", (300, 200), (90, 120, 150)).save(inputs / "noface.png")
    film(ROOT / "photos" / "astronaut.png", inputs / "astronaut.webm")
    if shared is not None:
        shutil.copy(shared / "weights" / DETECTOR, detectors)
        shutil.copy(shared / "images" / "group_solvay1927.jpg", inputs)
    else:
        shutil.copy(STARTER, detectors / DETECTOR)


def film(photo: Path, video: Path) -> None:
    """A short noisy video of a photo's middle, the camera turning slowly."""
    picture = np.array(Image.open(photo).convert("RGB"))[:288, :, ::-1].astype(float)
    noise = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"VP80"), 8, (384, 288))
    for frame in range(8):
        seen = picture[:, 40 + 2 * frame : 424 + 2 * frame]
        writer.write((seen + noise.normal(0, 6, seen.shape)).clip(0, 255).astype(np.uint8))
    writer.release()
