"""ComfyUI's side of the pack: sockets, tooltips, progress and memory. Every algorithm is in osdface_core."""
