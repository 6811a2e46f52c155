"""Preprocessing of pictures from an image processor of transformers, or from timm's configuration."""

from __future__ import annotations

from typing import Any, Literal

from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError

PROCESSOR = "preprocessor_config.json"
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


def read_processor(source: Source) -> dict[str, Any]:
    """The settings of the folder's image processor, with the defaults of its class. Raises RecipeError."""
    import transformers
    from transformers.models.auto import image_processing_auto

    try:
        if (source.folder / PROCESSOR).is_file() or (source.folder / "processor_config.json").is_file():
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


def normalisation(settings: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Mean, standard deviation and scale: the steps of the processor as (x / scale - mean) / std."""
    scale = 1 / settings["rescale_factor"] if settings.get("do_rescale", True) else 1.0
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
    settings = config.get("pretrained_cfg", {})
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
