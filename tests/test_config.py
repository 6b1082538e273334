"""Settings and where each was set; keys and the one origin each may go to."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wan_cli.config import Account, Config, Setting, account, load, private, state_folder
from wan_cli.config.keys import clean, is_loopback, origin_of, read_key_file, run_key_command
from wan_cli.config.settings import config_path
from wan_cli.errors import ConfigInvalid, KeyMissing, KeyOrigin

KEY = "rvya_sk_0123456789abcdef"


class Place:
    """A home with a project in it."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.project = self.home / "work" / "project"
        self.cwd = self.project / "deep" / "er"
        self.cwd.mkdir(parents=True)
        self.env = {"HOME": str(self.home), "WAN_CONFIG": str(root / "config.toml")}
        self.user_file = root / "config.toml"
        self.user("")

    def user(self, text: str) -> None:
        self.user_file.write_text(text, encoding="utf-8")

    def write(self, folder: Path, text: str) -> Path:
        path = folder / "wan.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def git(self) -> None:
        (self.project / ".git").mkdir()

    def load(self, **env: str) -> Config:
        return load({**self.env, **env}, self.cwd)

    def account(self, provider: str = "rivya", **env: str) -> Account:
        return account(provider, self.load(**env))

    def invalid(self, act: Callable[[], Any]) -> ConfigInvalid:
        with pytest.raises(ConfigInvalid) as found:
            act()
        assert (found.value.exit_code, found.value.charged) == (3, "no")
        return found.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# -- settings


def test_the_nearer_one_wins(place: Place) -> None:
    """The environment wins over the project's file, that over the user's, and each says where it is from."""
    place.user('[defaults]\nmodel = "a"\nsize = "1K"\naspect = "1:1"\ntimeout = "9m"\n')
    place.git()
    project = place.write(place.project, 'model = "b"\nsize = "2K"\n')
    config = place.load(WAN_MODEL="c")
    assert [config.get(name) for name in ("model", "size", "aspect", "timeout", "output")] == [
        "c", "2K", "1:1", "9m", None,
    ]  # fmt: skip
    assert [config.source(name) for name in ("model", "size", "aspect", "output")] == [
        "WAN_MODEL", str(project), str(place.user_file), "built-in",
    ]  # fmt: skip


def test_every_variable_is_read(place: Place) -> None:
    """Each WAN_ variable sets what it is named after; an empty one says nothing."""
    config = place.load(WAN_PROVIDER="rivya", WAN_OUTPUT="out/", WAN_TIMEOUT="1h", WAN_JOBS="3", WAN_MODEL="")
    assert [config.get(name) for name in ("provider", "output", "timeout", "jobs", "model")] == [
        "rivya", "out/", "1h", 3, None,
    ]  # fmt: skip


@pytest.mark.parametrize("jobs", ["0", "65", "-1", "1.5", "many", "\u0663"])
def test_a_number_of_jobs_is_one(place: Place, jobs: str) -> None:
    """WAN_JOBS is a number from 1 to 64."""
    assert "WAN_JOBS" in place.invalid(lambda: place.load(WAN_JOBS=jobs)).message


def test_the_nearer_of_provider_and_providers_says_it_all(place: Place) -> None:
    """A provider that is set nearer is not overruled by an order of preference that is set further away."""
    place.user('[defaults]\nprovider = "rivya"\n')
    place.git()
    place.write(place.project, 'providers = ["modelverse"]\n')
    config = place.load()
    assert (config.get("provider"), config.get("providers")) == (None, ["modelverse"])
    nearest = place.load(WAN_PROVIDER="rivya")
    assert (nearest.get("provider"), nearest.get("providers")) == ("rivya", None)


def test_caps_add_up(place: Place) -> None:
    """Every cap that is set anywhere holds, so that a nearer one can only lower what is spent."""
    place.user('[defaults]\nmax_cost = "10credits"\n')
    place.git()
    project = place.write(place.project, 'max_cost = ["99credits", "5CNY"]\n')
    assert place.load(WAN_MAX_COST="7").caps == (
        Setting("10credits", str(place.user_file)), Setting("99credits", str(project)), Setting("5CNY", str(project)),
        Setting("7", "WAN_MAX_COST"),
    )  # fmt: skip


def test_the_users_own_tables(place: Place) -> None:
    """Prices, privacy, spend and providers come from the user's file alone."""
    place.user(
        '[spend]\nask_above = "50credits"\n[privacy]\nstore_prompts = false\n'
        '[prices."modelverse/wan2.7-image"]\namount = 0.2\nunit = "CNY"\n'
        '[providers.modelverse]\nimage_encoding = "raw"\n'
    )
    config = place.load()
    assert (config.ask_above, config.store_prompts) == (("50credits",), False)
    assert (config.prices["modelverse/wan2.7-image"].amount, config.prices["modelverse/wan2.7-image"].per) == (
        0.2,
        "image",
    )
    assert config.tables["modelverse"].quirks == {"image_encoding": "raw"}
    place.user('[spend]\nask_above = ["50credits", "5CNY"]\n')
    assert place.load().ask_above == ("50credits", "5CNY")


def test_without_any_file_there_are_defaults(place: Place) -> None:
    """With neither file nothing is set, and prompts are stored."""
    del place.env["WAN_CONFIG"]
    config = place.load()
    assert (config.settings, config.caps, config.ask_above, config.store_prompts) == ({}, (), (), True)
    assert (config.user_file, config.project_file) == (None, None)


def test_a_file_that_is_named_has_to_be_there(place: Place) -> None:
    """WAN_CONFIG that names nothing is an error, not an empty configuration."""
    place.user_file.unlink()
    assert "WAN_CONFIG" in place.invalid(place.load).message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[defaults]\nmodle = 'x'\n", "defaults.modle: not a setting here"),
        ("[defaults]\njobs = 0\n", "defaults.jobs: "),
        ("[defaults]\nmodel = ''\n", "defaults.model: "),
        ("[prices.'a/b']\namount = -1\nunit = 'CNY'\n", "prices.a/b.amount: "),
        ("[prices.'a/b']\namount = inf\nunit = 'CNY'\n", "prices.a/b.amount: "),
        ("[prices.'a/b']\namount = 1\nunit = 'C N Y'\n", "prices.a/b.unit: "),
        ("[prices.'a/b']\namount = 1\nunit = 'CNY'\nper = 'week'\n", "prices.a/b.per: "),
        ("[providers.rivya]\nallow_http = 'perhaps'\n", "providers.rivya.allow_http: "),
        ("[keys]\n", "keys: not a setting here"),
        ("defaults = [\n", "cannot be read: "),
    ],
)
def test_a_bad_user_file_is_refused_with_its_place(place: Place, text: str, said: str) -> None:
    """What cannot be used is named with file and field, and the file is what the hint says to edit."""
    place.user(text)
    error = place.invalid(place.load)
    assert str(place.user_file) in error.message
    assert said in error.message
    assert error.hint == f"edit {place.user_file}"


def test_a_bad_file_never_shows_its_values(place: Place) -> None:
    """A key that was put in the wrong place is not echoed."""
    place.user(f"[providers.rivya]\nkey_env = 5\nkey = '{KEY}'\n[defaults]\njobs = '{KEY}'\n")
    assert KEY not in place.invalid(place.load).message


def test_a_file_that_is_not_text_is_refused(place: Place) -> None:
    """A file in another encoding is named."""
    place.user_file.write_bytes(b"model = '\xff'\n")
    assert "cannot be read" in place.invalid(place.load).message


@pytest.mark.parametrize(
    ("value", "on"), [("1", True), ("YES", True), (" on ", True), ("0", False), ("", False), ("no", False)]
)
def test_the_sandbox_variable_is_yes_or_no(place: Place, value: str, on: bool) -> None:
    """WAN_SANDBOX is read in the usual spellings."""
    assert place.load(WAN_SANDBOX=value).sandbox is on


def test_a_sandbox_variable_that_is_neither_is_refused(place: Place) -> None:
    """A WAN_SANDBOX that nobody can read must not lead to a real purchase."""
    assert "WAN_SANDBOX" in place.invalid(lambda: place.load(WAN_SANDBOX="maybe").sandbox).message


def test_folders(place: Place, tmp_path: Path) -> None:
    """State and configuration are where the platform or the variable says."""
    assert state_folder({"WAN_STATE_DIR": str(tmp_path)}) == tmp_path
    assert state_folder({}).name == "wan"
    assert config_path({}).name == "config.toml"
    assert config_path({"WAN_CONFIG": "~/x.toml"}) == Path("~/x.toml").expanduser()


# -- the project's file


@pytest.mark.parametrize(
    "text",
    [
        "timeout = '1h'", "key_env = 'X'", "base_url = 'https://evil.example'", "[providers.rivya]\nkey_env = 'X'",
        "[spend]\nask_above = '9credits'", "[prices.'a/b']\namount = 0\nunit = 'CNY'",
        "[privacy]\nstore_prompts = true",
        "sandbox = false", "[defaults]\ntimeout = '1h'", "[defaults]\nprovidres = ['rivya']",
    ],
)  # fmt: skip
def test_s3_a_project_sets_nothing_but_what_it_may(place: Place, text: str) -> None:
    """A project's file that names a key, an origin, a price or anything else is refused, with its place."""
    place.git()
    path = place.write(place.project, text)
    error = place.invalid(place.load)
    assert str(path) in error.message
    assert "not a setting here" in error.message or "providers: Input should be" in error.message


def test_a_project_may_write_its_settings_at_the_top_or_in_a_table(place: Place) -> None:
    """[defaults] is taken too; what stands at the top wins."""
    place.git()
    place.write(place.project, "model = 'top'\n[defaults]\nmodel = 'table'\nsize = '1K'\n")
    config = place.load()
    assert (config.get("model"), config.get("size")) == ("top", "1K")


@pytest.mark.parametrize(
    ("output", "below"), [("out/", "out/"), ("a/{slug}{ext}", "a/{slug}{ext}"), ("x.png", "x.png")]
)
def test_a_projects_output_is_below_it(place: Place, output: str, below: str) -> None:
    """A project's output counts from its folder, wherever in it the command runs."""
    place.git()
    place.write(place.project, f"output = '{output}'")
    assert place.load().get("output") == f"{place.project}/{below}"


@pytest.mark.parametrize(
    "output", ["/etc/x", "../x", "a/../../x", "~/x", "C:/x", "c:x", "..\\\\x", "\\\\\\\\host\\\\x"]
)
def test_s5_a_projects_output_never_leaves_it(place: Place, output: str) -> None:
    """A path that leaves the project's folder is refused, in the spelling of any system."""
    place.git()
    place.write(place.project, f'output = "{output}"')
    assert "leaves the project's folder" in place.invalid(place.load).message


def test_the_project_is_looked_for_up_to_the_repository(place: Place) -> None:
    """The search ends at the folder with .git: what is above belongs to somebody else."""
    place.git()
    place.write(place.project.parent, "model = 'above'")
    assert place.load().project_file is None
    found = place.write(place.project, "model = 'root'")
    assert place.load().project_file == found
    nearer = place.write(place.cwd, "model = 'here'")
    assert place.load().project_file == nearer


def test_without_a_repository_the_search_ends_at_home(place: Place) -> None:
    """Below the home folder the search ends there."""
    place.write(place.home.parent, "model = 'above'")
    assert place.load().project_file is None
    found = place.write(place.home, "model = 'home'")
    assert place.load().project_file == found


def test_outside_both_only_this_folder_counts(place: Place, tmp_path: Path) -> None:
    """In a shared folder that is neither repository nor home, a file further up is not looked at."""
    shared = tmp_path / "shared" / "below"
    shared.mkdir(parents=True)
    place.write(shared.parent, "model = 'above'")
    assert load(place.env, shared).project_file is None
    here = place.write(shared, "model = 'here'")
    assert load(place.env, shared).project_file == here
    assert load({"WAN_CONFIG": place.env["WAN_CONFIG"]}, shared).project_file == here


def test_a_strangers_file_is_ignored(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project file of another user steers nothing."""
    place.git()
    place.write(place.project, "model = 'theirs'")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert place.load().project_file is None


def test_a_folder_that_cannot_be_looked_into_is_passed_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be asked about is no project file."""
    place.git()
    found = place.write(place.project, "model = 'x'")
    real = Path.is_file

    def is_file(path: Path) -> bool:
        if path.parent == place.cwd:
            raise PermissionError
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    assert place.load().project_file == found


# -- keys and origins


def test_a_key_of_the_environment_goes_to_the_default(place: Place) -> None:
    """The provider's variable is a key for the provider's own origin."""
    found = place.account(RIVYA_API_KEY=f"  {KEY}\n")
    assert (found.origin, found.secret(), found.base_source) == ("https://rivya.ai", KEY, "the default")
    assert found.key
    assert found.key.source == "RIVYA_API_KEY"
    assert KEY not in repr(found)


def test_without_a_key_the_variable_is_named(place: Place) -> None:
    """The error for a missing key names the variable, and how it is set."""
    found = place.account()
    assert found.key is None
    with pytest.raises(KeyMissing) as error:
        found.secret()
    assert "RIVYA_API_KEY" in error.value.message
    assert error.value.hint == "export RIVYA_API_KEY=YOUR_KEY"


@pytest.mark.parametrize("url", ["https://relay.example/x", " https://relay.example/x \n"])
def test_a_base_url_of_the_environment_takes_its_key_along(place: Place, url: str) -> None:
    """The environment's base URL redirects the environment's key."""
    found = place.account(RIVYA_API_KEY=KEY, RIVYA_BASE_URL=url)
    assert (found.origin, found.base_source, found.secret()) == ("https://relay.example", "RIVYA_BASE_URL", KEY)


def test_s3_a_key_of_the_environment_never_goes_where_a_file_says(place: Place) -> None:
    """A base URL in the user's file of another origin does not get the environment's key; both are named."""
    place.user('[providers.rivya]\nbase_url = "https://other.example"\n')
    with pytest.raises(KeyOrigin) as error:
        place.account(RIVYA_API_KEY=KEY).secret()
    assert "https://rivya.ai" in error.value.message
    assert "https://other.example" in error.value.message
    assert KEY not in error.value.message


def test_a_key_that_stands_with_its_base_url_goes_there(place: Place) -> None:
    """key_env in the same table is for that table's base URL, and wins over the provider's variable."""
    place.user('[providers.rivya]\nbase_url = "https://other.example/relay"\nkey_env = "OTHER"\n')
    found = place.account(RIVYA_API_KEY="wrong", OTHER=KEY)
    assert (found.origin, found.secret()) == ("https://other.example", KEY)
    assert found.key
    assert "key_env OTHER" in found.key.source


def test_s3_a_files_key_never_goes_where_the_environment_says(place: Place) -> None:
    """A base URL in the environment does not get the key that the user's file bound to another origin."""
    place.user('[providers.rivya]\nkey_env = "OTHER"\n')
    with pytest.raises(KeyOrigin):
        place.account(OTHER=KEY, RIVYA_BASE_URL="https://evil.example").secret()
    same = place.account(OTHER=KEY, RIVYA_BASE_URL="https://rivya.ai/api/v1")
    assert same.secret() == KEY


def test_a_key_variable_that_is_not_set_falls_back(place: Place) -> None:
    """Where key_env names a variable that is empty, the provider's own counts."""
    place.user('[providers.rivya]\nkey_env = "OTHER"\n')
    assert place.account(RIVYA_API_KEY=KEY).secret() == KEY
    place.user("[providers.rivya]\nallow_http = false\n")
    assert place.account(RIVYA_API_KEY=KEY).secret() == KEY


def test_regions(place: Place) -> None:
    """A region stands for its base URL and the key that goes there; base_url wins; an unknown one is named."""
    place.user('[providers.modelverse]\nregion = "sg"\nkey_env = "MV"\n')
    found = place.account("modelverse", MV=KEY)
    assert (found.base_url, found.secret()) == ("https://api-sg.umodelverse.ai", KEY)
    place.user('[providers.modelverse]\nregion = "sg"\nbase_url = "https://x.example"\n')
    assert place.account("modelverse").base_url == "https://x.example"
    place.user('[providers.modelverse]\nregion = "moon"\n')
    assert "regions: cn" in place.invalid(lambda: place.account("modelverse")).message
    place.user('[providers.rivya]\nregion = "moon"\n')
    assert "regions: none" in place.invalid(place.account).message


@pytest.mark.parametrize(
    "url",
    ["rivya.ai", "ftp://rivya.ai", "https://", "https://me:pw@rivya.ai", "https://rivya.ai?x=1", "https://rivya.ai:0",
     "https://rivya.ai:99999", "https://[::1"],
)  # fmt: skip
def test_a_base_url_is_an_address(place: Place, url: str) -> None:
    """What is no plain http address is refused, and no password in it is shown."""
    error = place.invalid(lambda: place.account(RIVYA_BASE_URL=url))
    assert "RIVYA_BASE_URL" in error.message
    assert "pw" not in error.message


@pytest.mark.parametrize("host", ["127.0.0.1:8484", "localhost", "[::1]:9", "api.localhost"])
def test_c05_plain_http_is_for_this_machine(place: Place, host: str) -> None:
    """Plain http is taken for loopback without asking."""
    assert place.account(RIVYA_BASE_URL=f"http://{host}").base_url == f"http://{host}"


def test_c05_plain_http_elsewhere_has_to_be_allowed(place: Place) -> None:
    """Plain http to another machine is refused unless the user's own file allows it."""
    url = "http://10.0.0.5:8000"
    assert "plain http" in place.invalid(lambda: place.account(RIVYA_BASE_URL=url)).message
    place.user("[providers.rivya]\nallow_http = true\n")
    assert place.account(RIVYA_BASE_URL=url).origin == url


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Rivya.AI/api/v1", "https://rivya.ai"), ("https://rivya.ai:443/", "https://rivya.ai"),
        ("HTTP://x.example:80", "http://x.example"), ("http://x.example:8080/a", "http://x.example:8080"),
        ("http://[::1]:9/x", "http://[::1]:9"),
    ],
)  # fmt: skip
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    """Origins compare whatever case, path and default port they are written with."""
    assert origin_of(url) == origin


def test_this_machine_has_many_names() -> None:
    """Loopback is told from names and addresses alike."""
    assert all(map(is_loopback, ("localhost", "LOCALHOST", "127.8.9.1", "::1", "a.localhost")))
    assert not any(map(is_loopback, ("localhost.example", "128.0.0.1", "127.0.0.1.example", "")))


@pytest.mark.parametrize(
    "value", ["", "  ", "two words", '"quoted"', "it's", "\u043a\u043b\u044e\u0447", "a\nb", "a\x00b"]
)
def test_c03_what_no_key_has_is_refused_and_not_shown(value: str) -> None:
    """A key with blanks, quotes, line breaks or other scripts is refused before it becomes a header."""
    with pytest.raises(ConfigInvalid) as error:
        clean(value, "X_KEY")
    assert "X_KEY" in error.value.message
    assert not value.strip() or value not in error.value.message


def test_c03_a_key_is_trimmed_once() -> None:
    """Blanks and a byte-order mark around a key go."""
    assert clean(f" \ufeff{KEY}\r\n", "X") == KEY


# -- files and commands with keys


def key_file(place: Place, content: bytes = KEY.encode(), mode: int = 0o600) -> Path:
    path = place.home / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [KEY.encode(), f"{KEY}\n".encode(), b"\xef\xbb\xbf" + KEY.encode() + b"\r\n"])
def test_a_key_file_is_read(place: Place, content: bytes) -> None:
    """KEY_FILE and key_file name a file with the key alone."""
    path = key_file(place, content)
    assert place.account(RIVYA_API_KEY_FILE=str(path)).secret() == KEY
    place.user(f'[providers.rivya]\nkey_file = "{path}"\n')
    found = place.account()
    assert found.secret() == KEY
    assert found.key
    assert str(path) in found.key.source


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_c02_a_key_file_that_others_read_is_refused(place: Place, mode: int) -> None:
    """A key file open to others is refused with the command that mends it."""
    path = key_file(place, mode=mode)
    error = place.invalid(place.account(RIVYA_API_KEY_FILE=str(path)).secret)
    assert error.hint == f"chmod 600 {path}"


def test_c02_a_containers_secret_is_roots(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another owner may be readable by the group, as container secrets are, but not by all."""
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert place.account(RIVYA_API_KEY_FILE=str(key_file(place, mode=0o440))).secret() == KEY
    place.invalid(place.account(RIVYA_API_KEY_FILE=str(key_file(place, mode=0o444))).secret)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00k", b""])
def test_a_key_file_that_is_none_is_refused(place: Place, content: bytes | None) -> None:
    """A missing, binary or empty key file is an error of the set-up, and shows nothing of it."""
    path = place.home / "key" if content is None else key_file(place, content)
    assert str(path) in place.invalid(place.account(RIVYA_API_KEY_FILE=str(path)).secret).message


def test_nothing_is_read_before_it_is_needed(place: Place) -> None:
    """Asking whether there is a key reads no file and runs no command."""
    place.user('[providers.rivya]\nkey_command = ["/nonexistent/command"]\n')
    assert place.account().key
    assert place.account("modelverse", MODELVERSE_API_KEY_FILE="/nonexistent").key


@pytest.mark.parametrize("as_list", [True, False])
def test_a_key_command_prints_the_key(place: Place, as_list: bool) -> None:
    """key_command is run without a shell, and its first line is the key."""
    script = place.home / "pass word.py"
    script.write_text(f"print('{KEY}')\nprint('user: me')\n", encoding="utf-8")
    command = f'["{sys.executable}", "{script}"]' if as_list else f"\"{sys.executable} '{script}'\""
    place.user(f"[providers.rivya]\nkey_command = {command}\n")
    found = place.account()
    assert found.secret() == KEY
    assert found.key
    assert found.key.source.endswith(f"key_command {sys.executable}")


@pytest.mark.parametrize(
    ("code", "reason"),
    [("import sys; print('secret'); sys.exit(3)", "exit 3"), ("print()", "is empty"),
     ("import sys; sys.stdout.buffer.write(b'\\xff')", "UnicodeDecodeError")],
)  # fmt: skip
def test_a_key_command_that_fails_says_so(code: str, reason: str) -> None:
    """A command that fails, prints nothing or no text is named with its outcome, and its output is not shown."""
    with pytest.raises(ConfigInvalid) as error:
        run_key_command([sys.executable, "-c", code])
    assert reason in error.value.message
    assert "secret" not in error.value.message


def test_a_key_command_that_is_missing_says_so() -> None:
    """A command that does not exist is an error of the set-up."""
    with pytest.raises(ConfigInvalid, match="FileNotFoundError"):
        run_key_command(["/nonexistent/pass"])


def test_a_key_command_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that does not end in time is given up."""
    monkeypatch.setattr("wan_cli.config.keys.KEY_COMMAND_S", 0.05)
    with pytest.raises(ConfigInvalid, match="TimeoutExpired"):
        run_key_command([sys.executable, "-c", "import time; time.sleep(5)"])


@pytest.mark.parametrize("command", ['"pass \'x"', "[]", '[""]', "\"''\""])
def test_a_key_command_is_one(place: Place, command: str) -> None:
    """A command that no shell could split, or that is empty, is an error of the set-up that names its place."""
    place.user(f"[providers.rivya]\nkey_command = {command}\n")
    assert "key_command" in place.invalid(place.account).message


def test_a_key_command_with_a_null_byte_says_so(place: Place) -> None:
    """A word that no system takes is an error of the set-up."""
    place.user('[providers.rivya]\nkey_command = ["pass", "a\\u0000b"]\n')
    assert "ValueError" in place.invalid(place.account().secret).message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of POSIX")
def test_i14_a_pipe_in_a_key_files_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written into it is the key, however slowly; one that nobody writes into is not waited for for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            pipe.write(b"sk-first")
            pipe.write(b"-second\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert read_key_file(path) == "sk-first-second"
    finally:
        writer.join()
    monkeypatch.setattr(private, "PIPE_S", 0.0)
    with pytest.raises(ConfigInvalid, match=r"nothing came through it within 0 s|is empty"):
        read_key_file(path)
