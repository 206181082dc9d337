"""Nodes that only the tests' hosts have: images as no loader gives them, and an exact look at a result."""

import json

import torch
from comfy_api.latest import ComfyExtension, io
from torch import Tensor

KINDS = {
    "fp16": lambda image: image.half(),
    "RGBA": lambda image: torch.cat([image, image[..., :1] * 0.5], dim=-1),
    "grey": lambda image: image.mean(-1, keepdim=True),
    "1x1": lambda image: image[:, :1, :1],
    "wide": lambda image: image[:, :256],
    "8K": lambda image: image.repeat(1, 9, 15, 1)[:, :4320],
    "beyond 0..1": lambda image: image * 4 - 1,
    "NaN": lambda image: image.log().sqrt(),
    "infinite": lambda image: image / 0,
    "empty": lambda image: image[:0],
}


class OddImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TestOddImage",
            inputs=[io.Image.Input("image"), io.Combo.Input("kind", options=list(KINDS))],
            outputs=[io.Image.Output(), io.Mask.Output()],
        )

    @classmethod
    def execute(cls, image: Tensor, kind: str) -> io.NodeOutput:
        odd = KINDS[kind](image)
        return io.NodeOutput(odd, odd[..., 0])


class Anything(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="TestAnything", inputs=[io.String.Input("text")], outputs=[io.AnyType.Output()])

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        return io.NodeOutput(text)


class Compare(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TestCompare",
            inputs=[io.Image.Input("before"), io.Image.Input("after")],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, before: Tensor, after: Tensor) -> io.NodeOutput:
        """The shapes, and the hull of the pixels that differ: left, top, right, bottom; None where all are the same."""
        about = {"before": list(before.shape), "after": list(after.shape), "finite": bool(after.isfinite().all())}
        about["alpha is kept"] = torch.equal(before[..., 3:], after[..., 3:])
        differ = (before[..., :3].float() != after[..., :3].float()).any(0).any(-1)
        rows, columns = differ.any(1).nonzero().flatten().tolist(), differ.any(0).nonzero().flatten().tolist()
        about["changed"] = [columns[0], rows[0], columns[-1], rows[-1]] if rows else None
        return io.NodeOutput(ui={"text": [json.dumps(about)]})


class OddExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [OddImage, Anything, Compare]


async def comfy_entrypoint() -> ComfyExtension:
    return OddExtension()
