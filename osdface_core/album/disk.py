"""Where an album's photos are read, and its outputs written: whole or not at all, and over nothing that must stay."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

from ..errors import ImageError
from ..files.compare import compared, write_comparison
from ..files.formats import SUFFIXES
from ..files.outputs import refuse_to_overwrite, write_json
from ..files.photos import Photo, encode_photo
from ..files.places import is_away, write_whole
from ..serialization import Json
from .under_way import Job


class Disk:
    """Writes outputs by several threads at once, until it is closed."""

    def __init__(self, report: Json | None = None, plain: bool = False, compare: bool = False):
        """report: what each output's own report, a JSON file beside it, begins with; None for no such files.
        plain: write nothing of a photo but its pixels, and cut their values off, as the authors' program does.
        compare: write a picture beside each output, too: the photo before and after.
        """
        self.report, self.plain, self.compare = report, plain, compare
        self.closed, self.writing, self.changed = False, 0, Condition()

    def check_free(self, job: Job) -> None:
        """Raises ImageError where a photo's output cannot be written, or would be written over what it must not."""
        if job.output.suffix.lower() not in SUFFIXES:
            kinds = ", ".join(SUFFIXES)
            raise ImageError(f"{job.output}: this kind of file cannot be written. Name the output, with {kinds}.")
        if not is_away(job.output) and job.output.exists() and job.output.samefile(job.input):
            raise ImageError("It would be written over itself, and the original be lost. Choose another place.")
        refuse_to_overwrite(self.files_of(job), job.overwrite)

    def files_of(self, job: Job) -> list[Path]:
        beside = [job.output.with_suffix(".json")] if self.report is not None else []
        return [job.output, *beside, *([compared(job.output)] if self.compare else [])]

    def encode(self, job: Job, photo: Photo) -> bytes:
        """The file for a photo that was restored."""
        return encode_photo(str(job.output), photo.pixels, None if self.plain else photo, truncate=self.plain)

    def write(self, job: Job, content: bytes, made: Json) -> None:
        """A photo's file, and what lies beside it. Raises ImageError where they must not be written, OSError where they
        cannot."""
        self.check_free(job)
        write_whole(job.output, content)
        if self.report is not None:
            about = {"input": str(job.input), "output": str(job.output), **self.report}
            write_json(job.output.with_suffix(".json"), about | made)
        if self.compare:
            write_comparison(job.input, job.output)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, files are written, which `close` waits for. Raises ImageError after that."""
        with self.changed:
            if self.closed:
                raise ImageError("It was not written, for the run was ended.")
            self.writing += 1
        try:
            yield
        finally:
            with self.changed:
                self.writing -= 1
                self.changed.notify_all()

    def close(self) -> None:
        """Write nothing more, and wait until what is being written is whole."""
        with self.changed:
            self.closed = True
            self.changed.wait_for(lambda: not self.writing)
