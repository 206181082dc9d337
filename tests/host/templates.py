"""The templates that come with the pack: what is in each, and where it stands.

Their file names are the titles that the frontend shows.
"""

from dataclasses import dataclass, field
from typing import Any

from .client import RESTORER
from .graphs import STARTER, Prompt, loaders, native_route, node, restore_faces, small_faces, step_by_step, video

PORTRAIT, OLD, GROUP, CLIP = (f"osdface_{name}" for name in ("portrait.jpg", "old_photo.jpg", "group.jpg", "clip.webm"))
ALBUM = "osdface"
FACE = {"x": 145, "y": 120, "width": 220, "height": 290}
"""Where the portrait's face is, as another detector would say."""
MESH = "mediapipe_face_fp32.safetensors"
UPSCALER = "RealESRGAN_x4plus.safetensors"
HUB = "https://huggingface.co/Comfy-Org"
MODELS = {
    "LoadMediaPipeFaceLandmarker": [(MESH, f"{HUB}/mediapipe/resolve/main/detection/{MESH}", "detection")],
    "UpscaleModelLoader": [(UPSCALER, f"{HUB}/Real-ESRGAN_repackaged/resolve/main/{UPSCALER}", "upscale_models")],
}
"""Name, address and folder of the files that the frontend may offer to download for a node."""


@dataclass(frozen=True)
class Template:
    prompt: Prompt
    columns: list[list[str]]
    """Where the nodes stand, by their names in the prompt. "note" is the note."""
    app: dict[str, list[Any]] = field(default_factory=dict)
    """What it asks for and shows as an app: "inputs", pairs of a node and its widget, and "outputs", nodes."""
    needs: str = ""
    """What has to be downloaded before it can run."""
    sample: str = PORTRAIT
    """The photo that its picture is made of."""


def saved(prompt: Prompt, image: list[Any], before: str = "image") -> Prompt:
    """With the detector that every machine has, its result saved and compared with what it was."""
    prompt = {name: node for name, node in prompt.items() if name not in ("save", "report")}
    prompt["detector"] = node("OSDFaceLoadDetector", detector=STARTER)
    return prompt | {
        "save": node("SaveImage", images=image, filename_prefix="restored"),
        "compare": node("ImageCompare", compare_view="", image_a=[before, 0], image_b=image),
    }


def photo(image: str, **changes: Any) -> Prompt:
    prompt = saved(loaders(image) | {"restore": restore_faces(**changes)}, ["restore", 0])
    return prompt | {
        "before": node("PreviewImage", images=["restore", 2]),
        "after": node("PreviewImage", images=["restore", 3]),
    }


def steps(image: str, **changes: Any) -> Prompt:
    return saved(step_by_step(image, **changes), ["paste", 0])


def chosen() -> Prompt:
    prompt = steps(GROUP, select={"rule": "these numbers", "numbers": "1, 4"})
    for name in ("prompt", "set", "map"):
        del prompt[name]
    del prompt["restore"]["inputs"]["prompt"]
    prompt["paste"]["inputs"]["crops"] = ["restore", 0]
    return prompt


def detected(source: Prompt, **inputs: Any) -> Prompt:
    """With faces that something else finds."""
    prompt = {key: node for key, node in chosen().items() if key != "select"} | source
    prompt["image"] = node("LoadImage", image=PORTRAIT)
    prompt["detect"]["inputs"] |= inputs
    prompt["crop"]["inputs"]["faces"] = ["detect", 0]
    return prompt


def mediapipe() -> Prompt:
    source = {
        "mesh": node("LoadMediaPipeFaceLandmarker", model_name=MESH),
        "landmarks": node(
            "MediaPipeFaceLandmarker",
            face_detection_model=["mesh", 0],
            image=["image", 0],
            detector_variant="both",
            num_faces=0,
            min_confidence=0.5,
            missing_frame_fallback="empty",
        ),
    }
    prompt = detected(source, face_landmarks=["landmarks", 0])
    del prompt["detector"], prompt["detect"]["inputs"]["detector"]
    return prompt


def enlarged(large: Prompt) -> Prompt:
    prompt = loaders(GROUP) | large | {"restore": restore_faces(background=["large", 0])}
    return saved(prompt, ["restore", 0], "large")


def album() -> Prompt:
    return photo(PORTRAIT, skip_sharp=True) | {"image": node("LoadImageDataSetFromFolder", folder=ALBUM)}


def clip() -> Prompt:
    prompt = video()
    save = prompt["save"]
    return saved(prompt, ["paste", 0], "frames") | {"image": node("LoadVideo", file=CLIP), "save": save}


def native() -> Prompt:
    prompt = photo(PORTRAIT) | {name: native_route()[name] for name in ("checkpoint", "model")}
    return {name: prompt[name] for name in ("image", "checkpoint", "model", "detector", *prompt)}


PHOTO_COLUMNS = [["note", "model", "detector"], ["image"], ["restore"], ["save", "compare"], ["before", "after"]]
PHOTO_APP: dict[str, list[Any]] = {
    "inputs": [["image", "image"], ["model", "weights"], ["restore", "strength"]],
    "outputs": ["save"],
}

TEMPLATES = {
    "Restore a blurred photo": Template(
        photo(PORTRAIT),
        PHOTO_COLUMNS,
        PHOTO_APP,
    ),
    "Restore an old photo": Template(
        photo(OLD, color="wavelet"),
        PHOTO_COLUMNS,
        PHOTO_APP,
        sample=OLD,
    ),
    "Only the face I choose": Template(
        chosen(),
        [
            ["note", "model", "detector"],
            ["image"],
            ["detect", "numbers"],
            ["select", "crop"],
            ["restore", "paste"],
            ["save", "compare"],
        ],
        sample=GROUP,
    ),
    "Restore faces in a video": Template(
        clip(),
        [
            ["note", "model", "detector"],
            ["image", "frames"],
            ["detect", "track"],
            ["crop", "steady"],
            ["restore", "paste"],
            ["create", "save"],
            ["compare"],
        ],
        sample=CLIP,
    ),
    "A folder of photos": Template(
        album(),
        PHOTO_COLUMNS,
        sample=GROUP,
    ),
    "Enlarge a photo and restore its faces": Template(
        enlarged({"large": node("ImageScaleBy", image=["image", 0], upscale_method="lanczos", scale_by=2.0)}),
        [["note", "model", "detector"], ["image"], ["large"], ["restore"], ["save", "compare"]],
        PHOTO_APP,
        sample=GROUP,
    ),
    "Enlarge with an upscale model": Template(
        enlarged(
            {
                "upscaler": node("UpscaleModelLoader", model_name=UPSCALER),
                "large": node("ImageUpscaleWithModel", upscale_model=["upscaler", 0], image=["image", 0]),
            }
        ),
        [["note", "model", "detector"], ["image", "upscaler"], ["large"], ["restore"], ["save", "compare"]],
        PHOTO_APP,
        needs=UPSCALER,
        sample=GROUP,
    ),
    "Faces that another detector found": Template(
        detected({"boxes": node("PrimitiveBoundingBox", **FACE)}, boxes=["boxes", 0]),
        [
            ["note", "model", "detector"],
            ["image", "boxes"],
            ["detect", "numbers"],
            ["crop", "restore"],
            ["paste"],
            ["save", "compare"],
        ],
    ),
    "Faces by MediaPipe's landmarks": Template(
        mediapipe(),
        [
            ["note", "mesh"],
            ["image", "landmarks"],
            ["detect", "numbers"],
            ["crop", "model"],
            ["restore"],
            ["paste"],
            ["save", "compare"],
        ],
        needs=MESH,
    ),
    "Every step in a node of its own": Template(
        steps(PORTRAIT),
        [
            ["note", "image"],
            ["detector"],
            ["detect", "numbers"],
            ["select", "model"],
            ["crop"],
            ["prompt", "map"],
            ["restore"],
            ["set"],
            ["paste"],
            ["save", "compare"],
        ],
    ),
    "Small faces by a lighter restorer": Template(
        saved(small_faces(GROUP, largest=230), ["paste", 0]),
        [
            ["note", "image"],
            ["detector"],
            ["detect"],
            ["select"],
            ["small", "large", "light", "model"],
            ["restore small", "restore large"],
            ["join"],
            ["paste"],
            ["save", "compare"],
        ],
        needs=RESTORER,
        sample=GROUP,
    ),
    "Low memory, on ComfyUI's own SD 2.1": Template(
        native(),
        [["note", "checkpoint", "model", "detector"], ["image"], ["restore"], ["save", "compare"], ["before", "after"]],
        needs="osdface, sd21-base-single",
    ),
}
