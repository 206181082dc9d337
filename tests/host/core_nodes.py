"""ComfyUI's own nodes that our workflows use, as far as they need them."""

import os
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .fakes import FolderPaths, Schema, custom

Images, Masks, Text, Number = custom("IMAGE"), custom("MASK"), custom("STRING"), custom("FLOAT")
Video, Audio, Whole, Choice = custom("VIDEO"), custom("AUDIO"), custom("INT"), custom("COMBO")
Boxes, Dynamic = custom("BOUNDING_BOX"), custom("COMFY_DYNAMICCOMBO_V3")


class Listed(list[Any]):
    """An output that is a list: the nodes behind it run once for each of its values."""


FLIPS = ["x-axis: vertically", "y-axis: horizontally"]


def input_files(folders: FolderPaths, *suffixes: str, folder: str = "") -> list[str]:
    return sorted(file for file in os.listdir(os.path.join(folders.base, "input", folder)) if file.endswith(suffixes))


def input_folders(folders: FolderPaths) -> list[str]:
    return sorted(entry.name for entry in os.scandir(os.path.join(folders.base, "input")) if entry.is_dir())


def only(key: str, *inputs: Any) -> dict[str, Any]:
    """One option of a dynamic combo, with the inputs that it brings."""
    return {"key": key, "inputs": {"required": {item.id: item.as_v1() for item in inputs}}}


def read_video(path: str) -> tuple[torch.Tensor, float]:
    """The frames [B,H,W,3] and their rate."""
    capture = cv2.VideoCapture(path)
    frames = []
    while (read := capture.read())[0]:
        frames.append(torch.from_numpy(read[1][..., ::-1].copy()).float() / 255)
    return torch.stack(frames), capture.get(cv2.CAP_PROP_FPS)


def write_video(path: str, frames: torch.Tensor, fps: float) -> None:
    """As WebM, which every browser plays."""
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"VP80"), fps, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray((frame * 255).clamp(0, 255).byte().numpy()[..., ::-1]))
    writer.release()


def make(folders: FolderPaths) -> dict[str, tuple[Schema, Any]]:
    """Schema and function of every node, by id."""

    def load_image(image: str) -> tuple[Any, ...]:
        picture = Image.open(os.path.join(folders.base, "input", image))
        values = torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255
        mask = torch.zeros(1, 64, 64)
        if "A" in picture.getbands():
            mask = 1 - torch.from_numpy(np.array(picture.getchannel("A"))).float()[None] / 255
        return values, mask

    def save(images: torch.Tensor, prefix: str, kind: str) -> dict[str, Any]:
        written = []
        assert images[0] is not None  # like the real node, fails where there is no image
        for image in images:
            number = len(os.listdir(os.path.join(folders.base, kind))) + 1
            name = f"{prefix}_{number:05}_.png"
            levels = (image * 255).clamp(0, 255).to(torch.uint8).numpy()
            Image.fromarray(levels).save(os.path.join(folders.base, kind, name))
            written.append({"filename": name, "subfolder": "", "type": kind})
        return {"images": written}

    def load_folder(folder: str) -> tuple[Any, ...]:
        files = input_files(folders, ".png", ".jpg", folder=folder)
        return (Listed(load_image(os.path.join(folder, file))[0] for file in files),)

    def compare(image_a: torch.Tensor, image_b: torch.Tensor, **_view: Any) -> dict[str, Any]:
        sides = {"a_images": image_a, "b_images": image_b}
        return {name: save(images, name, "temp")["images"] for name, images in sides.items()}

    def scale_by(image: torch.Tensor, upscale_method: str, scale_by: float) -> tuple[Any, ...]:
        scaled = F.interpolate(image.movedim(-1, 1), scale_factor=scale_by, mode="bicubic").movedim(1, -1)
        return (scaled.clamp(0, 1),)

    def load_upscaler(model_name: str) -> tuple[Any, ...]:
        from spandrel import ModelLoader  # which the server's start need not wait for

        return (ModelLoader().load_from_file(folders.get_full_path_or_raise("upscale_models", model_name)).eval(),)

    def save_video(video: tuple[torch.Tensor, float], filename_prefix: str, **_format: str) -> dict[str, Any]:
        number = len(os.listdir(os.path.join(folders.base, "output"))) + 1
        name = f"{filename_prefix}_{number:05}_.webm"
        write_video(os.path.join(folders.base, "output", name), *video)
        return {"images": [{"filename": name, "subfolder": "", "type": "output"}], "animated": [True]}

    combo = custom("COMBO")
    return {
        "LoadVideo": (
            Schema(
                "LoadVideo",
                [combo.Input("file", options=input_files(folders, ".webm", ".mp4"), video_upload=True)],
                [Video.Output()],
                display_name="Load Video",
                category="video",
            ),
            lambda file, **_upload: (read_video(os.path.join(folders.base, "input", file)),),
        ),
        "GetVideoComponents": (
            Schema(
                "GetVideoComponents",
                [Video.Input("video")],
                [
                    Images.Output(display_name="images"),
                    Audio.Output(display_name="audio"),
                    Number.Output(display_name="fps"),
                    Whole.Output(display_name="bit_depth"),
                    Choice.Output(display_name="color_space"),
                ],
                display_name="Get Video Components",
                category="video",
            ),
            lambda video: (video[0], None, video[1], 8, "sRGB"),
        ),
        "CreateVideo": (
            Schema(
                "CreateVideo",
                [
                    Images.Input("images"),
                    Number.Input("fps", default=30.0, min=1.0, max=120.0, step=1.0),
                    Audio.Input("audio", optional=True),
                    Whole.Input("bit_depth", optional=True, default=8, min=8, max=10, step=2),
                ],
                [Video.Output()],
                display_name="Create Video",
                category="video",
            ),
            lambda images, fps, audio=None, bit_depth=8: ((images, fps),),
        ),
        "SaveVideo": (
            Schema(
                "SaveVideo",
                [
                    Video.Input("video"),
                    Text.Input("filename_prefix", default="video/ComfyUI"),
                    Dynamic.Input("format", options=[only("auto", Dynamic.Input("codec", options=[only("auto")]))]),
                ],
                [Video.Output()],
                display_name="Save Video",
                category="video",
                is_output_node=True,
            ),
            save_video,
        ),
        "LoadImage": (
            Schema(
                "LoadImage",
                [combo.Input("image", options=input_files(folders, ".png", ".jpg"), image_upload=True)],
                [Images.Output(), Masks.Output()],
                display_name="Load Image",
                category="image",
            ),
            load_image,
        ),
        "SaveImage": (
            Schema(
                "SaveImage",
                [Images.Input("images"), Text.Input("filename_prefix", default="ComfyUI")],
                display_name="Save Image",
                category="image",
                is_output_node=True,
            ),
            lambda images, filename_prefix: save(images, filename_prefix, "output"),
        ),
        "PreviewImage": (
            Schema(
                "PreviewImage",
                [Images.Input("images")],
                display_name="Preview Image",
                category="image",
                is_output_node=True,
            ),
            lambda images: save(images, "preview", "temp"),
        ),
        "PreviewAny": (
            Schema(
                "PreviewAny",
                [custom("*").Input("source")],
                [Text.Output()],
                display_name="Preview as Text",
                category="utilities",
                is_output_node=True,
            ),
            lambda source: {"text": [str(source)]},
        ),
        "ImageCompare": (
            Schema(
                "ImageCompare",
                [
                    Images.Input("image_a", optional=True),
                    Images.Input("image_b", optional=True),
                    custom("IMAGECOMPARE").Input("compare_view", socketless=True),
                ],
                display_name="Compare Images",
                category="image",
                is_output_node=True,
            ),
            compare,
        ),
        "LoadImageDataSetFromFolder": (
            Schema(
                "LoadImageDataSetFromFolder",
                [combo.Input("folder", options=input_folders(folders))],
                [Images.Output(display_name="images")],
                display_name="Load Image (from Folder)",
                category="image",
            ),
            load_folder,
        ),
        "LoadMediaPipeFaceLandmarker": (
            Schema(
                "LoadMediaPipeFaceLandmarker",
                [combo.Input("model_name", options=folders.get_filename_list("detection"))],
                [custom("FACE_DETECTION_MODEL").Output()],
                display_name="Load Face Detection Model (MediaPipe)",
                category="model/loaders",
            ),
            None,
        ),
        "MediaPipeFaceLandmarker": (
            Schema(
                "MediaPipeFaceLandmarker",
                [
                    custom("FACE_DETECTION_MODEL").Input("face_detection_model"),
                    Images.Input("image"),
                    combo.Input("detector_variant", options=["short", "full", "both"], default="short"),
                    Whole.Input("num_faces", default=1, min=0, max=16, step=1),
                    Number.Input("min_confidence", default=0.5, min=0.0, max=1.0, step=0.01, advanced=True),
                    combo.Input("missing_frame_fallback", options=["empty", "previous", "interpolate"]),
                ],
                [custom("FACE_LANDMARKS").Output(display_name="face_landmarks"), Boxes.Output("bboxes")],
                display_name="Detect Face Landmarks (MediaPipe)",
                category="image/detection",
            ),
            None,
        ),
        "CheckpointLoaderSimple": (
            Schema(
                "CheckpointLoaderSimple",
                [combo.Input("ckpt_name", options=folders.get_filename_list("checkpoints"))],
                [custom("MODEL").Output(), custom("CLIP").Output(), custom("VAE").Output()],
                display_name="Load Checkpoint",
                category="loaders",
            ),
            None,  # for the workflows' sake: to run, it takes ComfyUI's own models
        ),
        "ImageScaleBy": (
            Schema(
                "ImageScaleBy",
                [
                    Images.Input("image"),
                    combo.Input("upscale_method", options=["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]),
                    Number.Input("scale_by", default=1.0, min=0.01, max=8.0, step=0.01),
                ],
                [Images.Output()],
                display_name="Upscale Image By",
                category="image/upscaling",
            ),
            scale_by,
        ),
        "UpscaleModelLoader": (
            Schema(
                "UpscaleModelLoader",
                [combo.Input("model_name", options=folders.get_filename_list("upscale_models"))],
                [custom("UPSCALE_MODEL").Output()],
                display_name="Load Upscale Model",
                category="loaders",
            ),
            load_upscaler,
        ),
        "ImageUpscaleWithModel": (
            Schema(
                "ImageUpscaleWithModel",
                [custom("UPSCALE_MODEL").Input("upscale_model"), Images.Input("image")],
                [Images.Output()],
                display_name="Upscale Image (using Model)",
                category="image/upscaling",
            ),
            lambda upscale_model, image: (upscale_model(image.movedim(-1, 1)).movedim(1, -1).clone(),),
        ),
        "ImageBatch": (
            Schema(
                "ImageBatch",
                [Images.Input("image1"), Images.Input("image2")],
                [Images.Output()],
                display_name="Batch Images",
                category="image",
            ),
            lambda image1, image2: (torch.cat([image1, image2]),),
        ),
        "PrimitiveBoundingBox": (
            Schema(
                "PrimitiveBoundingBox",
                [
                    Whole.Input("x", default=0, min=0, max=16384),
                    Whole.Input("y", default=0, min=0, max=16384),
                    Whole.Input("width", default=512, min=1, max=16384),
                    Whole.Input("height", default=512, min=1, max=16384),
                ],
                [Boxes.Output()],
                display_name="Bounding Box",
                category="utilities/primitive",
            ),
            lambda **box: (box,),
        ),
        "ImageFlip": (
            Schema(
                "ImageFlip",
                [
                    Images.Input("image"),
                    combo.Input("flip_method", options=FLIPS),
                ],
                [Images.Output()],
                display_name="Flip Image",
                category="image/transform",
            ),
            lambda image, flip_method: (image.flip(1 if flip_method == FLIPS[0] else 2),),
        ),
    }
