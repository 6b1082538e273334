"""Options become a request: nothing dropped, translated only where the picture is the same (section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from support_cli import Cli, Ran, Run, picture

from wan_cli.registry import BUILTIN, capabilities


def sent(ran: Ran) -> Any:
    """Return the body of the only request of a dry run."""
    assert ran.code == 0, ran.err
    (request,) = ran.json["requests"]
    return request["body"]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (["-a", "16:9", "-s", "2K"], "2720x1530"),
        (["-a", "16:9"], "2720x1530"),
        (["-a", "9:16", "-s", "1K"], "756x1344"),
        (["-a", "1:1", "-s", "1k"], "1K"),
        (["-s", "2K"], "2K"),
        (["-s", "1920x1080"], "1920x1080"),
        (["-s", "1920*1080"], "1920*1080"),
        (["-s", "1920x1080", "-a", "16:9"], "1920x1080"),
        (["-s", "4K", "-m", "wan2.7-image-pro"], "4K"),
        (["-s", "4K"], "4K"),
    ],
)
def test_sizes_on_a_provider_that_takes_pixels(wan: Run, options: Sequence[str], size: str) -> None:
    """Modelverse is sent a tier, or the pixels that a shape at a tier means."""
    body = sent(wan("generate", "x", "-p", "modelverse", "--dry-run", "--json", *options))
    assert body["parameters"]["size"] == size


@pytest.mark.parametrize(
    ("options", "resolution", "aspect"),
    [
        (["-a", "16:9", "-s", "2K"], "2K", "16:9"),
        (["-s", "2720x1530"], "2K", "16:9"),
        (["-s", "1024x1024"], "1K", "1:1"),
        (["-a", "32:18"], None, "16:9"),
        ([], None, None),
    ],
)
def test_sizes_on_a_provider_that_takes_tiers(
    wan: Run, options: Sequence[str], resolution: str | None, aspect: str | None
) -> None:
    """Rivya is sent a tier and a shape, also where pixels mean exactly those."""
    params = sent(wan("generate", "x", "-p", "rivya", "--dry-run", "--json", *options))["params"]
    assert (params.get("resolution"), params.get("aspect_ratio")) == (resolution, aspect)


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["-p", "rivya", "-s", "4K"], "rivya renders 1K and 2K; modelverse", "-p modelverse"),
        (["-p", "rivya", "-s", "1920x1080"], "take", "-p modelverse"),
        (["-p", "rivya", "-a", "5:4"], "any shape", "-p modelverse"),
        (["-p", "rivya", "--thinking"], "modelverse", "-p modelverse"),
        (["-p", "rivya", "--sync"], "one interface only", ""),
        (["-p", "modelverse", "-s", "4K", "-m", "wan2.7-image"], "wan2.7-image-pro renders 4K", "-m wan2.7-image-pro"),
        (["-p", "modelverse", "-s", "10x10"], "pixels", ""),
        (["-p", "modelverse", "-s", "big"], "a tier", ""),
        (["-p", "modelverse", "-a", "wide"], "two whole numbers", ""),
        (["-p", "modelverse", "-a", "9:1"], "8:1", ""),
        (["-p", "modelverse", "-s", "1920x1080", "-a", "1:1"], "is not 1:1", ""),
        (["-p", "modelverse", "-n", "5"], "1 to 4", "wan sequence"),
        (["-n", "0", "-p", "rivya"], "at least 1", ""),
        (["--seed", "-1", "-p", "rivya"], "0 to 2147483647", ""),
        (["--seed", "x"], "--seed", ""),
        (["--param", "size=1K", "-p", "modelverse"], "--size says this", ""),
        (["--param", "nothing", "-p", "rivya"], "KEY=VALUE", ""),
        (["--image", "a.png"], "--image", "wan edit"),
        (["-p", "nobody"], "not a provider", ""),
        (["--timeout", "soon", "--sandbox"], "90s", ""),
    ],
)
def test_what_cannot_be_honoured_is_refused(wan: Run, options: Sequence[str], message: str, hint: str) -> None:
    """A value that the provider cannot honour is exit 2, says who can, and gives the command."""
    ran = wan("generate", "x", *options, "--json")
    assert ran.code == 2, ran.err
    error = ran.json["error"]
    assert message in error["message"]
    assert hint in error["hint"]
    assert error["code"] in ("usage", "unsupported_option")


def test_the_hint_is_the_users_own_command(wan: Run) -> None:
    """The command that works can be pasted: the user's words with the other provider."""
    ran = wan("generate", "a fox's den", "-p", "rivya", "-s", "4K")
    assert ran.said("hint") == """wan generate 'a fox'"'"'s den' -s 4K -p modelverse"""


def test_seed_zero_on_rivya_is_a_seed(wan: Run) -> None:
    """Rivya takes 0 as a seed like any other."""
    ran = wan("generate", "x", "-p", "rivya", "--seed", "0", "--dry-run", "--json")
    assert sent(ran)["params"]["seed"] == 0
    assert ran.task["request"]["seed"] == 0


def test_seed_zero_on_modelverse_is_none(live: Cli) -> None:
    """Modelverse reads 0 as unset: a warning says so, and the JSON shows that none was sent."""
    ran = live.run("generate", "x", "-p", "modelverse", "--seed", "0", "--json")
    assert ran.code == 0
    assert "seed" not in ran.task["request"]
    assert "seed" not in live.provider.orders[0].body.get("parameters", {})
    (warning,) = ran.task["warnings"]
    assert "reads it as no seed" in warning
    assert warning in ran.err


def test_thinking_with_pictures_warns(live: Cli) -> None:
    """Thinking has no effect with pictures on Modelverse; it is sent, and a warning says so."""
    live.write("a.png", picture(512, 512))
    ran = live.run("edit", "a.png", "x", "-p", "modelverse", "--thinking", "--json")
    assert ran.code == 0
    assert "--thinking" in ran.task["warnings"][0]
    assert live.provider.orders[0].body["parameters"]["prompt_extend"] is True


def test_thinking_without_pictures_is_silent(live: Cli) -> None:
    """From text alone it works, so nothing is said."""
    ran = live.run("generate", "x", "-p", "modelverse", "--thinking", "--json")
    assert ran.task["warnings"] == []


def test_params_are_sent_as_given(wan: Run) -> None:
    """``--param`` is JSON where it parses and text otherwise."""
    given = ["a=1", "b=true", "c=text", 'd={"x": [1]}', "e=", "f=x=y", "g=NaN", 'h="1"']
    words = [word for pair in given for word in ("--param", pair)]
    params = sent(wan("generate", "x", "-p", "rivya", "--dry-run", "--json", *words))["params"]
    assert params == {"a": 1, "b": True, "c": "text", "d": {"x": [1]}, "e": "", "f": "x=y", "g": "NaN", "h": "1"}


@pytest.mark.parametrize(("flag", "value"), [("--watermark", "true"), ("--no-watermark", "false")])
def test_watermark_both_ways(wan: Run, flag: str, value: str) -> None:
    """Both forms are sent; unsaid, nothing is."""
    assert sent(wan("generate", "x", "-p", "rivya", "--dry-run", "--json", flag))["params"] == {"watermark": value}


def test_a_count_without_a_parameter_becomes_tasks(live: Cli) -> None:
    """On Rivya ``-n 3`` is three tasks, three prices, three numbered files."""
    ran = live.run("generate", "a fox", "-p", "rivya", "-n", "3", "--json", "-o", "fox.png")
    assert ran.code == 0, ran.err
    assert live.provider.purchases == 3
    assert [task["cost"]["estimated"] for task in ran.json["tasks"]] == [5, 5, 5]
    assert live.files() == ["fox-1.png", "fox-2.png", "fox-3.png"]
    assert len({seen.headers["idempotency-key"] for seen in live.provider.asked("submit")}) == 3


def test_a_count_with_a_parameter_is_one_task(live: Cli) -> None:
    """On Modelverse ``-n 3`` is one request with ``n``."""
    ran = live.run("generate", "a fox", "-p", "modelverse", "-n", "3", "--json")
    assert live.provider.purchases == 1
    assert live.provider.orders[0].body["parameters"]["n"] == 3
    assert len(ran.task["files"]) == 3


def test_sequence_needs_a_count_and_is_never_faked(live: Cli) -> None:
    """A coherent set needs -n and a provider that makes one; Rivya is refused by name."""
    assert live.run("sequence", "x").code == 2
    refused = live.run("sequence", "x", "-n", "4", "-p", "rivya")
    assert refused.code == 2
    assert "modelverse" in refused.said("hint")
    assert live.run("sequence", "x", "-n", "4").code == 0
    assert live.provider.orders[0].body["parameters"] == {"enable_sequential": True, "n": 4}


def test_the_synchronous_interface(live: Cli) -> None:
    """``--sync`` uses Modelverse's synchronous contract and saves the result."""
    ran = live.run("generate", "x", "-p", "modelverse", "--sync", "--json")
    assert ran.code == 0, ran.err
    assert live.provider.seen[0].path == "/v1/images/generations"
    assert not live.provider.asked("poll")


@pytest.mark.parametrize(
    ("model", "sent_as", "name"),
    [
        ("wan2.7-image-pro", "wan-2-7-image-pro", "wan2.7-image-pro"),
        ("wan-2-7-image", "wan-2-7-image", "wan2.7-image"),
        ("WAN2.7-Image", "wan-2-7-image", "wan2.7-image"),
        ("some-new-model", "some-new-model", "some-new-model"),
    ],
)
def test_model_names(wan: Run, model: str, sent_as: str, name: str) -> None:
    """Canonical names are translated; a provider's spelling and unknown ids are accepted and sent as they are."""
    ran = wan("generate", "x", "-p", "rivya", "-m", model, "--dry-run", "--json")
    assert sent(ran)["model"] == sent_as
    assert (ran.task["model"], ran.task["provider_model"]) == (name, sent_as)


def test_the_first_provider_with_a_key(live: Cli) -> None:
    """Without a name it is the first in registry order that has a key and can do it, and it is named on stderr."""
    ran = live.run("generate", "x", "--json")
    assert ran.task["provider"] == "rivya"
    assert "rivya" in ran.err.splitlines()[0]
    assert live.run("generate", "x", "-s", "4K", "--json").task["provider"] == "modelverse"
    ran = live.run("generate", "x", "--json", env={"RIVYA_API_KEY": ""})
    assert ran.task["provider"] == "modelverse"


def test_no_key_anywhere(wan: Run) -> None:
    """With no key the error names every variable and ``--sandbox``."""
    ran = wan("generate", "x", "--json")
    assert ran.code == 3
    error = ran.json["error"]
    assert error["code"] == "key_missing"
    assert all(capabilities(name).key_env in error["message"] for name in BUILTIN if name != "openai")
    assert "--sandbox" in error["message"]
    assert error["hint"] == "export RIVYA_API_KEY=YOUR_KEY"


def test_the_plain_model_before_pro(wan: Run) -> None:
    """The model is the provider's first that can do it: 4K needs pro, everything else does not."""
    assert wan("generate", "x", "--sandbox", "--json", "-s", "1K").task["model"] == "wan2.7-image"
    ran = wan("generate", "x", "--dry-run", "--json", "-s", "4K")
    assert (ran.task["provider"], ran.task["model"]) == ("modelverse", "wan2.7-image-pro")
