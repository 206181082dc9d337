"""Prompts in ComfyUI's API format, as a person would wire them."""

from typing import Any

from spandrel_files import UPSCALER

from .client import DETECTOR, RESTORER
from .native_files import CHECKPOINT, FOLDER

Prompt = dict[str, Any]
STARTER = "starter (built in)"
AUTHORS = "authors' files in osdface"
FACE = {"x": 178, "y": 58, "width": 95, "height": 119}
"""Where the astronaut's face is, as another detector would say."""
SAVE_AS = {"format": "auto", "format.codec": "auto"}


def node(kind: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def loaders(image: str = "astronaut.png", weights: str = STARTER) -> Prompt:
    return {
        "image": node("LoadImage", image=image),
        "model": node("OSDFaceLoadModel", weights=weights, base="none", precision="auto"),
        "detector": node("OSDFaceLoadDetector", detector=DETECTOR),
    }


def restore_faces(image: Any = ("image", 0), **changes: Any) -> dict[str, Any]:
    inputs = {"faces": "all", "strength": 1.0, "threshold": 0.8, "batch_size": 4} | changes
    return node("OSDFaceRestoreFaces", image=list(image), model=["model", 0], detector=["detector", 0], **inputs)


def all_in_one(image: str = "astronaut.png", **changes: Any) -> Prompt:
    """Load, restore, save; the report as text."""
    return loaders(image) | {
        "restore": restore_faces(**changes),
        "save": node("SaveImage", images=["restore", 0], filename_prefix="all_in_one"),
        "report": node("PreviewAny", source=["restore", 4]),
    }


def small_faces(image: str = "astronaut.png", largest: int = 100) -> Prompt:
    """Faces up to a size by a light restorer, the others by OSDFace, all of them pasted at once."""
    steps = {"batch_size": 4, "sample": False, "seed": 0, "timestep": 399}
    return loaders(image) | {
        "light": node("OSDFaceLoadRestorer", restorer=RESTORER),
        "detect": node("OSDFaceDetect", image=["image", 0], detector=["detector", 0], threshold=0.8),
        "select": node("OSDFaceSelect", faces=["detect", 0], rule="largest", count=1000, numbers="0", max_size=largest),
        "small": node("OSDFaceCrop", image=["image", 0], faces=["select", 0], size=512),
        "large": node("OSDFaceCrop", image=["image", 0], faces=["select", 1], size=256),
        "restore small": node("OSDFaceRestore", model=["light", 0], crops=["small", 0], **steps),
        "restore large": node("OSDFaceRestore", model=["model", 0], crops=["large", 0], **steps),
        "join": node("OSDFaceJoinCrops", first=["restore small", 0], second=["restore large", 0]),
        "paste": node("OSDFacePaste", image=["image", 0], crops=["join", 0], strength=1.0, feather=0.1),
        "save": node("SaveImage", images=["paste", 0], filename_prefix="restored"),
        "report": node("PreviewAny", source=["paste", 2]),
    }


def upscaled_by_model(image: str = "astronaut.png") -> Prompt:
    """The photo enlarged by ComfyUI's own upscaling nodes, its faces restored and pasted into that."""
    return loaders(image) | {
        "upscaler": node("UpscaleModelLoader", model_name=UPSCALER),
        "large": node("ImageUpscaleWithModel", upscale_model=["upscaler", 0], image=["image", 0]),
        "restore": restore_faces(background=["large", 0], color="wavelet"),
        "save": node("SaveImage", images=["restore", 0], filename_prefix="restored"),
        "report": node("PreviewAny", source=["restore", 4]),
    }


def native_route(image: str = "astronaut.png") -> Prompt:
    """The all-in-one on ComfyUI's own SD 2.1-base."""
    prompt = all_in_one(image) | {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "model": node(
            "OSDFaceModelFromComfy", model=["checkpoint", 0], vae=["checkpoint", 2], weights=f"{AUTHORS}/{FOLDER}"
        ),
    }
    return prompt


def step_by_step(image: str = "astronaut.png", **changes: Any) -> Prompt:
    """Every stage in a node of its own. `changes`: inputs of nodes, by the node's name here."""
    prompt = loaders(image) | {
        "detect": node("OSDFaceDetect", image=["image", 0], detector=["detector", 0], threshold=0.8),
        "select": node("OSDFaceSelect", faces=["detect", 0], rule="largest", count=100, numbers="0"),
        "crop": node("OSDFaceCrop", image=["image", 0], faces=["select", 0], size=256),
        "prompt": node("OSDFaceEncodePrompt", model=["model", 0], crops=["crop", 0], batch_size=4),
        "restore": node(
            "OSDFaceRestore",
            model=["model", 0],
            crops=["crop", 0],
            prompt=["prompt", 0],
            batch_size=4,
            sample=False,
            seed=0,
            timestep=399,
        ),
        "set": node("OSDFaceSetCrops", crops=["crop", 0], images=["restore", 1]),
        "paste": node("OSDFacePaste", image=["image", 0], crops=["set", 0], strength=1.0, feather=0.1),
        "save": node("SaveImage", images=["paste", 0], filename_prefix="steps"),
        "report": node("PreviewAny", source=["paste", 2]),
        "map": node("PreviewImage", images=["prompt", 2]),
        "numbers": node("PreviewImage", images=["detect", 3]),
    }
    for name, inputs in changes.items():
        prompt[name]["inputs"] |= inputs
    return prompt


def video() -> Prompt:
    """A video from file to file, its faces tracked and steadied."""
    return loaders() | {
        "image": node("LoadVideo", file="astronaut.webm"),
        "frames": node("GetVideoComponents", video=["image", 0]),
        "detect": node("OSDFaceDetect", image=["frames", 0], detector=["detector", 0], threshold=0.8),
        "track": node("OSDFaceTrack", image=["frames", 0], faces=["detect", 0], smoothing=6.0, max_gap=5),
        "crop": node("OSDFaceCrop", image=["frames", 0], faces=["track", 0], size=256),
        "steady": node("OSDFaceSteadyCrops", crops=["crop", 0], smoothing=4.0, tolerance=0.03),
        "restore": node(
            "OSDFaceRestore",
            model=["model", 0],
            crops=["steady", 0],
            batch_size=4,
            sample=False,
            seed=0,
            timestep=399,
        ),
        "paste": node("OSDFacePaste", image=["frames", 0], crops=["restore", 0], strength=1.0, feather=0.1),
        "create": node("CreateVideo", images=["paste", 0], fps=["frames", 2], audio=["frames", 1]),
        "save": node("SaveVideo", video=["create", 0], filename_prefix="restored", **SAVE_AS),
    }
