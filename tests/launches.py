"""Counts what would be a kernel's launch on a GPU: every operation of torch but views and empty tensors."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NO_KERNEL = ("aten::empty", "aten::detach", "aten::lift_fresh", "aten::_local_scalar_dense")


class Launches(TorchDispatchMode):
    """Within `with Launches() as launches:` operations are counted by name; `launches.total` is their number."""

    def __init__(self):
        super().__init__()
        self.by_name = Counter()

    @property
    def total(self):
        return sum(self.by_name.values())

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CompositeImplicitAutograd"):
            with self:  # in inference mode these arrive whole
                result = operation.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        arguments = operation._schema.arguments
        is_view = any(argument.alias_info is not None and not argument.alias_info.is_write for argument in arguments)
        if not is_view and not operation.name().startswith(NO_KERNEL):
            self.by_name[operation.name()] += 1
        return operation(*args, **(kwargs or {}))
