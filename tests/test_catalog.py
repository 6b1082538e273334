"""What each provider offers, as data."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from wan_cli import catalog
from wan_cli.catalog import Offer, parse
from wan_cli.registry import BUILTIN, capabilities, every_model, who_can

MINIMAL = {
    "name": "x", "title": "X", "key_env": "X_API_KEY", "base_url": "https://x.example", "base_url_env": "X_BASE_URL",
    "docs": "https://x.example/docs",
    "models": [{"name": "m", "id": "vendor-m", "makes": "image", "verbs": {"generate": {"prompt_max": 10}}}],
}  # fmt: skip


@pytest.mark.parametrize("name", BUILTIN)
def test_every_registered_provider_has_a_whole_entry(name: str) -> None:
    """Each provider names itself, its key, an https base URL, and at least one model that makes something."""
    found = capabilities(name)
    assert found.name == name
    assert re.fullmatch(r"[A-Z]+_API_KEY", found.key_env)
    assert re.fullmatch(r"[A-Z]+_BASE_URL", found.base_url_env)
    assert found.base_url.startswith("https://")
    assert all(url.startswith("https://") for url in found.regions.values())
    assert set(found.routes) <= {"async", "sync"}
    for model in found.models:
        assert model.provider == name
        assert model.verbs


@pytest.mark.parametrize("name", BUILTIN)
def test_every_price_has_its_date_and_source(name: str) -> None:
    """A price is positive, dated, and says where it is from."""
    for model in capabilities(name).models:
        if model.price:
            dt.date.fromisoformat(model.price.date)
            assert model.price.amount > 0
            assert model.price.source.startswith("https://")
            assert model.price.per in {"task", "image", "second"}


def test_every_offer_makes_sense() -> None:
    """Ranges are in order, defaults are among what is offered, and sequences have a count of their own."""
    for model in every_model():
        for verb, offer in model.verbs.items():
            assert verb in catalog.VERBS
            assert offer.prompt_max > 0
            assert not offer.sizes or offer.default_size in offer.sizes
            for pair in (offer.pixels, offer.count, offer.seed):
                assert pair is None or pair[0] <= pair[1]
            assert verb != "sequence" or offer.count
            assert set(offer.ineffective) <= offer.options
            if verb in {"edit", "fuse"}:
                assert offer.inputs
                assert offer.inputs.count[0] >= 1


def test_names_find_models_in_any_spelling() -> None:
    """A model is found by its canonical name or the provider's, whatever the case; others are not."""
    found = capabilities("rivya")
    assert found.find("WAN2.7-image") is found.find("wan-2-7-image") is found.models[0]
    assert found.find("wan9") is None


def test_an_unlisted_model_is_sent_as_given() -> None:
    """A model nobody lists keeps its spelling, has no known price, and follows the provider's own limits."""
    stand_in = capabilities("rivya").unlisted("Wan-3-Image")
    assert (stand_in.name, stand_in.id, stand_in.price, stand_in.listed) == ("Wan-3-Image", "Wan-3-Image", None, False)
    assert stand_in.makes == "image"
    assert "generate" in stand_in.verbs


def test_an_unregistered_provider_is_none() -> None:
    """A name that is not in the registry raises KeyError."""
    with pytest.raises(KeyError):
        capabilities("acme")


def test_common_settings_reach_every_verb_and_own_ones_win() -> None:
    """A verb's own line wins over the model's, and that over the provider's; tables are merged."""
    data = MINIMAL | {
        "common": {"prompt_max": 100, "sizes": ["1K"], "ineffective": {"a": "x"}, "options": ["a", "b"]},
        "models": [{
            "name": "m", "id": "i", "makes": "image", "common": {"sizes": ["2K"], "ineffective": {"b": "y"}},
            "verbs": {"generate": {}, "edit": {"prompt_max": 7, "inputs": {"count": [1, 2], "max_ratio": 8.0}}},
        }],
    }  # fmt: skip
    verbs = parse(data).models[0].verbs
    assert (verbs["generate"].prompt_max, verbs["generate"].sizes) == (100, ("2K",))
    assert verbs["generate"].ineffective == {"a": "x", "b": "y"}
    assert (verbs["edit"].prompt_max, verbs["edit"].inputs is not None) == (7, True)


def test_the_least_entry_has_defaults() -> None:
    """What an entry leaves out is not offered."""
    found = parse(MINIMAL)
    assert (found.regions, found.routes, found.result_hours) == ({}, (), None)
    assert found.models[0].verbs["generate"] == Offer(prompt_max=10)
    assert (found.models[0].price, found.models[0].formats) == (None, ())


@pytest.mark.parametrize(("said", "seconds"), [([5, 10], (5, 10)), ({"from": 2, "to": 4}, (2, 3, 4)), (None, ())])
def test_durations_are_a_list_or_a_range(said: object, seconds: tuple[int, ...]) -> None:
    """Durations are written out, or as the first and last whole second."""
    verbs = {"generate": {"prompt_max": 1} | ({} if said is None else {"durations": said})}
    data = MINIMAL | {"models": [{"name": "m", "id": "i", "makes": "video", "verbs": verbs}]}
    assert parse(data).models[0].verbs["generate"].durations == seconds


@pytest.mark.parametrize(
    ("verb", "wants", "able", "unable"),
    [
        ("generate", {}, {"rivya", "modelverse"}, set()),
        ("sequence", {}, {"modelverse"}, {"rivya"}),
        ("generate", {"size": "4K"}, {"modelverse"}, {"rivya"}),
        ("edit", {"size": "4K"}, set(), {"rivya", "modelverse"}),
        ("generate", {"size": "4K", "model": "wan2.7-image"}, set(), {"modelverse"}),
        ("generate", {"pixels": 1920 * 1080}, {"modelverse"}, {"rivya"}),
        ("generate", {"pixels": 10}, set(), {"rivya", "modelverse"}),
        ("generate", {"aspect": "5:4"}, {"modelverse"}, {"rivya"}),
        ("generate", {"aspect": "16:9"}, {"rivya", "modelverse"}, set()),
        ("generate", {"option": "thinking"}, {"modelverse"}, {"rivya"}),
        ("generate", {"n": 9}, {"rivya"}, {"modelverse"}),
        ("fuse", {"inputs": 9}, {"rivya", "modelverse"}, set()),
        ("fuse", {"inputs": 10}, set(), {"rivya", "modelverse"}),
        ("generate", {"inputs": 1}, set(), {"rivya", "modelverse"}),
    ],
)
def test_who_can(verb: str, wants: dict[str, object], able: set[str], unable: set[str]) -> None:
    """The catalogue names every provider that can do what is asked, and no other."""
    found = who_can(verb, **wants)  # type: ignore[arg-type]
    assert able <= set(found)
    assert not unable & set(found)
    assert len(found) == len(set(found))
    assert [name for name in BUILTIN if name in found] == found
