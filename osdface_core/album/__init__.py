"""Many photos: which ones, restored as a stream in bounded memory, recorded in a journal, on several devices.

Takes: paths, the stages of `pipeline.py`. Gives: files, a journal, reports. Not here: what is done to one photo.
"""
