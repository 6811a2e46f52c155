"""`hearth import`."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from hearth.errors import HearthError

console = Console()


def import_model(
    source: Annotated[
        str, typer.Argument(help="An .onnx file, a model's folder (ONNX or safetensors), or a Hugging Face hub id.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the model. Default: from the source.")] = None,
    task: Annotated[
        str | None, typer.Option(help="The model's task, if the source does not say it, e.g. image-classification.")
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "int8", "int4"],
        typer.Option(help="auto keeps the fastest that is accurate enough."),
    ] = "auto",
    pooling: Annotated[
        Literal["mean", "cls", "last", "max", "sqrt", "weighted"] | None,
        typer.Option(help="How an embedding model's tokens become one vector, if its folder does not say it."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="File of class names in the order of the output: one per line, or JSON.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Names of a table's columns: separated by commas, or a file with one per line.")
    ] = None,
    pixels: Annotated[
        Literal["raw", "unit", "symmetric", "imagenet"] | None,
        typer.Option(
            help="How pixels are normalized: 0..255 (raw), 0..1 (unit), -1..1 (symmetric), or with the mean and "
            "standard deviation of ImageNet."
        ),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Mean per channel, e.g. 0.5,0.5,0.5. With --std, replaces --pixels.")
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Standard deviation per channel, e.g. 0.5,0.5,0.5. Used with --mean.")
    ] = None,
    channels: Annotated[Literal["RGB", "BGR"] | None, typer.Option(help="Order of the colour channels.")] = None,
    resize: Annotated[
        Literal["stretch", "shortest-edge-center-crop", "letterbox"] | None,
        typer.Option(help="How images with another aspect ratio are resized."),
    ] = None,
    shortest_edge: Annotated[
        int | None,
        typer.Option(
            help="With --resize shortest-edge-center-crop: length of the shortest edge before the crop, e.g. 256 for a "
            "crop of 224 (timm: 224 / crop_pct). Default: that of the crop.",
            min=1,
        ),
    ] = None,
    resample: Annotated[
        Literal["bilinear", "bicubic"] | None, typer.Option(help="Filter that resizes images. Default: bilinear.")
    ] = None,
    centred: Annotated[bool, typer.Option(help="With --resize letterbox: centre the image.")] = False,
    fill: Annotated[
        int, typer.Option(help="With --resize letterbox: grey value of the padding.", min=0, max=255)
    ] = 114,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT of the input, if the graph does not fix it.")] = None,
    layout: Annotated[
        Literal["NCHW", "NHWC"] | None, typer.Option(help="Layout of the input, if the graph is ambiguous.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="The output to use, if the graph has several.")] = None,
    activation: Annotated[
        Literal["softmax", "sigmoid", "none"] | None, typer.Option(help="Activation to apply to a classifier's output.")
    ] = None,
    form: Annotated[
        Literal["boxes", "grid"] | None,
        typer.Option(help="Whether a detector's output has pixel coordinates or is relative to a grid."),
    ] = None,
    strides: Annotated[str | None, typer.Option(help="Strides of the grid, e.g. 8,16,32.")] = None,
    threshold: Annotated[float, typer.Option(help="Minimum score of a detection.", min=0, max=1)] = 0.25,
    iou: Annotated[
        float, typer.Option(help="Of two boxes that overlap more than this, only the better is kept.", min=0, max=1)
    ] = 0.5,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="What a quantized model is calibrated on: a folder of images, which int8 of image models needs, or a "
            "text for int4 of decoders."
        ),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Regular expression for names of nodes that stay in fp32. Repeatable.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Measure the model on this data, in the format of `hearth evaluate`.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub id. Default: the newest, which is then pinned.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder for the files of the steps. Default: build/NAME.")] = None,
) -> None:
    """Import a model as an artifact. Prints what it concludes from the source, and asks for what is missing."""
    from hearth_build.data.datasets import DataError
    from hearth_build.importing import read
    from hearth_build.importing.base import ImportOptions
    from hearth_build.pipeline.precision import build_import
    from hearth_build.recipe import GateError, RecipeError

    if (mean is None) != (std is None):
        raise typer.BadParameter("--mean and --std must be used together.")
    options = ImportOptions(
        task=task,
        name=name,
        precision=precision,
        calibrate=calibrate,
        data=data,
        licence=licence,
        revision=revision,
        pooling=pooling,
        labels=labels,
        columns=columns,
        pixels=pixels,
        mean=parse_numbers(mean, 3, "--mean"),
        std=parse_numbers(std, 3, "--std"),
        channels=channels,
        resize=resize,
        shortest_edge=shortest_edge,
        resample=resample,
        centred=centred,
        fill=fill,
        size=parse_numbers(size and size.lower().replace("x", ","), 2, "--size", int),
        layout=layout,
        output=output,
        activation=activation,
        form=form,
        strides=parse_numbers(strides, None, "--strides", int),
        threshold=threshold,
        iou=iou,
        keep=tuple(keep or ()),
    )
    try:
        imported = read(source, options)
        recipe = imported.recipe
        print_lines(imported.lines)
        work = work or Path("build") / recipe.name
        command = shlex.join(["hearth", *sys.argv[1:]])
        if imported.build is None:
            _, sentences = build_import(recipe, imported.quantizers, work, command, options.precision)
        else:
            _, sentences = imported.build(work, command, options.precision)
    except (HearthError, DataError, RecipeError, GateError, OSError, ImportError):
        raise
    except Exception as error:  # of the libraries that read, export and quantize a graph, whatever it is
        log = Path("import.log")
        log.write_text(traceback.format_exc(), encoding="utf-8")
        cause = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
        raise RecipeError(
            f"{source} cannot be imported: {type(error).__name__}: {cause} (all of it is in {log}). Export it to ONNX "
            "another way, for example with optimum-cli export onnx, and import that."
        ) from error
    print_lines(sentences)
    print_lines([imported.advice] if imported.advice else [])
    print_lines([f"Next: hearth publish {work / 'artifact'} --store STORE --alias prod"])


def print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def parse_numbers(text: str | None, count: int | None, flag: str, number_type: type = float) -> Any:
    """Parse `count` positive numbers separated by commas; --mean may be 0. Returns None for None."""
    if text is None:
        return None
    try:
        numbers = tuple(number_type(number) for number in text.split(","))
    except ValueError:
        numbers = ()
    minimum = 0 if flag == "--mean" else 1e-9
    if not numbers or (count and len(numbers) != count) or min(numbers) < minimum:
        example = {"--size": "224x224", "--strides": "8,16,32"}.get(flag, "0.5,0.5,0.5")
        raise typer.BadParameter(f"{flag} {text} is invalid. The format is {example}.")
    return numbers
