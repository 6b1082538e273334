"""Uses the official DashScope SDK as its own documents do: ``python dashscope_customer.py BASE KEY FOLDER WHAT...``.

It prints one JSON object a WHAT: what the SDK returned for each step, by its name. FOLDER holds a.png, a.mp4 and a.wav.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dashscope
from dashscope import ImageSynthesis, MultiModalConversation, VideoSynthesis
from dashscope.aigc.image_generation import ImageGeneration
from dashscope.common.error import InvalidTask, UploadFileException
from dashscope.utils.oss_utils import OssUtils

SHORT = {"resolution": "720P", "duration": 2}


def said(*content: dict[str, str]) -> list[dict[str, Any]]:
    """Return one message."""
    return [{"role": "user", "content": list(content)}]


def pictures(folder: Path) -> dict[str, Any]:
    """Make pictures at once and by tasks, from text and from a file that the SDK uploads."""
    fox, local = said({"text": "a fox"}), {"image": str(folder / "a.png")}
    pro = "wan2.7-image-pro"
    steps: dict[str, Any] = {
        "conversation": MultiModalConversation.call(
            model="wan2.7-image", messages=fox, n=1, size="1K", watermark=False
        ),
        "at once": ImageGeneration.call(model=pro, messages=fox, n=2, size="1024*768", seed=7),
        "edit": ImageGeneration.call(model=pro, messages=said(dict(local), {"text": "blue"}), n=1, size="1K"),
        "edited by file URL": MultiModalConversation.call(
            model=pro, messages=said({"image": f"file://{folder / 'a.png'}"}, {"text": "blue"}), n=1, size="1K"
        ),
    }
    begun = ImageGeneration.async_call(
        model=pro, messages=said(dict(local), {"text": "red"}), n=4, size="1K", enable_sequential=True
    )
    steps |= {"begun": begun, "fetched": ImageGeneration.fetch(begun), "waited": ImageGeneration.wait(begun)}
    return steps


def videos(folder: Path) -> dict[str, Any]:
    """Make a video with each model, from files that the SDK uploads."""
    picture, movie, sound = (str(folder / name) for name in ("a.png", "a.mp4", "a.wav"))
    media = {
        "wan2.7-i2v": [{"type": "first_frame", "url": picture}, {"type": "driving_audio", "url": sound}],
        "wan2.7-r2v": [
            {"type": "reference_image", "url": picture, "reference_voice": sound},
            {"type": "reference_video", "url": movie},
        ],
        "wan2.7-videoedit": [{"type": "video", "url": movie}, {"type": "reference_image", "url": picture}],
    }
    steps = {
        model: VideoSynthesis.call(model=model, prompt="a fox", media=shown, **SHORT) for model, shown in media.items()
    }
    begun = VideoSynthesis.async_call(
        model="wan2.7-t2v", prompt="a fox", audio_url=sound, ratio="1:1", negative_prompt="blur", seed=3, **SHORT
    )
    return {**steps, "begun": begun, "waited": VideoSynthesis.wait(begun)}


def tasks(_: Path) -> dict[str, Any]:
    """Take a task back, ask for another again, and list both."""
    first, second = (VideoSynthesis.async_call(model="wan2.7-t2v", prompt="a fox", **SHORT) for _ in range(2))
    return {
        "first": first, "second": second,
        "cancelled": VideoSynthesis.cancel(first), "again": VideoSynthesis.cancel(first),
        "fetched": VideoSynthesis.fetch(first), "running": VideoSynthesis.fetch(second),
        "listed": VideoSynthesis.list(model_name="wan2.7-t2v", page_size=1, page_no=2),
        "canceled": VideoSynthesis.list(status="CANCELED"), "unknown": VideoSynthesis.fetch("nobody"),
    }  # fmt: skip


def refusals(folder: Path) -> dict[str, Any]:
    """Be refused: by key, model, content and parameter; for an older endpoint and an upload without a model."""

    def failure(error: type[Exception], what: Any, *args: Any, **named: Any) -> dict[str, str]:
        try:
            what(*args, **named)
        except error as raised:
            return {"raised": str(raised)}
        return {}

    def ask(prompt: str = "a fox", model: str = "wan2.7-image", **more: Any) -> Any:
        return MultiModalConversation.call(model=model, messages=said({"text": prompt}), **{"n": 1, **more})

    return {
        "key": ask(api_key="sk-another"), "model": ask(model="wan9"), "content": ask("sandbox:moderation"),
        "parameter": ask(n=5), "failed": VideoSynthesis.call(model="wan2.7-t2v", prompt="sandbox:fail", **SHORT),
        "older": failure(InvalidTask, ImageSynthesis.call, model="wan2.7-image", prompt="a fox"),
        "upload": failure(UploadFileException, OssUtils.upload, model="wan9", file_path=str(folder / "a.png")),
    }  # fmt: skip


if __name__ == "__main__":
    base, key, place, *wanted = sys.argv[1:]
    dashscope.base_http_api_url, dashscope.api_key = f"{base}/api/v1", key
    for what in wanted:
        print(json.dumps(globals()[what](Path(place))))  # noqa: T201 - its output
