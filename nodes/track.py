"""Faces through a video: followed from frame to frame, and shown to the restorer without noise."""

from comfy_api.latest import io
from torch import Tensor

from ..osdface_core import FaceCrops, Faces
from ..osdface_core.detection.overlay import draw_numbers
from ..osdface_core.options import Video
from ..osdface_core.video.denoise import steady_crops
from ..osdface_core.video.track import find_cuts, thumbnails, track_faces
from . import sockets
from .widgets import widget, widgets


class OSDFaceTrack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceTrack",
            display_name="Track Faces (video)",
            category=sockets.VIDEO,
            description="Follows faces through the frames of a video: everyone keeps one number until the next cut, "
            "faces stop trembling, and frames in which a face was missed are filled in.",
            search_aliases=[
                "video face",
                "stabilize face",
                "flicker",
                "face tracking",
                "smooth landmarks",
                "视频人脸",
                "動画 顔",
            ],
            inputs=[
                io.Image.Input("image", tooltip="The frames of the video, in order: cuts are found in them."),
                sockets.Faces.Input("faces", tooltip="Connect Detect Faces, run on the same frames."),
                *widgets(Video, "smoothing", "max_gap"),
            ],
            outputs=[
                sockets.Faces.Output(display_name="faces"),
                io.Int.Output(display_name="count"),
                io.Image.Output(display_name="preview"),
            ],
        )

    @classmethod
    def execute(cls, image: Tensor, faces: Faces, smoothing: float, max_gap: int) -> io.NodeOutput:
        pixels = sockets.from_image(image)
        tracked = track_faces(faces, smoothing=smoothing, max_gap=max_gap, cuts=find_cuts(thumbnails(pixels)))
        count = len({face.index for face in tracked})
        return io.NodeOutput(tracked, count, sockets.to_image(draw_numbers(pixels, tracked)))


class OSDFaceSteadyCrops(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceSteadyCrops",
            display_name="Steady Face Crops (video)",
            category=sockets.VIDEO,
            description="Takes the noise of a video out of face crops before they are restored, so that the restored "
            "faces do not flicker. What moves, speaks or blinks stays as it is in its frame.",
            search_aliases=["deflicker", "temporal denoise", "video face", "flicker", "temporal smoothing"],
            inputs=[
                sockets.Crops.Input("crops", tooltip="Connect Crop Faces, with faces from Track Faces."),
                widget(Video, "steady", "smoothing"),
                widget(Video, "tolerance"),
            ],
            outputs=[
                sockets.Crops.Output(display_name="crops"),
                io.Image.Output(display_name="images"),
            ],
        )

    @classmethod
    def execute(cls, crops: FaceCrops, smoothing: float, tolerance: float) -> io.NodeOutput:
        steady = steady_crops(crops, smoothing=smoothing, tolerance=tolerance)
        return io.NodeOutput(steady, sockets.crops_to_image(steady.images))
