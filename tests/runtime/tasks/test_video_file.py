"""Videos read frame by frame: valid, damaged and refused ones; and videos written."""

from __future__ import annotations

import io
import resource
from contextlib import suppress
from fractions import Fraction
from itertools import chain, islice
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from hearth import deadline
from hearth.errors import BadRequest, DeadlineExceeded, HearthError, PayloadTooLarge, UnsupportedMedia
from hearth.ops.containers import open_container
from hearth.ops.vision.mp4_index import has_plausible_index
from hearth.tasks.video_file import Bounds, ImageSequence, Video, _Clock, write_video
from tests.functions.films import HEIGHT, WIDTH, cut_off, frame, frames, index_first, make_video, png
from tests.hostile.bombs.pictures import png as png_file
from tests.support.scheduling import kept_policy


def at_ten_a_second(pictures: list[Image.Image]) -> list[tuple[float, Image.Image]]:
    return [(index / 10, picture) for index, picture in enumerate(pictures)]


BOUNDS = Bounds(frames=100, pixels=WIDTH * HEIGHT, seconds=20)


def test_every_frame_is_read_and_can_be_read_again() -> None:
    pictures = frames(25)
    video = Video(make_video(pictures, rate=25), BOUNDS)
    assert (video.width, video.height, video.rate, video.frames_total) == (WIDTH, HEIGHT, 25, 25)
    for _ in range(2):
        read = list(video.frames())
        assert [item.number for item in read] == list(range(1, 26))
        for item, picture in zip(read, pictures, strict=True):
            assert np.abs(np.asarray(item.image, np.int16) - picture).mean() < 4
        assert (video.frames_read, video.damage) == (25, "")


def test_every_third_frame_is_read() -> None:
    video = Video(make_video(frames(25)), BOUNDS, every=3)
    assert [item.number for item in video.frames()] == list(range(1, 26, 3))
    assert video.frames_read == 25


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        *(("mp4", codec) for codec in ("libx264", "libx265", "mpeg4", "libvpx-vp9", "libsvtav1")),
        *(("mov", codec) for codec in ("libx264", "mpeg4")),
        *(("webm", codec) for codec in ("libvpx", "libvpx-vp9", "libsvtav1")),
        *(("matroska", codec) for codec in ("libx264", "libx265", "mpeg4")),
        *(("avi", codec) for codec in ("libx264", "mpeg4")),
        *(("mpegts", codec) for codec in ("libx264", "libx265", "mpeg2video")),
    ],
)
def test_films_as_people_have_them_are_read(form: str, codec: str) -> None:
    rate = 25 if codec == "mpeg2video" else 10
    pictures = [np.pad(picture, ((0, 64), (0, 96), (0, 0))) for picture in frames(12)]
    video = Video(make_video(pictures, codec=codec, form=form, rate=rate), Bounds(100, 192 * 128, 20))
    read = list(video.frames())
    assert [item.number for item in read] == list(range(1, 13))
    np.testing.assert_allclose([item.seconds for item in read], np.arange(12) / rate, atol=2e-3)
    assert video.rate == pytest.approx(rate, rel=0.02)
    assert video.damage == ""
    for item, picture in zip(read, pictures, strict=True):
        assert np.abs(np.asarray(item.image, np.int16) - picture).mean() < 6


TIMES = [0, 0.033, 0.066, 0.1, 1.1, 2.1, 3.1, 3.133]


@pytest.mark.parametrize("form", ["mp4", "webm", "matroska", "mpegts"])
def test_frames_have_the_times_of_the_film(form: str) -> None:
    codec = "libvpx" if form == "webm" else "libx264"
    video = Video(make_video(frames(8), form=form, codec=codec, times=TIMES), BOUNDS)
    np.testing.assert_allclose([item.seconds for item in video.frames()], TIMES, atol=2e-3)
    assert video.seconds == [item.seconds for item in video.frames()]


def test_a_written_video_keeps_the_times() -> None:
    pictures = [Image.fromarray(pixels) for pixels in frames(8)]
    data = write_video(zip(TIMES, pictures, strict=True), (WIDTH, HEIGHT), Fraction(10), 500_000)
    with av.open(io.BytesIO(data)) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(TIMES[-1], abs=0.2)
    np.testing.assert_allclose([item.seconds for item in Video(data, BOUNDS).frames()], TIMES, atol=1e-3)


def test_a_film_that_jumps_far_ahead_is_too_long() -> None:
    with pytest.raises(PayloadTooLarge, match="20 seconds"):
        list(Video(make_video(frames(8), form="mpegts", times=[*TIMES[:-1], 25]), BOUNDS).frames())


def test_times_that_go_back_are_replaced() -> None:
    clock = _Clock(0.1)
    moments = [SimpleNamespace(pts=pts, time_base=Fraction(1, 10)) for pts in (50, 52, 52, None, 10, 60)]
    assert [round(clock.time_of(moment), 3) for moment in moments] == [0, 0.2, 0.3, 0.4, 0.5, 1.0]


def test_opening_a_film_decodes_nothing() -> None:
    """FFmpeg decodes frames while it opens a file, unless no decoder is allowed: the format of pixels stays unknown."""
    for form, codec in (("mp4", "libx264"), ("avi", "mpeg4"), ("matroska", "mpeg4"), ("mpegts", "libx264")):
        with open_container(make_video(frames(5), form=form, codec=codec), "") as container:
            assert container.streams.video[0].codec_context.pix_fmt is None, form


@pytest.mark.parametrize("form", ["mov", "avi"])
def test_a_film_of_one_huge_png_is_refused_at_once(form: str) -> None:
    """Decoding this picture of 6000 x 6000 would take 288 MB."""
    picture = png_file(6000, 6000, 16, 6, None)
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgba64be"
        container.mux(stream.encode(av.VideoFrame(8, 8, "rgba64be")))
        packet = av.Packet(picture)
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 1, 1, Fraction(1)
        container.mux(packet)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnsupportedMedia, match="its video is png"):
        Video(file.getvalue(), BOUNDS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kilobytes"


def test_a_packet_of_many_frames_is_damage() -> None:
    """FFmpeg would decode all frames of an AV1 packet before it returns."""
    pictures = [np.pad(picture, ((0, 64), (0, 96), (0, 0))) for picture in frames(3)]
    file = io.BytesIO()
    with kept_policy(), av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libsvtav1", rate=10, options={"preset": "10"})
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        encoded = [stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")) for pixels in pictures]
        for packet in [*chain.from_iterable(encoded), *stream.encode()]:
            repeated = av.Packet(bytes(packet) * (20 if packet.pts else 1))
            repeated.stream, repeated.pts, repeated.dts = stream, packet.pts, packet.dts
            repeated.time_base = packet.time_base
            container.mux(repeated)
    video = Video(file.getvalue(), Bounds(100, 192 * 128, 20))
    assert len(list(video.frames())) == 1
    assert "damaged in 2 places" in video.damage


def test_opening_ends_at_the_deadline() -> None:
    data = make_video(frames(5))
    deadline.set_seconds(-1)
    try:
        with pytest.raises(DeadlineExceeded):
            Video(data, BOUNDS)
    finally:
        deadline.set_from(None)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_the_rotation_of_a_file_is_applied(rotation: int) -> None:
    """The square is stored in the upper left; the file says how to rotate it."""
    video = Video(make_video([frame((0, 0))] * 3, rotation=rotation), BOUNDS)
    picture = next(video.frames()).image
    expected = np.rot90(frame((0, 0)), rotation // 90)
    assert (video.width, video.height) == picture.size == (expected.shape[1], expected.shape[0])
    assert np.abs(np.asarray(picture, np.int16) - expected).mean() < 4


def test_a_truncated_file_gives_its_frames_and_says_so() -> None:
    video = Video(cut_off(index_first(make_video(frames(40))), 0.7), BOUNDS)
    read = list(video.frames())
    assert 10 < len(read) < 40
    assert len(read) == video.frames_read
    assert video.damage == f"The file ends too early: {len(read)} of 40 frames could be read"


def test_changed_bytes_are_reported_as_damage() -> None:
    damaged = bytearray(index_first(make_video(frames(40))))
    damaged[len(damaged) // 2 : len(damaged) // 2 + 60] = b"\x5a" * 60
    video = Video(bytes(damaged), BOUNDS)
    assert len(list(video.frames())) > 20
    assert "damaged in" in video.damage


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", UnsupportedMedia, "unknown format"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 100, UnsupportedMedia, "this file is PNG"),
        (b"FLV\x01" + bytes(100), UnsupportedMedia, "Flash video"),
        (make_video(frames(40))[:-200], BadRequest, "cut off"),
        (cut_off(index_first(make_video(frames(40))), 0.1), BadRequest, "no frame"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42mp41", BadRequest, "damaged"),
        (make_video(frames(101)), PayloadTooLarge, "More than 100 frames"),
        (make_video(frames(60), rate=2), PayloadTooLarge, "20 seconds"),
        (make_video([np.zeros((HEIGHT, WIDTH + 2, 3), np.uint8)]), PayloadTooLarge, "pixels"),
        (make_video(frames(2), codec="mjpeg"), UnsupportedMedia, "H.264"),
    ],
    ids=["empty", "png", "flv", "no index", "no frames", "no boxes", "frames", "seconds", "pixels", "codec"],
)
def test_an_invalid_video_is_refused(data: bytes, error: type[HearthError], message: str) -> None:
    with pytest.raises(error, match=message):
        list(Video(data, BOUNDS).frames())


def test_a_header_with_a_wrong_frame_size_is_refused() -> None:
    """The container states 96 x 64, so its header is accepted; the stream itself has larger frames."""
    data = make_video([np.zeros((512, 512, 3), np.uint8)] * 3)
    entry = data.find(b"avc1", data.find(b"stsd")) + 28  # width and height in the sample's description
    changed = data[:entry] + WIDTH.to_bytes(2, "big") + HEIGHT.to_bytes(2, "big") + data[entry + 4 :]
    with pytest.raises((PayloadTooLarge, BadRequest)):
        list(Video(changed, BOUNDS).frames())


def test_an_index_with_too_many_entries_is_refused() -> None:
    """Without the check, this file of two kilobytes takes 1.2 GB and four seconds."""
    data = bytearray(make_video(frames(10)))
    for name, offset in ((b"stsz", 8), (b"stsz", 12), (b"stsc", 16)):
        position = data.index(name) + offset
        data[position : position + 4] = (1 if offset == 8 else 20_000_000).to_bytes(4, "big")
    with pytest.raises(BadRequest, match="claims more"):
        Video(bytes(data), BOUNDS)


def test_an_index_is_plausible_only_if_it_fits_the_file() -> None:
    valid = make_video(frames(10))
    assert has_plausible_index(valid)
    assert has_plausible_index(index_first(valid))
    assert not has_plausible_index(valid.replace(b"udta", b"cmov"))
    assert not has_plausible_index(valid + b"\0\0\0\x08trak" * 17)
    assert has_plausible_index(b"\0\0\0\0mdat" + b"trak" * 17), "frames may hold any bytes"
    assert has_plausible_index(b"\0\0\0\1mdat" + (16 + 68).to_bytes(8, "big") + b"trak" * 17)
    assert not has_plausible_index(b"\0\0\0\x08mdat\0\0\0\4" + b"trak" * 17)
    fragment = b"\0\0\0\x14trun" + bytes(4) + (2_000_000).to_bytes(4, "big") + bytes(4)
    assert not has_plausible_index(valid + fragment)


def test_any_damage_is_read_or_a_bad_request() -> None:
    valid = index_first(make_video(frames(12)))
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(valid)
        for position in random.integers(4, len(valid), 4):
            damaged[position] = random.integers(256)
        with suppress(BadRequest):
            video = Video(bytes(damaged[: random.integers(len(valid) // 2, len(valid))]), BOUNDS)
            for item in video.frames():
                assert item.image.size == (video.width, video.height)


def test_pictures_are_read_as_frames() -> None:
    stills = ImageSequence([png(picture) for picture in frames(7)], BOUNDS, every=2)
    assert [item.number for item in stills.frames()] == [1, 3, 5, 7]
    assert (stills.frames_read, stills.damage) == (7, "")
    with pytest.raises(BadRequest, match="empty list"):
        ImageSequence([], BOUNDS)
    with pytest.raises(PayloadTooLarge, match="101 pictures"):
        ImageSequence([png(frame())] * 101, BOUNDS)
    different_sizes = [png(frame()), png(frame()[:, :50])]
    with pytest.raises(BadRequest, match="Picture 2 has 50 x 64 pixels"):
        list(ImageSequence(different_sizes, BOUNDS).frames())


def test_a_written_video_can_be_read() -> None:
    pictures = [Image.fromarray(pixels) for pixels in frames(30)]
    data = write_video(at_ten_a_second(pictures), (WIDTH, HEIGHT), Fraction(10), 500_000)
    with av.open(io.BytesIO(data)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    read = [item.image for item in Video(data, BOUNDS).frames()]
    assert len(read) == 30
    for image, picture in zip(read, pictures, strict=True):
        assert np.abs(np.asarray(image, np.int16) - np.asarray(picture)).mean() < 12


def test_odd_and_large_sizes_are_scaled() -> None:
    for size, expected in (((33, 21), (32, 20)), ((2001, 999), (1280, 640)), ((1, 1), (2, 2))):
        data = write_video(at_ten_a_second([Image.new("RGB", size)] * 2), size, Fraction(10), 500_000)
        video = Video(data, Bounds(10, 4_000_000, 10))
        assert abs(video.width - expected[0]) <= 2
        assert abs(video.height - expected[1]) <= 2


def test_a_written_video_keeps_its_bit_rate() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, HEIGHT, WIDTH, 3), np.uint8)
    pictures = at_ten_a_second([Image.fromarray(pixels) for pixels in noise])
    data = write_video(pictures, (WIDTH, HEIGHT), Fraction(10), 100_000)
    assert len(data) < 1.6 * 5 * 100_000 / 8 + 4_000


def test_frames_are_decoded_lazily() -> None:
    video = Video(make_video(frames(40)), BOUNDS)
    assert [item.number for item in islice(video.frames(), 2)] == [1, 2]
    assert video.frames_read == 0, "the generator has not ended"
