"""Alignment: five landmarks to the FFHQ template, and the anti-aliased warp between photo and crop."""

from math import ceil, inf

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from ..faces import Face, FaceCrops, Faces, check_faces, check_finite, inverse
from ..options import Align
from .similarity import least_median

FFHQ_TEMPLATE_512 = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
"""Where the five landmarks of an FFHQ face lie in a 512x512 crop (facexlib's figures, and so every peer's)."""

MOST_SAMPLES = 256
"""What one pixel is averaged from at most, a side: an image that shrinks by more shows nothing anyway."""

OUTSIDE = "outside the image"
CANNOT_ALIGN = "its landmarks do not fit a face (is the photo upside down?)"


def ffhq_template(size: int) -> np.ndarray:
    """Where the landmarks lie in a crop of `size` pixels a side: [5,2]."""
    template: np.ndarray = (FFHQ_TEMPLATE_512 + 0.5) * size / 512 - 0.5
    return template


def similarity_to_crop(face: Face, size: int) -> Tensor:
    """The similarity transform [2,3] (float64) that takes source pixels to a crop of `size` pixels a side.

    Least median of squares, as facexlib fits it, so that one landmark far off does not tilt the crop. Raises ImageError
    where the landmarks have no extent.
    """
    matrix = least_median(np.array(face.landmarks, np.float64), ffhq_template(size))
    if not matrix.isfinite().all() or torch.linalg.det(matrix[:, :2]) < 1e-9:
        raise ImageError(
            f"Face {face.index} of frame {face.frame} cannot be aligned: its landmarks {face.landmarks} do not span "
            "a face. Leave it out."
        )
    return matrix


def can_be_aligned(face: Face) -> bool:
    """Whether the landmarks span a face of about the box's size and place. An upside-down face's often collapse."""
    left, top, right, bottom = face.box
    landmarks = np.array(face.landmarks, np.float64)
    away = abs(landmarks.mean(0) - [(left + right) / 2, (top + bottom) / 2])
    if not 1 <= face.size < inf or not (away < face.size).all():  # NaN is not either
        return False
    try:
        scale = torch.linalg.det(similarity_to_crop(face, 512)[:, :2]).sqrt().item()
    except ImageError:
        return False
    return 0.7 < 512 / scale / face.size < 3.5


def lies_in(face: Face, faces: Faces) -> bool:
    """Whether there is some of the face in its image, and not next to nothing."""
    left, top, right, bottom = face.box
    inside = left < faces.width and top < faces.height and right > 0 and bottom > 0
    return inside and face.size < 8 * max(faces.width, faces.height)


def whole_crops(images: Tensor) -> FaceCrops:
    """Images [N,3,S,S] that are aligned faces already, as the crops of a face in each."""
    count, _, size, _ = images.shape
    landmarks = tuple((float(x), float(y)) for x, y in ffhq_template(size))
    box = (0.0, 0.0, float(size), float(size))
    faces = tuple(Face(frame, 0, box, 1.0, landmarks) for frame in range(count))
    to_crop = torch.eye(2, 3, dtype=torch.float64).repeat(count, 1, 1)
    return FaceCrops(images, Faces(faces, count, size, size), to_crop)


def align_faces(image: Tensor, faces: Faces, size: int = Align.size) -> FaceCrops:
    """Cut an aligned crop of every face out of `image` [B,3,H,W].

    What lies outside the photo is filled with its mirror image, so that no grey border bleeds into the face. Faces that
    cannot be aligned are left out: `crops.faces` has those that are there, and why the others are not.

    size: the side of a crop, 8 to 8192 pixels.
    Raises OptionError for another, and ImageError for faces of another image, or an image that holds NaN or infinities.
    """
    check_faces(image, faces)
    Align(size).validate()
    check_finite(image, "image")
    faces = faces.keep((face for face in faces if can_be_aligned(face)), CANNOT_ALIGN)
    faces = faces.keep((face for face in faces if lies_in(face, faces)), OUTSIDE)
    if not len(faces):
        return FaceCrops(image.new_empty(0, 3, size, size), faces, torch.empty(0, 2, 3, dtype=torch.float64))
    to_crop = torch.stack([similarity_to_crop(face, size) for face in faces])
    crops = [cut(image[face.frame], matrix, size) for face, matrix in zip(faces, to_crop, strict=True)]
    return FaceCrops(torch.stack(crops), faces, to_crop)


def cut(image: Tensor, to_crop: Tensor, size: int, aperture: float = 1.0) -> Tensor:
    """One crop [3,S,S] of an image [3,H,W], reading only the part of the image that the crop shows."""
    height, width = image.shape[-2:]
    edge = torch.tensor([[-0.5, size - 0.5, -0.5, size - 0.5], [-0.5, -0.5, size - 0.5, size - 0.5]]).double()
    to_image = inverse(to_crop)
    corners = to_image[:, :2] @ edge + to_image[:, 2:]
    left, right = seen(corners[0], width)
    top, bottom = seen(corners[1], height)
    to_crop = to_crop.clone()
    to_crop[:, 2] += to_crop[:, :2] @ torch.tensor([left, top]).double()
    return warp(image[:, top:bottom, left:right], to_crop, (size, size), padding="reflection", aperture=aperture)


def seen(coordinates: Tensor, length: int) -> tuple[int, int]:
    """The range of pixels on an axis that these corners span, with the pixels that mirror what lies outside."""
    low, high = int(coordinates.min().floor()) - 1, int(coordinates.max().ceil()) + 1
    low, high = min(low, 2 * length - 1 - high), max(high, -low)
    return min(max(low, 0), length - 1), max(min(high + 1, length), 1)


def warp(
    image: Tensor,
    to_output: Tensor,
    size: tuple[int, int],
    *,
    padding: str = "zeros",
    spacing: float = 1.0,
    aperture: float = 1.0,
) -> Tensor:
    """Warp `image` [C,H,W] by an affine matrix [2,3] (image pixels to output pixels) into `size` (height, width).

    Bilinear. Where the output is coarser than the image, every output pixel averages samples that lie at most `spacing`
    image pixels apart, so that nothing aliases; an infinite spacing takes one sample, as facexlib and OpenCV do.
    `padding` is what lies outside the image: "zeros", "border" or "reflection". `aperture` is the share of an output
    pixel's side that is averaged, about its centre.
    """
    to_image = inverse(to_output.double())
    pixels_covered = torch.linalg.det(to_image[:, :2]).abs().sqrt().item() * aperture
    samples = min(max(1, ceil(pixels_covered / spacing - 1e-6)), MOST_SAMPLES)
    height, width = size
    within = ((torch.arange(samples, dtype=torch.float64) + 0.5) / samples - 0.5) * aperture
    x = (torch.arange(width)[:, None] + within).flatten()
    y = (torch.arange(height)[:, None] + within).flatten()
    grid = torch.empty(height * samples, width * samples, 2, device=image.device)
    for axis, length in enumerate((image.shape[2], image.shape[1])):
        along_x = to_image[axis, 0] * x * 2 / length
        along_y = (to_image[axis, 1] * y + to_image[axis, 2] + 0.5) * 2 / length - 1
        grid[..., axis] = along_x.to(grid)[None, :] + along_y.to(grid)[:, None]
    if padding == "border":  # which MPS does not have: nothing is taken from beyond the centres of the outermost pixels
        most = 1 - 1 / torch.tensor([image.shape[2], image.shape[1]], device=image.device)
        grid, padding = grid.minimum(most).maximum(-most), "reflection"
    output = F.grid_sample(image[None], grid[None], mode="bilinear", padding_mode=padding, align_corners=False)
    return F.avg_pool2d(output, samples)[0] if samples > 1 else output[0]
