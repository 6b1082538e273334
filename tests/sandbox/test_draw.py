"""The pictures of the offline sandbox: sizes, determinism, scenes, edits, sequences, captions, hostile inputs."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops, ImageStat

from wan_cli.sandbox.draw import fonts, picture
from wan_cli.sandbox.draw.caption import add_caption
from wan_cli.sandbox.draw.compose import decode
from wan_cli.sandbox.draw.palette import PALETTES, palette_for
from wan_cli.sandbox.draw.scenes import paint
from wan_cli.sandbox.draw.stage import Stage, falloff, seeded
from wan_cli.sandbox.draw.words import SCENES, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RED, BLUE, GREEN = (230, 10, 10), (10, 10, 230), (10, 200, 10)


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def pixels(data: bytes) -> str:
    return hashlib.sha256(opened(data).tobytes()).hexdigest()


def flat(colour: tuple[int, ...], kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (90, 60)) -> bytes:
    buffer = BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)
    return buffer.getvalue()


def mean(image: Image.Image, box: tuple[float, float, float, float] = (0, 0, 1, 0.86)) -> list[float]:
    left, top, right, bottom = box
    part = (int(left * image.width), int(top * image.height), int(right * image.width), int(bottom * image.height))
    return ImageStat.Stat(image.crop(part)).mean


def difference(first: Image.Image, second: Image.Image) -> float:
    means = ImageStat.Stat(ImageChops.difference(first, second)).mean
    return sum(means) / len(means)


@pytest.mark.parametrize(
    "size",
    [
        (768, 768),
        (1920, 1080),
        (2048, 256),
        (256, 2048),
        (240, 1920),
        (1000, 333),
        (1500, 1500),
        (64, 64),
        (30, 50),
        (1, 1),
        (3, 200),
    ],
)
def test_size_is_exact(size: tuple[int, int]) -> None:
    """A picture has exactly the size asked for, from 1x1 over 8:1 and 1:8 to Full HD."""
    image = Image.open(BytesIO(picture("a fox in the mountains", *size, seed=1, watermark=True)))
    assert image.format == "PNG"
    assert image.size == size


def test_large_pictures_are_not_supersampled() -> None:
    """Above the working limit the scene is drawn at its own size, which still gives the exact size."""
    assert opened(picture("bauhaus tiles", 3000, 2900, seed=1)).size == (3000, 2900)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("light", sorted(PALETTES))
def test_every_scene_draws_under_every_light(scene: str, light: str) -> None:
    """Each scene gives a picture with real contrast under each palette, whatever season and weather."""
    for season, prompt in ((None, "x"), ("winter", "fog"), ("autumn", "rain"), ("spring", "blue and pink")):
        brief = read(prompt)
        known = light if light != "space" else None
        brief = type(brief)(**{**vars(brief), "scene": scene, "light": known, "season": season})
        image = paint(brief, palette_for(brief, seeded(3)), f"{scene}{light}", 64, 60)
        assert sum(ImageStat.Stat(image).stddev) > 8


@pytest.mark.parametrize(
    ("prompt", "scene", "subject"),
    [
        ("a red fox in a snowy mountain valley at sunrise", "ridges", "fox"),
        ("Cyberpunk city street at night, neon rain", "city", None),
        ("calm ocean, watercolor", "sea", None),
        ("autumn forest with morning fog", "forest", None),
        ("planet rising over a galaxy", "orbs", None),
        ("bauhaus geometric pattern poster", "tiles", None),
        ("a paper crane on a desk, morning light", "desk", "crane"),
        ("a white paper crane", "desk", "crane"),
        ("a crane over a meadow", "meadow", "bird"),
        ("一只坐在咖啡馆窗边的布偶猫", "desk", "cat"),
        ("снежные горы на рассвете", "ridges", None),
        ("ночной город", "city", None),
        ("雪山", "ridges", None),
        ("大熊猫在竹林", "forest", "bear"),
        ("森林里的猫头鹰", "forest", "owl"),
        ("a goldfish", "sea", "fish"),
        ("бурый медведь", "ridges", "bear"),
    ],
)
def test_words_choose_scene_and_subject(prompt: str, scene: str, subject: str | None) -> None:
    """English, Chinese and Russian words choose the scene and the subject."""
    brief = read(prompt)
    assert (brief.scene, brief.subject) == (scene, subject)


def test_unknown_prompts_reach_every_scene() -> None:
    """Prompts without a known word are spread over all scenes, the same prompt always to the same one."""
    prompts = [f"qzx{number}" for number in range(120)]
    assert {read(prompt).scene for prompt in prompts} == set(SCENES)
    assert [read(prompt) for prompt in prompts] == [read(prompt) for prompt in prompts]


def test_light_season_weather_colour_and_style_words() -> None:
    """A prompt's light, season, weather, colours and style are all read; a coat colour stays with its animal."""
    brief = read("a red fox at sunset, autumn fog, blue and gold watercolor")
    assert (brief.light, brief.season, brief.weather, brief.styles) == ("sunset", "autumn", ("fog",), ("watercolor",))
    assert brief.subject_colour is not None
    assert brief.subject_colour[0] > 150 > brief.subject_colour[2]
    assert len(brief.tints) == 2
    assert read("рыжая лиса, осень, закат").light == "sunset"
    assert read("a white origami crane").subject_colour is not None
    assert read("red blue").subject_colour is None


def test_colour_words_change_the_palette() -> None:
    """A picture asked for in red is redder than the same one asked for in blue, in English and in Chinese."""
    for red, blue in (("red mountains", "blue mountains"), ("红色的山", "蓝色的山")):
        warm, cool = (mean(opened(picture(prompt, 96, 96, seed=2))) for prompt in (red, blue))
        assert warm[0] - warm[2] > cool[0] - cool[2] + 40


@pytest.mark.parametrize("verb", ["generate", "edit", "fuse", "sequence"])
def test_same_arguments_same_pixels(verb: str) -> None:
    """The same arguments give the same pixels for every verb."""
    inputs = (flat(RED), flat(BLUE)) if verb != "generate" else ()
    first, second = (picture("a cat by the sea", 120, 90, seed=4, index=2, inputs=inputs, verb=verb) for _ in range(2))
    assert pixels(first) == pixels(second)


def test_fresh_process_gives_the_same_pixels() -> None:
    """Two processes with different hash seeds draw the same pixels."""
    code = (
        "import sys; from wan_cli.sandbox.draw import picture; "
        "sys.stdout.buffer.write(picture('winter city, neon', 100, 80, seed=9, index=3))"
    )
    root = str(Path(__file__).parents[2])
    seen = set()
    for hash_seed in ("1", "77"):
        env = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": root}
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=env)
        seen.add(pixels(run.stdout))
    assert len(seen) == 1


@pytest.mark.parametrize("scene", ["mountains", "city", "sea", "forest", "planet", "mosaic", "desk", "meadow"])
def test_seed_prompt_and_index_change_the_picture(scene: str) -> None:
    """Another seed, another prompt of the same scene, and another index each change the drawn part of the picture."""
    calls = ((scene, 1, 1), (scene, 2, 1), (scene + " zz", 1, 1), (scene, 1, 2))
    drawn = [opened(picture(p, 90, 90, seed=s, index=i)).crop((0, 0, 90, 76)).tobytes() for p, s, i in calls]
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("seed", [0, -5, 2**63, 10**30])
def test_any_integer_is_a_seed(seed: int) -> None:
    """Zero, negative and very large seeds are accepted."""
    assert opened(picture("forest", 80, 60, seed=seed)).size == (80, 60)


@pytest.mark.parametrize(
    "subject", ["fox", "red fox", "cat", "ragdoll cat", "black cat", "owl", "bear", "bird", "fish", "origami crane"]
)
@pytest.mark.parametrize("place", ["mountains", "room with a table and a book", "planet galaxies"])
def test_subjects_are_drawn(subject: str, place: str) -> None:
    """Each subject visibly changes each scene it is put into."""
    brief = read(f"a {subject} {place}, {place}")
    assert brief.subject is not None
    bare = type(brief)(**{**vars(brief), "subject": None})
    with_subject, without = (paint(each, palette_for(each, seeded(1)), "key", 96, 96) for each in (brief, bare))
    assert difference(with_subject, without) > 2


@pytest.mark.parametrize(
    "things", ["a cup of coffee", "books", "a vase of tulips", "a cup and a book", "a desk", "an empty room"]
)
def test_still_life(things: str) -> None:
    """A desk shows what the prompt names, and one thing of its own choice when it names nothing."""
    drawn = {pixels(picture(f"{things}, indoor table", 100, 100, seed=seed)) for seed in range(4)}
    assert len(drawn) == 4


def test_styles_change_the_picture() -> None:
    """Watercolour leaves the rim unpainted, monochrome has no colour, pixel art has few colours."""
    paper = opened(picture("sea at sunset, watercolor", 200, 200, seed=1))
    assert min(mean(paper, (0, 0, 1, 0.02))) > 215
    grey = opened(picture("sea at sunset, monochrome", 100, 100, seed=1)).crop((0, 0, 100, 80))
    red, _, blue = grey.split()
    assert difference(red, blue) < 1
    blocks = opened(picture("sea at sunset, pixel art", 256, 256, seed=1)).crop((0, 0, 256, 200))
    colours = blocks.getcolors(100)
    assert colours is not None
    assert len(colours) <= 40


def test_edit_shows_the_input_and_the_prompt() -> None:
    """An edit keeps the colour of its input clearly visible and adds an inset drawn from the prompt."""
    red, blue = (
        opened(picture("winter night owl", 200, 160, seed=1, inputs=[flat(colour)], verb="edit"))
        for colour in (RED, BLUE)
    )
    warm, cool = mean(red), mean(blue)
    assert warm[0] > warm[2] + 30
    assert cool[2] > cool[0] + 30
    inset = red.crop((140, 14, 186, 60))
    assert max(ImageStat.Stat(inset).stddev) > 3 * max(ImageStat.Stat(red.crop((10, 80, 100, 130))).stddev)


def test_edit_shows_further_inputs() -> None:
    """Further inputs of an edit stand at the left as small plates; generate with inputs edits as well."""
    alone = opened(picture("x", 200, 160, seed=1, inputs=[flat(RED)]))
    more = opened(picture("x", 200, 160, seed=1, inputs=[flat(RED), flat(GREEN), flat(BLUE)], verb="edit"))
    plate = (0.07, 0.09, 0.17, 0.22)
    assert mean(more, plate)[1] > mean(alone, plate)[1] + 60


@pytest.mark.parametrize("size", [(240, 160), (160, 240)])
def test_fusion_shows_every_input(size: tuple[int, int]) -> None:
    """A fusion of three pictures shows each in a panel of its own, side by side or stacked, over the scene."""
    image = opened(picture("night forest", *size, seed=1, inputs=[flat(RED), flat(GREEN), flat(BLUE)], verb="fuse"))
    long = size[0] > size[1]
    for index, channel in enumerate((0, 1, 2)):
        start = 0.04 + index * (0.33 if long else 0.24)
        box = (start, 0.1, start + 0.2, 0.4) if long else (0.2, start, 0.8, start + 0.12)
        colour = mean(image, box)
        assert colour[channel] == max(colour)
        assert colour[channel] > 120
    assert max(mean(image, (0, 0.76, 1, 0.86))) < 120


def test_fusion_of_one() -> None:
    """A fusion accepts a single input."""
    assert mean(opened(picture("sea", 100, 100, seed=1, inputs=[flat(RED)], verb="fuse")), (0, 0, 1, 0.5))[0] > 200


def test_sequence_keeps_the_subject_and_changes_the_light() -> None:
    """The frames of a sequence share subject and layout while their light differs, also beyond the last phase."""
    frames = [
        opened(picture("a fox in the mountains", 160, 160, seed=3, verb="sequence", index=i)) for i in (1, 2, 3, 4, 9)
    ]
    for first, second in itertools.combinations(frames, 2):
        assert difference(first.crop((0, 0, 160, 60)), second.crop((0, 0, 160, 60))) > 4
    # The fur of the fox is the same rust wherever it stands: count it in every frame.
    counts = [
        sum(
            count
            for count, colour in frame.getcolors(1 << 24) or []
            if isinstance(colour, tuple)
            and abs(colour[0] - 222) < 6
            and abs(colour[1] - 108) < 6
            and abs(colour[2] - 44) < 6
        )
        for frame in frames
    ]
    assert min(counts) > 150
    assert max(counts) < 1.25 * min(counts)


def test_sequence_keeps_its_inputs_visible() -> None:
    """The inputs of a sequence stay in view in every frame."""
    for index in (1, 4):
        image = opened(
            picture("forest", 200, 200, seed=1, inputs=[flat(RED), flat(BLUE)], verb="sequence", index=index)
        )
        left, right = mean(image, (0.25, 0.3, 0.45, 0.6)), mean(image, (0.55, 0.3, 0.75, 0.6))
        assert left[0] > left[2] + 60
        assert right[2] > right[0] + 60


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_input_formats(kind: str) -> None:
    """PNG, JPEG, WebP, BMP and GIF inputs are read."""
    colour = mean(decode(flat(RED, kind), 40, 40), (0, 0, 1, 1))
    assert colour[0] > 200
    assert colour[2] < 60


def test_transparent_inputs_lie_on_white() -> None:
    """A transparent input is shown on white."""
    assert mean(decode(flat((0, 0, 0, 0), mode="RGBA"), 20, 20)) == [255, 255, 255]


def test_captions_of_our_own_pictures_are_not_inherited() -> None:
    """A picture drawn here, used as an input, gives its subject without its caption bar."""
    source = picture("bright day sea", 200, 200, seed=1)
    assert decode(source, 200, 174).tobytes() == opened(source).crop((0, 0, 200, 174)).tobytes()


def test_hostile_inputs_raise_value_error() -> None:
    """Truncated, empty and non-image inputs raise ValueError with a message that says what is wrong."""
    whole = picture("sea", 120, 120, seed=1)
    for data in (b"", b"no image", whole[:20], whole[: len(whole) // 2], flat(RED, "JPEG")[:200], b"GIF89a" + bytes(9)):
        with pytest.raises(ValueError, match="not a readable image"):
            picture("x", 64, 64, seed=1, inputs=[data], verb="edit")


def test_decompression_bombs_raise_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input whose size passes Pillow's limit is refused."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="not a readable image"):
        picture("x", 64, 64, seed=1, inputs=[flat(RED)], verb="fuse")


def test_wrong_calls_raise_value_error() -> None:
    """A size or index below 1, an unknown verb, and an edit or fusion without inputs are refused."""
    calls: list[Callable[[], bytes]] = [
        lambda: picture("x", 0, 10, seed=1),
        lambda: picture("x", 10, 0, seed=1),
        lambda: picture("x", 10, 10, seed=1, index=0),
        lambda: picture("x", 10, 10, seed=1, verb="paint"),
        lambda: picture("x", 10, 10, seed=1, verb="edit"),
        lambda: picture("x", 10, 10, seed=1, verb="fuse"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"at least|unknown verb"):
            call()


@pytest.mark.parametrize(
    "prompt", ["a fox", "猫と山", "кот", "line\none\ttwo\0three", "\ud800 lone", "", "é" * 5000, "🦊 fox\u200d"]
)
def test_metadata_marks_the_picture(prompt: str) -> None:
    """The PNG says who made it and for which prompt, whatever the prompt contains."""
    image = Image.open(BytesIO(picture(prompt, 100, 60, seed=1)))
    assert image.info["Software"] == "wan sandbox"
    assert image.info["Description"] == prompt.replace("\0", " ").replace("\ud800", "?")


def test_long_prompts_are_as_fast_as_short_ones() -> None:
    """A prompt of 5,000 characters, with and without spaces, is drawn without trouble."""
    for prompt in ("mountain " * 555, "山" * 5000, "x" * 5000):
        assert opened(picture(prompt, 300, 200, seed=1)).size == (300, 200)


def test_caption_is_drawn_and_dark() -> None:
    """The bar is much darker than the bright sea behind it and holds white text."""
    image = opened(picture("bright day sea", 400, 300, seed=1))
    bar = image.crop((0, 262, 400, 300)).convert("L")
    assert ImageStat.Stat(bar).median[0] < 110
    assert bar.point(lambda value: 255 * (value > 230)).getbbox() is not None


def test_caption_names_seed_and_size() -> None:
    """Two seeds differ in the second line of the caption even over the same picture."""
    images = []
    for seed in (7, 8):
        image = Image.new("RGB", (400, 300), (90, 120, 150))
        add_caption(image, "same", seed, watermark=False)
        images.append(image)
    box = ImageChops.difference(*images).getbbox()
    assert box is not None
    assert box[1] > 262


@pytest.mark.parametrize("size", [(400, 300), (60, 480), (28, 28)])
def test_watermark_is_visible_where_it_fits(size: tuple[int, int]) -> None:
    """The mark lies bottom right above the bar, and is left out of pictures too narrow for it."""
    plain, marked = (opened(picture("sea", *size, seed=1, watermark=mark)) for mark in (False, True))
    box = ImageChops.difference(plain, marked).getbbox()
    if size[0] < 30:  # in the narrowest face it needs 35 pixels
        assert box is None
    else:
        assert box is not None
        assert box[0] >= size[0] * 0.05
        assert box[3] <= size[1] * 0.88


@pytest.fixture
def fresh_fonts() -> Iterator[None]:
    """Empty the font caches before and after a test that changes which fonts are found."""
    caches = (fonts.font_files, fonts.load, fonts.built_in, fonts._missing, fonts._shows, fonts.face_for)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.usefixtures("fresh_fonts")
def test_missing_glyphs_are_written_as_escapes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without any system font, what Pillow's own font lacks is written as an escape and never as a box."""
    monkeypatch.setattr(fonts, "folders", lambda: (tmp_path,))
    assert fonts.readable("a 猫 \U0001f98a") == "a \\u732B \\U0001F98A"
    assert opened(picture("a 猫", 200, 100, seed=1)).size == (200, 100)


@pytest.mark.usefixtures("fresh_fonts")
def test_broken_font_files_are_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A font file that cannot be read is passed over, also one found deep in the folders."""
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    deep.mkdir(parents=True)
    (deep / "Arial.ttf").write_bytes(b"too deep")
    (tmp_path / "DejaVuSans.ttf").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "folders", lambda: (tmp_path, tmp_path / "absent"))
    assert [Path(path).name for path, _ in fonts.font_files()] == ["DejaVuSans.ttf"]
    assert fonts.readable("abc 猫") == "abc \\u732B"
    assert fonts.length("abc", 20) > 10


def test_unassigned_characters_are_always_escapes() -> None:
    """A private or unassigned character, and a lone surrogate, is written as an escape on every machine."""
    assert fonts.readable("\U0010fffd") == "\\U0010FFFD"
    assert fonts.readable("\ud800") == "\\uD800"


def test_chinese_is_shown_or_escaped() -> None:
    """With a Chinese font the characters stay, without one they become escapes; both give pixels."""
    assert fonts.readable("猫") in ("猫", "\\u732B")
    assert fonts.length(fonts.readable("a 猫 ж"), 20) > 20


def test_control_characters_become_spaces() -> None:
    """Newlines, tabs and controls become single spaces; joiners and combining marks vanish."""
    assert fonts.readable("a\nb\t\tc\x07d\u2028e\u200df\u0301") == "a b c d ef"


def test_font_folders_are_named() -> None:
    """There is at least one folder to look for fonts in, and the look-up finds only wanted files."""
    assert fonts.folders()
    assert all(Path(path).is_file() for path, _ in fonts.font_files())


def test_glow_ends_within_its_circle() -> None:
    """The falloff is 255 in the middle and exactly 0 from the inscribed circle on, so that no square shows."""
    mask = falloff()
    assert mask.getpixel((128, 128)) == 255
    rim = [mask.getpixel((x, y)) for x in range(256) for y in range(256) if (x - 128) ** 2 + (y - 128) ** 2 >= 128**2]
    assert set(rim) == {0}


def test_drawing_outside_the_surface_changes_nothing() -> None:
    """Shapes wholly outside the picture are ignored."""
    stage = Stage((20, 20), read("x"), PALETTES["day"], "key")
    before = stage.image.tobytes()
    away = [(50.0, 50.0), (60.0, 50.0), (60.0, 60.0)]
    stage.fill(away, RED, BLUE)
    stage.wash(away, RED, 0.5, 1)
    stage.glow(90, 90, 10, RED, 1)
    stage.veil(30, 40, RED, 1, 1)
    assert stage.image.tobytes() == before
