"""``wan auth list``, ``wan config show`` and ``wan help environment``: every source, and never a key."""

from __future__ import annotations

from typing import Any

import pytest
from support_cli import MODELVERSE_KEY, RIVYA_KEY, Cli, Run

from wan_cli.config.settings import VARIABLES
from wan_cli.registry import BUILTIN, capabilities

SETTINGS = f"""
[defaults]
model = "wan2.7-image"
timeout = "5m"
max_cost = ["24credits", "5CNY"]

[spend]
ask_above = "100credits"

[privacy]
store_prompts = false

[prices."modelverse/wan2.7-image"]
amount = 0.2
unit = "CNY"

[providers.modelverse]
region = "sg"
key_command = "echo {MODELVERSE_KEY}"

[providers.rivya]
base_url = "https://me:{RIVYA_KEY}@relay.example.com"
key = "{RIVYA_KEY}"

[providers.local]
contract = "openai"
base_url = "http://127.0.0.1:8000/v1"
auth = "none"
response_format = "b64_json"
"""


def rows(cli: Cli, *words: str, **named: Any) -> dict[str, Any]:
    """Return the rows of a listing by their first column."""
    ran = cli.run(*words, "--json", **named)
    assert ran.code == 0, ran.err
    listed = ran.json[words[0]]
    return {row[next(iter(row))]: row for row in listed}


def test_where_keys_come_from(cli: Cli) -> None:
    """Each provider's row says where its key comes from and which origin it is bound to, and never the key."""
    path = cli.key_file(MODELVERSE_KEY)
    found = rows(cli, "auth", "list", env={"RIVYA_API_KEY": RIVYA_KEY, "MODELVERSE_API_KEY_FILE": str(path)})
    assert set(BUILTIN) <= found.keys()
    assert found["rivya"] == {
        "provider": "rivya", "key": "RIVYA_API_KEY", "origin": "https://rivya.ai", "base_url": "https://rivya.ai",
        "base_url_source": "the default", "problem": None, "stored": None, "source": "RIVYA_API_KEY",
    }  # fmt: skip
    assert found["modelverse"]["key"] == f"MODELVERSE_API_KEY_FILE ({path})"
    assert found["yunwu"]["key"] is None
    assert found["yunwu"]["problem"] == "YUNWU_API_KEY is not set"


def test_keys_of_the_configuration(cli: Cli) -> None:
    """A key variable, file or command of the configuration is the source; a server that asks for none says so."""
    path = cli.key_file(RIVYA_KEY)
    cli.config(f"""
[providers.rivya]
key_file = "{path}"
[providers.modelverse]
region = "sg"
key_command = "echo {MODELVERSE_KEY}"
[providers.yunwu]
key_env = "MY_RELAY"
base_url = "https://relay.example.com/v1"
[providers.local]
contract = "openai"
base_url = "http://127.0.0.1:8000"
auth = "none"
""").rename(cli.root / "key-config")
    cli.key_files.append(cli.root / "key-config")
    named = {"WAN_CONFIG": str(cli.root / "key-config"), "MY_RELAY": RIVYA_KEY}
    found = rows(cli, "auth", "list", env=named)
    assert found["rivya"]["key"] == f"[providers.rivya] key_file {path}"
    assert found["modelverse"]["key"] == "[providers.modelverse] key_command echo"
    assert found["modelverse"]["origin"] == "https://api-sg.umodelverse.ai"
    assert found["yunwu"]["key"] == "[providers.yunwu] key_env MY_RELAY"
    assert found["yunwu"]["origin"] == "https://relay.example.com"
    assert found["local"]["key"] == "none needed"
    sandboxed = rows(cli, "auth", "list", "--sandbox", env=named)
    assert {row["key"] for row in sandboxed.values()} <= {"the sandbox", "none needed"}


def test_what_stands_in_a_keys_way(cli: Cli) -> None:
    """A key bound to another origin and a base URL that cannot be used are told in words, and the listing ends well."""
    cli.config('[providers.rivya]\nbase_url = "https://relay.example.com"\n')
    found = rows(cli, "auth", "list", env={"RIVYA_API_KEY": RIVYA_KEY, "YUNWU_BASE_URL": "http://relay.example.com"})
    assert found["rivya"]["problem"] == "the base URL is https://relay.example.com, so this key is not sent"
    assert found["rivya"]["origin"] == "https://rivya.ai"
    assert "plain http" in found["yunwu"]["problem"]


def test_auth_list_in_text(cli: Cli) -> None:
    """Without a terminal the rows are tab-separated; on one they are a table."""
    ran = cli.run("auth", "list", env={"RIVYA_API_KEY": RIVYA_KEY})
    assert ran.lines[0].split("\t")[:3] == ["rivya", "RIVYA_API_KEY", "https://rivya.ai"]
    ran = cli.run("auth", "list", tty=["stdout"], env={"COLUMNS": "200"})
    assert ran.lines[0].split()[:2] == ["PROVIDER", "KEY"]


def test_every_setting_and_its_source(cli: Cli) -> None:
    """Flags apart, each setting names the variable or file that set it; the nearest wins; caps add up."""
    user = cli.config(SETTINGS)
    cli.key_files.append(user)  # it holds canaries on purpose: what is shown of it must not
    project = cli.write("wan.toml", 'size = "1K"\nmax_cost = "10credits"\noutput = "art/"\n')
    named = {"WAN_MODEL": "wan2.7-image-pro", "WAN_JOBS": "2", "WAN_PROVIDER": "rivya"}
    ran = cli.run("config", "show", "--json", env=named)
    assert ran.code == 0, ran.err
    shown = [(row["setting"], row["value"], row["source"]) for row in ran.json["config"]]
    for row in (
        ("model", "wan2.7-image-pro", "WAN_MODEL"), ("jobs", 2, "WAN_JOBS"), ("provider", "rivya", "WAN_PROVIDER"),
        ("size", "1K", str(project)), ("output", str(cli.cwd / "art") + "/", str(project)),
        ("timeout", "5m", str(user)), ("max_cost", "24credits", str(user)), ("max_cost", "10credits", str(project)),
        ("spend.ask_above", "100credits", str(user)), ("privacy.store_prompts", False, str(user)),
        ('prices."modelverse/wan2.7-image"', "0.2 CNY per image", str(user)),
        ("providers.modelverse.region", "sg", str(user)), ("providers.modelverse.key_command", "echo …", str(user)),
        ("providers.rivya.base_url", "https://***@relay.example.com", str(user)),
        ("providers.local.response_format", "b64_json", str(user)), ("sandbox", False, "built-in"),
        ("state folder", str(cli.root / "state"), "WAN_STATE_DIR"), ("configuration file", str(user), "found"),
    ):  # fmt: skip
        assert row in shown
    assert not [row for row in shown if row[0] == "providers"], "a named provider leaves no order"


def test_what_holds_when_nobody_says(cli: Cli) -> None:
    """Without any file or variable the built-in settings are listed as such."""
    shown = rows(cli, "config", "show")
    assert shown["providers"]["value"] == ["rivya", "modelverse", "yunwu", "toapis", "dashscope"]
    assert shown["jobs"] == {"setting": "jobs", "value": 4, "source": "built-in"}
    assert shown["output"]["value"] == "{slug}-{id}{ext}"
    assert shown["configuration file"]["source"] == "not there"
    assert shown["privacy.store_prompts"]["source"] == "built-in"
    assert rows(cli, "config", "show", "--sandbox")["sandbox"]["source"] == "--sandbox"
    assert rows(cli, "config", "show", env={"WAN_SANDBOX": "1"})["sandbox"]["source"] == "WAN_SANDBOX"


def test_config_show_in_text(cli: Cli) -> None:
    """Without a terminal: name, value and source with tabs between."""
    ran = cli.run("config", "show", env={"WAN_TIMEOUT": "90s"})
    assert "timeout\t90s\tWAN_TIMEOUT" in ran.lines


@pytest.mark.parametrize(("words", "hint"), [(("auth", "st"), "wan auth list"), (("config", "get"), "wan config show")])
def test_an_unknown_action(wan: Run, words: tuple[str, str], hint: str) -> None:
    """An action that there is not is a usage error that names the one there is, in text and in JSON."""
    ran = wan(*words)
    assert (ran.code, ran.said("hint")) == (2, hint)
    assert wan(*words, "--json").json["error"]["code"] == "usage"
    assert wan(words[0]).code == 2


def test_help_environment_is_complete(wan: Run) -> None:
    """The topic lists every variable that wan reads: those of each provider, and its own."""
    said = wan("help", "environment").out
    for name in BUILTIN:
        offered = capabilities(name)
        for variable in (offered.key_env, f"{offered.key_env}_FILE", offered.base_url_env):
            assert variable in said
    for variable in (*VARIABLES.values(), "WAN_CONFIG", "WAN_STATE_DIR", "WAN_SANDBOX_FAULTS", "NO_COLOR"):
        assert variable in said
