"""What the parts of a manifest have in common: their base class and the types of their fields."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# A file name without folders and without a leading dot: no path can leave the artifact's folder.
FilePath = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
Positive = Annotated[int, Meta(ge=1)]
Index = Annotated[int, Meta(ge=0)]


class Strict(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every part of a manifest: immutable, and an unknown field is an error."""
