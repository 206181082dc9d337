"""`python -m osdface_core.cli`."""

from . import console

console()
