"""Photos to try the templates on, in ComfyUI's input folder: a fresh one has none with a face in it."""

import logging
import shutil
from pathlib import Path

import folder_paths

SAMPLES = Path(__file__).parents[1] / "photos" / "samples"
ALBUM = "osdface"

log = logging.getLogger(__name__)


def place_samples() -> None:
    """Copy the samples into the input folder, and the photos among them into a folder there, unless it has that folder.

    Load Image lists files of the input folder alone, and the frontend takes any other for missing: hence the names, all
    of which begin with osdface. Whoever deletes them keeps the empty folder, and is left alone from then on.
    """
    inputs = Path(folder_paths.get_input_directory())
    album = inputs / ALBUM
    if album.exists():
        return
    try:
        album.mkdir(parents=True)
        for sample in sorted(SAMPLES.iterdir()):
            if not (inputs / sample.name).exists():
                shutil.copyfile(sample, inputs / sample.name)
            if sample.suffix == ".jpg":
                shutil.copyfile(sample, album / sample.name)
    except OSError as error:
        log.warning("OSDFace: the templates' sample photos could not be put into %s: %s", inputs, error)
