"""Faces of a video: followed from frame to frame, denoised in time, restored.

Takes: frames one after the other. Gives: composites of a few frames. Not here: files, codecs.
"""
