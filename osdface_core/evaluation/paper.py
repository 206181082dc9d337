"""What the OSDFace paper (arXiv 2411.17163) reports of itself and its rivals: Table 1, and Table 2 by set of photos."""

from ..serialization import Json

MARK = "(paper)"
"""After a method's name in a table."""

QUALITY = "CLIP-IQA ↑", "MANIQA ↑", "MUSIQ ↑", "NIQE ↓", "FID ↓"
SETS: dict[str, tuple[str, ...]] = {
    "celeba-test": ("LPIPS ↓", "DISTS ↓", "MUSIQ ↑", "NIQE ↓", "Deg. ↓", "LMD ↓", "FID ↓", "FID (originals) ↓"),
    "wider-test": QUALITY,
    "lfw-test": QUALITY,
    "webphoto-test": QUALITY,
}
"""The figures of every set. FID is against FFHQ, but for FID (originals)."""

FIGURES: dict[str, dict[str, tuple[float, ...]]] = {
    "celeba-test": {
        "RestoreFormer++": (0.4535, 0.2301, 72.3612, 3.9524, 70.5083, 8.8019, 57.3723, 72.7880),
        "VQFR": (0.3390, 0.2131, 73.2969, 4.8374, 62.2595, 5.7297, 58.1044, 24.9093),
        "CodeFormer": (0.3412, 0.2151, 75.9432, 4.5157, 62.1972, 5.3819, 62.0280, 26.8595),
        "DAEFR": (0.3580, 0.2146, 74.9853, 4.4161, 62.8184, 5.6332, 52.0341, 26.0458),
        "PGDiff, 1000 steps": (0.3866, 0.1949, 69.5676, 4.0010, 71.5996, 7.3109, 44.6258, 26.3694),
        "DifFace, 250 steps": (0.3469, 0.2126, 66.7451, 4.6381, 63.4511, 5.4759, 49.8075, 22.2370),
        "DiffBIR, 50 steps": (0.3740, 0.2340, 75.6360, 6.2801, 61.0238, 5.1042, 71.7767, 32.5109),
        "OSEDiff": (0.4708, 0.3165, 51.2566, 6.6968, 72.7112, 10.9948, 89.8160, 68.3579),
        "OSEDiff, trained on faces": (0.3496, 0.2200, 69.9807, 5.3280, 67.4026, 7.4082, 81.3624, 37.1309),
        "OSDFace": (0.3365, 0.1773, 75.6398, 3.8840, 60.0708, 5.2867, 45.4150, 17.0617),
    },
    "wider-test": {
        "RestoreFormer++": (0.7159, 0.4767, 71.332, 3.7231, 45.398),
        "VQFR": (0.7069, 0.5044, 71.417, 4.0357, 37.866),
        "CodeFormer": (0.6986, 0.4958, 73.406, 4.1188, 38.765),
        "DAEFR": (0.6975, 0.5205, 74.143, 3.5701, 36.701),
        "PGDiff, 1000 steps": (0.5824, 0.4531, 68.135, 3.9315, 35.862),
        "DifFace, 250 steps": (0.5924, 0.4299, 64.907, 4.2380, 37.099),
        "DiffBIR, 50 steps": (0.8084, 0.6625, 75.321, 5.5903, 35.343),
        "OSEDiff": (0.6235, 0.4616, 66.538, 5.1921, 42.014),
        "OSEDiff, trained on faces": (0.6193, 0.4752, 69.101, 5.0869, 47.883),
        "OSDFace": (0.7284, 0.5229, 74.601, 3.7741, 34.648),
    },
    "lfw-test": {
        "RestoreFormer++": (0.7024, 0.5108, 72.250, 3.8434, 50.253),
        "VQFR": (0.7098, 0.5339, 74.385, 3.8356, 49.800),
        "CodeFormer": (0.6890, 0.5266, 75.484, 4.4377, 52.341),
        "DAEFR": (0.6964, 0.5420, 75.838, 3.4788, 47.527),
        "PGDiff, 1000 steps": (0.5975, 0.4858, 71.244, 4.0112, 41.209),
        "DifFace, 250 steps": (0.6075, 0.4577, 69.617, 3.9016, 46.127),
        "DiffBIR, 50 steps": (0.7948, 0.6735, 76.421, 5.6782, 40.320),
        "OSEDiff": (0.6428, 0.5022, 72.577, 4.7994, 49.054),
        "OSEDiff, trained on faces": (0.6186, 0.4879, 71.707, 4.8002, 51.048),
        "OSDFace": (0.7203, 0.5493, 75.354, 3.8710, 44.629),
    },
    "webphoto-test": {
        "RestoreFormer++": (0.6950, 0.4902, 71.484, 4.0202, 75.071),
        "VQFR": (0.6769, 0.4909, 70.906, 4.6095, 84.776),
        "CodeFormer": (0.6918, 0.5034, 74.001, 4.6273, 83.197),
        "DAEFR": (0.6696, 0.4934, 72.698, 3.9333, 75.474),
        "PGDiff, 1000 steps": (0.5653, 0.4460, 68.599, 3.9930, 86.954),
        "DifFace, 250 steps": (0.5737, 0.4189, 65.116, 4.2474, 79.556),
        "DiffBIR, 50 steps": (0.7441, 0.5839, 72.272, 6.0093, 91.834),
        "OSEDiff": (0.6321, 0.4713, 69.322, 5.4122, 111.121),
        "OSEDiff, trained on faces": (0.6254, 0.4823, 69.816, 5.3253, 109.236),
        "OSDFace": (0.7106, 0.5162, 73.935, 3.9864, 84.597),
    },
}


def paper_rows(name: str) -> list[Json]:
    """The paper's rows for a set of SETS."""
    return [
        {"method": f"{method} {MARK}"} | dict(zip(SETS[name], values, strict=True))
        for method, values in FIGURES[name].items()
    ]
