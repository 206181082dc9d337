"""Load OSDFace's weights."""

from comfy_api.latest import io

from ..osdface_core.options import Load
from ..osdface_core.weights.catalog import entry_named
from . import sockets
from .folders import (
    FULL,
    NO_BASE,
    STARTER,
    base_options,
    base_path,
    decoder_options,
    decoder_path,
    fingerprint,
    needs_base,
    portable,
    weights_options,
    weights_path,
)
from .runtime import shared_weights
from .widgets import LoadWidgets, widget, widgets


class OSDFaceLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceLoadModel",
            display_name="Load OSDFace Model",
            category=sockets.LOADERS,
            description="Loads OSDFace, the one-step face restorer. Nodes that name the same weights share one copy.",
            search_aliases=[
                "face restoration model",
                "osdface loader",
                "osdface weights",
                "人脸修复模型",
                "顔復元モデル",
            ],
            inputs=[
                io.Combo.Input(
                    "weights",
                    options=weights_options(),
                    default=STARTER,
                    tooltip="What to restore with. Put a bundle (osdface weights convert) or a folder with the "
                    "authors' three files into models/osdface. The starter only shows that everything works.",
                ),
                io.Combo.Input(
                    "base",
                    options=base_options(),
                    default=NO_BASE,
                    tooltip="Only for the authors' files: the SD 2.1-base they change, from models/checkpoints or "
                    "models/diffusers. A bundle needs none.",
                ),
                widget(LoadWidgets, "precision"),
                *widgets(LoadWidgets, "encode_precision", "decode_precision", optional=True),
                io.Combo.Input(
                    "decoder",
                    options=decoder_options(),
                    default=FULL,
                    optional=True,
                    advanced=True,
                    tooltip="full for the result. taesd_decoder (in models/vae_approx) approximates it in a fraction "
                    "of the time, for previews and weak machines.",
                ),
                widget(Load, "compile", optional=True),
            ],
            outputs=[sockets.Model.Output(display_name="model")],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, weights: str | None, base: str | None, decoder: str | None = FULL) -> bool | str:
        """What is None another node will say. A base that is not needed may be anything."""
        asked = [("weights", weights, weights_path, "osdface"), ("decoder", decoder, decoder_path, "taesd")]
        if weights is not None and needs_base(portable(weights)):
            if base == NO_BASE:
                return "base: the authors' files change SD 2.1-base and do not contain it: choose it as base."
            asked.append(("base", base, base_path, "sd21-base"))
        for name, option, path_of, entry in asked:
            try:
                if option is not None:
                    path_of(option)
            except FileNotFoundError as error:
                return f"{name}: {error} Choose what is there. {entry_named(entry).how_to_get}"
        return True

    @classmethod
    def fingerprint_inputs(
        cls, weights: str | None, base: str | None, precision: str, decoder: str | None = FULL, **_others: object
    ) -> object:
        options = [(weights, weights_path), (decoder, decoder_path)]
        if weights is not None and needs_base(portable(weights)):
            options.append((base, base_path))
        return *(fingerprint(path_of(option)) for option, path_of in options if option is not None), precision

    @classmethod
    def execute(
        cls, weights: str, base: str, decoder: str = FULL, compile: bool = Load.compile, **precisions: str
    ) -> io.NodeOutput:
        """precisions: the widgets of LoadWidgets, by their names."""
        model = shared_weights(weights, base, **precisions, decoder=decoder, compiled=compile)
        return io.NodeOutput(model, ui={"text": [model.notice]})
