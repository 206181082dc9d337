"""OSDFace on ComfyUI's own SD 2.1 against our own route: the largest difference, and the time of each.

    COMFYUI_PATH=<checkout> python benchmarks/native_route.py [--work DIR]

Run it with the Python that runs ComfyUI. DIR holds the full-size weights that benchmarks/parity_full.py writes.
ComfyUI loads them as it would SD 2.1-base: a single-file checkpoint, and the LoRA by its own loader.
"""

import argparse
import asyncio
import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]


def main() -> int:
    arguments = argparse.ArgumentParser(description="The native route against our own.")
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "osdface_full")
    chosen = arguments.parse_args()
    sys.argv = [sys.argv[0], "--cpu"]
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.sd
    import torch

    spec = importlib.util.spec_from_file_location(
        "osdface_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    pack = importlib.util.module_from_spec(spec)
    sys.modules["osdface_pack"] = pack
    spec.loader.exec_module(pack)
    asyncio.run(pack.comfy_entrypoint())
    # the tests' helpers name the core by its own name
    sys.modules["osdface_core"] = sys.modules["osdface_pack.osdface_core"]
    from osdface_pack.nodes.native import NativeWeights, with_lora
    from osdface_pack.nodes.runtime import OSDFaceWeights, Resident
    from osdface_pack.osdface_core import read_photo
    from osdface_pack.osdface_core.weights.authors import LORA_FILE, load_authors_files, load_authors_vre
    from parity.single_file import as_single_file
    from safetensors.torch import save_file

    single = chosen.work / "v2-1_512.safetensors"
    if not single.exists():
        save_file(as_single_file(chosen.work / "sd21base"), single)
    image = read_photo(ROOT / "tests/parity/inputs/lq_512.png").pixels
    folder = chosen.work / "authors"

    with torch.inference_mode():
        ours = OSDFaceWeights(load_authors_files(folder, chosen.work / "sd21base"))
        prompts = ours.vre(1)(image)
        started = time.perf_counter()
        expected = ours.one_step(1)(image, prompts.embeds)
        own_seconds = time.perf_counter() - started
        del ours

        model, _, vae, _ = comfy.sd.load_checkpoint_guess_config(str(single), output_clip=False)
        model = with_lora(model, folder / LORA_FILE)
        native = NativeWeights(model, vae, Resident(load_authors_vre(folder)))
        same = torch.equal(native.vre(1)(image).token_ids, prompts.token_ids)
        started = time.perf_counter()
        restored = native.one_step(1)(image, prompts.embeds)
        native_seconds = time.perf_counter() - started

    gap = (restored - expected).abs().max().item()
    sys.stdout.write("| | own route | native route |\n|---|---|---|\n")
    sys.stdout.write(f"| seconds for one face | {own_seconds:.1f} | {native_seconds:.1f} |\n\n")
    sys.stdout.write(f"tokens identical: {same}, largest difference of the image: {gap:.2e}\n")
    return int(not same or gap > 1e-3)


if __name__ == "__main__":
    sys.exit(main())
