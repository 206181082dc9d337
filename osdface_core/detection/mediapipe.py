"""Faces from the meshes of MediaPipe's face landmarker, as ComfyUI's own nodes hand them on."""

from dataclasses import replace

import numpy as np

from ..errors import ImageError
from ..faces import Face, FaceReport, Faces
from ..geometry.align import CANNOT_ALIGN, OUTSIDE, can_be_aligned, lies_in
from ..serialization import Json

MESH, WITH_IRISES = 468, 478
"""How many points a mesh has."""

EYE_CORNERS, IRISES = ((33, 133), (362, 263)), ((468,), (473,))
NOSE_AND_MOUTH = ((1,), (61,), (291,))
"""The points whose mean is a landmark, those of the viewer's left first. Of the nose's ridge, 1 is nearest to what
RetinaFace calls its tip."""

NO_NUMBERS = "its landmarks are no numbers"


def faces_of_meshes(value: object, frames: int, height: int, width: int) -> Faces:
    """The faces in ComfyUI's FACE_LANDMARKS for a batch of `frames` images, numbered in the order they come in.

    value: {"frames": for every image [{"landmarks_xy": [468 or 478][2] in pixels, "score": 0..1}, ...], "image_size":
        (height, width)}; one image's faces go for all. The eyes are the irises of a mesh that has them, or else the
        means of the eyes' corners. A box is the extent of its mesh, on photographs 0.8 to 1.0 of RetinaFace's.
    Meshes that do not span a face in the image are left out, and why. Raises ImageError where `value` is something
    else, or of other images.
    """
    if not isinstance(value, dict):
        raise ImageError(f"These are no face landmarks, but a {type(value).__name__}.")
    try:
        per_frame = [[to_face(mesh) for mesh in meshes] for meshes in value["frames"]]
        size = tuple(value.get("image_size", (height, width)))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ImageError(
            f"These are no face landmarks ({type(error).__name__}: {error}). Expected what Detect Face Landmarks "
            f"(MediaPipe) gives: frames of faces, each with landmarks_xy [{MESH} or {WITH_IRISES}][2] in pixels."
        ) from error
    if size != (height, width):
        raise ImageError(
            f"The face landmarks are of an image of size {'x'.join(map(str, size[::-1]))}, but this one is "
            f"{width}x{height}. Detect them on this image."
        )
    if len(per_frame) == 1:
        per_frame *= frames
    if len(per_frame) != frames:
        raise ImageError(f"There are face landmarks for {len(per_frame)} images, but the batch has {frames}.")
    numbered = [
        replace(face, frame=frame, index=index) for frame, own in enumerate(per_frame) for index, face in enumerate(own)
    ]
    gone = tuple(FaceReport(blank(face), False, NO_NUMBERS) for face in numbered if not face.is_finite)
    faces = Faces(tuple(face for face in numbered if face.is_finite), frames, height, width, gone)
    faces = faces.keep((face for face in faces if can_be_aligned(face)), CANNOT_ALIGN)
    return faces.keep((face for face in faces if lies_in(face, faces)), OUTSIDE)


def to_face(mesh: Json) -> Face:
    """One mesh. Raises AttributeError, LookupError, TypeError or ValueError where it is none."""
    points = np.asarray(mesh["landmarks_xy"], np.float64)
    if points.shape not in ((MESH, 2), (WITH_IRISES, 2)):
        raise ValueError(f"landmarks_xy is {list(points.shape)}")
    eyes = IRISES if len(points) == WITH_IRISES else EYE_CORNERS
    landmarks = (points[list(chosen)].mean(0).tolist() for chosen in (*eyes, *NOSE_AND_MOUTH))
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    score = min(max(float(mesh.get("score", 1.0)), 0.0), 1.0)
    return Face(0, 0, (left, top, right, bottom), score, tuple((x, y) for x, y in landmarks))


def blank(face: Face) -> Face:
    """Which face it is, with no more: reports are JSON, which has no NaN."""
    return replace(face, box=(0.0, 0.0, 0.0, 0.0), score=0.0, landmarks=((0.0, 0.0),) * 5)
