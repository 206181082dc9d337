"""Training of the whole system: the VAE, the embedder's two stages, the restorer, a detector.

Takes: a recipe, folders of photographs. Gives: weights in our formats and in the authors'. Not here: measures and
degradation, which evaluation has, and anything that inference needs.
"""
