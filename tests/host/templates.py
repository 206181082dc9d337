"""The templates that come with the pack: what is in each, and where it stands.

Their file names are the titles that the frontend shows.
"""

from dataclasses import dataclass, field
from typing import Any

from .client import RESTORER
from .graphs import STARTER, Prompt, native_route, node, small_faces, step_by_step, video

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
    """With its result saved and compared with what it was."""
    prompt = {name: node for name, node in prompt.items() if name not in ("save", "report")}
    return prompt | {
        "save": node("SaveImage", images=image, filename_prefix="restored"),
        "compare": node("ImageCompare", compare_view="", image_a=[before, 0], image_b=image),
    }


def restored(image: str, source: Prompt | None = None, before: str = "image", **inputs: Any) -> Prompt:
    """One node for the whole job, between loading and saving. source: what else it takes its inputs from."""
    widgets = {"faces": "all", "strength": 1.0, "threshold": 0.8, "batch_size": 4}
    job = node("OSDFaceRestoreFaces", image=["image", 0], **widgets | inputs)
    prompt = {"image": node("LoadImage", image=image)} | (source or {}) | {"restore": job}
    return saved(prompt, ["restore", 0], before)


def photo(image: str, **inputs: Any) -> Prompt:
    """The same, with its faces before and after."""
    return restored(image, **inputs) | {
        "before": node("PreviewImage", images=["restore", 2]),
        "after": node("PreviewImage", images=["restore", 3]),
    }


def by_hand(prompt: Prompt, result: str, before: str = "image") -> Prompt:
    """Steps in nodes of their own, with the detector that every machine has."""
    return saved(prompt | {"detector": node("OSDFaceLoadDetector", detector=STARTER)}, [result, 0], before)


def numbered(image: str, source: Prompt, detect: dict[str, Any], **inputs: Any) -> Prompt:
    """Faces that are found before and shown with their numbers. source: what finds them, as `detect` says."""
    found = {
        "detect": node("OSDFaceDetect", image=["image", 0], threshold=0.8, **detect),
        "numbers": node("PreviewImage", images=["detect", 3]),
    }
    return restored(image, source | found, detected=["detect", 0], **inputs)


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
    return numbered(PORTRAIT, source, {"face_landmarks": ["landmarks", 0]})


def clip() -> Prompt:
    prompt = video()
    save = prompt["save"]
    return by_hand(prompt, "paste", "frames") | {"image": node("LoadVideo", file=CLIP), "save": save}


DETECTOR: Prompt = {"detector": node("OSDFaceLoadDetector", detector=STARTER)}
FOUND: dict[str, Any] = {"detector": ["detector", 0]}
PHOTO_COLUMNS = [["note", "image"], ["restore"], ["save", "compare"], ["before", "after"]]
PHOTO_APP: dict[str, list[Any]] = {
    "inputs": [["image", "image"], ["restore", "strength"], ["restore", "color"]],
    "outputs": ["save"],
}

TEMPLATES = {
    "Restore a blurred photo": Template(photo(PORTRAIT), PHOTO_COLUMNS, PHOTO_APP),
    "Restore an old photo": Template(photo(OLD), PHOTO_COLUMNS, PHOTO_APP, sample=OLD),
    "Only the face I choose": Template(
        numbered(GROUP, DETECTOR, FOUND, numbers="0, 3"),
        [["note", "image"], ["detector", "detect"], ["numbers", "restore"], ["save", "compare"]],
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
        photo(GROUP, skip_sharp=True) | {"image": node("LoadImageDataSetFromFolder", folder=ALBUM)},
        PHOTO_COLUMNS,
        sample=GROUP,
    ),
    "Enlarge a photo and restore its faces": Template(
        restored(GROUP, upscale=2.0),
        [["note", "image"], ["restore"], ["save", "compare"]],
        PHOTO_APP,
        sample=GROUP,
    ),
    "Enlarge with an upscale model": Template(
        restored(
            GROUP,
            {
                "upscaler": node("UpscaleModelLoader", model_name=UPSCALER),
                "large": node("ImageUpscaleWithModel", upscale_model=["upscaler", 0], image=["image", 0]),
            },
            "large",
            background=["large", 0],
        ),
        [["note", "image"], ["upscaler", "large"], ["restore"], ["save", "compare"]],
        PHOTO_APP,
        needs=UPSCALER,
        sample=GROUP,
    ),
    "Faces that another detector found": Template(
        numbered(PORTRAIT, DETECTOR | {"boxes": node("PrimitiveBoundingBox", **FACE)}, FOUND | {"boxes": ["boxes", 0]}),
        [["note", "image"], ["detector", "boxes"], ["detect", "numbers"], ["restore"], ["save", "compare"]],
    ),
    "Faces by MediaPipe's landmarks": Template(
        mediapipe(),
        [["note", "image"], ["mesh", "landmarks"], ["detect", "numbers"], ["restore"], ["save", "compare"]],
        needs=MESH,
    ),
    "Every step in a node of its own": Template(
        by_hand(step_by_step(PORTRAIT), "paste"),
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
        by_hand(small_faces(GROUP, largest=230), "paste"),
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
        restored(PORTRAIT, {name: native_route()[name] for name in ("checkpoint", "model")}, model=["model", 0]),
        [["note", "image"], ["checkpoint", "model"], ["restore"], ["save", "compare"]],
        needs="osdface, sd21-base-single",
    ),
}
