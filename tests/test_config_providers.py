"""Providers of the user's configuration: another server under a contract that wan speaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_cli import MODELVERSE_KEY

from wan_cli import registry
from wan_cli.config import load
from wan_cli.config.keys import account
from wan_cli.config.providers import register
from wan_cli.errors import ConfigInvalid, WanError

MINE = '[providers.mine]\ncontract = "openai"\nbase_url = "https://mine.example/v1"\n'


@pytest.fixture(autouse=True)
def nothing_added() -> Iterator[None]:
    """Leave the registry as it was."""
    yield
    registry.forget_added()


def registered(folder: Path, text: str, **env: str) -> Any:
    """Register what a configuration file says, and return the configuration."""
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    config = load({"WAN_CONFIG": str(path), **env}, folder)
    register(config)
    return config


def test_a_provider_of_ones_own_is_a_contract_somewhere_else(tmp_path: Path) -> None:
    """Name, address and key are its own; everything else is the contract's."""
    config = registered(tmp_path, MINE, MINE_API_KEY="sk-mine")
    found = registry.capabilities("mine")
    assert (found.name, found.contract, found.key_env, found.base_url_env) == (
        "mine", "openai", "MINE_API_KEY", "MINE_BASE_URL",
    )  # fmt: skip
    assert [model.name for model in found.models] == ["gpt-image-1"]
    assert all(model.provider == "mine" for model in found.models)
    reached = account("mine", config)
    assert (reached.origin, reached.secret()) == ("https://mine.example", "sk-mine")
    assert registry.names() == (*registry.BUILTIN, "mine")


@pytest.mark.parametrize(("more", "variable"), [
    ("", "MY_SERVER_2_API_KEY"), ('key_env = "OTHER_KEY"\n', "OTHER_KEY"),
])  # fmt: skip
def test_the_key_has_a_variable_of_its_own(tmp_path: Path, more: str, variable: str) -> None:
    """The variable follows from the name, or is named; another provider's key is never taken."""
    text = MINE.replace("mine]", "my-server_2]") + more
    config = registered(tmp_path, text, OPENAI_API_KEY="sk-another", **{variable: "sk-mine"})
    assert account("my-server_2", config).secret() == "sk-mine"
    config = registered(tmp_path, text, OPENAI_API_KEY="sk-another")
    with pytest.raises(WanError, match=variable):
        account("my-server_2", config).secret()


@pytest.mark.parametrize(("text", "words"), [
    ('[providers.mine]\nbase_url = "https://x"\n', "contract is to be one of rivya"),
    ('[providers.mine]\ncontract = "openai"\n', "base_url is missing"),
    ('[providers.mine]\ncontract = "nobody"\nbase_url = "https://x"\n', "contract is to be one of"),
    ('[providers.rivya]\ncontract = "openai"\nbase_url = "https://x"\n', "has its own contract"),
    (MINE.replace("mine]", "Mine]"), "small letters"), (MINE.replace("mine]", '"mi ne"]'), "small letters"),
    (MINE.replace("mine]", '"../x"]'), "small letters"), (MINE.replace("mine]", f"{'x' * 33}]"), "small letters"),
    (MINE + MINE.replace("mine]", "second]").replace('"openai"', '"mine"'), "contract is to be one of"),
    (MINE + 'auth = "basic"\n', "auth"), (MINE + "allow_http = 3\n", "allow_http"),
])  # fmt: skip
def test_what_nobody_could_speak_to_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """An unknown contract, a missing address and a bad name end as configuration errors with file and table."""
    with pytest.raises(ConfigInvalid, match=words) as refused:
        registered(tmp_path, text)
    assert "config.toml" in refused.value.message
    assert refused.value.hint


def test_its_own_contract_may_be_said(tmp_path: Path) -> None:
    """``[providers.openai] contract = "openai"`` changes nothing."""
    registered(tmp_path, '[providers.openai]\ncontract = "openai"\n')
    assert registry.names() == registry.BUILTIN


def test_switches_widen_the_offer(tmp_path: Path) -> None:
    """``seed = true`` and ``negative = true`` offer what OpenAI does not have, for that provider only."""
    registered(tmp_path, MINE + "seed = true\nnegative = true\n")
    offer, plain = (registry.capabilities(name).models[0].verbs["generate"] for name in ("mine", "openai"))
    assert (offer.seed, "negative" in offer.options) == ((0, 2147483647), True)
    assert (plain.seed, "negative" in plain.options) == (None, False)
    registered(tmp_path, "[providers.openai]\nseed = true\n")
    assert registry.capabilities("openai").models[0].verbs["generate"].seed == (0, 2147483647)
    registered(tmp_path, "[providers.openai]\nseed = false\n")
    assert registry.capabilities("openai").models[0].verbs["generate"].seed is None


@pytest.mark.parametrize(("base", "more", "fine"), [
    ("http://10.0.0.5:8080", "", False), ("http://10.0.0.5:8080", "allow_http = true\n", True),
    ("http://127.0.0.1:8080", "", True), ("ftp://x", "allow_http = true\n", False),
])  # fmt: skip
def test_plain_http_needs_a_word(tmp_path: Path, base: str, more: str, fine: bool) -> None:
    """A key goes over plain http only to this machine, or where the user's own file allows it."""
    config = registered(tmp_path, MINE.replace("https://mine.example/v1", base) + more)
    if fine:
        assert account("mine", config).base_url == base
    else:
        with pytest.raises(ConfigInvalid):
            account("mine", config)


def test_quirks_are_checked(cli: Any) -> None:
    """A switch that the contract's adapter does not know, or a value it does not take, ends with exit 3."""
    for line, words in (('colour = "red"\n', "colour"), ('response_format = "file"\n', "response_format")):
        cli.config(MINE + line)
        ran = cli.run("generate", "-p", "mine", "--dry-run", "a fox")
        assert ran.code == 3
        assert "[providers.mine]" in ran.said("error")
        assert words in ran.said("error")


def test_switches_reach_the_request(cli: Any) -> None:
    """With its switches on, a seed is sent, under the address and the key's variable of its own."""
    cli.config(MINE + 'seed = true\nresponse_format = "b64_json"\n')
    ran = cli.run("generate", "-p", "mine", "--seed", "7", "--dry-run", "a fox")
    assert ran.code == 0
    for part in ("https://mine.example/v1/images/generations", "MINE_API_KEY", '"seed": 7', "b64_json"):
        assert part in ran.out.replace('"seed":7', '"seed": 7')
    assert cli.run("generate", "-p", "openai", "--seed", "7", "--dry-run", "a fox").code == 2


def test_nobody_is_chosen_unnamed(cli: Any) -> None:
    """A provider of one's own, and openai, buy only when they are named, even with the only key."""
    cli.config(MINE)
    ran = cli.run("generate", "a fox", env={"MINE_API_KEY": "sk-mine", "OPENAI_API_KEY": "sk-other"})
    assert ran.code == 3
    assert "RIVYA_API_KEY" in ran.said("error")
    assert "MINE_API_KEY" not in ran.err


def test_it_can_be_the_default(cli: Any) -> None:
    """The configuration may name it as the provider."""
    cli.config('[defaults]\nprovider = "mine"\n\n' + MINE)
    assert "https://mine.example/v1/images/generations" in cli.run("generate", "--dry-run", "a fox").out


def test_it_is_listed_and_forgotten(cli: Any) -> None:
    """``wan models`` lists it while the configuration has it, and no longer."""
    cli.config(MINE)
    assert cli.run("models", "mine").code == 0
    cli.config("")
    assert cli.run("models", "mine").code == 2


def test_it_buys_with_its_own_key(cli: Any, provider: Any) -> None:
    """A whole purchase from another server under a contract: the key of its own variable, and the file here."""
    cli.config(f'[providers.mine]\ncontract = "modelverse"\nbase_url = "{provider.url}"\n')
    ran = cli.run("generate", "-p", "mine", "-o", "fox.png", "a fox", env={"MINE_API_KEY": MODELVERSE_KEY})
    assert (ran.code, provider.purchases) == (0, 1)
    assert cli.files() == ["fox.png"]


def test_without_authorization_no_key_is_sent(cli: Any, provider: Any) -> None:
    """``auth = "none"``: no key is asked for, and no request has an Authorization header."""
    cli.config(f'[providers.mine]\ncontract = "modelverse"\nbase_url = "{provider.url}"\nauth = "none"\n')
    ran = cli.run("generate", "-p", "mine", "a fox", env={"MINE_API_KEY": MODELVERSE_KEY})
    assert ran.code == 3  # this server wants one
    (request,) = provider.asked("submit")
    assert "authorization" not in request.headers


def test_the_sandbox_plays_its_contract(cli: Any) -> None:
    """``--sandbox`` answers for it as for the provider whose contract it has, and needs no key."""
    cli.config(MINE)
    ran = cli.run("generate", "-p", "mine", "--sandbox", "-o", "fox.png", "a fox")
    assert ran.code == 0
    assert cli.files() == ["fox.png"]
