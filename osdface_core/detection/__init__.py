"""Where the faces are in an image, and the way up that they are.

Takes: images, boxes or meshes from elsewhere. Gives: Faces. Not here: which of them to restore, crops.
"""
