"""Get weights: only when this node runs, and only after a person's yes to their licences (nodes/licences.py)."""

from collections.abc import Iterable

from comfy_api.latest import io

from ..osdface_core.command import command
from ..osdface_core.options import Download
from ..osdface_core.weights.catalog import CATALOG, NEEDED, Entry, entry_named
from ..osdface_core.weights.consent import has_agreed
from . import sockets
from .folders import find_entry, fingerprint, folder_of
from .runtime import download_progress
from .widgets import widget

EVERYTHING = "everything OSDFace needs"


class OSDFaceDownloadWeights(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceDownloadWeights",
            display_name="Download Weights (OSDFace)",
            category=sockets.LOADERS,
            description="Downloads weights into the folder where they belong, once you agree to their licences. What "
            "is on this machine already is used where it is.",
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
                    options=[EVERYTHING, *(entry.name for entry in CATALOG)],
                    default=EVERYTHING,
                    tooltip="Leave it at everything, or take a single entry. Read the licences below, and press the "
                    "button under them if you agree; then run.",
                ),
                widget(
                    Download,
                    "accept_licence",
                    optional=True,
                    advanced=True,
                    tooltip="Leave it. It is here for older workflows and does nothing by itself: agreement is yours, "
                    "not a workflow's.",
                ),
            ],
            outputs=[io.String.Output(display_name="path")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, weights: str | None) -> bool | str:
        if weights is None:  # another node will say which
            return True
        try:
            refused = [entry for entry in missing(weights) if not has_agreed(entry)]
        except KeyError as error:
            return str(error.args[0])
        return terms(refused) if refused else True

    @classmethod
    def fingerprint_inputs(cls, weights: str | None, **_others: object) -> object:
        return [fingerprint(find_entry(entry)) for entry in entries(weights)] if weights is not None else None

    @classmethod
    def execute(cls, weights: str, accept_licence: bool = False) -> io.NodeOutput:
        from ..osdface_core.weights.download import download  # which brings what talks to servers

        if refused := [entry for entry in missing(weights) if not has_agreed(entry)]:  # by a link, not checked before
            raise PermissionError(terms(refused))
        on_progress = download_progress()
        places = {
            entry: find_entry(entry) or download(entry, folder_of(entry), on_progress) for entry in entries(weights)
        }
        said = [f"{entry.name} is here: {place}" for entry, place in places.items()]
        return io.NodeOutput("\n".join(map(str, places.values())), ui={"text": said})


def entries(weights: str) -> list[Entry]:
    """What an option stands for. Raises KeyError."""
    return [entry_named(name) for name in (NEEDED if weights == EVERYTHING else (weights,))]


def missing(weights: str) -> list[Entry]:
    """What of that is not on this machine. Raises KeyError."""
    return [entry for entry in entries(weights) if find_entry(entry) is None]


def terms(refused: Iterable[Entry]) -> str:
    """What entries are and on which terms they come, and how to agree."""
    about = "\n".join(f"{entry.name}: {entry.about}" for entry in refused)
    names = " ".join(entry.name for entry in refused)
    return (
        f"{about}\nTo download on these terms, press the button of this node that says so, or type "
        f"`{command()} weights download {names} --accept` where there is no browser."
    )
