"""`osdface restore` for photos: one, several, or an album of millions, by one stream."""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from ..album.cluster import Cluster
from ..album.devices import LOST, Fleet, listening
from ..album.disk import Disk
from ..album.fingerprint import of_files, of_options
from ..album.journal import DONE, Entry, Journal, parts
from ..album.plan import Input, Shard
from ..album.resume import Todo, jobs, left_to_do
from ..album.stream import Stream, restorers_on
from ..album.under_way import Job
from ..album.work import AlignedWork, PhotoWork, Work
from ..command import command
from ..compositing.upscale import Upscaler
from ..errors import DeviceLostError, ImageError, OptionError, OSDFaceError
from ..files.names import printable
from ..files.places import has_scheme, is_away
from ..inference.restorer import as_restorer
from ..inference.spandrel import SpandrelRestorer
from ..models.osediff import OSEDiffModel
from ..options import Album, Choose, Load, PhotoOptions, Restore
from ..osediff import SEED
from ..pipeline import Stages
from ..serialization import Json
from .arguments import Arguments, add_options, validate
from .choice import read_faces
from .networks import Networks, open_networks
from .outputs import set_up_messages

log = logging.getLogger("osdface")

AUTHORS_SEED = 114
"""What OSDFace's own program samples with where nobody says another."""

SAID = 100
"""So many photos are each said to be done; of more, those that fail."""


def add_album(command: Arguments) -> None:
    add_options(command, Album)


def check_album(options: argparse.Namespace) -> None:
    """End the command as wrong usage where options make no sense."""
    validate(options, Album)
    try:
        options.shard = Shard.parse(options.shard)
    except ValueError as error:
        options.refuse(f"--shard {error}")
    options.devices = options.devices.split(",") if options.devices else []
    if options.devices and options.ray:
        options.refuse("--devices and --ray: choose one of them")
    if options.ray is None and is_away(options.output):
        options.refuse(f"{options.output}: only --ray writes there")
    for device in options.devices:
        try:
            Load(device).validate()
        except OptionError as error:
            options.refuse(f"--devices: {error}")


def restore_album(inputs: Sequence[Input], networks: Networks, options: argparse.Namespace) -> int:
    """Restore photos into a folder, with a journal, or one into a file. Returns how many failed.

    Raises KeyboardInterrupt where Ctrl-C ended it in good order, and ImageError where nothing more can be written.
    """
    earlier = not (options.into_file or options.resume) and bool(parts(options.output))
    stream, todo = open_stream(inputs, networks, options)
    again = "" if stream.journal is None else "The same command with --resume goes on."
    with interruptible(stream):
        try:
            failed, _ = follow(restored(stream, todo, options), len(todo), options)
        except DeviceLostError as error:
            raise DeviceLostError(f"{error} {again or 'Run the same command again.'}") from error
    if failed and earlier and not options.force:
        log.error("an earlier run has written there: with --resume what it has done is left out")
    if stream.full:
        raise ImageError(f"{options.output}: nothing more can be written there. Make room. {again}".rstrip())
    if stream.stopped:
        raise KeyboardInterrupt(again)
    return failed


def open_stream(inputs: Sequence[Input], networks: Networks, options: argparse.Namespace) -> tuple[Stream, Todo]:
    """A stream for the photos that are left to do."""
    stream, todo = make_stream(networks, options), Todo(inputs)
    if not options.into_file:
        if options.resume:
            todo = left_to_do(inputs, options.output, stream.options)
            log.info("%s", resuming(todo))
        about = {"options": stream.options, "asked": what_is_asked(options)}
        stream.journal = Journal(options.output, options.shard, about)
    return stream, todo


def make_stream(networks: Networks, options: argparse.Namespace) -> Stream:
    """A stream without a journal."""
    model, choice, tools = networks
    chosen = (choice.detector, choice.embedder) if choice is not None else ()
    every = modules(model, *tools.values(), *chosen)
    fingerprint = "" if options.into_file else of_options(what_is_asked(options), every)
    return Stream(
        work_of(networks, options),
        Disk({"seed": options.seed} if options.report else None, options.exact, options.compare),
        options=fingerprint,
        memory=round(options.memory * 1e9),
        restorers=restorers_on(options.device),
    )


def follow(entries: Iterable[Entry], total: int | None, options: argparse.Namespace) -> tuple[int, int]:
    """Say what becomes of photos, and how fast, as it becomes known. Returns how many failed, and how many ended."""
    failed = faces = ended = 0
    began, briefly = time.monotonic(), total is None or total > SAID
    with tqdm(total=total, unit="photo", disable=None) as bar:
        for entry in entries:
            ended += 1
            failed += entry.state != DONE
            faces += sum(face["restored"] for face in entry.faces)
            say(entry, options, briefly=briefly)
            speed = faces / (time.monotonic() - began)
            bar.set_postfix_str(f"{faces} faces, {speed:.2g} a second, {failed} failed", refresh=False)
            bar.update()
    if briefly:
        log.info("%d photo(s) done, %d face(s) restored. `%s report` sums up", ended - failed, faces, command())
    return failed, ended


def restore_on_devices(inputs: Sequence[Input], options: argparse.Namespace) -> int:
    """Restore photos by a process a device. Returns how many failed. Raises as `restore_album`."""
    parts = [options.shard.part(number, len(options.devices)) for number in range(1, len(options.devices) + 1)]
    dealt = [[one for one in inputs if part.has(one.name)] for part in parts]
    fleet = Fleet(options.devices, partial(work_on_device, sendable(options)), options.shard, dealt, options.output)
    with interruptible(fleet):
        entries = fleet.run(options.resume)
        failed, ended = follow(entries, None if options.resume else len(inputs), options)
    if fleet.stopped:
        raise KeyboardInterrupt("The same command with --resume goes on.")
    return failed if options.resume else failed + len(inputs) - ended


def work_on_device(
    chosen: dict[str, Any], device: str, shard: Shard, inputs: Sequence[Input], resume: bool, told: Connection
) -> None:
    """The process for one device."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it says when to stop
    set_up_messages(logging.WARNING)
    options = argparse.Namespace(**chosen | {"device": device, "shard": shard, "resume": resume})
    if device == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // options.devices.count("cpu")))
    try:
        stream, todo = open_stream(inputs, open_networks(options), options)
        with listening(told, stream):
            for _ in restored(stream, todo, options):
                pass
    except DeviceLostError as error:
        log.error("error: on %s: %s", device, error)
        logging.shutdown()
        os._exit(LOST)  # the threads may wait for the device for ever
    except (OSDFaceError, OSError) as error:
        log.error("error: on %s: %s", device, error)
        sys.exit(1)


def restore_on_cluster(inputs: Sequence[Input], options: argparse.Namespace) -> int:
    """Restore photos by the actors of a Ray cluster. Returns how many failed. Raises as `restore_album`."""
    cluster = Cluster(options.ray, partial(stream_of_actor, sendable(options)), options.output, options.device != "cpu")
    todo, fingerprint = Todo(inputs), cluster.fingerprint()
    if options.resume:
        todo = left_to_do(inputs, options.output, fingerprint)
        log.info("%s", resuming(todo))
    if not len(todo):
        return 0
    with interruptible(cluster):
        failed, ended = follow(cluster.run(todo, options.force), len(todo), options)
    if cluster.stopped:
        raise KeyboardInterrupt("The same command with --resume goes on.")
    lost = len(todo) - ended
    if lost:
        log.error("error: %d photo(s) were lost with their actors. The same command with --resume does them.", lost)
    return failed + lost


def stream_of_actor(chosen: dict[str, Any]) -> Stream:
    set_up_messages(logging.WARNING)
    options = argparse.Namespace(**chosen)
    return make_stream(open_networks(options), options)


def sendable(options: argparse.Namespace) -> dict[str, Any]:
    """The options, for another process."""
    return {name: value for name, value in vars(options).items() if name not in ("run", "refuse")}


def restored(stream: Stream, todo: Todo, options: argparse.Namespace) -> Iterator[Entry]:
    """What becomes of the photos that are left; what may have ended an earlier run by itself, and first."""
    if options.into_file:
        (only,) = todo.rest
        yield from stream.run([Job(Path(only.path), options.output, only.name, options.force)])
        return
    for job in jobs(todo.unfinished, options.output, overwrite=True):
        yield from stream.run([job])
    again = jobs(chain(todo.changed, todo.failed), options.output, overwrite=True)
    yield from stream.run(chain(again, jobs(todo.rest, options.output, overwrite=options.force)))


def modules(*networks: object) -> Iterator[nn.Module]:
    """The networks themselves, out of what calls them."""
    for network in networks:
        if isinstance(network, SpandrelRestorer):
            yield network.network
        elif isinstance(network, Upscaler):
            yield network.descriptor.model
        elif isinstance(network, nn.Module):
            yield network


def work_of(networks: Networks, options: argparse.Namespace) -> Work:
    model, choice, tools = networks
    if choice is None:
        seed, chosen = options.seed, asdict(Restore.of(vars(options))) | {"color": options.color}
        if options.exact:
            own = isinstance(model, OSEDiffModel)
            seed = (SEED if own else AUTHORS_SEED) if seed is None else seed
            chosen = {"prompt": options.prompt, "color": options.color} if own else {}
        return AlignedWork(model, options.exact, chosen | {"seed": seed})
    stages = Stages(
        as_restorer(model),
        PhotoOptions.of(vars(options)),
        choice.detector,
        select=choice.chosen,
        choose=choice.crops,
        embedder=choice.embedder,
        **tools,
    )
    return PhotoWork(stages, None if options.faces is None else partial(read_faces, options.faces))


def what_is_asked(options: argparse.Namespace) -> Json:
    """The choices that outputs depend on."""
    asked = asdict(PhotoOptions.of(vars(options))) | asdict(Choose.of(vars(options)))
    asked |= {"aligned": options.aligned, "exact": options.exact, "faces": options.faces and str(options.faces)}
    del asked["batch_size"]
    return asked | {"person": [of_files(photo) for photo in options.person or ()]}


def say(entry: Entry, options: argparse.Namespace, *, briefly: bool) -> None:
    """What became of a photo. briefly: only where a person should look."""
    path = printable(entry.input) if has_scheme(entry.input) else PurePath(entry.input)
    if entry.state != DONE:
        log.error("error: %s", entry.error)
    for note in entry.notes:
        log.info("%s: %s", path, note)
    if entry.state == DONE and not briefly:
        output = options.output if options.into_file else options.output / entry.output
        log.info("%s: %s -> %s", path, entry.summary, output)


def resuming(todo: Todo) -> str:
    """What an earlier run has left to do, for people."""
    parts = [f"{todo.done} photo(s) are done already, {len(todo)} are left"]
    if todo.changed:
        parts.append(f"{len(todo.changed)} of them were done with other options, or have changed: they are done again")
    if todo.failed:
        parts.append(f"{len(todo.failed)} of them failed")
    if todo.unfinished:
        parts.append(f"{len(todo.unfinished)} of them were under way when the earlier run ended")
    return "; ".join(parts)


@contextmanager
def interruptible(stream: Stream | Fleet | Cluster) -> Iterator[None]:
    """Within, Ctrl-C has the stream finish what it has begun. A second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(_signal: int, _frame: object) -> None:
        if not stream.stopped:
            stream.stop()
            log.warning("finishing what is begun; Ctrl-C again stops at once")
            return
        stream.abandon()
        log.error("interrupted: what is written so far is whole")
        logging.shutdown()
        os._exit(130)  # threads that compute cannot be ended in another way

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
