"""A small stand-in for ComfyUI's server: our nodes, a few of its own, and what the real frontend asks for.

python -m host.server --base DIR --pack DIR --port N
"""

import argparse
import asyncio
import importlib.util
import inspect
import json
import os
import re
import sys
import traceback
import uuid
from pathlib import Path
from typing import Any

import torch
from aiohttp import WSMsgType, web

from . import core_nodes, fakes
from .client import ODD_NODES

WORKER = web.AppKey("worker", asyncio.Task)


class Host:
    """The nodes, and the prompts that run through them one after another."""

    def __init__(self, base: str, pack: Path):
        self.folders = fakes.install(base)
        self.page = fakes.PromptServer.instance
        self.pack = pack
        nodes = load_pack("pack", pack / "__init__.py") + load_pack("odd_nodes", ODD_NODES)
        self.ours = {node.define_schema().node_id: node for node in nodes}
        self.history: dict[str, Any] = {}
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.cache: dict[str, Any] = {}
        self.shown: dict[str, Any] = {}
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def object_info(self) -> dict[str, Any]:
        schemas = {name: schema for name, (schema, _) in core_nodes.make(self.folders).items()}
        core = {name: schema.as_v1() | {"python_module": "nodes"} for name, schema in schemas.items()}
        ours = {name: node.define_schema().as_v1() for name, node in self.ours.items()}
        return core | {name: info | {"python_module": "custom_nodes.osdface"} for name, info in ours.items()}

    # -- prompts ----------------------------------------------------------------------------------------------------

    def validate(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """Errors by node, as ComfyUI reports them."""
        info, errors = self.object_info(), {}
        for key, node in prompt.items():
            kind, given = node["class_type"], node["inputs"]
            check = getattr(self.ours.get(kind), "validate_inputs", None)
            asked = inspect.getfullargspec(check) if check else None
            wanted = [name for name in given if asked and (name in asked.args or asked.varkw)]
            problems = []
            for name, (io_type, options) in info[kind]["input"]["required"].items():
                if name not in given:
                    problems.append(("required_input_missing", "Required input is missing", name))
                elif io_type == "COMBO" and name not in wanted and given[name] not in options["options"]:
                    problems.append(("value_not_in_list", "Value not in list", f"{name}: {given[name]!r}"))
            if check and not problems:
                answer = check(**{name: None if is_link(given[name]) else given[name] for name in wanted})
                if answer is not True:
                    message = "Custom validation failed for node"
                    problems += [("custom_validation_failed", message, f"{name} - {answer}") for name in wanted]
            if problems:
                found = [
                    {"type": t, "message": m, "details": d, "extra_info": {"input_name": re.split("[ :]", d)[0]}}
                    for t, m, d in problems
                ]
                errors[key] = {"errors": found, "dependent_outputs": [], "class_type": kind}
        return errors

    def execute(self, prompt: dict[str, Any], tell: Any) -> dict[str, Any]:
        """Run every output node; returns what they show. `tell(kind, data)` reports on the way."""
        info = self.object_info()
        shown: dict[str, Any] = {}
        done: dict[str, Any] = {}

        def signature(key: str) -> str:
            node = prompt[key]
            inputs = {n: signature(v[0]) + str(v[1]) if is_link(v) else v for n, v in node["inputs"].items()}
            stamp = getattr(self.ours.get(node["class_type"]), "fingerprint_inputs", None)
            changed = stamp and repr(stamp(**{n: None if is_link(v) else v for n, v in node["inputs"].items()}))
            return json.dumps([node["class_type"], inputs, changed], sort_keys=True)

        def run(key: str) -> tuple[Any, ...]:
            if key in done:
                return done[key]
            node = prompt[key]
            kind = node["class_type"]
            values = {n: run(v[0])[v[1]] if is_link(v) else v for n, v in node["inputs"].items()}
            tell("executing", {"node": key, "display_node": key})
            self.page.last_node_id, self.page.on_message = key, tell
            fakes.State.on_progress = lambda value, total: tell("progress", {"value": value, "max": total, "node": key})
            mark = signature(key)
            if mark not in self.cache or info[kind]["output_node"]:
                try:
                    self.cache[mark], self.shown[mark] = self.call(kind, values)
                except Exception as error:
                    error.node = key  # type: ignore[attr-defined]
                    raise
                finally:
                    fakes.State.on_progress = self.page.on_message = None
            if self.shown[mark]:
                shown[key] = self.shown[mark]
                tell("executed", {"node": key, "display_node": key, "output": shown[key]})
            done[key] = self.cache[mark]
            return done[key]

        with torch.inference_mode():
            for key, node in prompt.items():
                if info[node["class_type"]]["output_node"]:
                    run(key)
        return shown

    def call(self, kind: str, values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """What a node gives and shows: once, or for every value of an input that is a list."""
        lists = {name: value for name, value in values.items() if isinstance(value, core_nodes.Listed)}
        if lists:
            rows = [
                self.call(kind, values | dict(zip(lists, row, strict=True)))
                for row in zip(*lists.values(), strict=True)
            ]
            outputs = tuple(core_nodes.Listed(column) for column in zip(*(row[0] for row in rows), strict=True))
            shown: dict[str, Any] = {}
            for row in rows:
                shown |= {name: shown.get(name, []) + said for name, said in (row[1] or {}).items()}
            return outputs, shown
        if kind in self.ours:
            output = self.ours[kind].execute(**values)
            return output.args, output.ui
        result = core_nodes.make(self.folders)[kind][1](**values)
        return (result, None) if isinstance(result, tuple) else ((), result)

    async def work(self) -> None:
        """Take prompts from the queue for ever."""
        loop = asyncio.get_running_loop()
        while True:
            number, prompt, client = await self.queue.get()

            def tell(kind: str, data: dict[str, Any], number: str = number, client: str = client) -> None:
                message = json.dumps({"type": kind, "data": {**data, "prompt_id": number}})
                socket = self.sockets.get(client)
                if socket is not None:
                    asyncio.run_coroutine_threadsafe(socket.send_str(message), loop)

            tell("execution_start", {})
            status, outputs = {"status_str": "success", "completed": True, "messages": []}, {}
            try:
                outputs = await asyncio.to_thread(self.execute, prompt, tell)
                tell("execution_success", {})
            except fakes.Interrupted:
                status = {"status_str": "error", "completed": False, "messages": [["execution_interrupted", {}]]}
                tell("execution_interrupted", {"executed": [], "node_id": None, "node_type": None})
            except Exception as error:  # noqa: BLE001 (whatever a node raises is reported to the user)
                key = getattr(error, "node", None)
                about = {
                    "node_id": key,
                    "node_type": prompt[key]["class_type"] if key else None,
                    "exception_message": str(error),
                    "exception_type": full_name(type(error)),
                    "traceback": traceback.format_tb(error.__traceback__),
                    "executed": [],
                }
                status = {"status_str": "error", "completed": False, "messages": [["execution_error", about]]}
                tell("execution_error", about)
            self.history[number] = {"outputs": outputs, "status": status, "prompt": [0, number, prompt, {}, []]}
            tell("executing", {"node": None})
            tell("status", {"status": {"exec_info": {"queue_remaining": self.queue.qsize()}}})


def full_name(kind: type) -> str:
    """An error's kind as ComfyUI names it: with its module's name, which in a pack is the path of its file."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def load_pack(name: str, file: Path) -> list[Any]:
    """The nodes of a custom node pack, loaded as ComfyUI does: a package's `__init__.py`, or a single file."""
    folder = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folder)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    extension = asyncio.run(module.comfy_entrypoint())
    return asyncio.run(extension.get_node_list())


def prefixed(route: web.RouteDef) -> web.RouteDef:
    """What the page asks for, below /api as ComfyUI has all its addresses."""
    return web.RouteDef(route.method, "/api" + route.path, route.handler, route.kwargs)


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def routes(host: Host) -> web.Application:
    """The addresses that the frontend and the tests ask for."""
    import comfyui_frontend_package

    static = Path(comfyui_frontend_package.__file__).parent / "static"
    settings: dict[str, Any] = {"Comfy.Workflow.ShowMissingNodesWarning": True}
    scripts = [f"/extensions/osdface/{file.name}" for file in sorted((host.pack / "web").glob("*.js"))]
    blueprints = {file.stem: file for file in sorted((host.pack / "subgraphs").glob("*.json"))}
    about = {"source": "custom_node", "info": {"node_pack": "custom_nodes.osdface"}}
    fixed = {
        "features": {},
        "users": {"storage": "server", "migrated": True},
        "extensions": scripts,
        "global_subgraphs": {name: about | {"name": name} for name in blueprints},
        "node_replacements": {},
        "workflow_templates": {},
        "experiment/models": [],
        "userdata": [],
        "jobs": {"jobs": [], "pagination": {"offset": 0, "limit": 200, "total": 0, "has_more": False}},
        "queue": {"queue_running": [], "queue_pending": []},
    }
    system = {"os": "posix", "python_version": sys.version, "embedded_python": False, "comfyui_version": "0.33.0"}
    system |= {
        "pytorch_version": torch.__version__,
        "argv": ["main.py", "--disable-api-nodes"],
        "ram_total": 0,
        "ram_free": 0,
    }
    api = web.RouteTableDef()

    @api.get("/api/system_stats")
    async def system_stats(_request: web.Request) -> web.Response:
        return web.json_response({"system": system, "devices": []})

    @api.get("/api/object_info")
    async def object_info(_request: web.Request) -> web.Response:
        return web.json_response(host.object_info())

    @api.get("/api/settings")
    async def all_settings(_request: web.Request) -> web.Response:
        return web.json_response(settings)

    @api.post("/api/settings/{id}")
    async def set_setting(request: web.Request) -> web.Response:
        settings[request.match_info["id"]] = await request.json()
        return web.json_response({})

    @api.get("/api/i18n")
    async def i18n(_request: web.Request) -> web.Response:
        found: dict[str, Any] = {}
        for file in sorted((host.pack / "locales").glob("*/*.json")):
            content = json.loads(file.read_text(encoding="utf-8"))
            target = found.setdefault(file.parent.name, {})
            target.update({"nodeDefs": content} if file.stem == "nodeDefs" else content)
        return web.json_response(found)

    @api.get("/api/global_subgraphs/{id}")
    async def blueprint(request: web.Request) -> web.Response:
        name = request.match_info["id"]
        text = blueprints[name].read_text(encoding="utf-8")
        return web.json_response(about | {"name": name, "data": text})

    @api.post("/api/prompt")
    async def post_prompt(request: web.Request) -> web.Response:
        body = await request.json()
        errors = host.validate(body["prompt"])
        if errors:
            failed = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}
            error = failed | {"details": "", "extra_info": {}}
            return web.json_response({"error": error, "node_errors": errors}, status=400)
        number = str(uuid.uuid4())
        await host.queue.put((number, body["prompt"], body.get("client_id")))
        return web.json_response({"prompt_id": number, "number": 0, "node_errors": {}})

    @api.post("/api/interrupt")
    async def interrupt(_request: web.Request) -> web.Response:
        fakes.State.interrupted = True
        return web.json_response({})

    @api.get("/api/history/{id}")
    async def history(request: web.Request) -> web.Response:
        number = request.match_info["id"]
        return web.json_response({number: host.history[number]} if number in host.history else {})

    @api.get("/api/view")
    async def view(request: web.Request) -> web.StreamResponse:
        kind, name = request.query.get("type", "output"), os.path.basename(request.query["filename"])
        path = Path(host.folders.base) / kind / name
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    @api.get("/ws")
    async def ws(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client = request.query.get("clientId") or uuid.uuid4().hex
        host.sockets[client] = socket
        status = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client}
        await socket.send_json({"type": "status", "data": status})
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        return socket

    @api.get("/extensions/{pack}/{path:.*}")
    async def extension_file(request: web.Request) -> web.StreamResponse:
        path = host.pack / "web" / request.match_info["path"]
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    @api.get("/{path:.*}")
    async def anything(request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if path.startswith("api/"):
            known = fixed.get(path.removeprefix("api/"))
            return web.json_response(known) if known is not None else web.Response(status=404)
        if path.startswith("templates/"):
            return web.json_response([])
        file = static / (path or "index.html")
        return web.FileResponse(file) if file.is_file() else web.Response(status=404)

    app = web.Application(client_max_size=64 * 2**20)
    app.add_routes(
        [*host.page.routes, *(prefixed(route) for route in host.page.routes if isinstance(route, web.RouteDef)), *api]
    )

    async def start(app: web.Application) -> None:
        app[WORKER] = asyncio.create_task(host.work())

    app.on_startup.append(start)
    return app


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--base", required=True)
    arguments.add_argument("--pack", type=Path, required=True)
    arguments.add_argument("--port", type=int, required=True)
    chosen = arguments.parse_args()
    web.run_app(routes(Host(chosen.base, chosen.pack)), host="127.0.0.1", port=chosen.port, print=None)
