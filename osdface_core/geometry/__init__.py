"""Places and pixels: landmarks to crops and back, regions of images, brightness.

Takes: tensors, faces. Gives: matrices, crops, rectangles. Not here: networks, files, what is done with a crop.
"""
