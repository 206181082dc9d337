"""`osdface restore`: photos and videos from disk to disk."""

import argparse
import logging
import os
from itertools import chain
from pathlib import Path, PurePath

from ..album.plan import Input, Plan, Shard, find_clash, find_inputs, find_overwritten, output_names
from ..errors import OptionError
from ..files.compare import SUFFIX, compared
from ..files.formats import SUFFIXES
from ..files.names import expand
from ..files.outputs import refuse_unwritable
from ..files.places import is_away, place
from ..options import Choose, Detect, Load, Paste, PhotoOptions, Restore, Video
from .album import add_album, check_album, restore_album, restore_on_cluster, restore_on_devices
from .arguments import Commands, add_options, flags_given, refuse, validate
from .choice import add_choice, check_choice
from .networks import add_networks, check_networks, open_networks
from .video import add_video, check_video, is_video, restore_clips

log = logging.getLogger("osdface")


def add_to(commands: Commands) -> None:
    restore = commands.add_parser("restore", help="restore the faces in photos and videos")
    restore.set_defaults(run=run, refuse=restore.error)
    restore.add_argument(
        "inputs",
        nargs="+",
        type=place,
        metavar="IN",
        help="photos, folders of photos, patterns, videos; @FILE for a list of them, - for a list on standard input",
    )
    restore.add_argument(
        "-o", "--output", required=True, type=place, metavar="OUT", help="a folder; a file for one photo or video"
    )
    add_networks(restore)
    add_choice(restore)
    add_video(restore.add_argument_group("videos"))
    add_album(restore.add_argument_group("albums"))
    restore.add_argument("--aligned", action="store_true", help="every input is one aligned face already")
    restore.add_argument("--exact", action="store_true", help="aligned, and every step as in the authors' program")
    add_options(restore, Restore)
    add_options(restore, Paste)
    restore.set_defaults(color=None)  # not the same for --exact
    restore.add_argument("--report", action="store_true", help="write a JSON report beside every output")
    restore.add_argument(
        "--compare", action="store_true", help=f"write NAME{SUFFIX} beside every photo: before and after"
    )
    restore.add_argument("--force", action="store_true", help="overwrite outputs that exist")


def run(options: argparse.Namespace) -> int:
    options.aligned |= options.exact
    options.color = options.color or ("none" if options.exact else Paste.color)
    check_options(options)
    plan = find(options)
    clips = [Path(one.path) for one in plan.inputs if options.frames or is_video(Path(one.name))]
    photos = [] if options.frames else [one for one in plan.inputs if not is_video(Path(one.name))]
    failed = len(plan.problems)
    if options.compare and clips:
        options.refuse("--compare is for photos, leave it out")
    if options.ray and (clips or options.into_file):
        options.refuse("--ray is for photos that are restored into a folder")
    if options.devices and photos and (clips or options.into_file):
        options.refuse("--devices is for photos that are restored into a folder, or for videos")
    if photos and not (options.into_file or is_away(options.output)):
        refuse_unwritable(options.output)
    if options.ray:
        failed += restore_on_cluster(photos, options)
    elif options.devices and photos:
        failed += restore_on_devices(photos, options)
    elif photos or clips:
        if options.devices:
            options.device = options.devices[0]  # which finds the faces
        networks = open_networks(options)
        if photos:
            failed += restore_album(photos, networks, options)
        if networks.choice is not None:
            failed += restore_clips(clips, networks.model, networks.choice, networks.tools, options)
    if failed:
        count = len(photos) + len(clips) + len(plan.problems)
        log.error("%d of %d photo(s) failed, the rest is done", failed, count)
    return 1 if failed else 0


def find(options: argparse.Namespace) -> Plan:
    """The photos and videos to restore. Ends the command as wrong usage where outputs are in each other's way."""
    options.into_file = is_file_name(options.output)
    if options.frames:
        plan = Plan([Input(*os.path.split(path)) for path in expand(options.inputs)])
        options.into_file |= len(plan.inputs) == 1
    else:
        plan = find_inputs(options.inputs, recursive=options.recursive, output=options.output)
    folder = options.output
    for note in plan.notes:
        log.warning("%s", note)
    for problem in plan.problems:
        log.error("error: %s", problem)
    if options.into_file:
        of_video = any(is_video(Path(one.name)) for one in plan.inputs)
        if (options.resume and not of_video) or options.shard != Shard():
            options.refuse("--resume and --shard are for photos that are restored into a folder")
        if len(plan.inputs) > 1:
            options.refuse(f"{options.output}: {len(plan.inputs)} photos cannot go into one file, name a folder")
        return plan
    beside = options.report or (options.faces is not None and options.faces.is_dir())
    names = output_names(plan.inputs, beside=beside)
    if options.compare:
        pictures = (compared(PurePath(name)).as_posix() for name in output_names(plan.inputs))
        names = chain(names, output_names(plan.inputs) if beside else (), pictures)
    clash = find_clash(names)
    if clash is not None:
        options.refuse(
            f"several photos would be written to {folder / clash}: restore them into folders of their own"
            + ("" if options.recursive else ", or keep theirs with --recursive")
        )
    lost = None if options.frames else find_overwritten(plan.inputs, folder)
    if lost is not None:
        options.refuse(f"{lost}: an output would be written over this photo. Restore into another folder")
    own = [one for one in plan.inputs if options.shard.has(one.name)]
    if plan.inputs and not own:
        log.info("none of the %d photo(s) falls to --shard %s", len(plan.inputs), "{}/{}".format(*options.shard))
    plan.inputs = own
    return plan


def check_options(options: argparse.Namespace) -> None:
    """End the command as wrong usage where options make no sense."""
    validate(options, Load, PhotoOptions)
    try:
        Paste.of(vars(options)).check_tools(options.embedder, options.parser)
    except OptionError as error:
        refuse(options, error)
    check_networks(options)
    check_choice(options)
    check_video(options)
    check_album(options)
    files = [name for name in ("faces", "person", "embedder", "parser", "upscaler") if getattr(options, name)]
    given = [*(f"--{name}" for name in files), *flags_given(options, Detect, Choose, Paste, Video, without=["color"])]
    if options.aligned and given:
        options.refuse(f"{', '.join(given)}: only for whole photos, leave them out with --aligned")
    given = flags_given(options, Restore, without=["prompt", "seed"])
    if options.exact and given:
        options.refuse(f"{', '.join(given)}: no choice of the authors' program, leave them out with --exact")


def is_file_name(path: Path) -> bool:
    return (path.suffix.lower() in SUFFIXES or is_video(path)) and not path.is_dir()
