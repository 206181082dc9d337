"""The networks that `osdface restore` loads: their options, and the loading."""

import argparse
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor
from tqdm import tqdm

from ..compositing.parsing import load_parser
from ..compositing.upscale import Upscaler, load_upscaler
from ..errors import OptionError
from ..inference import load_model
from ..inference.restorer import as_restorer
from ..inference.spandrel import load_restorer
from ..models.diffusion import OneStepModel
from ..models.osediff import OSEDiffModel
from ..models.precision import Precision
from ..models.restorer import Restorer
from ..options import Load, Restore
from ..weights import read_model
from .arguments import add_files, add_options, flags_given, refuse
from .choice import Choice

log = logging.getLogger("osdface")


def add_networks(command: argparse.ArgumentParser) -> None:
    add_files(command, "weights", "base", "decoder", "restorer", "parser", "upscaler")
    add_options(command, Load, without=["device"])


def check_networks(options: argparse.Namespace) -> None:
    """End the command as wrong usage where what is to be loaded makes no sense."""
    if options.restorer is None:
        try:
            Precision.parse(options.precision, options.device)
        except ValueError as error:
            options.refuse(f"--precision: {error}")
        if options.exact and (options.precision != Load.precision or options.decoder or options.compile):
            options.refuse("--exact computes as the authors' program does: leave out --precision, --decoder, --compile")
        return
    for_osdface = {
        "--weights": options.weights,
        "--base": options.base,
        "--decoder": options.decoder,
        "--exact": options.exact,
    }
    given = [name for name, value in for_osdface.items() if value]
    given += flags_given(options, Load, without=("device", "precision"))
    if given:
        options.refuse(f"{', '.join(given)}: only for OSDFace, leave them out with --restorer")


class Networks(NamedTuple):
    """All that is loaded."""

    model: OneStepModel | Restorer
    choice: Choice | None
    """With detector and embedder; None for faces that are aligned already."""
    tools: dict[str, Any]


def open_networks(options: argparse.Namespace) -> Networks:
    """Raises an OSDFaceError where one cannot be loaded. Ends the command as wrong usage as `load` does."""
    model = load(options)
    choice = None if options.aligned else Choice(options, as_restorer(model).crop_size)
    return Networks(model, choice, load_tools(options))


def load(options: argparse.Namespace) -> OneStepModel | Restorer:
    """What restores faces, as the options say. Ends the command as wrong usage where it does not take one of them."""
    try:
        model = read(options)
        Restore.of(vars(options)).check_taken(as_restorer(model).options)
        if isinstance(model, OSEDiffModel):
            model.texts.embed(options.prompt)
        elif options.exact and options.color != "none":
            raise OptionError("color", options.color, "OSDFace's program changes no colours, leave it out with --exact")
    except OptionError as error:
        refuse(options, error)
        raise  # which it never comes to
    if model.notice:
        log.warning("warning: %s", model.notice)
    return model


def read(options: argparse.Namespace) -> OneStepModel | Restorer:
    """The model, ready for speed; for --exact with PyTorch's own convolutions, in float32, as the authors' program."""
    if options.restorer is not None:
        return load_restorer(options.restorer, device=options.device, precision=options.precision)
    prompts = None if options.prompt is None else [options.prompt]
    if options.exact:
        return read_model(options.weights, options.base, prompts=prompts).to(options.device)
    return load_model(
        options.weights,
        options.base,
        device=options.device,
        precision=options.precision,
        decoder=options.decoder,
        compiled=options.compile,
        placement=options.placement,
        prompts=prompts,
    )


def load_tools(options: argparse.Namespace) -> dict[str, Any]:
    """The networks around the restorer that the options name, but those that choose faces: for `restore_image`."""
    parser = None if options.parser is None else load_parser(options.parser, device=options.device)
    upscaler = None if options.upscaler is None else load_upscaler(options.upscaler, device=options.device)
    return {"parser": parser, "upscaler": upscaler}


def with_bar(upscaler: Upscaler) -> Callable[[Tensor], Tensor]:
    """The same, with a bar that counts tiles."""

    def enlarge(image: Tensor) -> Tensor:
        with tqdm(unit="tile", leave=False, disable=None) as bar:

            def on_tile(done: int, count: int) -> None:
                bar.total = count
                bar.update(done - bar.n)

            return upscaler(image, on_tile)

    return enlarge
