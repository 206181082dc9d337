"""Nodes that only the tests' hosts have: images as no loader gives them, and an exact look at a result."""

import json
from collections import Counter
from typing import Any, ClassVar

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


class WatchedModel(io.ComfyNode):
    """A MODEL on which everything hangs that other nodes may hang on one, each counting its calls."""

    calls: ClassVar[Counter[str]] = Counter()

    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [io.Model.Input("model"), io.Boolean.Input("fails")]
        return io.Schema(node_id="TestWatchedModel", inputs=inputs, outputs=[io.Model.Output()])

    @classmethod
    def execute(cls, model: Any, fails: bool) -> io.NodeOutput:
        def passes_on(name: str) -> Any:
            def counted(inner: Any, *arguments: Any, **named: Any) -> Any:
                WatchedModel.calls[name] += 1
                if fails:
                    raise RuntimeError("It fails on purpose.")
                return inner(*arguments, **named)

            return counted

        def counts(name: str) -> Any:
            return lambda *_arguments: WatchedModel.calls.update([name])

        watched = model.clone()
        for kind in ("apply_model", "diffusion_model"):
            watched.add_wrapper(kind, passes_on(kind))
        for kind in ("on_pre_run", "on_cleanup"):
            watched.add_callback(kind, counts(kind))
        options = watched.model_options.setdefault("transformer_options", {})
        options["optimized_attention_override"] = passes_on("attention")
        watched.set_model_unet_function_wrapper(
            lambda apply_model, about: passes_on("function")(
                apply_model, about["input"], about["timestep"], **about["c"]
            )
        )
        WatchedModel.calls.clear()
        return io.NodeOutput(watched)


class Watched(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="TestWatched", inputs=[io.Image.Input("after")], outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, after: Tensor) -> io.NodeOutput:
        """What the watched model's attachments have been called for."""
        return io.NodeOutput(ui={"text": [json.dumps(WatchedModel.calls)]})


class OddExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [OddImage, Anything, Compare, WatchedModel, Watched]


async def comfy_entrypoint() -> ComfyExtension:
    return OddExtension()
