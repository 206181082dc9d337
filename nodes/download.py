"""Get weights: only when this node runs, and only after a yes to their licence."""

from comfy_api.latest import io

from ..osdface_core.options import Download
from ..osdface_core.weights.catalog import CATALOG, Entry, entry_named
from . import sockets
from .folders import find_entry, fingerprint, folder_of
from .runtime import download_progress
from .widgets import widget


class OSDFaceDownloadWeights(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceDownloadWeights",
            display_name="Download Weights (OSDFace)",
            category=sockets.CATEGORY,
            description="Downloads weights into the folder where they belong. What is on this machine already is used "
            "where it is. Run it once, then press R so that the loaders see the new files.",
            search_aliases=[
                "download model",
                "get weights",
                "osdface weights",
                "huggingface download",
                "missing model",
            ],
            inputs=[
                io.Combo.Input(
                    "weights",
                    options=[entry.name for entry in CATALOG],
                    default=CATALOG[0].name,
                    tooltip="OSDFace needs osdface and sd21-base, and a retinaface to find the faces.",
                ),
                widget(Download, "accept_licence"),
            ],
            outputs=[io.String.Output(display_name="path")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, weights: str, accept_licence: bool) -> bool | str:
        entry = entry_named(weights)
        return True if accept_licence or find_entry(entry) else terms(entry)

    @classmethod
    def fingerprint_inputs(cls, weights: str, accept_licence: bool) -> object:
        return fingerprint(find_entry(entry_named(weights)))

    @classmethod
    def execute(cls, weights: str, accept_licence: bool) -> io.NodeOutput:
        from ..osdface_core.weights.download import download  # which brings what talks to servers

        entry = entry_named(weights)
        path = find_entry(entry)
        if path is None and not accept_licence:  # by a link, which nobody checks before a run
            raise PermissionError(terms(entry))
        path = path or download(entry, folder_of(entry), download_progress())
        return io.NodeOutput(str(path), ui={"text": [f"{entry.name} is here: {path}"]})


def terms(entry: Entry) -> str:
    """What an entry is and on which terms it comes, and how to agree."""
    return f"{entry.name}: {entry.about} To download it on these terms, switch accept licence on."
