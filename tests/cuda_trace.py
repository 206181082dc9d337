"""What a pass would do on a CUDA card, found without one: operations on tensors that have no data (FakeTensor).

`card()` makes this process believe in a card; `Trace` records every kernel that the operations within would start: its
bytes, its arithmetic, the memory alive. Asking a tensor for a value or a size that depends on values raises an error by
itself, as does an operation on tensors of two devices.
"""

import math
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from osdface_core.inference import prepare
from osdface_core.kernels import triton_norm
from osdface_core.models.osdface import ModelConfig, OSDFaceModel
from osdface_core.models.precision import Precision

ATEN = torch.ops.aten
PARTS = ("vre", "encode", "unet", "decode")
FACE = 512
HALVES = torch.float16, torch.bfloat16
BIAS = "bias of a convolution"
"""cuDNN convolves without one: PyTorch adds it afterwards, in a kernel of its own."""
CONVERSION = "layout of a convolution's input"
"""What PyTorch copies before a convolution whose input is not in its kernel's layout."""

library = torch.library.Library("osdface_trace", "DEF")
library.define("attention(Tensor q, Tensor k, Tensor v) -> Tensor")


@torch.library.register_fake("osdface_trace::attention", lib=library)
def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[N,heads,Q,C], as CUDA's fused kernels leave it in memory: [N,Q,heads,C]."""
    count, heads, queries, _ = q.shape
    return q.new_empty(count, queries, heads, v.shape[-1]).transpose(1, 2)


library.impl("attention", attention, "CUDA")


@dataclass(frozen=True)
class Launch:
    """A kernel."""

    part: str
    operation: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int
    """Read and written, a value that is repeated counted once."""
    flops: int
    devices: frozenset[str]
    moves_layout: bool
    """Whether it copies an image of more than four channels into another memory layout."""


class Trace(TorchDispatchMode):
    """Every kernel that would be started within, and how much memory is alive beside the weights."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.launches: list[Launch] = []
        self.part = "rest"
        self.peaks: Counter[str] = Counter()
        """The most bytes alive at once in each part."""
        self.known = {weight.untyped_storage()._cdata for weight in weights}
        self.alive = 0

    def operations(self, part: str) -> int:
        """Kernels of a part, but one for a norm and one for a convolution with its bias: what the networks ask for."""
        more = (BIAS, "part_moments", "mean_and_scale")
        return sum(launch.part == part and launch.operation not in more for launch in self.launches)

    def count(self, part: str) -> int:
        """All kernels of a part."""
        return sum(launch.part == part for launch in self.launches)

    def total(self, part: str, what: str) -> int:
        """Of a part: its "bytes" or "flops" together."""
        return sum(getattr(launch, what) for launch in self.launches if launch.part == part)

    def within(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, whose kernels count as those of `part`."""

        def traced(*inputs: Any) -> Any:
            before, self.part = self.part, part
            self.peaks[part] = max(self.peaks[part], self.alive)
            try:
                return work(*inputs)
            finally:
                self.part = before

        return traced

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name == "convolution":
            made = self.convolution(made, *args)
        outputs = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        for tensor in outputs:
            self.see(tensor)
        if outputs and not is_free(func, name, inputs, outputs):
            self.add(name, inputs, outputs, flops_of(name, args, outputs))
        return made

    def convolution(self, made: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, *_: Any) -> Tensor:
        """In the layout that cuDNN takes and gives: channels last as soon as input or kernel is."""
        last = is_channels_last(x) or is_channels_last(weight)
        layout = torch.channels_last if last else torch.contiguous_format
        if not x.is_contiguous(memory_format=layout):
            self.add(CONVERSION, [x], [x], 0, moves=x.shape[1] > 4)
        if not made.is_contiguous(memory_format=layout):
            made = torch.empty(made.shape, dtype=made.dtype, device=made.device, memory_format=layout)
        if bias is not None:
            self.add(BIAS, [made], [made], 0)
        return made

    def kernel(self, name: str, tensors: list[Tensor]) -> None:
        """Record a kernel that is none of PyTorch's: it reads or writes each of these tensors once."""
        self.add(name, tensors, [], 0)

    def add(self, name: str, inputs: list[Tensor], outputs: list[Tensor], flops: int, moves: bool = False) -> None:
        like = (outputs or inputs)[0]
        if name in ("clone", "copy_", "_to_copy") and like.ndim == 4 and like.shape[1] > 4:
            moves = is_channels_last(inputs[-1]) != is_channels_last(like)
        size = sum(touched(tensor) for tensor in (*inputs, *outputs))
        devices = frozenset(tensor.device.type for tensor in (*inputs, *outputs))
        self.launches.append(Launch(self.part, name, tuple(like.shape), like.dtype, size, flops, devices, moves))

    def see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.known and tensor.device.type == "cuda":
            self.known.add(storage._cdata)
            self.alive += storage.nbytes()
            self.peaks[self.part] = max(self.peaks[self.part], self.alive)
            weakref.finalize(storage, self.forget, storage._cdata, storage.nbytes())

    def forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.alive -= size


def is_channels_last(x: Tensor) -> bool:
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def is_free(func: Any, name: str, inputs: list[Tensor], outputs: list[Tensor]) -> bool:
    """Whether an operation starts no kernel: it only looks at memory in another way, or reserves it."""
    if "empty" in name:
        return True
    storages = {tensor.untyped_storage()._cdata for tensor in inputs}
    return not func._schema.is_mutable and all(tensor.untyped_storage()._cdata in storages for tensor in outputs)


def flops_of(name: str, args: Any, outputs: list[Tensor]) -> int:
    """A multiplication and an addition are two."""
    if name in ("mm", "bmm"):
        return 2 * args[0].numel() * args[1].shape[-1]
    if name in ("addmm", "baddbmm"):
        return 2 * args[1].numel() * args[2].shape[-1]
    if name == "convolution":
        transposed = args[6]
        return 2 * (args[0] if transposed else outputs[0]).numel() * math.prod(args[1].shape[1:])
    if name == "attention":
        q, k, v = args
        return 2 * math.prod(q.shape[:3]) * k.shape[2] * (q.shape[3] + v.shape[3])
    return 0


def touched(tensor: Tensor) -> int:
    """Bytes of memory behind a tensor; what is expanded counts once."""
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return math.prod(sizes) * tensor.element_size()


class TracedKernels:
    """In the place of our own kernels on a card: they record what they would do."""

    def __init__(self) -> None:
        self.trace: Trace | None = None

    def __getattr__(self, name: str) -> "TracedKernel":
        return TracedKernel(self, name)


@dataclass(frozen=True)
class TracedKernel:
    kernels: TracedKernels
    name: str

    def __getitem__(self, _grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*args: Any) -> None:
            if self.kernels.trace is not None:
                self.kernels.trace.kernel(self.name, [arg for arg in args if isinstance(arg, Tensor)])

        return launch


class Indexing(TorchFunctionMode):
    """Indexing by the operations that it consists of. Not put into Tensor itself: taken out again, Python's slot for
    sequences would stay, and a number would pass for one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        own = {"__getitem__": get_item, "__setitem__": set_item}.get(getattr(func, "__name__", ""), func)
        return own(*args, **(kwargs or {}))


@contextmanager
def card() -> Iterator[TracedKernels]:
    """Within, tensors on "cuda" exist, without data. A PyTorch without CUDA needs some help with that: some methods ask
    for a card before FakeTensor sees them, so they are taken to the operations behind them."""
    kernels = TracedKernels()
    replaced = {
        "contiguous": contiguous,
        "copy_": lambda x, source, non_blocking=False: ATEN.copy_(x, source, non_blocking),
        "__invert__": lambda x: ATEN.bitwise_not(x),
        "pin_memory": lambda x: x,
        "is_pinned": lambda x: x.device.type == "cpu",
    }
    initial = ("kaiming_uniform_", "uniform_", "normal_", "zeros_", "ones_", "xavier_uniform_", "constant_")
    with ExitStack() as stack:

        def put(where: Any, name: str, what: Any) -> None:
            stack.enter_context(mock.patch.object(where, name, what))

        for name, what in replaced.items():
            put(Tensor, name, what)
        for name in initial:
            put(torch.nn.init, name, lambda tensor, *_args, **_options: tensor)
        put(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
        put(torch.cuda, "device_of", lambda tensor: nullcontext())
        put(F, "scaled_dot_product_attention", lambda q, k, v, **_: torch.ops.osdface_trace.attention(q, k, v))
        put(triton_norm, "kernels", lambda: kernels)
        stack.enter_context(Indexing())
        stack.enter_context(FakeTensorMode())
        stack.enter_context(torch.no_grad())
        yield kernels


def contiguous(x: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    return x if x.is_contiguous(memory_format=memory_format) else ATEN.clone(x, memory_format=memory_format)


GET_ITEM = Tensor.__getitem__


def get_item(x: Tensor, index: Any) -> Tensor:
    """Indexing by the operations that it consists of."""
    if x.device.type != "cuda":
        return GET_ITEM(x, index)
    index = index if isinstance(index, tuple) else (index,)
    given = sum(part is not None and part is not Ellipsis for part in index)
    parts: list[Any] = []
    for part in index:
        parts += [slice(None)] * (x.ndim - given) if part is Ellipsis else [part]
    if any(isinstance(part, Tensor) for part in parts):
        return ATEN.index(x, [part if isinstance(part, Tensor) else None for part in parts])
    dim = 0
    for part in parts:
        if isinstance(part, int):
            x = ATEN.select(x, dim, part)
            continue
        if part is None:
            x = ATEN.unsqueeze(x, dim)
        elif part != slice(None):
            x = ATEN.slice(x, dim, part.start, part.stop, part.step or 1)
        dim += 1
    return x


SET_ITEM = Tensor.__setitem__


def set_item(x: Tensor, index: Any, value: Any) -> None:
    if x.device.type == "cuda":
        ATEN.copy_(get_item(x, index), value)
    else:
        SET_ITEM(x, index, value)


def trace_pass(precision: str = "fp16", faces: int = 8, size: int = FACE, seed: int | None = None) -> Trace:
    """A whole pass of the full-size model in a precision, from images on the card to images on the card."""
    schedule: Any = ModelConfig().alphas_cumprod().tolist()  # the host's own: asking it is no waiting
    with card() as kernels:
        with torch.device("cuda"):
            model = OSDFaceModel(ModelConfig())
        prepare(model, Precision.parse(precision, "cuda"), device="cuda")
        images = torch.empty(faces, 3, size, size, device="cuda")
        step = replace(model.one_step, alphas_cumprod=schedule)
        step.forward(images, model.vre(images).embeds, seed)  # what is computed only once
        kernels.trace = trace = Trace((*model.parameters(), *model.buffers(), images))
        traced: dict[str, Any] = {
            "encode": trace.within("encode", step.encode),
            "predict_noise": trace.within("unet", step.predict_noise),
            "decode": trace.within("decode", step.decode),
        }
        step = replace(step, **traced)
        with trace:
            embeds = trace.within("vre", model.vre)(images).embeds
            step.forward(images, embeds, seed)
    return trace
