"""What the benchmarks compare with is the authors' procedure: it gives what was recorded from their program."""

import sys

import torch
from conftest import ROOT
from parity.harness import HERE, STRIDE, differences
from safetensors.torch import load_file

import osdface_core

sys.path.append(str(ROOT / "benchmarks"))


def test_the_authors_procedure_agrees_with_the_recording_of_their_program(tiny_weights):
    from authors_procedure import AuthorsProcedure

    procedure = AuthorsProcedure(tiny_weights / "ckpt", tiny_weights / "sd21base")
    figures = load_file(HERE / "figures.safetensors")
    image = osdface_core.read_photo(HERE / "inputs" / "lq_512.png").pixels
    latents = {}
    procedure.vae.quant_conv.register_forward_hook(lambda _module, _inputs, out: latents.update(moments=out))
    with torch.no_grad():
        prompt = procedure.prompt(2 * image - 1)
        procedure.encode(2 * image - 1)
        mean, logvar = latents["moments"].chunk(2, dim=1)
    seen = {"prompt_embeds": prompt, "latent_mean": mean, "latent_logvar": logvar}
    found = differences(seen, {key: figures[f"lq512.{key}"] for key in seen if f"lq512.{key}" in figures}, STRIDE)
    assert found
    assert all(gap < 5e-3 for gap in found.values()), found
