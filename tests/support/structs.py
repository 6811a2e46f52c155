"""What all structs of a module have in common."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import msgspec


def mutable_structs(module: ModuleType) -> set[str]:
    """The names of a module's own structs and data classes whose objects can be changed."""
    return {
        name
        for name, kind in vars(module).items()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and not _is_frozen(kind)
    }


def _is_frozen(kind: type) -> bool:
    """Whether objects of a class cannot be changed; true for classes that are neither structs nor data classes."""
    if issubclass(kind, msgspec.Struct):
        return bool(kind.__struct_config__.frozen)
    return bool(getattr(kind, "__dataclass_params__", SimpleNamespace(frozen=True)).frozen)
