"""A job held against what a model offers: translated where the picture stays the same, refused where not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_cli import geometry
from wan_cli.catalog import Model
from wan_cli.errors import UnsupportedOption, UsageError
from wan_cli.fit import Fitted, fit, offer_for
from wan_cli.models import Job, Media
from wan_cli.registry import capabilities, every_model

PICTURE = Media(role="reference", kind="image", url="https://example.com/a.png")


def model(provider: str = "rivya", name: str = "wan2.7-image") -> Model:
    found = capabilities(provider).find(name)
    assert found
    return found


def job(of: Model, **said: Any) -> Job:
    return Job(**{"verb": "generate", "provider": of.provider, "model": of.name, "prompt": "a fox", **said})


def fitted(provider: str = "rivya", name: str = "wan2.7-image", **said: Any) -> Fitted:
    of = model(provider, name)
    return fit(job(of, **said), of)


def refused(provider: str = "rivya", name: str = "wan2.7-image", **said: Any) -> UsageError:
    with pytest.raises(UsageError) as found:
        fitted(provider, name, **said)
    assert (found.value.exit_code, found.value.charged) == (2, "no")
    assert found.value.message
    return found.value


def unsupported(provider: str = "rivya", name: str = "wan2.7-image", **said: Any) -> UnsupportedOption:
    error = refused(provider, name, **said)
    assert isinstance(error, UnsupportedOption)
    assert error.hint
    return error


# -- what goes through as it is


@pytest.mark.parametrize("provider", ["rivya", "modelverse"])
def test_what_is_not_said_stays_unsaid(provider: str) -> None:
    """A plain prompt gets no size, no shape, no seed and no warning."""
    plain = job(model(provider))
    assert fit(plain, model(provider)) == Fitted(plain)


# -- prompt


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_i17_an_empty_prompt_is_refused(prompt: str) -> None:
    """There is nothing to draw from an empty prompt."""
    assert "empty" in refused(prompt=prompt).message


@pytest.mark.parametrize(("prompt", "place"), [("a\x00b", 2), ("\x1b[1m", 1), ("ab\x7f", 3), ("x\udcff", 2)])
def test_i03_control_characters_are_refused_with_their_place(prompt: str, place: int) -> None:
    """NUL, escapes and what is not UTF-8 are refused; tabs and line breaks pass."""
    assert f"at position {place}" in refused(prompt=prompt).message
    assert fitted(prompt="a\tb\r\nc").job.prompt == "a\tb\r\nc"


def test_i01_the_length_counts_either_way() -> None:
    """Characters and UTF-16 units both have to fit, and the message shows what was counted."""
    assert fitted(prompt="x" * 5000)
    assert "5,001 characters" in refused(prompt="x" * 5001).message
    assert fitted(prompt="\U0001f98a" * 2500)
    error = refused(prompt="\U0001f98a" * 2501)
    assert "2,501 characters (5,002 UTF-16 units)" in error.message


# -- verbs, counts, inputs


def test_a_verb_that_nobody_offers_here_names_who_does() -> None:
    """A sequence on Rivya is refused with the provider that makes one: it is never faked."""
    error = unsupported(verb="sequence", n=4)
    assert "modelverse" in error.message
    assert "can sequence" in error.message
    assert error.hint == "use -p modelverse"


def test_a_verb_that_nobody_offers_at_all() -> None:
    """Where no other provider can do it either, the hint lists the models."""
    bare = replace(model(), verbs={})
    with pytest.raises(UnsupportedOption) as error:
        offer_for(replace(bare, provider="modelverse"), "sequence")
    assert "modelverse" not in error.value.hint


@pytest.mark.parametrize("n", [0, -3])
def test_at_least_one_result(n: int) -> None:
    """No results, or fewer, is no purchase."""
    assert "at least 1" in refused(n=n).message


def test_i05_a_count_above_the_providers_limit_names_the_ways() -> None:
    """Five pictures in one request are refused on Modelverse, with what makes five."""
    error = unsupported("modelverse", n=5)
    assert "1 to 4" in error.message
    assert "rivya can make 5" in error.message
    assert error.hint == "wan sequence PROMPT -n 5"
    assert "use -p rivya" in unsupported("modelverse", n=13).hint
    assert unsupported("modelverse", verb="sequence", n=13).hint == "use -n 12"


def test_a_provider_without_a_count_takes_any() -> None:
    """Where -n becomes tasks, the fit sets no limit."""
    assert fitted(n=30).job.n == 30


def test_inputs_are_counted() -> None:
    """Too few pictures, too many, or any for a verb that takes none, are refused with what to do."""
    assert "takes no pictures" in refused(media=(PICTURE,)).message
    assert refused(verb="edit").hint == "wan edit --help"
    assert refused(verb="fuse", media=(PICTURE,)).hint == "wan edit PICTURE PROMPT"
    assert "at least 2 pictures, got 1" in refused(verb="fuse", media=(PICTURE,)).message
    assert "at most 9" in refused(verb="edit", media=(PICTURE,) * 10).message
    assert fitted(verb="fuse", media=(PICTURE,) * 9)
    assert fitted("modelverse", verb="sequence", n=3)


# -- options


def test_an_option_is_never_dropped() -> None:
    """An option that the provider has not is refused, naming who has it; said or unsaid makes no difference."""
    for thinking in (True, False):
        error = unsupported(thinking=thinking)
        assert "rivya has no such option" in error.message
        assert "modelverse" in error.message
        assert error.hint == "use -p modelverse"
    assert fitted("modelverse", thinking=True).job.thinking is True
    assert fitted(watermark=False).job.watermark is False


def test_an_option_without_effect_is_warned_of() -> None:
    """Thinking with pictures on Modelverse is sent, with a warning that it changes nothing."""
    found = fitted("modelverse", verb="edit", media=(PICTURE,), thinking=True)
    assert found.job.thinking is True
    assert found.warnings == ("--thinking: thinking has an effect only without pictures on modelverse",)


@pytest.mark.parametrize("route", ["sync", "async"])
def test_a_route_that_is_not_there_is_refused(route: str) -> None:
    """--sync and --async are for providers with both interfaces."""
    assert "modelverse has both" in unsupported(route=route).message
    assert fitted("modelverse", route=route).job.route == route


def test_a_parameter_that_an_option_says_is_refused() -> None:
    """--param cannot say again, or otherwise, what an option says."""
    assert refused(params={"aspect_ratio": "1:1"}).hint == "say it with --aspect alone"
    assert fitted(params={"style": "ink"}).job.params == {"style": "ink"}


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_i04_a_seed_has_a_range(seed: int) -> None:
    """A seed outside the provider's range is refused."""
    assert "0 to 2147483647" in refused(seed=seed).message


def test_i04_a_seed_that_means_none_is_not_sent() -> None:
    """Seed 0 is a seed on Rivya; on Modelverse it means none, so none is sent and a warning says so."""
    assert fitted(seed=0).job.seed == 0
    found = fitted("modelverse", seed=0)
    assert found.job.seed is None
    assert "reads it as no seed" in found.warnings[0]
    assert fitted("modelverse", seed=7).job.seed == 7


# -- sizes and shapes


@pytest.mark.parametrize(("size", "sent"), [("1k", "1K"), ("2K", "2K")])
@pytest.mark.parametrize("provider", ["rivya", "modelverse"])
def test_a_tier_is_taken_in_either_case(provider: str, size: str, sent: str) -> None:
    """A tier goes as it is."""
    assert fitted(provider, size=size).job.size == sent


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ({"size": "2K", "aspect": "16:9"}, "2720x1530"),
        ({"aspect": "16:9"}, "2720x1530"),
        ({"size": "2K", "aspect": "21:9"}, "3108x1332"),
        ({"size": "1K", "aspect": "9:16"}, "756x1344"),
        ({"size": "2K", "aspect": "1:1"}, "2K"),
        ({"aspect": "3:3"}, "2K"),
        ({"size": "1920*1080"}, "1920*1080"),
        ({"size": "1920x1080", "aspect": "16:9"}, "1920x1080"),
    ],
)
def test_a_shape_becomes_pixels_where_pixels_are_taken(said: dict[str, str], size: str) -> None:
    """On Modelverse a tier and a shape become the pixels of that tier; a square needs none."""
    assert fitted("modelverse", **said).job.size == size


def test_a_square_among_pictures_is_said_in_pixels() -> None:
    """With pictures a tier alone would follow their shape, so a square is asked for in pixels."""
    assert fitted("modelverse", verb="edit", media=(PICTURE,), aspect="1:1", size="1K").job.size == "1024x1024"


@pytest.mark.parametrize(
    ("pixels", "sent"),
    [("2720x1530", ("2K", "16:9")), ("3108*1332", ("2K", "21:9")), ("1024x1024", ("1K", "1:1")),
     ("2048X2048", ("2K", "1:1"))],
)  # fmt: skip
def test_pixels_become_a_tier_and_a_shape_where_they_are_exactly_that(pixels: str, sent: tuple[str, str]) -> None:
    """On Rivya pixels are taken where a tier and a shape give exactly them."""
    found = fitted(size=pixels).job
    assert (found.size, found.aspect) == sent


def test_other_pixels_are_refused_with_who_takes_them() -> None:
    """Pixels that Rivya cannot make are refused, naming a provider that takes pixels."""
    error = unsupported(size="1920x1080")
    assert "1K and 2K" in error.message
    assert "modelverse" in error.message
    assert "use -p" in error.hint
    assert unsupported(size="20000x20000").hint == "wan models rivya"


def test_4k_names_who_renders_it() -> None:
    """4K is refused where it is not made, naming the model or the provider that makes it."""
    rivya = unsupported(size="4K")
    assert "rivya renders 1K and 2K" in rivya.message
    assert "modelverse" in rivya.message
    assert rivya.hint == "use -p modelverse"
    same = unsupported("modelverse", size="4K")
    assert same.hint == "use -m wan2.7-image-pro"
    assert fitted("modelverse", "wan2.7-image-pro", size="4K").job.size == "4K"
    edit = unsupported("modelverse", "wan2.7-image-pro", verb="edit", media=(PICTURE,), size="4K")
    assert "for text to image only" in edit.message


def test_a_tier_that_nobody_renders_lists_the_models() -> None:
    """Where no provider renders a tier, the hint is the catalogue."""
    of = model()
    offer = replace(of.verbs["generate"], sizes=("2K",))
    with pytest.raises(UnsupportedOption):
        fit(job(of, size="1K"), replace(of, verbs={"generate": offer}))


def test_a_shape_that_is_not_listed_names_who_makes_any() -> None:
    """5:4 is refused on Rivya, naming the provider that makes any shape; the same ratio otherwise written passes."""
    error = unsupported(aspect="5:4")
    assert "16:9" in error.message
    assert "modelverse" in error.message
    assert fitted(aspect="32:18").job.aspect == "16:9"
    assert fitted(aspect="7:3").job.aspect == "21:9"


@pytest.mark.parametrize("size", ["3K", "big", "1024", "1024x", "0x5", "-1x5", "1024x1024x3", "1e3x1e3"])
def test_what_is_no_size_is_refused(size: str) -> None:
    """A size is a tier or pixels."""
    assert "a tier" in refused(size=size).message


@pytest.mark.parametrize("aspect", ["16", "16x9", "16:0", "1.5:1", "a:b", "16:9:4"])
def test_what_is_no_shape_is_refused(aspect: str) -> None:
    """A shape is two whole numbers."""
    assert "two whole numbers" in refused(aspect=aspect).message


def test_size_and_shape_have_to_agree() -> None:
    """Pixels of another shape than --aspect are refused."""
    assert "is not 16:9" in refused("modelverse", size="1024x1024", aspect="16:9").message


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"aspect": "9:1"}, "from 1:8 to 8:1"),
        ({"size": "6000x500"}, "from 1:8 to 8:1"),
        ({"size": "512x512"}, "262,144 pixels"),
        ({"size": "4096x4096"}, "16,777,216 pixels"),
    ],
)
def test_pixels_have_limits(said: dict[str, str], words: str) -> None:
    """Too many pixels, too few, and shapes that are too long are refused with the limits."""
    assert words in refused("modelverse", **said).message


def test_an_unlisted_model_is_held_to_its_providers_limits() -> None:
    """A model that is not in the catalogue goes through with the provider's own sizes."""
    of = capabilities("rivya").unlisted("wan-3")
    assert fit(job(of, size="2K", aspect="16:9"), of).job.aspect == "16:9"


IMAGES = [(entry, verb) for entry in every_model() if entry.makes == "image" for verb in entry.verbs]


@given(
    of=st.sampled_from(IMAGES),
    size=st.none() | st.sampled_from(["1K", "2K", "4K"]) | st.builds("{}x{}".format, *[st.integers(1, 9000)] * 2),
    aspect=st.none() | st.builds("{}:{}".format, *[st.integers(1, 40)] * 2),
    pictures=st.integers(0, 3), seed=st.none() | st.integers(-2, 2**31),
)  # fmt: skip
def test_what_passes_is_within_the_offer(
    of: tuple[Model, str], size: str | None, aspect: str | None, pictures: int, seed: int | None
) -> None:
    """Whatever is asked: what goes through is a size, a shape and a seed that the model offers, of the shape asked."""
    entry, verb = of
    offer = entry.verbs[verb]
    asked = job(entry, verb=verb, size=size, aspect=aspect, media=(PICTURE,) * pictures, seed=seed)
    with suppress(UsageError):
        sent = fit(asked, entry).job
        pixels = geometry.parse_pixels(sent.size or "")
        if pixels:
            assert offer.pixels
            assert offer.pixels[0] <= pixels[0] * pixels[1] <= offer.pixels[1]
            assert not offer.max_ratio or max(pixels) <= offer.max_ratio * min(pixels)
            if aspect:
                shape = geometry.parse_aspect(aspect)
                assert shape
                assert geometry.reduced(*pixels) == geometry.reduced(*shape)
        else:
            assert sent.size is None or sent.size in offer.sizes
        if offer.pixels is None:
            assert not offer.aspects or sent.aspect is None or sent.aspect in offer.aspects
        assert sent.seed is None or not offer.seed or offer.seed[0] <= sent.seed <= offer.seed[1]
        assert fit(sent, entry).job == sent
