"""OSDFace for ComfyUI: the pack's door. Nothing is imported until ComfyUI asks for the nodes."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> object:
    """Called by ComfyUI; returns the extension that lists the nodes."""
    from .nodes.extension import OSDFaceExtension

    return OSDFaceExtension()
