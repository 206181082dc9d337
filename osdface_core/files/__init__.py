"""Photos, videos, pages and other files on disk, written whole or not at all.

Takes: paths, pixels. Gives: the same. Not here: weights, faces, what is done with the pixels.
"""
