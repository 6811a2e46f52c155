"""The flags of `hearth import`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

console = Console()


def import_onnx(
    file: Annotated[Path, typer.Argument(help="An ONNX classifier or detector of pictures.")],
    task: Annotated[Literal["image-classification", "object-detection"], typer.Option(help="What it does.")],
    name: Annotated[str | None, typer.Option(help="The model's name. Default: the file's.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Classes in the output's order: a name a line, or JSON.")] = None,
    pixels: Annotated[
        Literal["raw", "unit", "symmetric", "imagenet"] | None,
        typer.Option(help="What pixels become: 0..255, 0..1, -1..1, or less ImageNet's mean, by its deviation."),
    ] = None,
    mean: Annotated[str | None, typer.Option(help="Instead of --pixels: of each channel, e.g. 0.5,0.5,0.5.")] = None,
    std: Annotated[str | None, typer.Option(help="As --mean.")] = None,
    channels: Annotated[Literal["RGB", "BGR"] | None, typer.Option(help="Their order.")] = None,
    resize: Annotated[
        Literal["stretch", "shortest-edge-center-crop", "letterbox"] | None,
        typer.Option(help="How a picture of other proportions fits."),
    ] = None,
    centred: Annotated[bool, typer.Option(help="A letterbox holds the picture in its middle.")] = False,
    fill: Annotated[int, typer.Option(help="Grey of what a letterbox leaves empty.", min=0, max=255)] = 114,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT, where the graph does not fix it.")] = None,
    layout: Annotated[Literal["NCHW", "NHWC"] | None, typer.Option(help="Where the graph does not tell.")] = None,
    output: Annotated[str | None, typer.Option(help="The output to read, where there are several.")] = None,
    activation: Annotated[
        Literal["softmax", "sigmoid", "none"] | None, typer.Option(help="Of a classifier's output.")
    ] = None,
    form: Annotated[Literal["boxes", "grid"] | None, typer.Option(help="Of a detector's output.")] = None,
    strides: Annotated[str | None, typer.Option(help="Of a grid, e.g. 8,16,32.")] = None,
    threshold: Annotated[float, typer.Option(help="Least score of a box.", min=0, max=1)] = 0.25,
    iou: Annotated[float, typer.Option(help="Overlap from which on the weaker box goes.", min=0, max=1)] = 0.5,
    calibrate: Annotated[
        Path | None, typer.Option(help="Quantize to int8; ranges are measured on this folder's pictures.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Nodes that stay fp32: a regular expression.")] = None,
    data: Annotated[Path | None, typer.Option(help="Measure on these, as `hearth evaluate` reads them.")] = None,
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "not stated",
    work: Annotated[Path | None, typer.Option(help="Where steps leave their work. Default: build/NAME.")] = None,
) -> None:
    """Make an artifact of an ONNX file: says what it found, guesses what is safe, asks for the rest."""
    from hearth_build.onnx_export.importer import recipe_of
    from hearth_build.onnx_export.inspect import Flags
    from hearth_build.pipeline.build import build

    if (mean is None) != (std is None):
        raise typer.BadParameter("--mean and --std go together.")
    flags = Flags(
        task=task,
        name=name,
        labels=labels,
        pixels=pixels,
        mean=numbers(mean, 3, "--mean"),
        std=numbers(std, 3, "--std"),
        channels=channels,
        resize=resize,
        centred=centred,
        fill=fill,
        size=numbers(size and size.lower().replace("x", ","), 2, "--size", int),
        layout=layout,
        output=output,
        activation=activation,
        form=form,
        strides=numbers(strides, None, "--strides", int),
        threshold=threshold,
        iou=iou,
        calibrate=calibrate,
        keep=tuple(keep or ()),
        data=data,
        licence=licence,
    )
    made = recipe_of(file, flags)
    for line in made.lines:
        console.print(line, highlight=False, markup=False)
    folder = build(made.recipe, work or Path("build") / made.recipe.name, shlex.join(["hearth", *sys.argv[1:]]))
    if calibrate is None:
        console.print("It is fp32. With --calibrate FOLDER of typical pictures it becomes int8: smaller and faster.")
    console.print(f"Next: hearth publish {folder} --store STORE --alias prod", highlight=False, markup=False)


def numbers(text: str | None, count: int | None, flag: str, kind: type = float) -> Any:
    """`count` numbers above zero or, for --mean, at least zero; None for no text."""
    if text is None:
        return None
    try:
        found = tuple(kind(part) for part in text.split(","))
    except ValueError:
        found = ()
    least = 0 if flag == "--mean" else 1e-9
    if not found or (count and len(found) != count) or min(found) < least:
        example = {"--size": "224x224", "--strides": "8,16,32"}.get(flag, "0.5,0.5,0.5")
        raise typer.BadParameter(f"{flag} {text}: say it like {example}.")
    return found
