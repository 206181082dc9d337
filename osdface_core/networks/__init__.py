"""The networks that restore and find faces, in plain PyTorch, under the weight names of diffusers and facexlib.

Takes: validated configurations, tensors. Gives: modules and tensors. They serve training, inference and tracing alike.
Not here: files, downloads, devices to choose, stages, anything that a call would have to remember.
"""
