"""Which faces to restore: by rule, by number, by sharpness, by person.

Takes: Faces or FaceCrops. Gives: the chosen ones and the rest. Not here: networks.
"""
