"""What a file says of itself is read within limits, and labels go into containers without touching the picture."""

from __future__ import annotations

import io
import json
import random
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from wan_cli.media import check_structure, foreign, inspect, metadata, xmp
from wan_cli.media.exif import exif_texts
from wan_cli.media.formats import png_chunks
from wan_cli.media.labels import KEYWORD, Label, Unlabelled, carries, labelled
from wan_cli.media.metadata import EXIF_MARK, MOST_TEXT, XMP_KEYWORD, XMP_MARK, Metadata, read_metadata

LABEL = Label('{"wan":1,"prompt":"a \\ud83e\\udd8a <&>"}', "wan2.7-image (rivya)", 'a 🦊 <&>"\r\n\x01 ]]>')
MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
JUMBF = (
    b"\0\0\0\x40jumb\0\0\0\x20jumdc2pa" + b"\x6fclaim_generator\x67old/1.0"
    + b"\x74claim_generator_info\xa1\x64name\x6bAcme Studio"
    + b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
)  # fmt: skip
C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def drawn(form: str, *, mode: str = "RGB", size: tuple[int, int] = (37, 23), **how: object) -> bytes:
    """Return a small picture with some content."""
    image = Image.radial_gradient("L").resize(size).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(size))
    data = io.BytesIO()
    image.save(data, form, **how)
    return data.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def behind_header(data: bytes, extra: bytes) -> bytes:
    """Put chunks behind a PNG's header."""
    return data[:33] + extra + data[33:]


def segment(marker: int, body: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of these chunks."""
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def webp_parts(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the chunks of a WebP."""
    found, at = [], 12
    while at + 8 <= 8 + int.from_bytes(data[4:8], "little"):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def read(data: bytes) -> Metadata:
    """Read what a file says."""
    file = io.BytesIO(data)
    return read_metadata(file, inspect(file).mime)


def with_label(data: bytes, label: Label = LABEL) -> bytes:
    """Return the file with a label in it."""
    file = io.BytesIO(data)
    pieces = labelled(file, len(data), inspect(file).mime, label)
    return b"".join(piece if isinstance(piece, bytes) else data[piece[0] : piece[1]] for piece in pieces)


def compressed(data: bytes) -> object:
    """Return the parts of a file that hold the picture: what a label must not change."""
    mime = inspect(io.BytesIO(data)).mime
    if mime == "image/png":
        file = io.BytesIO(data)
        found = []
        for kind, length in png_chunks(file):
            if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT", b"iCCP"):
                found.append((kind, file.read(length + 4)))
            elif kind == b"IEND":
                return found, data[file.tell() + 4 :]
    if mime == "image/jpeg":
        return data[data.index(b"\xff\xdb") :]
    picture = {b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF"}
    return [part for part in webp_parts(data) if part[0] in picture]


ICC = b"not really a profile" * 5
PICTURES = {
    "png": drawn("PNG"),
    "png with alpha": drawn("PNG", mode="RGBA", icc_profile=ICC),
    "png with a palette": drawn("PNG", mode="P"),
    "png that is animated": drawn("PNG", save_all=True, append_images=[Image.new("RGB", (37, 23))]),
    "png with more behind it": drawn("PNG") + b"trailing bytes",
    "jpeg": drawn("JPEG"),
    "jpeg that is progressive": drawn("JPEG", progressive=True, icc_profile=ICC, exif=Image.Exif().tobytes()),
    "webp": drawn("WEBP"),
    "webp without loss": drawn("WEBP", lossless=True, mode="RGBA"),
    "webp with alpha": drawn("WEBP", mode="RGBA", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    "webp that is animated": drawn("WEBP", save_all=True, append_images=[Image.new("RGB", (37, 23))], icc_profile=ICC),
    "webp with more behind it": drawn("WEBP") + b"trailing bytes",
}  # fmt: skip


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_a_label_changes_no_pixel(data: bytes) -> None:
    """Compressed data and decoded pixels of every frame are byte for byte the same, and the file is whole."""
    made = with_label(data)
    assert compressed(made) == compressed(data)
    assert check_structure(io.BytesIO(made), inspect(io.BytesIO(made)).mime, len(made)) is None
    assert inspect(io.BytesIO(made)) == inspect(io.BytesIO(data))
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(made)) as after:
        for frame in range(getattr(before, "n_frames", 1)):
            before.seek(frame)
            after.seek(frame)
            assert before.tobytes() == after.tobytes()
        assert before.info.get("icc_profile") == after.info.get("icc_profile")


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_a_label_is_read_back(data: bytes) -> None:
    """Imprint, IPTC's kind of source, maker and prompt are in XMP, which XML cannot hold left out."""
    said = xmp.values(read(with_label(data)).xmp)
    assert said == {
        "imprint": LABEL.imprint, "system": LABEL.system, "prompt": 'a 🦊 <&>"\r\n\ufffd ]]>',
        "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    }  # fmt: skip


def test_a_label_of_a_png_is_a_text_as_well() -> None:
    """Any reader of PNG texts finds the imprint under the keyword wan, and XMP under its own."""
    with Image.open(io.BytesIO(with_label(PICTURES["png"]))) as image:
        image.load()
        assert image.text[KEYWORD] == LABEL.imprint
        assert "trainedAlgorithmicMedia" in image.text[XMP_KEYWORD]


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_a_second_label_replaces_the_first(data: bytes) -> None:
    """Labelled twice, a file says the second only, and is as long as labelled once; nothing piles up."""
    other = Label('{"wan":1,"n":2}', LABEL.system, LABEL.prompt)
    again = with_label(with_label(data), other)
    assert xmp.values(read(again).xmp)["imprint"] == other.imprint
    assert LABEL.imprint.encode() not in again
    third = with_label(again, other)
    assert len(third) - len(again) <= 2


THERE = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
    b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="uuid:7" xmlns:dc='
    b'"http://purl.org/dc/elements/1.1/" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" dc:format="x" '
    b'i:AISystemUsed="Theirs"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def with_xmp(form: str, packet: bytes) -> bytes:
    """Return a picture that has XMP."""
    if form == "PNG":
        return behind_header(drawn("PNG"), chunk(b"iTXt", XMP_KEYWORD.encode() + b"\0\0\0\0\0" + packet))
    return drawn(form, xmp=packet)


@pytest.mark.parametrize("form", MIMES)
def test_xmp_that_is_there_stays(form: str) -> None:
    """A label is added to the provider's XMP under the same subject; what that says already stays as it was said."""
    made = with_label(with_xmp(form, THERE))
    packet = read(made).xmp
    said = xmp.values(packet)
    assert (said["system"], said["imprint"]) == ("Theirs", LABEL.imprint)
    assert b'dc:format="x"' in packet
    assert packet.count(b'rdf:about="uuid:7"') == 2
    with Image.open(io.BytesIO(made)) as image:
        image.load()


@pytest.mark.parametrize("form", MIMES)
@pytest.mark.parametrize(
    "packet", [b"no xml", THERE.replace(b"rdf:RDF", b"r:RDF"), THERE[:-60], THERE + THERE, b"\xff\xfe<\0"],
    ids=["no xml", "another prefix", "cut", "twice", "UTF-16"],
)  # fmt: skip
def test_xmp_that_nothing_can_be_added_to(form: str, packet: bytes) -> None:
    """Then the file gets no label, rather than losing what it says."""
    data = with_xmp(form, packet)
    with pytest.raises(Unlabelled, match=r"XMP that nothing can be added to"):
        with_label(data)


def signed(form: str) -> bytes:
    """Return a picture that looks signed by C2PA."""
    data = drawn(form)
    if form == "PNG":
        return behind_header(data, chunk(b"caBX", JUMBF))
    if form == "JPEG":
        head = b"JP\0\1"
        parts = [JUMBF[:90], JUMBF[90:]]
        one = segment(0xEB, head + b"\0\0\0\1" + parts[0])
        return data[:2] + one + segment(0xEB, head + b"\0\0\0\2" + JUMBF[:8] + parts[1]) + data[2:]
    return riff(*webp_parts(data), (b"C2PA", JUMBF))


@pytest.mark.parametrize("form", MIMES)
def test_a_signed_file_is_left_alone(form: str) -> None:
    """A manifest of C2PA is seen with its claims, and nothing is written into such a file, nor beside a remote one."""
    data = signed(form)
    found = read(data)
    assert found.c2pa == JUMBF
    assert foreign.c2pa(found.c2pa) == ("Acme Studio", "trainedAlgorithmicMedia")
    remote = THERE.replace(b'dc:format="x"', b'xmlns:t="http://purl.org/dc/terms/" t:provenance="https://e.example/m"')
    for file in (data, with_xmp(form, remote)):
        with pytest.raises(Unlabelled, match="C2PA"):
            with_label(file)


@pytest.mark.parametrize("brand", [b"isom", b"avif", b"qt  ", b"heic"])
def test_a_signed_movie(brand: bytes) -> None:
    """In MP4, QuickTime, AVIF and HEIC the manifest is a box of its own; other boxes are none."""
    top = struct.pack(">I4s4s4x", 16, b"ftyp", brand)
    other = struct.pack(">I4s", 24, b"uuid") + bytes(16)
    box = struct.pack(">I4sQ", 1, b"uuid", 32 + len(JUMBF)) + C2PA_UUID + JUMBF
    assert read(top + other + box).c2pa == JUMBF
    assert read(top + other).c2pa is None
    assert read(top + struct.pack(">I4s", 4, b"uuid") + bytes(16)).problems == ["the file is cut off or damaged"]
    with pytest.raises(Unlabelled, match="no place"):
        with_label(top + other)


def test_claims_of_c2pa() -> None:
    """The generator is read in both ways of writing it; what is no text is nothing."""
    old = b"\x6fclaim_generator\x78\x1aMake_A_Video/2.0 c2pa-rs/1"
    assert foreign.c2pa(old) == ("Make_A_Video/2.0 c2pa-rs/1", None)
    for nothing in (b"", b"\x6fclaim_generator", b"\x6fclaim_generator\xff", b"\x6fclaim_generator\x78"):
        assert foreign.c2pa(nothing) == (None, None)


A1111 = (
    "a fox in snow, <lora:x:0.8>\nsecond line\nNegative prompt: blurry, bad hands\nSteps: 20, Sampler: DPM++ 2M, "
    'CFG scale: 7, Seed: 123456789012, Size: 512x768, Model: "a, b", Version: v1.6'
)
A1111_SAID = {
    "prompt": "a fox in snow, <lora:x:0.8>\nsecond line", "negative": "blurry, bad hands", "steps": "20",
    "sampler": "DPM++ 2M", "cfg": "7", "size": "512x768", "model": "a, b", "seed": 123456789012,
}  # fmt: skip


def test_the_text_of_a1111() -> None:
    """Prompt, negative prompt and settings are told apart; a text without settings is none of it."""
    assert foreign.a1111(A1111) == A1111_SAID
    assert foreign.a1111("a fox\nSteps: 4, Seed: soon") == {"prompt": "a fox", "steps": "4"}
    assert foreign.a1111("just words: and a colon") == {}
    assert foreign.a1111("") == {}


@pytest.mark.parametrize("evil", ["Steps: " + " " * 60_000, "Steps: " + 'a:"' * 20_000, "Seed: 1," * 30_000])
def test_evil_settings_take_no_time(evil: str) -> None:
    """No line of settings keeps the reader busy."""
    began = time.process_time()
    foreign.a1111(evil)
    assert time.process_time() - began < 20  # of the processor; a line that backtracks takes hours


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_comment_in_exif(form: str) -> None:
    """The user's comment is read in the ways in which it is written: UTF-16 in both orders, ASCII, with padding."""
    for code, text in (
        (b"UNICODE\0", A1111.encode("utf-16-be")), (b"UNICODE\0", A1111.encode("utf-16-le")),
        (b"ASCII\0\0\0", A1111.encode()), (b"\0" * 8, A1111.encode() + b"\0"),
    ):  # fmt: skip
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = code + text
        comment, _ = exif_texts(read(drawn(form, exif=exif.tobytes())).exif)
        assert foreign.a1111(comment) == A1111_SAID
    assert exif_texts(b"MM\0*" + struct.pack(">IHHHII", 8, 1, 0x9286, 7, 0, 0)) == ("", [])


def tiff(order: str, text: bytes) -> bytes:
    """Return EXIF whose comment has 8 bytes more than ``text``, in either byte order."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    first = struct.pack(f"{order}IHHHII", 8, 1, 0x8769, 4, 1, 26) + bytes(4)
    return head + first + struct.pack(f"{order}HHHII", 1, 0x9286, 7, 8 + len(text), 44) + bytes(4) + b"UNICODE\0" + text


@pytest.mark.parametrize("data", [b"", b"II*\0", b"XX*\0\0\0\0\x08", b"II*\0\xff\xff\xff\x7f", tiff("<", b"")[:30]])
def test_damaged_exif(data: bytes) -> None:
    """Directories that lie outside, or are cut, say nothing."""
    assert exif_texts(data) == ("", [])


def test_a_comment_without_latin_letters() -> None:
    """Where the bytes do not tell their order, EXIF's own is taken."""
    assert exif_texts(tiff(">", "狐狸".encode("utf-16-be")))[0] == "狐狸"
    assert exif_texts(tiff("<", "狐狸".encode("utf-16-le")))[0] == "狐狸"


GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {
        "seed": 42, "steps": 20, "cfg": 7.5, "sampler_name": "euler", "positive": ["9", 0], "negative": ["7", 0],
        "latent_image": ["5", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": ["8", 0]}},
    "8": {"class_type": "Text", "inputs": {"value": "blurry"}},
    "9": {"class_type": "ControlNetApply", "inputs": {"strength": 1, "conditioning": ["6", 0]}},
}  # fmt: skip
GRAPH_SAID = {
    "prompt": "a fox", "negative": "blurry", "steps": "20", "cfg": "7.5", "sampler": "euler", "size": "512x768",
    "model": "xl.safetensors", "seed": 42,
}  # fmt: skip


def test_a_graph_of_comfyui() -> None:
    """The sampler's texts are found through what lies between, also where prompt and workflow are one text."""
    assert foreign.comfyui(json.dumps(GRAPH)) == GRAPH_SAID
    assert foreign.comfyui(json.dumps({"prompt": GRAPH, "workflow": {}})) == GRAPH_SAID


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ("[]", {}), ("{", {}), ("[" * 100_000, {}), ('{"a":' * 100_000, {}), ("{}", {}), ('{"1": 7}', {}),
        ('{"1": {"inputs": {"text": "only a text"}}}', {"prompt": "only a text"}),
        ('{"1": {"class_type": "KSampler", "inputs": {"positive": ["1", 0], "seed": true}}}', {}),
        ('{"1": {"class_type": "SamplerCustom", "inputs": {"noise_seed": 1e999, "positive": "x"}}}', {"prompt": "x"}),
        ('{"1": {"class_type": "KSampler", "inputs": [1]}, "2": {"inputs": {"text": [[]]}}}', {}),
    ],
)  # fmt: skip
def test_odd_graphs(graph: str, said: dict[str, object]) -> None:
    """Circles, other shapes and a nesting without end say nothing and end."""
    assert foreign.comfyui(graph) == said


def test_comfyui_in_exif() -> None:
    """In WebP the graph stands in EXIF's model."""
    exif = Image.Exif()
    exif[0x0110] = f"prompt:{json.dumps(GRAPH)}"
    _, (text,) = exif_texts(read(drawn("WEBP", exif=exif)).exif)
    assert foreign.comfyui(text.removeprefix("prompt:")) == GRAPH_SAID


def test_the_texts_of_a_png() -> None:
    """All three kinds are read, in their encodings, wherever they stand; the first of a keyword counts."""
    info = PngInfo()
    info.add_text("parameters", "grün")
    info.add_text("packed", "zip" * 100, zip=True)
    info.add_itxt("prompt", "狐", zip=True)
    info.add_itxt("plain", "狐")
    info.add_text("plain", "second")
    found = read(drawn("PNG", pnginfo=info))
    assert found.texts == {"parameters": "grün", "packed": "zip" * 100, "prompt": "狐", "plain": "狐"}
    assert found.problems == []


def test_bombs_say_so_and_cost_little() -> None:
    """Texts that unpack to gigabytes, chunks that claim them, and too many of them: read to a limit, and said."""
    bomb = zlib.compress(bytes(64 * 1024 * 1024), 9)
    head = PICTURES["png"]
    evil = chunk(b"zTXt", b"a\0\0" + bomb) + chunk(b"iTXt", b"b\0\1\0\0\0" + bomb) + chunk(b"zTXt", b"c\0\0junk")
    tracemalloc.start()
    found = read(
        behind_header(head, evil + chunk(b"tEXt", b"d\0" + bytes(MOST_TEXT)) + chunk(b"tEXt", b"e\0fine") * 90)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.texts == {"e": "fine"}
    assert found.problems == [
        f"a packed text is longer than {MOST_TEXT:,} bytes", "a packed text is damaged",
        f"a text of {MOST_TEXT + 2:,} bytes is not read", "of the texts the first 64 are read",
    ]  # fmt: skip
    assert peak < 48 * 1024 * 1024
    claims = head[:33] + struct.pack(">I4s", 0x7FFFFFFF, b"tEXt") + b"x"
    assert read(claims).problems == ["a text of 2,147,483,647 bytes is not read", "the file is cut off or damaged"]


def test_what_is_kept_together_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many texts below the limit of one are not all kept."""
    monkeypatch.setattr(metadata, "MOST_TOGETHER", 100)
    found = Metadata(room=100)
    found.take(io.BytesIO(bytes(90)), 90, 1000, "a text")
    assert found.take(io.BytesIO(bytes(90)), 90, 1000, "a text") is None
    assert found.problems == ["a text of 90 bytes is not read"]


def test_xml_bombs() -> None:
    """Entities are refused, and a nesting without end costs no stack."""
    laughs = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
    own = b'<i:AISystemUsed xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">%s</i:AISystemUsed>'
    assert xmp.values(laughs) == {}
    assert xmp.values(b"<a>" * 200_000) == {}
    assert xmp.values(own % b"x") == {"system": "x"}
    assert xmp.values(own % b"") == {}
    assert len(xmp.values(own % (b"x" * 3_000_000))["system"]) == xmp.MOST_VALUE
    assert xmp.values(b" " * (xmp.MOST_XMP + 1)) == {}
    resource = own.replace(b">%s<", b' xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" r:resource="y"><')
    assert xmp.values(resource) == {"system": "y"}


@pytest.mark.parametrize("form", MIMES)
def test_broken_files_never_raise(form: str) -> None:
    """Cut at every byte, or with bytes changed at random, a file is read and labelled, or refused, and nothing else."""
    whole = with_label(with_xmp(form, THERE))
    chance = random.Random(7)  # noqa: S311 - a seed, not a secret
    cuts = [whole[:end] for end in range(12, len(whole), 7)]
    flips = []
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(12, min(len(data), 1_000))] = chance.randrange(256)
        flips.append(bytes(data))
    for data in (*cuts, *flips):
        file = io.BytesIO(data)
        read_metadata(file, MIMES[form])
        try:
            for piece in labelled(file, len(data), MIMES[form], LABEL):
                assert isinstance(piece, bytes) or 0 <= piece[0] <= piece[1]
        except Unlabelled:
            continue


def test_many_small_pieces_of_a_manifest() -> None:
    """A manifest in thousands of segments is put together."""
    data, piece = PICTURES["jpeg"], segment(0xEB, b"JP\0\1\0\0\0\2" + bytes(16))
    found = read(data[:2] + piece * 5_000 + data[2:])
    assert found.c2pa is not None
    assert len(found.c2pa) == 16 + 4_999 * 8


def test_two_xmp_texts() -> None:
    """Of two the label could be added to one only, so the file gets none."""
    text = chunk(b"iTXt", XMP_KEYWORD.encode() + b"\0\0\0\0\0" + THERE)
    with pytest.raises(Unlabelled, match="XMP"):
        with_label(behind_header(drawn("PNG"), text + text))


def test_a_prompt_that_is_too_long_for_a_segment() -> None:
    """A JPEG's segment has 64 KiB: the prompt then stands in the imprint alone; a longer imprint nowhere."""
    long = Label(json.dumps({"wan": 1, "prompt": "x" * 40_000}), "s", "x" * 40_000)
    said = xmp.values(read(with_label(PICTURES["jpeg"], long)).xmp)
    assert said["imprint"] == long.imprint
    assert "prompt" not in said
    longer = Label(json.dumps({"wan": 1, "prompt": "x" * 70_000}), "s", None)
    with pytest.raises(Unlabelled, match="has room for"):
        with_label(PICTURES["jpeg"], longer)
    assert xmp.values(read(with_label(PICTURES["png"], longer)).xmp)["imprint"] == longer.imprint
    assert xmp.values(read(with_label(PICTURES["webp"], longer)).xmp)["imprint"] == longer.imprint


def test_a_jpeg_of_several_pictures() -> None:
    """An index of pictures (MPF) counts from itself: what grows in front of it is fine, what grows behind it is not."""
    data, index = PICTURES["jpeg"], segment(0xE2, b"MPF\0II*\0")
    plain = data[:2] + index + data[2:]
    assert with_label(plain).index(XMP_MARK) < with_label(plain).index(b"MPF\0")
    behind = data[:2] + index + segment(0xE1, XMP_MARK + THERE) + data[2:]
    with pytest.raises(Unlabelled, match="XMP"):
        with_label(behind)


def test_xmp_stands_behind_exif() -> None:
    """Readers want JFIF and EXIF first, so XMP comes after them."""
    made = with_label(drawn("JPEG", exif=Image.Exif().tobytes()))
    assert made.index(b"JFIF") < made.index(EXIF_MARK) < made.index(XMP_MARK)


def test_odd_webps() -> None:
    """A header without sides, one that is cut, two XMP chunks: refused; a missing last padding byte is made up for."""
    (kind, data), *_ = webp_parts(PICTURES["webp"])
    for broken in (
        riff((b"VP8 ", data[:6] + bytes(4) + data[10:])),
        riff((b"VP8X", b"\0" * 9)),
        riff((b"VP8X", b"\0" * 9), (kind, data)),
        riff((b"VP8X", bytes([4]) + bytes(9)), (kind, data), (b"XMP ", THERE), (b"XMP ", THERE)),
    ):  # fmt: skip
        with pytest.raises(Unlabelled):
            with_label(broken)
    odd = drawn("WEBP", size=(9, 9), lossless=True)
    parts = [(name, body if len(body) % 2 else body + b"\0") for name, body in webp_parts(odd)]
    unpadded = riff(*parts)[:-1]
    unpadded = b"RIFF" + struct.pack("<I", len(unpadded) - 8) + unpadded[8:]
    made = with_label(unpadded)
    assert [name for name, _ in webp_parts(made)] == [b"VP8X", b"VP8L", b"XMP "]


def test_what_carries_a_label(tmp_path: Path) -> None:
    """A labelled or signed file, one of another format and one that cannot be read need none; a bare one does."""
    for name, data, expected in (
        ("a.png", PICTURES["png"], False), ("b.png", with_label(PICTURES["png"]), True), ("c.png", signed("PNG"), True),
        ("d.gif", drawn("GIF", mode="P"), True),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        assert carries(tmp_path / name) is expected
    assert carries(tmp_path / "missing.png")
