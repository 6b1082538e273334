"""Who there is, and who can."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator

import pytest

from wan_cli import providers, registry
from wan_cli.catalog import Capabilities, parse
from wan_cli.providers.openai import OpenAI
from wan_cli.registry import BUILTIN, ORDER, capabilities, every_model, knows, names, who_can


@pytest.fixture(autouse=True)
def nothing_added() -> Iterator[None]:
    """Leave the registry as it was."""
    yield
    registry.forget_added()


def own(name: str = "mine", *switched: str) -> Capabilities:
    """Return the capabilities of a provider that a configuration could add."""
    more = {"name": name, "contract": "openai", "key_env": "MINE_API_KEY", "base_url": "https://mine.example"}
    return parse({**registry.document("openai"), **more}, switched)


def test_names_are_in_registry_order() -> None:
    """Those that are chosen by themselves come first, then openai, then what was added."""
    assert ORDER == ("rivya", "modelverse", "yunwu", "toapis", "dashscope")
    assert names()[: len(BUILTIN)] == BUILTIN == (*ORDER, "openai")
    registry.add(own())
    assert names() == (*BUILTIN, "mine")


def test_an_added_provider_is_known_until_it_is_forgotten() -> None:
    """Adding makes a provider known with its capabilities and adapter; forgetting removes all of them."""
    assert not knows("mine")
    registry.add(own())
    assert knows("mine")
    assert capabilities("mine").key_env == "MINE_API_KEY"
    adapter = providers.load("mine")
    assert issubclass(adapter, OpenAI)
    assert adapter.name == adapter("https://mine.example").capabilities.name == "mine"
    assert OpenAI.name == "openai"
    registry.forget_added()
    assert not knows("mine")
    with pytest.raises(KeyError):
        capabilities("mine")
    with pytest.raises(KeyError):
        providers.load("mine")


def test_a_switch_widens_what_is_offered() -> None:
    """Capabilities with a switch on stand in for the provider's own until they are forgotten."""
    registry.add(parse(registry.document("openai"), ["seed"]))
    (model,) = capabilities("openai").models
    assert all(offer.seed == (0, 2147483647) for offer in model.verbs.values())
    assert names().count("openai") == 1
    registry.forget_added()
    assert capabilities("openai").models[0].verbs["generate"].seed is None


@pytest.mark.parametrize(("verb", "wants", "able"), [
    ("generate", {}, ["rivya", "modelverse", "yunwu", "dashscope"]),
    ("generate", {"makes": "video"}, ["rivya", "modelverse", "toapis", "dashscope"]),
    ("generate", {"size": "4K"}, ["modelverse", "yunwu", "dashscope"]),
    ("generate", {"size": "4K", "model": "wan2.7-image"}, []),
    ("generate", {"providers": ["toapis", "yunwu"]}, ["yunwu"]),
    ("generate", {"providers": ["yunwu", "rivya"]}, ["yunwu", "rivya"]),
    ("generate", {"n": 8}, ["rivya"]),
    ("generate", {"makes": "video", "duration": 7}, ["modelverse", "dashscope"]),
    ("fuse", {"makes": "video", "duration": 11}, ["modelverse", "dashscope"]),
    ("fuse", {"makes": "video", "duration_with_video": 11}, []),
    ("generate", {"makes": "video", "role": "driving_audio"}, ["modelverse", "dashscope"]),
    ("generate", {"makes": "video", "resolution": "480p"}, []),
    ("sequence", {}, ["modelverse", "dashscope"]),
    ("edit", {"role": "mask"}, ["openai"]),
    ("fuse", {"inputs": 12}, ["openai"]),
    ("generate", {"makes": "audio"}, []),
])  # fmt: skip
def test_who_can_is_in_registry_order(verb: str, wants: dict[str, object], able: list[str]) -> None:
    """Every provider that can is named once, in registry order; those asked only by name come where no other can."""
    assert who_can(verb, **wants) == able  # type: ignore[arg-type]


def test_models_are_in_registry_order() -> None:
    """Models come provider by provider, for all or for those asked for."""
    assert list(dict.fromkeys(model.provider for model in every_model())) == list(names())
    assert {model.provider for model in every_model(["yunwu"])} == {"yunwu"}


def test_a_package_cannot_take_a_builtin_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package never stands in for a provider that comes with wan: the key would go to a stranger."""
    entries = [importlib.metadata.EntryPoint(name, "x.y:Z", registry.GROUP) for name in ("rivya", "other")]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries if group == registry.GROUP else [])
    registry.installed.cache_clear()
    try:
        assert list(registry.installed()) == ["other"]
    finally:
        registry.installed.cache_clear()


def test_capabilities_are_read_without_the_adapter() -> None:
    """Names and models cost neither httpx nor pydantic, so that completion stays instant."""
    code = (
        "import sys; from wan_cli.registry import capabilities, BUILTIN; [capabilities(n) for n in BUILTIN];"
        "sys.exit(bool({'httpx', 'pydantic', 'importlib.metadata'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
