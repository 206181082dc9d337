"""Load OSDFace's weights, a face detector and a face embedder."""

from comfy_api.latest import io

from ..osdface_core.detect import DETECTORS
from ..osdface_core.embedders import ARCFACE
from ..osdface_core.weights.catalog import entry_named, entry_of
from . import sockets
from .folders import (
    AUTHORS,
    DETECTORS_KEY,
    EMBEDDERS_KEY,
    FOUND_WEIGHTS,
    FULL,
    NO_BASE,
    SAME,
    STARTER,
    base_options,
    base_path,
    decoder_options,
    decoder_path,
    detector_options,
    embedder_options,
    file_path,
    fingerprint,
    weights_options,
    weights_path,
)
from .runtime import shared_detector, shared_embedder, shared_weights


class OSDFaceLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceLoadModel",
            display_name="Load OSDFace Model",
            category=sockets.CATEGORY,
            description="Loads OSDFace, the one-step face restorer. Nodes that name the same weights share one copy.",
            search_aliases=["face restoration model", "osdface loader", "osdface weights"],
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
                io.Combo.Input(
                    "precision",
                    options=["auto", "fp32", "fp16", "bf16"],
                    default="auto",
                    advanced=True,
                    tooltip="Leave it at auto. fp32 if you compare with the authors' results; fp16 halves the memory; "
                    "bf16 only if fp16 gives black faces.",
                ),
                io.Combo.Input(
                    "encode_precision",
                    options=[SAME, "fp32", "fp16", "bf16"],
                    default=SAME,
                    optional=True,
                    advanced=True,
                    tooltip="Of the VAE's encoder alone, where another precision than the rest's serves you better.",
                ),
                io.Combo.Input(
                    "decode_precision",
                    options=[SAME, "fp32", "fp16", "bf16"],
                    default=SAME,
                    optional=True,
                    advanced=True,
                    tooltip="Of the VAE's decoder alone: fp32 for the finest gradients, at the price of time.",
                ),
                io.Combo.Input(
                    "decoder",
                    options=decoder_options(),
                    default=FULL,
                    optional=True,
                    advanced=True,
                    tooltip="full for the result. taesd_decoder (in models/vae_approx) approximates it in a fraction "
                    "of the time, for previews and weak machines.",
                ),
                io.Boolean.Input(
                    "compile",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="On takes minutes at the first face and saves time at every other: for long videos.",
                ),
            ],
            outputs=[sockets.Model.Output(display_name="model")],
        )

    @classmethod
    def validate_inputs(cls, weights: str, base: str) -> bool | str:
        try:
            weights_path(weights)
        except FileNotFoundError as error:
            return f"{error} Choose what is there. {entry_named('osdface').how_to_get}"
        try:
            base_path(base)
        except FileNotFoundError as error:
            return f"{error} Choose what is there. {entry_named('sd21-base').how_to_get}"
        if weights.startswith((AUTHORS, FOUND_WEIGHTS)) and base == NO_BASE:
            return "The authors' files change SD 2.1-base and do not contain it: choose it as base."
        return True

    @classmethod
    def fingerprint_inputs(
        cls, weights: str, base: str, precision: str, decoder: str = FULL, **_others: object
    ) -> object:
        paths = weights_path(weights), base_path(base), decoder_path(decoder)
        return *(fingerprint(path) for path in paths), precision

    @classmethod
    def execute(
        cls,
        weights: str,
        base: str,
        precision: str,
        encode_precision: str = SAME,
        decode_precision: str = SAME,
        decoder: str = FULL,
        compile: bool = False,
    ) -> io.NodeOutput:
        model = shared_weights(weights, base, precision, encode_precision, decode_precision, decoder, compile)
        return io.NodeOutput(model, ui={"text": [model.notice]})


class OSDFaceLoadDetector(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceLoadDetector",
            display_name="Load Face Detector (RetinaFace)",
            category=sockets.CATEGORY,
            description="Loads facexlib's RetinaFace, which finds faces and their five landmarks.",
            search_aliases=["face detection", "retinaface", "facexlib", "find faces"],
            inputs=[
                io.Combo.Input(
                    "detector",
                    options=detector_options(),
                    tooltip="Resnet50 misses fewer faces; mobilenet0.25 is smaller and faster. Files belong into "
                    "models/facedetection.",
                ),
            ],
            outputs=[sockets.Detector.Output(display_name="detector")],
        )

    @classmethod
    def validate_inputs(cls, detector: str) -> bool | str:
        if file_path(DETECTORS_KEY, detector) is None:
            name = detector if detector in DETECTORS.values() else next(iter(DETECTORS.values()))
            return f"{detector} is not on this machine. {entry_of(name).how_to_get}"
        return True

    @classmethod
    def fingerprint_inputs(cls, detector: str) -> object:
        return fingerprint(file_path(DETECTORS_KEY, detector))

    @classmethod
    def execute(cls, detector: str) -> io.NodeOutput:
        path = file_path(DETECTORS_KEY, detector)
        if path is None:
            raise FileNotFoundError(cls.validate_inputs(detector))
        return io.NodeOutput(shared_detector(path))


class OSDFaceLoadEmbedder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceLoadEmbedder",
            display_name="Load Face Embedder (ArcFace)",
            category=sockets.CATEGORY,
            description="Loads the network that tells people apart: whether a restored face is still the same person, "
            "and which face is somebody's.",
            search_aliases=["arcface", "face recognition", "identity", "face embedding", "mobilefacenet"],
            inputs=[
                io.Combo.Input(
                    "embedder",
                    options=embedder_options(),
                    tooltip="ArcFace is the one to trust; MobileFaceNet is 40 times smaller. Files belong into "
                    "models/facerecognition.",
                ),
            ],
            outputs=[sockets.Embedder.Output(display_name="embedder")],
        )

    @classmethod
    def validate_inputs(cls, embedder: str) -> bool | str:
        if file_path(EMBEDDERS_KEY, embedder) is None:
            return f"{embedder} is not on this machine. {entry_of(ARCFACE).how_to_get}"
        return True

    @classmethod
    def fingerprint_inputs(cls, embedder: str) -> object:
        return fingerprint(file_path(EMBEDDERS_KEY, embedder))

    @classmethod
    def execute(cls, embedder: str) -> io.NodeOutput:
        path = file_path(EMBEDDERS_KEY, embedder)
        if path is None:
            raise FileNotFoundError(cls.validate_inputs(embedder))
        return io.NodeOutput(shared_embedder(path))
