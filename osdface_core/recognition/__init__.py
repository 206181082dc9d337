"""Who somebody is: networks that tell people apart, and whether a restored face is still the same person.

Takes: crops. Gives: embeddings, similarities. Not here: choosing faces, detection.
"""
