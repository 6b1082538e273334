"""Settings and keys: flag, environment, project file, user file; whose key goes where (section 8)."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from support_cli import MODELVERSE_KEY, RIVYA_KEY, Cli, Run
from support_provider import Say


def dry(run: Run, *words: str, **how: Any) -> Any:
    """Return the task of a dry run."""
    ran = run("generate", "a fox", "--dry-run", "--json", *words, **how)
    assert ran.code == 0, ran.err
    return ran.task


@pytest.mark.parametrize(
    ("env", "field", "value"),
    [
        ({"WAN_PROVIDER": "modelverse"}, "provider", "modelverse"),
        ({"WAN_MODEL": "wan2.7-image-pro"}, "model", "wan2.7-image-pro"),
    ],
)
def test_variables(wan: Run, env: dict[str, str], field: str, value: str) -> None:
    """WAN_PROVIDER and WAN_MODEL stand in for their flags, and the flags win."""
    assert dry(wan, env=env)[field] == value
    flag = {"provider": ("-p", "rivya"), "model": ("-m", "wan2.7-image")}[field]
    assert dry(wan, *flag, env=env)[field] == flag[1]


def test_output_timeout_and_caps_from_variables(live: Cli) -> None:
    """WAN_OUTPUT, WAN_TIMEOUT, WAN_MAX_COST and WAN_JOBS are held like their flags."""
    assert live.run("generate", "a fox", env={"WAN_OUTPUT": "out/{slug}{ext}"}).lines == ["out/a-fox.png"]
    assert live.run("generate", "a fox", env={"WAN_MAX_COST": "4credits"}).code == 5
    live.provider.always["poll"] = Say(200, {"id": "task_2", "status": "processing"})
    before = live.clock.now
    assert live.run("generate", "a fox", env={"WAN_TIMEOUT": "20s"}).code == 8
    assert live.clock.now - before < 25
    assert live.run("generate", "a fox", "--no-wait", "-n", "3", env={"WAN_JOBS": "1"}).code == 0


@pytest.mark.parametrize("value", ["maybe", "2"])
def test_a_sandbox_variable_that_is_neither(wan: Run, value: str) -> None:
    """WAN_SANDBOX is yes or no; anything else is 3, since guessing could cost money."""
    ran = wan("generate", "x", "--json", env={"WAN_SANDBOX": value})
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")


@pytest.mark.parametrize("jobs", ["many", "0", "-1"])
def test_jobs_that_are_none(live: Cli, jobs: str) -> None:
    """WAN_JOBS that is no number from 1 to 64 is a configuration error, not a bug."""
    ran = live.run("generate", "x", "--json", env={"WAN_JOBS": jobs})
    assert ran.code == 3
    assert live.provider.purchases == 0


def test_the_project_file(wan: Run, cli: Cli) -> None:
    """wan.toml gives defaults, at the top or under [defaults]; variables and flags win."""
    cli.write(
        "wan.toml", 'provider = "modelverse"\nsize = "1K"\naspect = "1:1"\n[defaults]\nmodel = "wan2.7-image-pro"\n'
    )
    task = dry(wan)
    assert (task["provider"], task["model"], task["request"]["size"]) == ("modelverse", "wan2.7-image-pro", "1K")
    assert dry(wan, env={"WAN_PROVIDER": "rivya"})["provider"] == "rivya"
    assert dry(wan, "-s", "2K")["request"]["size"] == "2K"


def test_the_project_file_is_looked_for_upwards(wan: Run, cli: Cli) -> None:
    """It is found from a folder below, up to the repository's root, and no further."""
    cli.write("wan.toml", 'model = "wan2.7-image-pro"\n')
    below = cli.cwd / "a" / "b"
    below.mkdir(parents=True)
    (cli.cwd / ".git").mkdir()
    assert dry(wan, cwd=below)["model"] == "wan2.7-image-pro"
    (below / ".git").mkdir()
    assert dry(wan, cwd=below)["model"] == "wan2.7-image"


def test_output_of_a_project_is_below_it(live: Cli) -> None:
    """A project's output is relative to the project, wherever it is called from."""
    live.write("wan.toml", 'output = "art/"\n')
    (live.cwd / ".git").mkdir()
    below = live.cwd / "src"
    below.mkdir()
    assert live.run("generate", "a fox", cwd=below).code == 0
    assert [path.parent.name for path in live.cwd.rglob("*.png")] == ["art"]


@pytest.mark.parametrize(
    "line",
    [
        'base_url = "https://evil.example"', 'key = "x"', 'timeout = "1s"', "[providers.rivya]\nregion = 'cn'",
        "[prices.x]\namount = 0", "[spend]\nask_above = '1credits'", "yes = true", 'output = "../x.png"',
        'output = "/etc/x.png"', 'output = "~/x.png"', "jobs = 0", "jobs = 65", "size = 2", "= broken",
        "idempotency_key = 'x'", "[privacy]\nstore_prompts = false", "[defaults]\nbase_url = 'x'",
    ],
)  # fmt: skip
def test_what_a_project_may_not_set(wan: Run, cli: Cli, line: str) -> None:
    """Origins, keys, prices, consent and paths outside are refused with file and field: exit 3."""
    cli.write("wan.toml", line + "\n")
    ran = wan("generate", "x", "--sandbox", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")
    assert "wan.toml" in ran.json["error"]["message"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_strangers_project_file_is_ignored(wan: Run, cli: Cli) -> None:
    """A wan.toml that another user owns changes nothing."""
    os.chown(cli.write("wan.toml", 'model = "wan2.7-image-pro"\nnonsense = 1\n'), 65534, 65534)
    assert dry(wan)["model"] == "wan2.7-image"


def test_caps_add_up(live: Cli) -> None:
    """A project can lower a cap and never lift one."""
    live.config('[defaults]\nmax_cost = "9credits"\n')
    live.write("wan.toml", 'max_cost = "100credits"\n')
    assert live.run("generate", "x", "-n", "2").code == 5
    live.write("wan.toml", 'max_cost = "4credits"\n')
    assert live.run("generate", "x").code == 5


def test_the_users_file(wan: Run, cli: Cli) -> None:
    """The user's file gives defaults below the project's; WAN_CONFIG names another one."""
    path = cli.config('[defaults]\nprovider = "modelverse"\nsize = "1K"\n')
    task = dry(wan)
    assert (task["provider"], task["request"]["size"]) == ("modelverse", "1K")
    cli.write("wan.toml", 'size = "2K"\n')
    assert dry(wan)["request"]["size"] == "2K"
    other = cli.write("other.toml", '[defaults]\nmodel = "wan2.7-image-pro"\n')
    assert dry(wan, env={"WAN_CONFIG": str(other)})["model"] == "wan2.7-image-pro"
    path.unlink()
    assert wan("status", env={"WAN_CONFIG": str(cli.root / "none.toml")}).code == 3


@pytest.mark.parametrize(
    "text", ["nonsense = 1", "[defaults]\nbase_url = 'x'", "[prices.x]\namount = -1", "x = ", "\xff"]
)
def test_a_users_file_that_is_wrong(wan: Run, cli: Cli, text: str) -> None:
    """A wrong file is exit 3 with its name, and says nothing of its values."""
    path = cli.config("")
    path.write_bytes(text.encode("latin-1"))
    ran = wan("generate", "x", "--sandbox", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")
    assert "config.toml" in ran.json["error"]["message"]


def test_providers_in_order(live: Cli) -> None:
    """[defaults] providers is the order in which a provider is looked for."""
    live.config('[defaults]\nproviders = ["modelverse", "rivya"]\n')
    assert dry(live.run)["provider"] == "modelverse"


def test_a_region(wan: Run, cli: Cli) -> None:
    """Region chooses one of the provider's base URLs; an unknown one is refused with the known ones."""
    cli.config('[providers.modelverse]\nregion = "sg"\n')
    ran = wan("generate", "x", "-p", "modelverse", "--dry-run", "--json")
    assert ran.json["requests"][0]["url"].startswith("https://api-sg.umodelverse.ai/")
    cli.config('[providers.modelverse]\nregion = "mars"\n')
    ran = wan("generate", "x", "-p", "modelverse", "--dry-run", "--json")
    assert ran.code == 3
    assert "ge-fra" in ran.json["error"]["message"]


def test_quirks(wan: Run, cli: Cli) -> None:
    """A quirk of the adapter is taken; an unknown one is exit 3 and names the known ones."""
    cli.config('[providers.modelverse]\nimage_encoding = "raw"\n')
    assert dry(wan, "-p", "modelverse")
    cli.config('[providers.modelverse]\nimage_encoding = "jpeg"\n')
    assert wan("generate", "x", "-p", "modelverse", "--dry-run").code == 3
    cli.config("[providers.modelverse]\nmagic = true\n")
    ran = wan("generate", "x", "-p", "modelverse", "--dry-run")
    assert ran.code == 3
    assert "image_encoding" in ran.said("error")


@pytest.fixture
def keyless(live: Cli) -> Cli:
    """Return the harness with base URLs and without keys in the environment."""
    for name in ("RIVYA_API_KEY", "MODELVERSE_API_KEY"):
        del live.env[name]
    return live


RIVYA_TABLE = '[providers.rivya]\nbase_url = "{url}"\n'


def test_a_key_file(keyless: Cli) -> None:
    """RIVYA_API_KEY_FILE names a file of mode 0600; one that others can read is refused with chmod."""
    path = keyless.key_file(RIVYA_KEY)
    assert keyless.run("generate", "x", env={"RIVYA_API_KEY_FILE": str(path)}).code == 0
    path.chmod(0o644)
    ran = keyless.run("generate", "x", env={"RIVYA_API_KEY_FILE": str(path)})
    assert ran.code == 3
    assert ran.said("hint") == f"chmod 600 {path}"
    assert keyless.run("generate", "x", env={"RIVYA_API_KEY_FILE": "/nonexistent"}).code == 3
    assert keyless.provider.purchases == 1


@pytest.mark.parametrize("way", ["key_env", "key_file", "key_command", "key_command_list"])
def test_keys_of_the_users_file(keyless: Cli, way: str) -> None:
    """key_env, key_file and key_command go with the base URL of their own table."""
    path = keyless.key_file(RIVYA_KEY)
    line = {
        "key_env": 'key_env = "MY_KEY"',
        "key_file": f'key_file = "{path}"',
        "key_command": f'key_command = "cat {path}"',
        "key_command_list": f'key_command = ["{sys.executable}", "-c", "print(open(\'{path}\').read())"]',
    }[way]
    del keyless.env["RIVYA_BASE_URL"]
    keyless.config(RIVYA_TABLE.format(url=keyless.provider.url) + line + "\n")
    ran = keyless.run("generate", "x", "-p", "rivya", env={"MY_KEY": RIVYA_KEY})
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("command", ["false", "/nonexistent/pass", "echo", "printf two\\ words"])
def test_a_key_command_that_fails(keyless: Cli, command: str) -> None:
    """A key command that fails or prints no key is exit 3; nothing is sent."""
    keyless.config(f'[providers.rivya]\nkey_command = "{command}"\n')
    del keyless.env["RIVYA_BASE_URL"]
    ran = keyless.run("generate", "x", "-p", "rivya", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")


@pytest.mark.parametrize("key", ["two words", "quo'ted", "non-äscii", "tab\tkey", "   "])
def test_a_key_that_is_none(keyless: Cli, key: str) -> None:
    """What cannot be a header's value is refused before anything is sent."""
    assert keyless.run("generate", "x", "-p", "rivya", env={"RIVYA_API_KEY": key}).code == 3
    assert not keyless.provider.seen


def test_a_key_with_blanks_around(keyless: Cli) -> None:
    """Blanks and a line end around a key are taken off."""
    assert keyless.run("generate", "x", env={"RIVYA_API_KEY": f" {RIVYA_KEY}\r\n"}).code == 0


def test_no_key_for_the_named_provider(keyless: Cli) -> None:
    """A provider that is named and has no key is exit 3 with its variable."""
    ran = keyless.run("generate", "x", "-p", "modelverse", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "key_missing")
    assert "MODELVERSE_API_KEY" in ran.json["error"]["message"]


def test_a_key_of_the_environment_goes_nowhere_else(live: Cli) -> None:
    """A key of the environment is not sent to a base URL of a file: key_origin, exit 3."""
    del live.env["RIVYA_BASE_URL"]
    live.config(RIVYA_TABLE.format(url=live.provider.url))
    ran = live.run("generate", "x", "-p", "rivya", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "key_origin")
    assert not live.provider.seen


def test_a_key_of_the_file_goes_nowhere_else(keyless: Cli) -> None:
    """A key that the file names is not sent to a base URL of the environment."""
    path = keyless.key_file(RIVYA_KEY)
    keyless.config(f'[providers.rivya]\nkey_file = "{path}"\n')
    ran = keyless.run("generate", "x", "-p", "rivya", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "key_origin")
    assert not keyless.provider.seen


@pytest.mark.parametrize(
    "url", ["http://192.0.2.9", "http://rivya.ai", "ftp://rivya.ai", "rivya.ai", "https://u:p@rivya.ai",
            "https://rivya.ai:99999", "https://", "https://rivya.ai?x=1"],
)  # fmt: skip
def test_base_urls_that_are_unsafe(live: Cli, url: str) -> None:
    """Plain http to another machine, credentials in the address, or no address at all: exit 3."""
    ran = live.run("generate", "x", "-p", "rivya", "--json", env={"RIVYA_BASE_URL": url})
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")


def test_http_where_it_is_allowed(wan: Run, cli: Cli) -> None:
    """allow_http lets a self-hosted server be named over plain http."""
    cli.config('[providers.rivya]\nbase_url = "http://192.0.2.9"\nallow_http = true\n')
    ran = wan("generate", "x", "-p", "rivya", "--dry-run", "--json")
    assert ran.json["requests"][0]["url"] == "http://192.0.2.9/api/v1/generations"


@pytest.mark.parametrize("tail", ["", "/", "/api/v1", "/api/v1/", "/api/v1/generations"])
def test_forms_of_a_base_url(live: Cli, tail: str) -> None:
    """Origin, version prefix and full endpoint all work."""
    assert live.run("generate", "x", env={"RIVYA_BASE_URL": live.provider.url + tail}).code == 0


def test_a_path_prefix(wan: Run) -> None:
    """A relay's path prefix is kept in front of the provider's paths."""
    ran = wan(
        "generate", "x", "-p", "rivya", "--dry-run", "--json", env={"RIVYA_BASE_URL": "https://host/relay/api/v1"}
    )
    assert ran.json["requests"][0]["url"] == "https://host/relay/api/v1/generations"


@pytest.mark.parametrize("word", [RIVYA_KEY, f"--param=key={RIVYA_KEY}", "sk-abcdefghijklmnop", "whsec_abcdefghijkl"])
def test_a_key_in_the_command_line_is_refused(wan: Run, word: str) -> None:
    """A word that looks like a key is exit 2 before anything else, and is not repeated."""
    ran = wan("generate", "x", "--sandbox", word, "--json")
    assert ran.code == 2
    assert word not in ran.err
    assert "looks like a key" in ran.json["error"]["message"]


@pytest.mark.parametrize("word", ["sk-8 ramp", "a sk- board", "rvya_sk_"])
def test_words_that_are_no_keys(wan: Run, word: str) -> None:
    """Ordinary words with such a beginning are prompts."""
    assert wan("generate", word, "--sandbox", "--dry-run").code == 0


def test_a_state_folder_that_is_a_file(live: Cli) -> None:
    """An unusable state folder is exit 3 state_unusable, and nothing is bought."""
    blocked = live.root / "blocked"
    blocked.write_text("a file")
    for folder in (blocked, blocked / "below"):
        ran = live.run("generate", "x", "--json", env={"WAN_STATE_DIR": str(folder)})
        assert (ran.code, ran.json["error"]["code"]) == (3, "state_unusable")
        assert ran.json["error"]["charged"] == "no"
    assert not live.provider.seen


def test_a_damaged_ledger(live: Cli) -> None:
    """A ledger that is none is exit 3; it is not started afresh, and nothing is bought."""
    assert live.run("generate", "x").code == 0
    (database,) = (live.root / "state").glob("ledger.db")
    for extra in (live.root / "state").glob("ledger.db-*"):
        extra.unlink()
    database.write_bytes(b"not a database" * 1000)
    ran = live.run("generate", "x", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "state_unusable")
    assert live.provider.purchases == 1
    assert database.read_bytes().startswith(b"not a database")


def test_the_state_is_private(live: Cli) -> None:
    """Folders of the state are 0700 and files 0600, in the sandbox too."""
    assert live.run("generate", "x").code == 0
    assert live.run("generate", "x", "--sandbox").code == 0
    for path in [live.root / "state", *(live.root / "state").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("words", [(), ("-v",), ("--json",), ("--jsonl",), ("--dry-run",), ("--sidecar",), ("-q",)])
def test_no_key_in_any_output(live: Cli, words: Sequence[str]) -> None:
    """Whatever is printed or written, neither key is in it (the harness looks at every stream and file)."""
    for name in ("rivya", "modelverse"):
        assert live.run("generate", "x", "-p", name, *words).code == 0
    assert live.run("status", "-v").code == 0
    assert MODELVERSE_KEY.startswith("mv-canary")
