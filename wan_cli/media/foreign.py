"""What other programs write about how a picture was made: A1111 and its kin, ComfyUI, C2PA. Nothing of it is trusted.

Sources: AUTOMATIC1111 modules/infotext_utils.py and modules/images.py (``parameters``; EXIF's user comment);
comfyanonymous/ComfyUI nodes.py, SaveImage, and comfy_extras/nodes_images.py (``prompt`` and ``workflow``; in WebP in
EXIF's model and make); C2PA 2.2, 10.2 (claim_generator, claim_generator_info).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from wan_cli.pattern import pattern

_STEPS = pattern(r"^(?:Steps|Sampler|Seed|Size|CFG scale|Model): ", re.MULTILINE)
_PAIR = pattern(r'([\w/+-][\w /+-]{0,40}):\s{0,8}("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_NEGATIVE = "Negative prompt:"
_KEPT = {"Seed": "seed", "Size": "size", "Model": "model", "Sampler": "sampler", "Steps": "steps", "CFG scale": "cfg"}
_LINE = 8_192
"""Characters of the line of settings that are read."""
MOST_NODES = 10_000
_DEPTH = 32
_SOURCE = pattern(rb"digitalsourcetype/([A-Za-z]{1,64})")
_NUMBER = pattern(r"-?\d{1,20}")


def a1111(text: str) -> dict[str, Any]:
    """Return what a text of A1111 says: ``prompt``, ``negative``, ``seed``, ``size``, ``model`` and so on."""
    lines = text.strip().split("\n")
    last = next((at for at in range(len(lines) - 1, -1, -1) if _STEPS.match(lines[at])), None)
    if last is None:
        return {}
    before = "\n".join(lines[:last])
    prompt, _, negative = before.partition(_NEGATIVE)
    found: dict[str, Any] = {"prompt": prompt.strip()}
    if negative.strip():
        found["negative"] = negative.strip()
    for name, value in _PAIR.findall(lines[last][:_LINE]):
        if (kept := _KEPT.get(name.strip())) and value.strip():
            found.setdefault(kept, value.strip().strip('"'))
    return _numbered(found)


def comfyui(prompt: str) -> dict[str, Any]:
    """Return what a graph of ComfyUI says of its first sampler: texts, seed, sides and model."""
    try:
        graph = json.loads(prompt, parse_constant=str)
    except (ValueError, RecursionError):
        return {}
    if isinstance(graph, dict) and isinstance(graph.get("prompt"), dict):  # some save prompt and workflow as one text
        graph = graph["prompt"]
    if not isinstance(graph, dict):
        return {}
    nodes = {str(name): node for name, node in list(graph.items())[:MOST_NODES] if isinstance(node, dict)}
    sampler = next(
        (node for node in nodes.values() if "Sampler" in str(node.get("class_type")) and _inputs(node)), None
    )
    found: dict[str, Any] = {}
    if sampler:
        inputs = _inputs(sampler)
        found["prompt"] = _text_of(nodes, inputs.get("positive", inputs.get("guider")))
        found["negative"] = _text_of(nodes, inputs.get("negative"))
        for name, own in (
            ("seed", "seed"),
            ("noise_seed", "seed"),
            ("steps", "steps"),
            ("cfg", "cfg"),
            ("sampler_name", "sampler"),
        ):
            if isinstance(inputs.get(name), int | float | str):
                found.setdefault(own, str(inputs[name]))
    found["prompt"] = found.get("prompt") or next(_texts(nodes), None)
    for node in nodes.values():
        inputs = _inputs(node)
        model = next((inputs[name] for name in ("ckpt_name", "unet_name") if isinstance(inputs.get(name), str)), None)
        if model:
            found.setdefault("model", model)
        if "Latent" in str(node.get("class_type")) and all(
            isinstance(inputs.get(side), int) for side in ("width", "height")
        ):
            found.setdefault("size", f"{inputs['width']}x{inputs['height']}")
    return _numbered({name: value for name, value in found.items() if value})


def _inputs(node: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = node.get("inputs")
    return inputs if isinstance(inputs, dict) else {}


def _text_of(nodes: Mapping[str, Mapping[str, Any]], link: object, depth: int = 0) -> str | None:
    """Follow a link ``[NODE, OUTPUT]`` to the text that it comes from; ``None`` where it comes from none."""
    if isinstance(link, str):
        return link.strip() or None
    if not (isinstance(link, list) and link and depth < _DEPTH):
        return None
    inputs = _inputs(nodes.get(str(link[0]), {}))
    for name in (
        "text",
        "text_g",
        "t5xxl",
        "clip_l",
        "prompt",
        "string",
        "value",
        "conditioning",
        "conditioning_1",
        "positive",
    ):
        if name in inputs and (text := _text_of(nodes, inputs[name], depth + 1)):
            return text
    return None


def _texts(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for node in nodes.values():
        text = _inputs(node).get("text")
        if isinstance(text, str) and text.strip():
            yield text.strip()


def _numbered(found: dict[str, Any]) -> dict[str, Any]:
    if "seed" in found:
        seed = str(found.pop("seed"))
        if _NUMBER.fullmatch(seed):
            found["seed"] = int(seed)
    return found


def c2pa(manifest: bytes | bytearray) -> tuple[str | None, str | None]:
    """Return which program a C2PA manifest names, and its kind of source. It is a claim: no signature is checked here.

    The newest claim is the last of a manifest store; its CBOR is searched, not parsed.
    """
    sources = _SOURCE.findall(manifest)
    return _generator(manifest), sources[-1].decode() if sources else None


def _generator(manifest: bytes | bytearray) -> str | None:
    at = manifest.rfind(b"\x74claim_generator_info")
    if at >= 0 and (name := manifest.find(b"\x64name", at, at + 256)) >= 0:
        return _cbor_text(manifest, name + 5)
    at = manifest.rfind(b"\x6fclaim_generator")
    return _cbor_text(manifest, at + 16) if at >= 0 else None


def _cbor_text(data: bytes | bytearray, at: int) -> str | None:
    """Read a CBOR text of at most 255 bytes (RFC 8949, major type 3)."""
    head = data[at : at + 2]
    if head[:1] and 0x60 <= head[0] < 0x78:  # noqa: PLR2004 - the length is in the byte itself
        length, at = head[0] - 0x60, at + 1
    elif head[:1] == b"\x78" and len(head) == 2:  # noqa: PLR2004
        length, at = head[1], at + 2
    else:
        return None
    return data[at : at + length].decode("utf-8", "replace") or None
