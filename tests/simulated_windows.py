"""A pytest plugin, -p simulated_windows: what a test module finds on Windows when it is imported.

Libraries are imported before, since they ask for Windows' own modules once they believe to be there.
"""

# ruff: noqa: F401
import asyncio
import sys
from types import ModuleType

import aiohttp
import cv2
import facexlib
import huggingface_hub
import hypothesis
import requests
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

UNIX = ("fcntl", "grp", "pwd", "pty", "resource", "termios")


def pytest_configure(config) -> None:
    for name in UNIX:
        sys.modules[name] = None  # type: ignore[assignment]  # which makes an import of it fail
    sys.modules["msvcrt"] = ModuleType("msvcrt")


def pytest_collection(session) -> None:
    sys.platform = "win32"


def pytest_collection_finish(session) -> None:
    sys.platform = "linux"
