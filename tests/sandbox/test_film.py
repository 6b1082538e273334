"""Videos of the sandbox: drawn, encoded, served; and refused before anything is accepted where PyAV is missing."""

from __future__ import annotations

import asyncio
import importlib.util
import io
from typing import TYPE_CHECKING, Any

import av
import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from wan_cli.errors import ConfigInvalid
from wan_cli.sandbox import InProcess
from wan_cli.sandbox.draw import picture
from wan_cli.sandbox.draw.video import clip
from wan_cli.sandbox.transport import results
from wan_cli.sandbox.world import Clip, NeedsExtraError, Picture, Task, World
from wan_cli.transport.client import NotSent

if TYPE_CHECKING:
    from pathlib import Path

ORDER = {"model": "wan-2-7-video", "mode": "text-to-video", "input": {"prompt": "a fox", "duration": 5}}


def frames(data: bytes) -> list[Image.Image]:
    """Return every frame of a video."""
    with av.open(io.BytesIO(data), "r") as container:
        return [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]


def difference(one: Image.Image, other: Image.Image, box: tuple[int, int, int, int] = (0, 0, 320, 150)) -> float:
    """Return the mean difference of two pictures in a box, 0 to 255."""
    stat = ImageStat.Stat(ImageChops.difference(one.convert("RGB").crop(box), other.convert("RGB").crop(box)))
    return sum(stat.mean) / 3


def plain(colour: tuple[int, int, int]) -> bytes:
    """Return a PNG of one colour."""
    data = io.BytesIO()
    Image.new("RGB", (320, 180), colour).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def no_av(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take PyAV away."""
    find = importlib.util.find_spec

    def look(name: str, *rest: Any) -> Any:
        return None if name == "av" else find(name, *rest)

    monkeypatch.setattr("wan_cli.sandbox.developing.find_spec", look)


def order(world: World, **more: Any) -> Task:
    """Accept an order for a small clip."""
    film = Clip(prompt="a fox", width=64, height=64, seed=1, seconds=1, **more)
    return world.accept(Task(id="t1", provider="toapis", model="m", clips=(film,)), b"{}")


def test_length_size_and_codec() -> None:
    """A clip is H.264 in MP4 with the size, frames and rate asked for, and says who made it."""
    data = clip("a lighthouse", 320, 180, seed=1, seconds=1.5, fps=24)
    assert data[4:8] == b"ftyp"
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 320, 180)
        assert (stream.frames, stream.average_rate, stream.pix_fmt) == (36, 24, "yuv420p")
        assert container.metadata["comment"] == "wan sandbox"
        assert container.metadata["title"] == "a lighthouse"


def test_same_arguments_same_bytes() -> None:
    """A clip depends on its arguments alone, and on its seed."""
    one, again, other = (clip("a fox", 160, 90, seed=seed, seconds=0.5) for seed in (1, 1, 2))
    assert one == again != other


def test_the_camera_moves_and_the_caption_stands() -> None:
    """The scene changes from the first frame to the last; the caption bar, below the line of progress, does not."""
    seen = frames(clip("a lighthouse at dawn", 320, 180, seed=1, seconds=1))
    assert difference(seen[0], seen[-1]) > 5
    assert difference(seen[0], seen[-1], (0, 162, 320, 180)) < 2


def test_first_and_last_frame() -> None:
    """The video starts with its first input and ends with its second."""
    seen = frames(clip("fade", 320, 180, seed=1, seconds=1, inputs=[plain((200, 0, 0)), plain((0, 0, 200))]))
    assert difference(seen[0], Image.new("RGB", (320, 180), (200, 0, 0))) < 6
    assert difference(seen[-1], Image.new("RGB", (320, 180), (0, 0, 200))) < 6


@pytest.mark.parametrize("verb", ["edit", "fuse"])
def test_inputs_may_be_videos(verb: str) -> None:
    """Of a video its first frame is seen; one that cannot be read gives a plain colour."""
    film = clip("a fox", 160, 90, seed=1, seconds=0.2)
    for inputs in ([film], [film, plain((9, 9, 9))], [b"\x00\x00\x00\x18ftypisom"]):
        assert len(frames(clip("make it red", 160, 90, seed=1, seconds=0.2, inputs=inputs, verb=verb))) == 5


def test_watermark() -> None:
    """The mark is drawn when asked for, above the bar at the right, and nothing else changes."""
    marked, bare = (frames(clip("a fox", 640, 360, seed=1, seconds=0.1, watermark=mark))[0] for mark in (True, False))
    assert difference(marked, bare, (400, 270, 640, 313)) > 1
    assert difference(marked, bare, (0, 0, 320, 200)) < 1


@pytest.mark.parametrize(("width", "height", "seconds"), [(321, 180, 1), (320, 181, 1), (320, 180, 0)])
def test_what_cannot_be_a_video(width: int, height: int, seconds: float) -> None:
    """Odd sides and no frames are errors."""
    with pytest.raises(ValueError, match="even sides"):
        clip("a fox", width, height, seed=1, seconds=seconds)


def test_a_tiny_video_has_no_bar() -> None:
    """A video too small for a caption is drawn all the same, marked or not."""
    assert len(frames(clip("a fox", 32, 32, seed=1, seconds=0.1, watermark=True))) == 2


def test_world_draws_clips_once(tmp_path: Path) -> None:
    """A clip is drawn at the first download, with its spec and its inputs' bytes."""
    calls: list[Any] = []

    def film(*spec: Any, **details: Any) -> bytes:
        calls.append((spec, details))
        return b"film"

    world = World(tmp_path, film=film)
    task = order(world, inputs=(world.keep(b"input"),), verb="edit")
    assert calls == []
    assert world.urls(task)[0].partition("?")[0].endswith("/results/t1/1.mp4")
    assert world.delivered(task, 1) == world.delivered(task, 1) == b"film"
    details = {"inputs": [b"input"], "seed": 1, "seconds": 1, "verb": "edit", "watermark": False}
    assert calls == [(("a fox", 64, 64), details)]
    assert [line["count"] for line in world.purchases()] == [1]


def test_served_as_mp4_in_parts(tmp_path: Path) -> None:
    """A result is video/mp4, whole or in part, and really a video."""
    world = World(tmp_path)
    url = world.urls(order(world))[0]
    whole = results(httpx.Request("GET", url), world)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert len(frames(whole.content)) == 24
    part = results(httpx.Request("GET", url, headers={"Range": "bytes=4-7"}), world)
    assert (part.status_code, part.content) == (206, b"ftyp")


def test_other_formats_are_served_as_such(tmp_path: Path) -> None:
    """A picture ordered as JPEG is one, and its link says so."""
    world = World(tmp_path)
    spec = Picture(prompt="a fox", width=64, height=64, seed=1, format="jpeg", quality=50)
    url = world.urls(world.accept(Task(id="t1", provider="openai", model="m", pictures=(spec,)), b"{}"))[0]
    response = results(httpx.Request("GET", url), world)
    assert response.headers["content-type"] == "image/jpeg"
    assert response.content.startswith(b"\xff\xd8\xff")


@pytest.mark.usefixtures("no_av")
def test_nothing_is_accepted_without_the_extra(tmp_path: Path) -> None:
    """Without PyAV an order for a video is refused before it is accepted, in words that name the extra."""
    world = World(tmp_path)
    with pytest.raises(NeedsExtraError, match=r"python -m pip install 'av>=15'"):
        order(world)
    assert world.purchases() == []
    assert not (tmp_path / "tasks").exists()


@pytest.mark.usefixtures("no_av")
def test_the_transport_names_the_extra(tmp_path: Path) -> None:
    """In-process the order is NotSent, finally, with an error of exit code 3 that names the extra."""

    async def send() -> None:
        async with httpx.AsyncClient(transport=InProcess(World(tmp_path), "toapis")) as client:
            headers = {"Authorization": "Bearer sk-sandbox-toapis"}
            await client.post("https://toapis.com/v1/videos/generations", json=ORDER, headers=headers)

    with pytest.raises(NotSent) as caught:
        asyncio.run(send())
    assert isinstance(caught.value.error, ConfigInvalid)
    assert (caught.value.final, caught.value.error.exit_code) == (True, 3)
    assert "python -m pip install 'av>=15'" in caught.value.error.hint


def test_an_extra_that_went_away(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A clip ordered while PyAV was there and downloaded after it went away is 501, in XML."""
    world = World(tmp_path)
    url = world.urls(order(world))[0]
    request.getfixturevalue("no_av")
    response = results(httpx.Request("GET", url), world)
    assert response.status_code == 501
    assert "python -m pip install" in response.text


def test_pictures_need_no_extra(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Without PyAV pictures are drawn as ever."""
    request.getfixturevalue("no_av")
    world = World(tmp_path)
    spec = Picture(prompt="a fox", width=64, height=64, seed=1)
    task = world.accept(Task(id="t1", provider="rivya", model="m", pictures=(spec,)), b"{}")
    assert world.delivered(task, 1) == picture("a fox", 64, 64, seed=1)
