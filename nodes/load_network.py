"""Load networks from one file each: a face detector, embedder, parser, and restorers other than OSDFace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from comfy_api.latest import io
from torch import nn

from ..osdface_core.compositing.parsing import BISENET, PARSENET, load_parser
from ..osdface_core.detection.load import DETECTORS, load_detector
from ..osdface_core.recognition.embedders import ARCFACE, load_embedder
from ..osdface_core.weights.catalog import entry_of
from . import sockets
from .folders import (
    DETECTORS_KEY,
    EMBEDDERS_KEY,
    GFPGAN,
    NOTHING,
    RESTOREFORMER,
    RESTORERS_KEY,
    detector_options,
    embedder_options,
    file_path,
    fingerprint,
    parser_options,
    restorer_options,
)
from .runtime import shared_network, shared_restorer


class NetworkLoader(io.ComfyNode):
    """A node with one input, whatever its name: the file of a network that all nodes share."""

    key: ClassVar[str]
    """Of its folders in folder_paths."""
    known: ClassVar[tuple[str, ...]]
    """The files that can be downloaded, best first."""
    read: ClassVar[Callable[[Path], nn.Module]]

    @classmethod
    def load(cls, path: Path) -> Any:
        """What goes out of the node."""
        return shared_network(path, cls.read)

    @classmethod
    def validate_inputs(cls, **inputs: str | None) -> bool | str:
        for file in inputs.values():  # None: another node will say which
            if file is not None and file_path(cls.key, file) is None:
                wanted = file if file in cls.known else cls.known[0]
                named = wanted if file == NOTHING else file
                return f"{named} is not on this machine. {entry_of(wanted).how_to_get}"
        return True

    @classmethod
    def fingerprint_inputs(cls, **inputs: str | None) -> object:
        return [fingerprint(file_path(cls.key, file)) for file in inputs.values() if file is not None]

    @classmethod
    def execute(cls, **inputs: str) -> io.NodeOutput:
        (file,) = inputs.values()
        path = file_path(cls.key, file)
        if path is None:
            raise FileNotFoundError(cls.validate_inputs(file=file))
        network = cls.load(path)
        return io.NodeOutput(network, ui={"text": [network.notice]})


class OSDFaceLoadDetector(NetworkLoader):
    key, known, read = DETECTORS_KEY, tuple(DETECTORS.values()), load_detector

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceLoadDetector",
            display_name="Load Face Detector (RetinaFace)",
            category=sockets.LOADERS,
            description="Loads facexlib's RetinaFace, which finds faces and their five landmarks.",
            search_aliases=["face detection", "retinaface", "facexlib", "find faces"],
            inputs=[
                io.Combo.Input(
                    "detector",
                    options=detector_options(),
                    tooltip="Resnet50 misses the fewest faces; mobilenet0.25 and the starter are smaller and faster. "
                    "Files belong into models/facedetection.",
                ),
            ],
            outputs=[sockets.Detector.Output(display_name="detector")],
            has_intermediate_output=True,
        )


class OSDFaceLoadEmbedder(NetworkLoader):
    key, known, read = EMBEDDERS_KEY, (ARCFACE,), load_embedder

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceLoadEmbedder",
            display_name="Load Face Embedder (ArcFace)",
            category=sockets.LOADERS,
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


class OSDFaceLoadParser(NetworkLoader):
    key, known, read = DETECTORS_KEY, (PARSENET, BISENET), load_parser

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceLoadParser",
            display_name="Load Face Parser (ParseNet)",
            category=sockets.LOADERS,
            description="Loads the network that tells skin, hair, glasses and background apart in a face.",
            search_aliases=["face parsing", "parsenet", "bisenet", "face segmentation"],
            inputs=[
                io.Combo.Input(
                    "parser",
                    options=parser_options(),
                    tooltip="facexlib's ParseNet or BiSeNet. Files belong into models/facedetection.",
                ),
            ],
            outputs=[sockets.Parser.Output(display_name="parser")],
        )


class OSDFaceLoadRestorer(NetworkLoader):
    key, known = RESTORERS_KEY, (GFPGAN, RESTOREFORMER)

    @classmethod
    def load(cls, path: Path) -> Any:
        return shared_restorer(path)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceLoadRestorer",
            display_name="Load Face Restorer",
            category=sockets.LOADERS,
            description="Loads GFPGAN, RestoreFormer or CodeFormer: faster than OSDFace, and enough for small faces. "
            "It goes wherever an OSDFace model goes.",
            search_aliases=["gfpgan", "restoreformer", "codeformer", "face restore model", "facerestore", "reactor"],
            inputs=[
                io.Combo.Input(
                    "restorer",
                    options=restorer_options(),
                    tooltip="GFPGAN is the fastest, RestoreFormer keeps more of a person. Files belong into "
                    "models/facerestore_models.",
                ),
            ],
            outputs=[sockets.Model.Output(display_name="model")],
            has_intermediate_output=True,
        )
