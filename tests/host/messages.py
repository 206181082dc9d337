"""What nodes say of a run, in English, with {} for whatever stands in it: to be translated (web/texts.js).

A text that others begin like comes after them.
"""

from osdface_core import load_model
from osdface_core.compositing.paste import AS_BEFORE, OUTSIDE_MASK
from osdface_core.detection.detector import TOO_MANY
from osdface_core.detection.load import load_detector
from osdface_core.detection.mediapipe import NO_NUMBERS
from osdface_core.detection.orientation import TURNED
from osdface_core.geometry.align import CANNOT_ALIGN, OUTSIDE
from osdface_core.selection.select import NOT_SELECTED

MESSAGES = (
    "frame {}: {}",
    "no face to restore, returned unchanged",
    "{} of {} face restored, identity at least {}",
    "{} of {} faces restored, identity at least {}",
    "{} of {} face restored",
    "{} of {} faces restored",
    "face {} left: {}",
    "faces {} left: {}",
    "{} left: {}",
    "{} face",
    "{} faces",
    "… {} more in the report …",
    NOT_SELECTED,
    "smaller than {} px",
    "larger than {} px",
    "score below {}",
    "not among the {} largest",
    "sharp already ({})",
    "{} looked sharp already: with skip_sharp such faces stay as they are",
    "likeness {} is below {}",
    "identity {} is below {}",
    "others are more alike",
    "strength is 0",
    OUTSIDE,
    OUTSIDE_MASK,
    AS_BEFORE,
    CANNOT_ALIGN,
    TURNED,
    NO_NUMBERS,
    TOO_MANY,
    "no detector is connected: every box is taken for an upright face",
    load_model().notice,
    load_detector("starter").notice,
    "The crops have {} pixels a side; these weights were trained for {}. Set the size of Crop Faces to that.",
    "the background ({}) has other proportions than the photo ({}): the faces are stretched with it. Resize it without "
    "cropping if that is not meant.",
)
