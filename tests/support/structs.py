"""What all structs of a module have in common."""

from __future__ import annotations

from types import ModuleType

import msgspec


def mutable_structs(module: ModuleType) -> set[str]:
    """The names of a module's own structs whose objects can be changed."""
    return {
        name
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
        if not kind.__struct_config__.frozen
    }
