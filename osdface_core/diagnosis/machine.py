"""What a report may say of a machine: versions, system, processor and card, and no names of people or folders."""

import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
"""What has the version where the pack is run from its folder."""


def machine(device: torch.device) -> dict[str, str]:
    """The facts by name. device: the one that a report is about."""
    return {
        "osdface": own_version(),
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "torch": f"{torch.__version__}, {built_for()}",
        "system": system(),
        "processor": f"{processor()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}",
        "device": name_of(device),
    }


def own_version() -> str:
    try:
        return version("osdface")
    except PackageNotFoundError:
        text = PROJECT.read_text(encoding="utf-8") if PROJECT.is_file() else ""
        found = re.search(r'^version = "(.+)"', text, re.MULTILINE)
        return f"{found[1] if found else 'of unknown version'}, run from its folder"


def system() -> str:
    """The system with its version's numbers: what follows them in a Linux kernel's may be anybody's name."""
    release = re.match(r"[\d.]*", platform.release())
    numbers = release[0] if release else ""
    parts = f"{platform.system()} {numbers}", platform.machine(), " ".join(platform.libc_ver())
    return ", ".join(part.strip() for part in parts if part.strip())


def built_for() -> str:
    """What PyTorch can compute on, with the versions that matter there."""
    triton = f", triton {version_of('triton')}"
    if torch.version.hip:
        return f"ROCm {torch.version.hip}{triton}"
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, driver {driver()}{triton}"
    return "built for MPS" if torch.backends.mps.is_built() else "built without CUDA"


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def driver() -> str:
    """The NVIDIA driver's version."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown"
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return (said.splitlines() or ["unknown"])[0]


def processor() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def name_of(device: torch.device) -> str:
    if device.type != "cuda":
        return str(device)
    card = torch.cuda.get_device_properties(device)
    return f"{card.name}, {card.total_memory / 1e9:.0f} GB, compute capability {card.major}.{card.minor}"


def peak_memory(device: torch.device) -> str:
    """The most memory that this process has held so far: of the device where PyTorch counts it, and of the machine."""
    host = f"{peak_bytes() / 1e9:.2f} GB of main memory"
    if device.type != "cuda":
        return host
    allocated, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    return f"{allocated / 1e9:.2f} GB of the card's ({reserved / 1e9:.2f} GB reserved), {host}"


def peak_bytes() -> int:
    """The most main memory that this process has held."""
    if sys.platform == "win32":
        import ctypes

        class Counters(ctypes.Structure):
            """Windows' PROCESS_MEMORY_COUNTERS."""

            _fields_ = (
                ("size", ctypes.c_uint32),
                ("faults", ctypes.c_uint32),
                ("peak", ctypes.c_size_t),
                ("others", ctypes.c_size_t * 7),
            )

        counters, this_process = Counters(), ctypes.c_void_p(-1)
        counters.size = ctypes.sizeof(counters)
        ctypes.windll.kernel32.K32GetProcessMemoryInfo(this_process, ctypes.byref(counters), counters.size)
        return int(counters.peak)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
