"""A pretended CUDA device: tensors that say `cuda:0` and keep their numbers on the CPU.

Every operation is seen below autograd and autocast, which follows CUDA's rules. What a CUDA device refuses raises here
too: tensors of both devices in one operation, `.numpy()` of a tensor on the device. `counts` has what costs time on a
real one: kernels, bytes that cross the bus, and the places where the CPU waits for the device. What cannot be shown:
the speed of kernels, several devices, fused kernels' own rules.
"""

import collections
import ctypes
import os
import sys
import threading
import unittest.mock
from functools import cache
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

PACKAGE = f"{Path(__file__).resolve().parents[2] / 'nrw'}/"
CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
GUARD = "PRETENDED_GPU_GUARD"  # the environment variable with the path of guard.cpp's library
aten = torch.ops.aten

CONVOLUTIONS = {aten.convolution.default, aten.convolution_backward.default}
# they take CPU tensors of indices beside CUDA tensors
INDEXING = {
    aten.index.Tensor,
    aten._unsafe_index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
COPIES = {aten.copy_.default, aten._to_copy.default, aten._foreach_copy_.default}
# the CPU waits for their results: the numbers themselves, or the sizes of what they return
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten._unique2.default,
    aten._linalg_check_errors.default,
}


class MixedDevicesError(RuntimeError):
    """Tensors of both devices in one operation."""


class Counts:
    """kernels: launched. up, down: bytes from and to the CPU, by place. waits: of the CPU for the device, by place."""

    def __init__(self) -> None:
        self.kernels = 0
        self.up: collections.Counter[str] = collections.Counter()
        self.down: collections.Counter[str] = collections.Counter()
        self.waits: collections.Counter[str] = collections.Counter()

    def record(self) -> dict:
        """As JSON holds it."""
        return {"kernels": self.kernels, "up": dict(self.up), "down": dict(self.down), "waits": dict(self.waits)}


counts = Counts()


def restart() -> None:
    """Count from 0."""
    counts.__init__()  # type: ignore[misc]


class Pretended(torch.Tensor):
    """A tensor on the pretended device. held: its numbers, a CPU tensor."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Pretended":
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=CUDA,
            requires_grad=False,
        )
        tensor.held = held
        return tensor

    def __repr__(self) -> str:
        return f"Pretended({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})  # outside of the mode

    def new_tensor(self, data, *, dtype=None, device=None):
        """Made below all that can be seen from here, as by torch.tensor."""
        return torch.tensor(data, dtype=dtype or self.dtype, device=device or self.device)

    def tolist(self) -> list:
        _wait("tolist", self)
        return self.held.tolist()

    def numpy(self, *args: object, **options: object):
        raise TypeError(f"can't convert cuda:0 device type tensor to numpy, at {_place()}")

    def __array__(self, *args: object, **options: object):
        return self.numpy()

    def __getitem__(self, index: object):
        return super().__getitem__(_on_device(index))

    def __setitem__(self, index: object, value: object) -> None:
        super().__setitem__(_on_device(index), value)

    # what copy.deepcopy and the exchange of a module's parameters need
    def __tensor_flatten__(self):
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner, meta, size, stride):
        return Pretended(inner["held"])


class PretendedGPU(TorchDispatchMode):
    """`with PretendedGPU():` what runs on `cuda`."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if _is_made_of_others(func):
            with self:  # in inference mode operations made of others arrive whole
                out = func.decompose(*args, **(kwargs or {}))
            if out is not NotImplemented:
                return out
        return _run(func, args, kwargs or {})


def _place() -> str:
    """The innermost line of the project that is at work."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return f"{frame.f_code.co_filename.removeprefix(PACKAGE)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "outside of nrw"


def _on_device(index: object) -> object:
    """An index with its lists of numbers as tensors on the device, which torch makes below all that can be seen."""
    if isinstance(index, tuple):
        return tuple(_on_device(part) for part in index)
    return torch.tensor(index).to(CUDA) if isinstance(index, list) else index


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _wait(why: str, tensor: torch.Tensor | None = None) -> None:
    counts.waits[f"{why} {_place()}"] += 1
    if tensor is not None:
        counts.down[_place()] += _bytes(tensor)


@cache
def _is_made_of_others(func) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


@cache
def _is_view(func) -> bool:
    read = any(a.alias_info is not None and not a.alias_info.is_write for a in func._schema.arguments)
    return func is aten.detach.default or (read and any(r.alias_info is not None for r in func._schema.returns))


def _run(func, args: tuple, kwargs: dict):
    """Run an operation on the numbers that its tensors hold."""
    flat, structure = tree_flatten((args, kwargs))
    tensors = [value for value in flat if isinstance(value, torch.Tensor)]
    pretended = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
    wanted = kwargs.get("device")
    to_cuda = wanted is not None and torch.device(wanted).type == "cuda"
    if not pretended and not to_cuda:
        return func(*args, **kwargs)
    if func not in COPIES:
        _refuse_mixture(func, args, tensors)
    inner = [value.held if isinstance(value, Pretended) else value for value in flat]
    inner_args, inner_kwargs = tree_unflatten(inner, structure)
    if func is aten._to_copy.default:
        return _copied(args[0], inner_args[0], {**inner_kwargs}, to_cuda or wanted is None)
    if func is aten.copy_.default:
        at_once = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        _count_copy(args[1], isinstance(args[0], Pretended), at_once)
        func(*inner_args, **inner_kwargs)
        return args[0]
    if to_cuda:
        inner_kwargs = {**inner_kwargs, "device": CPU}
        inner_kwargs.pop("pin_memory", None)
    _count(func, args)
    out = _calculated(func, inner_args, inner_kwargs)
    if func in (aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default):
        return out
    out = tree_map_only(torch.Tensor, Pretended, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if pretended else out


def _calculated(func, args: tuple, kwargs: dict):
    """Run an operation on the CPU: convolutions of bfloat16 in float32, which is many times faster, and rounded."""
    if func not in CONVOLUTIONS or args[0].dtype != torch.bfloat16:
        return func(*args, **kwargs)
    args, kwargs = tree_map_only(torch.Tensor, torch.Tensor.float, (args, kwargs))
    return tree_map_only(torch.Tensor, torch.Tensor.bfloat16, func(*args, **kwargs))


def _refuse_mixture(func, args: tuple, tensors: list[torch.Tensor]) -> None:
    """Raise MixedDevicesError where CUDA would, and count the CPU indices that it copies for itself."""
    beside = [tensor for tensor in tensors if not isinstance(tensor, Pretended) and tensor.dim() > 0]
    if not beside:
        return  # a number, as a CPU tensor without dimensions, is admitted
    if func in INDEXING:
        values = args[2] if len(args) > 2 else None
        at_home = isinstance(values, torch.Tensor) and not isinstance(values, Pretended) and values.dim() > 0
        if isinstance(args[0], Pretended) and not at_home:
            for index in beside:
                counts.up[_place()] += _bytes(index)
            return
    found = [f"{'cuda' if isinstance(t, Pretended) else 'cpu'} {tuple(t.shape)}" for t in tensors]
    raise MixedDevicesError(f"{func} at {_place()}: {', '.join(found)}")


def _copied(source: torch.Tensor, held: torch.Tensor, options: dict, to_cuda: bool) -> torch.Tensor:
    _count_copy(source, to_cuda, options.pop("non_blocking", False))
    if "device" in options:
        options["device"] = CPU
    out = aten._to_copy.default(held, **options)
    return Pretended(out) if to_cuda else out


def _count_copy(source: torch.Tensor, to_cuda: bool, non_blocking: bool) -> None:
    if to_cuda and isinstance(source, Pretended):
        counts.kernels += 1
    elif to_cuda:
        counts.up[_place()] += _bytes(source)
        if not non_blocking:  # torch waits for the stream, and so for all that the device has still to do
            _wait("upload")
    else:
        _wait("copy to the CPU", source)


def _count(func, args: tuple) -> None:
    if func in WAITING:
        _wait(func._schema.name.removeprefix("aten::"))
    if func in INDEXING:
        assigned = args[2].numel() if len(args) > 2 else 0
        for index in tree_flatten(args[1])[0]:
            # how many are true decides the size of the result; one value for all of them needs no size
            if isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8) and assigned != 1:
                _wait("boolean index")
    if not _is_view(func):
        counts.kernels += 1


class _Properties:
    name, major, minor, total_memory, multi_processor_count = "Pretended GPU", 9, 0, 80 << 30, 132


def install() -> None:
    """Make this process, which was started with the guard, believe in one CUDA device."""
    if not ctypes.CDLL(os.environ[GUARD]).install_guard():
        raise RuntimeError("torch does not believe in the pretended device: start Python with LD_PRELOAD")
    answers = {
        "is_available": True,
        "_lazy_init": None,
        "is_bf16_supported": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_properties": _Properties,
        "get_device_name": _Properties.name,
        "get_device_capability": (_Properties.major, _Properties.minor),
        "is_current_stream_capturing": False,
        "mem_get_info": (40 << 30, _Properties.total_memory),
        "max_memory_allocated": 0,
        **dict.fromkeys(("manual_seed", "manual_seed_all", "synchronize", "reset_peak_memory_stats")),
    }
    for name, answer in answers.items():
        unittest.mock.patch.object(torch.cuda, name, lambda *args, answer=answer, **options: answer).start()
    torch.Tensor.pin_memory = lambda tensor, *args: tensor  # type: ignore[method-assign,assignment]
    torch.backends.cudnn.enabled = False
    made = torch.tensor

    def tensor(data, *, device=None, pin_memory=False, **options):
        """torch.tensor makes its tensor below all that can be seen from here."""
        on_cpu = made(data, **options)
        return on_cpu if device is None else on_cpu.to(device)

    torch.tensor = tensor  # type: ignore[assignment]
    run = threading.Thread.run

    def run_pretending(thread: threading.Thread) -> None:
        with PretendedGPU():  # a mode is of one thread
            run(thread)

    threading.Thread.run = run_pretending  # type: ignore[method-assign]
    torch.__future__.set_overwrite_module_params_on_conversion(True)
