"""The list of nodes. Their ids are for ever: workflows name them."""

from comfy_api.latest import ComfyExtension, io

from .color import OSDFaceMatchColor
from .crop import OSDFaceCrop, OSDFaceJoinCrops, OSDFaceSetCrops
from .detect import OSDFaceDetect
from .download import OSDFaceDownloadWeights
from .folders import register_folders
from .identity import OSDFaceIdentity
from .licences import register_routes
from .load import OSDFaceLoadModel
from .load_network import OSDFaceLoadDetector, OSDFaceLoadEmbedder, OSDFaceLoadParser, OSDFaceLoadRestorer
from .mask import OSDFaceMask
from .native import OSDFaceModelFromComfy
from .paste import OSDFacePaste
from .prompt import OSDFaceEncodePrompt
from .restore import OSDFaceRestore
from .restore_faces import OSDFaceRestoreFaces
from .samples import place_samples
from .select import OSDFaceSelect, OSDFaceSelectPerson, OSDFaceSkipSharp
from .track import OSDFaceSteadyCrops, OSDFaceTrack


class OSDFaceExtension(ComfyExtension):
    def __init__(self) -> None:
        register_folders()
        register_routes()
        place_samples()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            OSDFaceRestoreFaces,
            OSDFaceLoadModel,
            OSDFaceModelFromComfy,
            OSDFaceLoadDetector,
            OSDFaceLoadEmbedder,
            OSDFaceDownloadWeights,
            OSDFaceDetect,
            OSDFaceTrack,
            OSDFaceSelect,
            OSDFaceCrop,
            OSDFaceSteadyCrops,
            OSDFaceSelectPerson,
            OSDFaceSkipSharp,
            OSDFaceEncodePrompt,
            OSDFaceRestore,
            OSDFaceSetCrops,
            OSDFaceMatchColor,
            OSDFaceIdentity,
            OSDFaceLoadParser,
            OSDFaceMask,
            OSDFacePaste,
            OSDFaceLoadRestorer,
            OSDFaceJoinCrops,
        ]
