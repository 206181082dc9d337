"""Cut aligned crops out of images, put edited pixels back into them, and bring crops together again."""

from comfy_api.latest import io
from torch import Tensor

from ..osdface_core import FaceCrops, Faces, align_faces
from ..osdface_core.compositing.join import join_crops
from ..osdface_core.options import Align
from . import sockets
from .runtime import intermediate, log
from .widgets import widget


class OSDFaceCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceCrop",
            display_name="Crop Faces (aligned)",
            category=sockets.STAGES,
            description="Cuts every face out upright and at one size, as face restorers want it. Any other restorer or "
            "upscaler can work on the images; Set Face Crops takes them back.",
            search_aliases=["align face", "crop face", "ffhq", "warp face"],
            inputs=[
                io.Image.Input("image", tooltip="The image the faces were found in."),
                sockets.Faces.Input("faces", tooltip="Connect Detect Faces or Select Faces."),
                widget(Align, "size"),
            ],
            outputs=[
                sockets.Crops.Output(display_name="crops"),
                io.Image.Output(display_name="images"),
            ],
        )

    @classmethod
    def execute(cls, image: Tensor, faces: Faces, size: int) -> io.NodeOutput:
        crops = align_faces(intermediate(sockets.from_image(image)), faces, size)
        for entry in crops.faces.skipped[len(faces.skipped) :]:
            log.warning("OSDFace: face %d of image %d left out: %s", entry.face.index, entry.face.frame, entry.reason)
        return io.NodeOutput(crops, sockets.crops_to_image(crops.images))


class OSDFaceSetCrops(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceSetCrops",
            display_name="Set Face Crops",
            category=sockets.STAGES,
            description="Puts images from any other node in place of the face crops, to be pasted back.",
            search_aliases=["replace crops", "face crops from image", "other restorer"],
            inputs=[
                sockets.Crops.Input("crops", tooltip="The crops the images were made from; they know where each goes."),
                io.Image.Input("images", tooltip="One square image for every crop, in the same order. Any size."),
            ],
            outputs=[sockets.Crops.Output(display_name="crops")],
        )

    @classmethod
    def execute(cls, crops: FaceCrops, images: Tensor) -> io.NodeOutput:
        if not len(crops):
            return io.NodeOutput(crops)
        return io.NodeOutput(crops.with_images(intermediate(sockets.from_image(images))))


class OSDFaceJoinCrops(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceJoinCrops",
            display_name="Join Face Crops",
            category=sockets.STAGES,
            description="Brings two groups of face crops of the same images together again, so that Paste Faces pastes "
            "all of them at once.",
            search_aliases=["merge crops", "combine faces", "concat crops", "two restorers"],
            inputs=[
                sockets.Crops.Input("first", tooltip="For example the small faces, restored by one restorer."),
                sockets.Crops.Input("second", tooltip="The other faces of the same images, restored by another."),
            ],
            outputs=[
                sockets.Crops.Output(display_name="crops"),
                io.Image.Output(display_name="images"),
            ],
        )

    @classmethod
    def execute(cls, first: FaceCrops, second: FaceCrops) -> io.NodeOutput:
        crops = join_crops(first, second)
        return io.NodeOutput(crops, sockets.crops_to_image(crops.images))
