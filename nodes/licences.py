"""What the page of Download Weights asks the server (web/licences.js): which licences there are, and a person's yes."""

import asyncio
from typing import Any

from aiohttp import web
from server import PromptServer

from ..osdface_core.weights.catalog import entry_named
from ..osdface_core.weights.consent import agree, has_agreed
from .download import entries
from .folders import find_entry

ADDRESS = "/osdface/licences"


def register_routes() -> None:
    """Tell ComfyUI's server where the page asks."""
    routes = PromptServer.instance.routes
    routes.get(ADDRESS)(licences)
    routes.post(ADDRESS)(accept)


async def licences(request: web.Request) -> web.Response:
    """Of every entry behind the option in `weights`: what it is, its licence, and whether it is here or agreed to."""
    try:
        wanted = entries(request.query.get("weights", ""))
    except KeyError as error:
        return web.json_response({"error": error.args[0]}, status=404)
    return web.json_response(await asyncio.to_thread(lambda: [described(entry) for entry in wanted]))


def described(entry: Any) -> dict[str, Any]:
    about = {"name": entry.name, "about": entry.about, "licence": entry.licence}
    return about | {"here": find_entry(entry) is not None, "agreed": has_agreed(entry)}


async def accept(request: web.Request) -> web.Response:
    """Keep a person's yes. The body is the licences that they have read, by entry: another text is not agreed to.

    It has to come as JSON, which no form of another site can send.
    """
    try:
        read = await request.json() if request.content_type == "application/json" else None
        known = read.items() if isinstance(read, dict) else ()
        agreed = [entry_named(name) for name, licence in known if entry_named(name).licence == licence]
    except (KeyError, ValueError):
        agreed = []
    if not agreed or len(agreed) < len(known):
        return web.json_response({"error": "these are not the licences of the catalogue"}, status=400)
    await asyncio.to_thread(agree, agreed)
    return web.json_response({"agreed": [entry.name for entry in agreed]})
