"""Restored faces back into their photo: masks, colours, paste.

Takes: FaceCrops, images. Gives: Composite. Not here: restoring, files.
"""
