"""OSDFace as a model: its configuration, its embedder, its one step, from networks to restored crops.

Takes: crops, prompts. Gives: prompts, restored crops. Not here: files, devices to choose, detection, paste.
"""
