"""Find faces, or take the boxes or landmarks of another detector."""

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..osdface_core.detection.boxes import faces_of_boxes
from ..osdface_core.detection.mediapipe import faces_of_meshes
from ..osdface_core.detection.overlay import draw_numbers
from ..osdface_core.errors import ImageError
from ..osdface_core.options import Detect
from ..osdface_core.pipeline import within_limits
from . import sockets
from .runtime import Resident
from .widgets import widget, widgets

TRUSTED = "no detector is connected: every box is taken for an upright face"


class OSDFaceDetect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceDetect",
            display_name="Detect Faces",
            category=sockets.STAGES,
            description="Finds the faces in every image of a batch and numbers them in reading order. With boxes from "
            "another detector, looks for the landmarks inside them; with MediaPipe's landmarks, takes those. The "
            "preview shows the numbers.",
            search_aliases=["face detection", "find faces", "face bbox", "landmarks", "人脸检测", "顔検出"],
            inputs=[
                io.Image.Input("image", tooltip="The photo, or the frames of a video."),
                sockets.Detector.Input(
                    "detector",
                    optional=True,
                    tooltip="Connect Load Face Detector. Without it boxes are trusted to hold an upright face each; "
                    "face landmarks need none.",
                ),
                widget(Detect, "threshold"),
                io.BoundingBox.Input(
                    "boxes",
                    optional=True,
                    force_input=True,
                    socketless=False,
                    tooltip="Connect another detector's boxes to take those faces, in their order, at any threshold. "
                    "Boxes without a face in them are left out. Leave it open to detect.",
                ),
                *widgets(Detect, "min_size", "max_size", "max_count", "any_rotation", optional=True),
                sockets.FaceLandmarks.Input(
                    "face_landmarks",
                    optional=True,
                    tooltip="Connect Detect Face Landmarks (MediaPipe) to take its faces and their landmarks as they "
                    "are, in any rotation: nothing is detected. Not together with boxes.",
                ),
            ],
            outputs=[
                sockets.Faces.Output(display_name="faces"),
                io.BoundingBox.Output(display_name="boxes"),
                io.Int.Output(display_name="count"),
                io.Image.Output(display_name="preview"),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        detector: Resident | None = None,
        boxes: object = None,
        face_landmarks: object = None,
        **options: Any,
    ) -> io.NodeOutput:
        """options: those of the core, by their names."""
        chosen = Detect(**options)
        chosen.validate()
        pixels = sockets.from_image(image)
        if face_landmarks is not None:
            if boxes is not None:
                raise ImageError("Boxes and face landmarks are both connected. Disconnect one of them.")
            faces = faces_of_meshes(face_landmarks, len(pixels), *pixels.shape[2:])
        elif boxes is not None:
            per_frame = sockets.from_bounding_boxes(boxes, len(pixels))
            if detector is None:
                faces = faces_of_boxes(per_frame, *pixels.shape[2:])
            else:
                faces = detector.use().look_inside(pixels, per_frame, any_rotation=chosen.any_rotation)
        elif detector is None:
            raise ImageError(
                "There is nothing to find the faces with: connect Load Face Detector, boxes or face landmarks."
            )
        else:
            faces = detector.use().detect(pixels, threshold=chosen.threshold, any_rotation=chosen.any_rotation)
        faces = within_limits(faces, chosen)
        preview = sockets.to_image(draw_numbers(pixels, faces))
        trusted = boxes is not None and detector is None
        text = f"{faces.summary()}\n{TRUSTED}" if trusted else faces.summary()
        return io.NodeOutput(faces, faces.to_bounding_boxes(), len(faces), preview, ui={"text": [text]})
