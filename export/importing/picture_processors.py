"""Preprocessing of pictures: from an image processor of transformers, from timm's configuration, and from flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.source import Source, read_object
from hearth_build.recipe import RecipeError

PROCESSOR, PROCESSORS = "preprocessor_config.json", "processor_config.json"
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
RESAMPLES: dict[int, Resample] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}
"""Pillow's numbers."""
TIMM_RESAMPLES: dict[str, Resample] = {"bilinear": "bilinear", "bicubic": "bicubic", "random": "bilinear"}
UNBOUNDED = 8
"""How many times longer than the shorter side the longer side of a picture may be, if the processor has no limit."""
RANGES: dict[str, tuple[float, tuple[float, ...], tuple[float, ...]]] = {
    "raw": (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "unit": (255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "symmetric": (255.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Normalisations of pixels by name: the divisor, then mean and standard deviation."""


def read_processor(source: Source) -> dict[str, Any]:
    """The settings of the folder's image processor, with the defaults of its class. Raises RecipeError."""
    import transformers
    from transformers.models.auto import image_processing_auto

    try:
        if (source.folder / PROCESSOR).is_file() or (source.folder / PROCESSORS).is_file():
            return dict(transformers.AutoImageProcessor.from_pretrained(source.folder).to_dict())
        name = image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES[source.model_type]["pil"]
        settings = dict(getattr(transformers, name)().to_dict())
    except (KeyError, OSError, ValueError, TypeError) as error:
        raise RecipeError(
            f"{source.folder} has no {PROCESSOR} that says how pictures are resized and normalized ({error}). Save the "
            "image processor there with save_pretrained()."
        ) from None
    return fit_to_model(settings, source.config)


def fit_to_model(settings: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The default settings with the size for which the model was made, if its configuration has one."""
    side = config.get("image_size") or config.get("vision_config", {}).get("image_size")
    if not side:
        return settings
    height, width = side if isinstance(side, list | tuple) else (side, side)
    size = {"height": height, "width": width}
    if settings.get("do_center_crop"):
        shortest = {"shortest_edge": min(height, width)}
        return settings | {"crop_size": size, "size": shortest if "shortest_edge" in settings["size"] else size}
    return settings | {"size": size}


def preprocessing_of(settings: dict[str, Any]) -> ImagePreprocessing:
    """The preprocessing of an image processor. Raises RecipeError for steps that do not exist here."""
    size, crop = settings.get("size") or {}, settings.get("crop_size") if settings.get("do_center_crop") else None
    if not settings.get("do_resize", True) or not size:
        raise RecipeError("The image processor does not resize pictures to one size; import the graph with flags.")
    size, crop = sides(size), sides(crop) if crop else None  # the first versions had one number for a square
    mean, std, scale = normalisation(settings)
    fields: dict[str, Any] = {
        "mean": mean,
        "std": std,
        "scale": scale,
        "resample": RESAMPLES[int(settings.get("resample", 2))],
        "channels": "BGR" if settings.get("do_flip_channel_order") else "RGB",
        "crop_rounding": "down",
    }
    shortest = size.get("shortest_edge")
    if settings.get("crop_pct") and shortest:  # ConvNeXt
        if shortest >= 384:
            return ImagePreprocessing(shortest, shortest, "stretch", **fields)
        before = (int(shortest / settings["crop_pct"]),)
        return ImagePreprocessing(shortest, shortest, "shortest-edge-center-crop", before_crop=before, **fields)
    if crop:
        width, height = crop["width"], crop["height"]
        if shortest:
            return ImagePreprocessing(width, height, "shortest-edge-center-crop", before_crop=(shortest,), **fields)
        return ImagePreprocessing(width, height, "stretch", before_crop=(size["width"], size["height"]), **fields)
    if shortest:
        longest = size.get("longest_edge") or shortest * UNBOUNDED
        return ImagePreprocessing(longest, shortest, "keep-aspect", **fields)
    if "height" not in size or "width" not in size:
        raise RecipeError(f"The image processor's size {size} is not known here; import the graph with flags.")
    return ImagePreprocessing(size["width"], size["height"], "stretch", **fields)


def sides(size: Any) -> dict[str, int]:
    return {"height": size, "width": size} if isinstance(size, int) else dict(size)


def normalisation(settings: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Mean, standard deviation and scale: the steps of the processor as (x / scale - mean) / std."""
    scale = 1 / settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    if settings.get("do_normalize"):
        mean, std = tuple(map(float, settings["image_mean"])), tuple(map(float, settings["image_std"]))
    if settings.get("rescale_offset"):  # EfficientNet: pixels from -1 to 1 before they are normalized
        mean = tuple(value + 1 for value in mean)
    if settings.get("include_top"):  # EfficientNet divides by the deviation once more
        std = tuple(value * float(again) for value, again in zip(std, settings["image_std"], strict=True))
    return mean, std, scale


def timm_preprocessing(config: dict[str, Any]) -> ImagePreprocessing:
    """The preprocessing of timm's config.json: a centre crop of `crop_pct` of the resized picture."""
    settings = config.get("pretrained_cfg") or {}
    channels, height, width = settings.get("test_input_size") or settings.get("input_size") or (3, 224, 224)
    crop = settings.get("test_crop_pct") or settings.get("crop_pct") or 0.875
    fields: dict[str, Any] = {
        "mean": tuple(settings.get("mean") or (0.485, 0.456, 0.406)),
        "std": tuple(settings.get("std") or (0.229, 0.224, 0.225)),
        "resample": TIMM_RESAMPLES.get(settings.get("interpolation", "bilinear"), "bilinear"),
        "channels": "L" if channels == 1 else "RGB",
    }
    if settings.get("crop_mode") == "squash":
        before: tuple[int, ...] = (int(width / crop), int(height / crop))
        return ImagePreprocessing(width, height, "stretch", before_crop=before, **fields)
    before = (int(min(height, width) / crop),)
    return ImagePreprocessing(width, height, "shortest-edge-center-crop", before_crop=before, **fields)


def beside(graph: Path) -> tuple[ImagePreprocessing, str] | None:
    """The preprocessing that a file beside the graph or in the folder above describes, and the file's name.

    Raises RecipeError for a file that is not JSON, or that describes steps that do not exist here.
    """
    for folder in (graph.parent, graph.parent.parent):
        if (folder / PROCESSOR).is_file():
            settings = read_object(folder / PROCESSOR)
            if {"image_processor_type", "feature_extractor_type"} & settings.keys():
                return preprocessing_of(read_processor(Source(folder, folder.name, {}))), PROCESSOR
            if "size" in settings:  # of an image processor that does not name its class
                return preprocessing_of({"do_normalize": "image_mean" in settings} | settings), PROCESSOR
        if (folder / "config.json").is_file():
            config = read_object(folder / "config.json")
            if isinstance(config.get("pretrained_cfg"), dict):
                return timm_preprocessing(config), "config.json"
    return None


def with_flags(given: ImagePreprocessing, options: ImportOptions) -> ImagePreprocessing:
    """The preprocessing with what flags say otherwise. Raises RecipeError for flags that do not fit together."""
    changes: dict[str, Any] = {}
    count = len(given.mean)
    if options.mean is not None and options.std is not None:
        changes |= {"scale": 255.0, "mean": options.mean[:count], "std": options.std[:count]}
    elif options.pixels is not None:
        if options.pixels not in RANGES:
            raise RecipeError(f"--pixels must be one of {', '.join(RANGES)}.")
        scale, mean, std = RANGES[options.pixels]
        changes |= {"scale": scale, "mean": mean[:count], "std": std[:count]}
    if options.channels is not None and given.channels != "L":
        changes["channels"] = options.channels
    if options.resample is not None:
        changes["resample"] = options.resample
    if options.resize is not None:
        changes |= {"resize": options.resize, "before_crop": (), "fill": options.fill, "centred": options.centred}
    if options.shortest_edge is not None:
        if changes.get("resize", given.resize) != "shortest-edge-center-crop":
            raise RecipeError("--shortest-edge needs --resize shortest-edge-center-crop.")
        changes["before_crop"] = (options.shortest_edge,)
    return replace(given, **changes)


def check_crop(preprocessing: ImagePreprocessing) -> None:
    """Raises RecipeError if the picture before a crop is smaller than the crop."""
    canvas = (preprocessing.width, preprocessing.height)
    if preprocessing.resize == "shortest-edge-center-crop" and min(preprocessing.before_crop or canvas) < min(canvas):
        raise RecipeError(
            f"--shortest-edge {preprocessing.before_crop[0]} is smaller than the crop of {canvas[0]}x{canvas[1]}."
        )


def describe(preprocessing: ImagePreprocessing) -> str:
    """The preprocessing as a line for the user."""
    crop = f" from {'x'.join(map(str, preprocessing.before_crop))}" if preprocessing.before_crop else ""
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (preprocessing.mean, preprocessing.std))
    size = f"{preprocessing.width}x{preprocessing.height} {preprocessing.channels}"
    return (
        f"pictures {size}, {preprocessing.resize}{crop}, {preprocessing.resample}, "
        f"(pixel / {preprocessing.scale:g} - ({mean})) / ({std})"
    )
