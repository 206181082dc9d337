"""Full-size restorers of spandrel's with seeded weights: our route beside their own networks, and what they cost.

    python benchmarks/restorers.py --work DIR [--osdface BUNDLE] [--osediff BUNDLE ...] [--faces 2] [--markdown FILE]

With bundles, OSDFace and OSEDiff beside them, under the names of their files. The files are written to DIR once, as
the authors' are: 349 MB for GFPGAN, 291 for RestoreFormer; CodeFormer where the user has spandrel_extra_arches. Each
network is loaded and run in a process of its own, and timed in seconds of the processor, which other programs change
least. What a face holds on a card is traced on tensors without data (tests/cuda_trace.py): HELD in
osdface_core/inference/spandrel.py is the most of them.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

COLUMNS = ("file, MB", "loading, CPU s", "a face, CPU s", "memory, GB", "held on a card, GB", "difference")


def make(name: str) -> nn.Module:
    """A network of its authors' size, and seeded values with which it reacts to its input."""
    torch.manual_seed(0)
    if name == "GFPGAN":
        from spandrel.architectures.GFPGAN import GFPGAN

        network = GFPGAN(out_size=512, num_style_feat=512, channel_multiplier=2, input_is_latent=True, different_w=True)
        for key, value in network.named_parameters():
            if value.shape == (1,) and key.startswith("stylegan_decoder.style"):
                value.data.fill_(0.1)  # the noise's strength, 0 before training
        return network
    if name == "RestoreFormer":
        from spandrel.architectures.RestoreFormer import RestoreFormer

        return RestoreFormer()
    from spandrel_extra_arches.architectures.CodeFormer import CodeFormer

    return CodeFormer()


def write(name: str, work: Path) -> Path:
    """The network's file, laid out as its authors' is."""
    path = work / f"{name}.pth"
    if not path.exists():
        torch.save({"params_ema": make(name).state_dict()}, path)
    return path


def theirs(name: str, network: Any, crop: Tensor) -> Tensor:
    """What their own network makes of a crop [1,3,512,512], 0..1, called as their authors' programs call it."""
    if name == "GFPGAN":
        made = network.model(2 * crop - 1, return_rgb=False, randomize_noise=False)[0]
    elif name == "CodeFormer":
        made = network.model(2 * crop - 1, weight=0.5)[0]
    else:
        return network(crop)
    return ((made + 1) / 2).clamp(0, 1)


def peak_gigabytes() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9


def is_bundle(path: Path) -> bool:
    """Whether a file is a model of one step, and none of spandrel's."""
    return path.suffix == ".safetensors"


def measure(name: str, path: Path, faces: int) -> dict[str, float]:
    """In this process: loading, restoring, and the largest difference from their own network."""
    from osdface_core import load_model, load_restorer
    from osdface_core.geometry.align import whole_crops
    from osdface_core.inference.restorer import as_restorer
    from osdface_core.options import Restore

    before, started = peak_gigabytes(), time.process_time()
    restorer = as_restorer(load_model(path) if is_bundle(path) else load_restorer(path))
    loading = time.process_time() - started
    crops = whole_crops(torch.rand(faces, 3, 512, 512, generator=torch.Generator().manual_seed(1)))
    started = time.process_time()
    restored = restorer.restore(crops, Restore()).images
    found = {
        "file, MB": path.stat().st_size / 1e6,
        "loading, CPU s": loading,
        "a face, CPU s": (time.process_time() - started) / faces,
        "memory, GB": peak_gigabytes() - before,
    }
    if is_bundle(path):
        return found
    direct = descriptor(name, path)
    with torch.no_grad():
        expected = torch.cat([theirs(name, direct, crop[None]) for crop in crops.images])
    return found | {"held on a card, GB": held(name), "difference": float((restored - expected).abs().max())}


def descriptor(name: str, path: Path) -> Any:
    """The network as spandrel alone loads it."""
    import spandrel

    registry = spandrel.MAIN_REGISTRY.copy()
    if name == "CodeFormer":
        registry.add(*__import__("spandrel_extra_arches").EXTRA_REGISTRY)
    state = torch.load(path, weights_only=True)["params_ema"]
    return spandrel.ModelLoader(registry=registry).load_from_state_dict(state).eval()


def held(name: str) -> float:
    """GB that one face holds at the most, beside the weights, in float32."""
    from cuda_trace import Trace, card

    with card():
        with torch.device("cuda"):
            network = make(name).eval()
        images = torch.empty(1, 3, 512, 512, device="cuda")
        trace = Trace((*network.parameters(), *network.buffers(), images))
        with trace:
            network(images)
    return trace.peaks["rest"] / 1e9


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--osdface", type=Path, help="a full-size bundle, measured beside them")
    arguments.add_argument("--osediff", type=Path, nargs="+", default=[], help="full-size bundles of it, likewise")
    arguments.add_argument("--faces", type=int, default=2)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--markdown", type=Path)
    arguments.add_argument("--one", help="measure this network in this process")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        path = Path(options.one) if is_bundle(Path(options.one)) else write(options.one, options.work)
        sys.stdout.write(json.dumps(measure(options.one, path, options.faces)))
        return
    from importlib.util import find_spec

    options.work.mkdir(parents=True, exist_ok=True)
    names = [
        *(str(bundle) for bundle in (options.osdface, *options.osediff) if bundle),
        "GFPGAN",
        "RestoreFormer",
        *(["CodeFormer"] if find_spec("spandrel_extra_arches") else []),
    ]
    rows = [f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in names:
        command = [sys.executable, __file__, "--work", str(options.work), "--one", name]
        command += ["--faces", str(options.faces), "--threads", str(options.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append(f"| {Path(name).name} | {' | '.join(f'{found[c]:.3g}' if c in found else '' for c in COLUMNS)} |")
    table = "\n".join(rows) + "\n"
    sys.stdout.write(table)
    if options.markdown:
        options.markdown.write_text(table, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
