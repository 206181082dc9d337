"""Whether restored faces are still the same people."""

from comfy_api.latest import io

from ..osdface_core import FaceCrops
from ..osdface_core.compositing.paste import report_of
from ..osdface_core.options import Paste
from ..osdface_core.recognition.identity import check_identity
from . import sockets
from .runtime import Resident
from .widgets import widget


class OSDFaceIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceIdentity",
            display_name="Face Identity Similarity",
            category=sockets.STAGES,
            description="Measures how much every restored face is still the same person, and can leave out those that "
            "are not: Paste Faces then keeps the photo's own face.",
            search_aliases=["identity", "arcface", "face similarity", "same person", "likeness"],
            inputs=[
                sockets.Crops.Input("restored", tooltip="Connect Restore Crops, or Match Face Colors after it."),
                sockets.Crops.Input("source", tooltip="Connect Crop Faces: the same faces before restoration."),
                sockets.Embedder.Input("embedder", tooltip="Connect Load Face Embedder."),
                widget(Paste, "min_identity", advanced=False),
            ],
            outputs=[
                sockets.Crops.Output(display_name="crops"),
                io.Float.Output(display_name="similarity"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(cls, restored: FaceCrops, source: FaceCrops, embedder: Resident, min_identity: float) -> io.NodeOutput:
        checked = check_identity(embedder.use(), source, restored, min_identity)
        report = report_of(checked, [""] * len(checked))
        measured = {entry: entry.identity for entry in report if entry.identity is not None}
        lines = [
            f"{sockets.named(entry.face, checked)}: {identity:.2f}" + ("" if entry.restored else ", left as it was")
            for entry, identity in measured.items()
        ]
        lowest = min(measured.values(), default=1.0)
        return io.NodeOutput(checked, lowest, "\n".join(lines))
