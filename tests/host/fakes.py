"""ComfyUI's modules as far as the nodes use them, so that they run where there is no ComfyUI.

Kept faithful by `test_object_info.py`, which compares what these make of our schemas with a record of a real ComfyUI.
"""

import os
import sys
from types import ModuleType
from typing import Any

import torch
from aiohttp import web

EXTENSIONS = {".ckpt", ".pt", ".pth", ".bin", ".safetensors"}


class Interrupted(BaseException):
    """ComfyUI's InterruptProcessingException."""


class State:
    """What the fake host and its server share."""

    interrupted = False
    on_progress: Any = None
    loaded: list[Any] = []  # noqa: RUF012 (one host per process)


# -- comfy_api.latest.io --------------------------------------------------------------------------------------------


def pruned(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


class Input:
    def __init__(self, io_type: str, id: str, optional: bool = False, **options: Any):
        self.io_type, self.id, self.optional = io_type, id, optional
        self.options = options

    def as_v1(self) -> list[Any]:
        names = {"force_input": "forceInput"}
        order = ["tooltip", "advanced", "default"]
        options = {key: self.options.get(key) for key in order}
        options |= {names.get(key, key): value for key, value in self.options.items() if key not in order}
        if self.io_type == "COMBO":
            options = {"multiselect": False, **options}
        if self.io_type == "STRING":
            options = {"multiline": False, **options}
        if self.io_type == "BOUNDING_BOX":
            options.setdefault("socketless", True)
            options["default"] = options["default"] or {"x": 0, "y": 0, "width": 512, "height": 512}
        return [self.io_type, pruned(options)]


class Output:
    def __init__(self, io_type: str, id: str | None = None, display_name: str | None = None):
        self.io_type, self.id, self.display_name = io_type, id, display_name


def custom(io_type: str) -> Any:
    """A socket type, with its Input and Output."""

    class Type:
        class Input(Input):
            def __init__(self, *arguments: Any, **options: Any):
                super().__init__(io_type, *arguments, **options)

        class Output(Output):
            def __init__(self, *arguments: Any, **options: Any):
                super().__init__(io_type, *arguments, **options)

    return Type


class Schema:
    def __init__(self, node_id: str, inputs: Any = (), outputs: Any = (), **about: Any):
        self.node_id, self.inputs, self.outputs, self.about = node_id, list(inputs), list(outputs), about

    def as_v1(self) -> dict[str, Any]:
        groups: dict[str, dict[str, Any]] = {"required": {}}
        for item in self.inputs:
            groups.setdefault("optional" if item.optional else "required", {})[item.id] = item.as_v1()
        if self.about.get("is_output_node"):
            groups["hidden"] = {"prompt": ["PROMPT"], "extra_pnginfo": ["EXTRA_PNGINFO"]}
        return {
            "input": groups,
            "input_order": {group: list(items) for group, items in groups.items()},
            "output": [output.io_type for output in self.outputs],
            "output_is_list": [False] * len(self.outputs),
            "output_name": [output.display_name or output.id or output.io_type for output in self.outputs],
            "name": self.node_id,
            "display_name": self.about.get("display_name", self.node_id),
            "description": self.about.get("description", ""),
            "category": self.about.get("category", ""),
            "search_aliases": self.about.get("search_aliases", []),
            "output_node": self.about.get("is_output_node", False),
            "has_intermediate_output": self.about.get("has_intermediate_output", False),
        }


class NodeOutput:
    def __init__(self, *args: Any, ui: dict[str, Any] | None = None):
        self.args, self.ui = args, ui


class ComfyNode:
    """Base of V3 nodes."""


class ComfyExtension:
    """Base of V3 extensions."""


# -- folder_paths ---------------------------------------------------------------------------------------------------


class FolderPaths(ModuleType):
    """One base folder with models/, input/ and output/."""

    def __init__(self, base: str):
        super().__init__("folder_paths")
        self.base, self.models_dir = base, os.path.join(base, "models")
        self.folder_names_and_paths: dict[str, Any] = {}
        for key in ("checkpoints", "detection", "diffusers", "loras", "upscale_models", "vae_approx"):
            folder = os.path.join(self.models_dir, key)
            os.makedirs(folder, exist_ok=True)
            self.folder_names_and_paths[key] = ([folder], set(EXTENSIONS) if key != "diffusers" else {"folder"})
        for name in ("input", "output", "temp"):
            os.makedirs(os.path.join(base, name), exist_ok=True)

    def get_input_directory(self) -> str:
        return os.path.join(self.base, "input")

    def add_model_folder_path(self, key: str, path: str, is_default: bool = False) -> None:
        paths, _ = self.folder_names_and_paths.setdefault(key, ([], set()))
        if path not in paths:
            paths.append(path)

    def get_folder_paths(self, key: str) -> list[str]:
        return list(self.folder_names_and_paths[key][0])

    def get_filename_list(self, key: str) -> list[str]:
        paths, extensions = self.folder_names_and_paths[key]
        found = set()
        for root in paths:
            for folder, _, files in os.walk(root):
                found |= {os.path.relpath(os.path.join(folder, file), root) for file in files}
        return sorted(file for file in found if os.path.splitext(file)[1] in extensions)

    def get_full_path(self, key: str, name: str) -> str | None:
        name = os.path.relpath(os.path.join("/", name), "/")
        for root in self.get_folder_paths(key):
            if os.path.isfile(os.path.join(root, name)):
                return os.path.join(root, name)
        return None

    def get_full_path_or_raise(self, key: str, name: str) -> str:
        path = self.get_full_path(key, name)
        if path is None:
            raise FileNotFoundError(f"Model in folder '{key}' with filename '{name}' not found.")
        return path


# -- comfy ----------------------------------------------------------------------------------------------------------


class ModelPatcher:
    def __init__(self, model: torch.nn.Module, load_device: torch.device, offload_device: torch.device):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device


class CastWeightBiasOp:
    """What marks ComfyUI's layers, whose weights are copied and cast where they are used."""


class Conv2d(torch.nn.Conv2d, CastWeightBiasOp):
    pass


class Linear(torch.nn.Linear, CastWeightBiasOp):
    pass


def cast_bias_weight(layer: Any, like: torch.Tensor, offloadable: bool) -> tuple[Any, Any, None]:
    return layer.weight.to(like), None if layer.bias is None else layer.bias.to(like), None


def uncast_bias_weight(layer: Any, weight: Any, bias: Any, lent: None) -> None:
    """Nothing was lent."""


class ProgressBar:
    def __init__(self, total: int):
        self.total = total

    def update_absolute(self, value: int, total: int | None = None) -> None:
        if State.on_progress:
            State.on_progress(value, total or self.total)


def load_models_gpu(models: list[ModelPatcher], memory_required: float = 0, force_full_load: bool = False) -> None:
    for model in models:
        if model not in State.loaded:
            State.loaded.append(model)


def throw_exception_if_processing_interrupted() -> None:
    if State.interrupted:
        State.interrupted = False
        raise Interrupted


class PromptServer:
    """What nodes tell their pages, and the addresses at which pages ask."""

    instance: "PromptServer"

    def __init__(self) -> None:
        self.routes = web.RouteTableDef()
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.on_message: Any = None

    def send_sync(self, event: str, data: Any, client: str | None = None) -> None:
        if self.on_message:
            self.on_message(event, data)


def module(name: str, **content: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(content)
    sys.modules[name] = made
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, made)
    return made


def install(base: str) -> FolderPaths:
    """Put the fakes where the nodes import them from."""
    cpu = torch.device("cpu")
    sys.modules["folder_paths"] = folders = FolderPaths(base)
    module("comfy")
    module(
        "comfy.model_management",
        InterruptProcessingException=Interrupted,
        get_torch_device=lambda: cpu,
        unet_offload_device=lambda: cpu,
        vae_device=lambda: cpu,
        vae_offload_device=lambda: cpu,
        intermediate_device=lambda: cpu,
        unet_dtype=lambda _device, supported_dtypes: torch.float32,
        vae_dtype=lambda _device, _allowed: torch.float32,
        should_use_fp16=lambda _device=None: False,
        force_channels_last=lambda: False,
        load_models_gpu=load_models_gpu,
        throw_exception_if_processing_interrupted=throw_exception_if_processing_interrupted,
    )
    module("comfy.model_patcher", CoreModelPatcher=ModelPatcher)
    manual_cast = type("manual_cast", (), {"Conv2d": Conv2d, "Linear": Linear})
    casting = {"cast_bias_weight": cast_bias_weight, "uncast_bias_weight": uncast_bias_weight}
    module("comfy.ops", CastWeightBiasOp=CastWeightBiasOp, manual_cast=manual_cast, **casting)
    module("comfy.ldm")
    module("comfy.ldm.modules")
    module("comfy.ldm.modules.attention", optimized_attention=None)
    module("comfy.utils", ProgressBar=ProgressBar)
    module("comfy.sd")
    PromptServer.instance = PromptServer()
    module("server", PromptServer=PromptServer)
    module("comfy.samplers", Sampler=object)
    module("comfy.model_sampling", V_PREDICTION=type("V_PREDICTION", (), {}))
    names = ["Image", "Mask", "Float", "Int", "String", "Boolean", "Combo", "Model", "Vae", "Conditioning"]
    types = {name: custom(name.upper()) for name in names}
    types |= {"BoundingBox": custom("BOUNDING_BOX"), "AnyType": custom("*")}
    io = module("comfy_io", Schema=Schema, NodeOutput=NodeOutput, ComfyNode=ComfyNode, Custom=custom, **types)
    module("comfy_api")
    module("comfy_api.latest", io=io, ComfyExtension=ComfyExtension)
    return folders
