"""What the note in each template says, by the template's title."""

STARTER = """
This runs at once, with the small *starter* weights. For OSDFace's own quality get it by **Download Weights (OSDFace)**,
then pull a link out of `model` to the empty canvas and take **Load OSDFace Model**.
"""
NOTES = {
    "Restore a blurred photo": f"""
Press **Run**, then choose your own photo in **Load Image**.

- The face changed too much? Lower `strength`.
- A face is missed? Lower `threshold` to 0.5.
{STARTER}""",
    "Restore an old photo": f"""
Press **Run**, then choose your own photo in **Load Image**.

- `color` keeps brown prints brown: *wavelet* takes the photo's colours, *adain* helps where it is stained, and *none*
leaves the colours that the model makes.
- Scanned upside down? Switch `any_rotation` on.
{STARTER}""",
    "Only the face I choose": """
**Run** it once: the preview beside **Detect Faces** numbers the faces. Type the numbers that you want into `numbers` of
**Face Restore**, like `1, 4` or `0-2`, and run again.

The other faces stay exactly as they are.
""",
    "Restore faces in a video": """
Press **Run**, then choose your own video in **Load Video**. To try its first seconds, put **Trim Video** behind it.

- Faces tremble? Raise `smoothing` of **Track Faces**.
- They flicker? Raise `smoothing` of **Steady Face Crops**.
""",
    "A folder of photos": """
Put your photos into a folder inside ComfyUI's `input` folder, press **R**, and choose it in **Load Image (from
Folder)**. They may differ in size: each goes through by itself.

Faces that are sharp already stay as they are: `skip_sharp` is on here.

For thousands of photos take the command: `osdface restore FOLDER -o OUT`.
""",
    "Enlarge a photo and restore its faces": """
`upscale` says how much larger the photo becomes. Its faces are restored at the model's own size, and pasted into the
large photo.

For a sharper background open *Enlarge with an upscale model*.
""",
    "Enlarge with an upscale model": """
This needs a model: **RealESRGAN_x4plus.safetensors** in `models/upscale_models`, which ComfyUI offers to download, or
any other in its place.

Whatever makes the photo larger goes into `background`. The upscaler makes the whole photo; OSDFace makes the faces,
which upscalers blur.
""",
    "Faces that another detector found": """
Put any node that gives boxes in place of **Bounding Box**.

With a detector connected, **Detect Faces** looks for the eyes, the nose and the mouth inside each box; boxes without a
face are left out.
""",
    "Faces by MediaPipe's landmarks": """
This needs a model: **mediapipe_face_fp32.safetensors** in `models/detection`, which ComfyUI offers to download.

Its landmarks are taken as they are, in any rotation; no other detector runs.
""",
    "Every step in a node of its own": """
What **Face Restore** does inside. Put anything in between:

- another restorer or upscaler before **Set Face Crops**,
- **Match Face Colors** behind it,
- **Mask Faces** before **Paste Faces**.
""",
    "Small faces by a lighter restorer": """
This needs another restorer's file, such as **GFPGANv1.4.pth** in `models/facerestore_models`.

A diffusion restorer makes small faces up; a lighter one keeps closer to them. **Select Faces** says by its `max_size`
which go to which, and **Join Face Crops** has all of them pasted at once.
""",
    "Low memory, on ComfyUI's own SD 2.1": """
This needs OSDFace's three files in a folder of `models/osdface`, and Stable Diffusion 2.1-base among the checkpoints:
**Download Weights (OSDFace)** gets them.

ComfyUI's offload, fp8, tiled VAE and compile nodes act on it.
""",
}


def note(title: str) -> str:
    """The note in Markdown; lines of a paragraph become one, which the frontend would break where they end."""
    paragraphs = NOTES[title].strip().split("\n\n")
    joined = (paragraph.replace("\n- ", "\r- ").replace("\n", " ").replace("\r", "\n") for paragraph in paragraphs)
    return f"## {title}\n" + "\n\n".join(joined)
