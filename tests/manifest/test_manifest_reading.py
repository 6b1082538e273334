"""Manifests in all four formats: what they say, and where what is wrong stands."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from support_render import toml

from wan_cli.errors import ConfigInvalid, UsageError
from wan_cli.manifest import Manifest, Reference, read

TOML = """\
[defaults]
provider = "modelverse"
output = "out/{id}{ext}"

[[asset]] # the first
id = "hero"
prompt = '''
a lighthouse
[[asset]]
at dawn'''
seed = 7

[[asset]]
id = "poster"
verb = "fuse"
images = ["@hero", { asset = "hero" }, "refs/logo.png", "https://example.com/a.png"]
prompt-file = "poster.txt"
provider = "rivya, yunwu"

[[asset]]
id = "icon-{animal}-{n}"
prompt = "a {animal} {color} {{n}} $HOME ${animal}"
seed = "{n}"
[asset.matrix]
animal = ["fox", "owl"]
n = [1, 2]
"""
JSONL = r"""{"defaults": {"provider": ["modelverse"], "output": "out/{id}{ext}"}}

{"id": "hero", "prompt": "a lighthouse\r\n[[asset]]\r\nat dawn", "seed": 7}
{"id": "poster", "verb": "fuse", "prompt_file": "poster.txt", "provider": ["rivya", "yunwu"], "images": IMAGES}
{"id": "icon-{animal}-{n}", "prompt": "a {animal} {color} {{n}} $HOME ${animal}", "seed": "{n}", "matrix": MATRIX}
""".replace("IMAGES", '["@hero", {"asset": "hero"}, "refs/logo.png", "https://example.com/a.png"]').replace(
    "MATRIX", '{"animal": ["fox", "owl"], "n": [1, 2]}'
)
CSV = """\
id,prompt,prompt-file,verb,images,seed,provider,output,matrix\r
hero,"a lighthouse\r
[[asset]]\r
at dawn",,,,7,modelverse,out/{id}{ext},\r
poster,,poster.txt,fuse,@hero; @hero; refs/logo.png; https://example.com/a.png,,"rivya,yunwu",out/{id}{ext},\r
icon-{animal}-{n},a {animal} {color} {{n}} $HOME ${animal},,,,{n},modelverse,out/{id}{ext},MATRIX\r
""".replace("MATRIX", '"{""animal"": [""fox"", ""owl""], ""n"": [1, 2]}"')
YAML = """\
# a comment
defaults: {provider: modelverse, output: "out/{id}{ext}"}
asset:
- id: hero
  prompt: |-
    a lighthouse
    [[asset]]
    at dawn
  seed: 7
- id: poster
  verb: fuse
  images: ["@hero", {asset: hero}, refs/logo.png, "https://example.com/a.png"]
  prompt_file: poster.txt
  provider: rivya, yunwu
- id: icon-{animal}-{n}
  prompt: a {animal} {color} {{n}} $HOME ${animal}
  seed: "{n}"
  matrix:
    animal: [fox, owl]
    n: [1, 2]
"""
FORMS = {"toml": TOML, "jsonl": JSONL, "csv": CSV, "yaml": YAML}


def manifest(tmp_path: Path, text: str | bytes, form: str = "toml", **how: Any) -> Manifest:
    path = tmp_path / f"assets.{form}"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path, **how)


def refused(tmp_path: Path, text: str | bytes, form: str = "toml") -> str:
    with pytest.raises(UsageError) as caught:
        manifest(tmp_path, text, form)
    assert caught.value.exit_code == 2
    assert caught.value.charged == "no"
    assert caught.value.hint
    return caught.value.message


def row(**fields: Any) -> str:
    said = "\n".join(f"{name} = {toml(value)}" for name, value in {"id": "a", "prompt": "p", **fields}.items())
    return f"[[asset]]\n{said}\n"


@pytest.mark.parametrize("form", FORMS)
def test_all_formats_say_the_same(tmp_path: Path, form: str) -> None:
    """The same assets come out of TOML, JSONL, CSV and YAML, in the file's order, with the same request."""
    (tmp_path / "poster.txt").write_bytes("\ufeffa poster\r\n".encode())
    found = manifest(tmp_path, FORMS[form], form)
    names = ["icon-fox-1", "icon-fox-2", "icon-owl-1", "icon-owl-2"]
    assert list(found.assets) == ["hero", "poster", *names]
    hero, poster, icon = (found.assets[name] for name in ("hero", "poster", "icon-owl-2"))
    assert hero.prompt == "a lighthouse\n[[asset]]\nat dawn"
    assert (hero.verb, hero.providers, hero.fields["seed"], hero.output) == (
        "generate",
        ("modelverse",),
        7,
        "out/{id}{ext}",
    )
    assert (poster.verb, poster.prompt, poster.providers) == ("fuse", "a poster", ("rivya", "yunwu"))
    assert poster.references["images"] == (
        Reference("asset", "hero"),
        Reference("asset", "hero"),
        Reference("file", "refs/logo.png"),
        Reference("url", "https://example.com/a.png"),
    )
    assert poster.needs == ("hero",)
    assert icon.fields["seed"] == 2
    assert icon.prompt == "a owl {color} {2} $HOME $owl"
    (tmp_path / "toml").mkdir()
    (tmp_path / "toml" / "poster.txt").write_text("a poster", encoding="utf-8")
    like = manifest(tmp_path / "toml", TOML)
    assert {name: asset.request for name, asset in found.assets.items()} == {
        name: asset.request for name, asset in like.assets.items()
    }


@pytest.mark.parametrize(
    ("form", "lines"), [("toml", [5, 12, 19]), ("jsonl", [3, 4, 5]), ("csv", [2, 5, 6]), ("yaml", [4, 10, 15])]
)
def test_every_asset_knows_its_line(tmp_path: Path, form: str, lines: list[int]) -> None:
    """An asset's line is that of its first line in the file, whatever stands inside texts of several lines."""
    text = FORMS[form]
    if form == "toml":
        text = text.replace("prompt = '''\n", "prompt = '''", 1)
    (tmp_path / "poster.txt").write_text("x", encoding="utf-8")
    found = manifest(tmp_path, text, form).assets
    assert [found[name].line for name in ("hero", "poster", "icon-fox-1")] == lines


WRONG = [
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\nbase_url = 'x'\n", "assets.toml:4: a: base_url: not a field"),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\n[asset.headers]\nx = 1\n", "assets.toml:4: a: headers: not a field"),
    (
        "toml",
        "[[asset]]\nid = 'a'\npromt = 'p'\n",
        "assets.toml:3: a: promt: not a field of an asset; did you mean prompt?",
    ),
    ("toml", "\n[defaults]\nseeed = 1\n", "assets.toml:3: defaults: seeed: not a field"),
    ("toml", "[defaults]\nid = 'x'\n", "assets.toml:2: defaults: id: it is an asset's own"),
    ("toml", "[defaults]\noverwrite = true\n", "assets.toml:2: defaults: overwrite: not a field of an asset: what wan"),
    ("toml", "[[asset]]\nid = 'a'\nno-watermark = true\n", "assets.toml:3: a: no_watermark: not a field of an asset;"),
    ("toml", "[[asset]]\nid = 'a'\nno_size = true\n", "assets.toml:3: a: no_size: not a field of an asset"),
    ("csv", "id,prompt,idempotency-key\na,p,k\n", "assets.csv:1: idempotency_key: not a field of an asset: each"),
    ("toml", "[defaults]\nseed = 'x'\n[[asset]]\nid = 'a'\nprompt = 'p'\n", "assets.toml:2: defaults: seed: "),
    ("toml", "[defaults]\nseed = '{x}'\n[[asset]]\nid = 'a'\nprompt = 'p'\n", "assets.toml:2: defaults: seed: "),
    ("toml", "[[asset]]\nid = 'a'\n", "assets.toml:1: a: prompt: it is missing"),
    ("toml", "[[asset]]\nid = 'a'\nprompt = ' '\n", "assets.toml:3: a: prompt: it is empty"),
    ("toml", "[[asset]]\nprompt = 'p'\n", "assets.toml:1: asset: id: "),
    ("toml", "[[asset]]\nid = 7\nprompt = 'p'\n", "assets.toml:2: 7: id: "),
    ("toml", "[[asset]]\nid = 'a/b'\nprompt = 'p'\n", "assets.toml:2: a/b: id: a/b: a letter or digit"),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\nseed = true\n", "assets.toml:4: a: seed: a number belongs here"),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\ncount = 0\n", "assets.toml:4: a: count: "),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\nverb = 'draw'\n", "assets.toml:4: a: verb: "),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\nprompt_file = 'x'\n", "prompt and prompt_file exclude each other"),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\nsync = true\nasync = true\n", "sync and async exclude each other"),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\nfirst-frame = 'x'\nfirst_frame = 'y'\n", "first_frame is said twice"),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\nn = 2\ncount = 2\n", "a: count: count is said twice"),
    (
        "toml",
        "[[asset]]\nid = 'a'\nprompt = 'p'\nmatrix = { id = ['x'] }\n",
        "assets.toml:4: a: matrix.id: the name is taken",
    ),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\nmatrix = { x = [] }\n", "assets.toml:4: a: matrix.x: "),
    ("toml", "[[asset]]\nid = 'a'\nprompt = 'p'\nmatrix = { x = [[1]] }\n", "assets.toml:4: a: matrix.x.0: "),
    (
        "toml",
        "[[asset]]\nid = 'a'\nprompt = 'p'\nmatrix = { x = [nan] }\n",
        "assets.toml:4: matrix: nan is not a number",
    ),
    (
        "toml",
        "[[asset]]\nid = 'a'\nprompt = 'p'\nmatrix = { x = ['b'], y = ['c', 'd'] }\n",
        "put the names of the matrix",
    ),
    ("toml", row() + row(), "assets.toml:4: a: id: it is used before in line 1"),
    ("toml", row(images=["b.png"], verb="generate"), "assets.toml:4: a: images: generate takes none"),
    ("toml", row(images=["@b"]), "assets.toml:1: a: images: @b is no asset of this manifest"),
    ("toml", row(mask={"asset": "b", "x": 1}), "assets.toml:4: a: mask.x: not a field of an asset"),
    (
        "toml",
        row(images=["http://example.com/a.png"]),
        "assets.toml:4: a: images: http://example.com/a.png: an address",
    ),
    ("toml", row(images=["https://me:pw@example.com/a.png"]), "without a user name"),
    ("toml", row(images=["https://[x/a.png"]), "an address is https://"),
    ("toml", row(provider=[]), "assets.toml:4: a: provider: "),
    ("toml", row(provider=[""]), "assets.toml:4: a: provider.0: "),
    ("toml", row(param={"x": 1}) + "param.y = nan\n", "assets.toml:5: "),
    ("toml", "x = 1\nx = 2\n", "assets.toml:2: cannot overwrite a value"),
    ("toml", "[[asset]]\nid = 'a\n", "assets.toml:2: "),
    ("toml", "[[asset]]\nid = ", "assets.toml:2: "),
    ("toml", "[tool]\n", "assets.toml: tool is not known here"),
    ("toml", "asset = 1\n", "assets.toml: asset is a list of tables"),
    ("toml", "defaults = 1\n", "assets.toml: defaults is a table"),
    ("toml", f"[[asset]]\nseed = {'9' * 5000}\n", "assets.toml: exceeds the limit"),
    ("toml", b"id = '\xff'", "is not UTF-8: byte 7"),
    ("toml", "asset = [\n {id = 'a', prompt = 'p'},\n {id = 'b', prompt = 'p', x = 1},\n]\n", "assets.toml:3: b: x: "),
    ("jsonl", '{"id": "a", "prompt": "p"}\n{"id": "b", "id": "c"}\n', "assets.jsonl:2: id is said twice"),
    ("jsonl", '{"id": "a", "seed": NaN}\n', "assets.jsonl:1: NaN is not a number here"),
    ("jsonl", "\n[1]\n", "assets.jsonl:2: each line is one asset"),
    ("jsonl", '{"id": "a"\n', "assets.jsonl:1: "),
    ("jsonl", '{"id": "a", "prompt": "\\ud800"}\n', "assets.jsonl:1: prompt: a character is only half there"),
    ("jsonl", '{"id": "a", "prompt": "p", "param": {"\\ud800": 1}}\n', "assets.jsonl:1: param: a character"),
    ("jsonl", '{"id": "a", "prompt": "p"}\n{"defaults": {}}\n', "assets.jsonl:2: asset: defaults: not a field"),
    ("jsonl", '{"id": "a", "prompt": "p", "x": 1}\n', "assets.jsonl:1: a: x: not a field"),
    ("csv", "id,prompt,id\na,p,b\n", "assets.csv:1: each column has one name"),
    ("csv", "id,prompt,colour\na,p,\n", "assets.csv:1: colour: not a field"),
    ("csv", "id,prompt\n\na,p,b\n", "assets.csv:3: 3 cells, and 2 columns"),
    ("csv", 'id,prompt\na,"p\n', "assets.csv:2: "),
    ("csv", "id,prompt,seed\na,p,x\n", "assets.csv:2: a: seed: "),
    ("csv", 'id,prompt,param\na,p,"{""x"": NaN}"\n', "assets.csv:2: a: param: "),
    ("csv", "id,prompt,matrix\na,p,x\n", "assets.csv:2: a: matrix: "),
    ("yaml", "asset:\n- &x {id: a, prompt: p}\n", "assets.yaml:2: anchors and aliases are not read"),
    ("yaml", "asset:\n- {&x id: a, prompt: p}\n", "assets.yaml:2: anchors and aliases are not read"),
    ("yaml", "asset:\n- {id: a, prompt: *x}\n", "assets.yaml:2: "),
    ("yaml", "asset:\n- id: a\n  prompt: !!python/object:os.system x\n", "assets.yaml:3: tags are not read"),
    ("yaml", "asset:\n- id: a\n  prompt: p\n  seed: !!int x\n", "assets.yaml:4: x is no int"),
    ("yaml", "asset:\n- id: a\n  prompt: p\n  prompt: q\n", "assets.yaml:4: prompt is said twice"),
    ("yaml", "asset:\n- id: a\n  prompt: p\n  seed: .nan\n", "assets.yaml:4: seed: nan is not a number"),
    ("yaml", "asset:\n- id: a\n  prompt: p\n  colour: red\n", "assets.yaml:4: a: colour: not a field"),
    ("yaml", "defaults:\n  colour: red\n", "assets.yaml:2: defaults: colour: not a field"),
    ("yaml", "asset:\n- [a\n", "assets.yaml:3: "),
    ("yaml", "- a\n", "assets.yaml:1: a manifest has"),
    ("yaml", "[a]: b\n", "assets.yaml:1: a name is a text"),
    ("yaml", "asset: [a]\n", "assets.yaml:1: asset is a list"),
    ("yaml", "%YAML 1.1\n---\nasset: []\n", "assets.yaml:1: directives are not read"),
    ("yaml", "a: 1\n---\nb: 2\n", "assets.yaml:2: "),
    ("yaml", "", "assets.yaml:1: a manifest has"),
]


@pytest.mark.parametrize(("form", "text", "said"), WRONG, ids=[said[:60] for _, _, said in WRONG])
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, form: str, text: str | bytes, said: str) -> None:
    """A manifest with a fault is refused with file, line and field, and exit code 2."""
    assert said.casefold() in refused(tmp_path, text, form).casefold()


def test_c07_texts_are_never_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables, commands and braces that name no axis stay the text that they are, in every field."""
    monkeypatch.setenv("WAN_API_KEY", "secret")
    odd = "${WAN_API_KEY} $(id) {{env}} {id} %(x)s ~ `id` {} {0} {animal.x} {animal!r}"
    found = manifest(tmp_path, row(prompt=odd, negative=odd, param={"x": [odd]}, matrix={"animal": ["fox"]}))
    asset = found.assets["a"]
    assert (asset.prompt, asset.fields["negative"], asset.fields["param"]["x"]) == (odd, odd, [odd])


def test_values_of_a_matrix_are_put_in_once(tmp_path: Path) -> None:
    """A value that looks like another name of the matrix is not replaced again; switches are spelled as in TOML."""
    text = row(
        id="{a}-{b}", prompt="{a} {b} {c}", watermark="{b}", matrix={"a": ["x"], "b": [True, False], "c": ["{a}"]}
    )
    found = manifest(tmp_path, text).assets
    assert list(found) == ["x-true", "x-false"]
    assert found["x-true"].prompt == "x true {a}"
    assert [asset.fields["watermark"] for asset in found.values()] == [True, False]


def test_references_follow_the_matrix(tmp_path: Path) -> None:
    """The id in a reference is filled in like any other text, in both spellings."""
    text = row(id="base-{x}", matrix={"x": ["1", "2"]})
    text += row(id="top-{x}", images=["@base-{x}"], mask={"asset": "base-{x}"}, matrix={"x": ["1", "2"]})
    found = manifest(tmp_path, text).assets
    assert found["top-2"].needs == ("base-2",)
    assert found["top-2"].verb == "edit"


def test_defaults_are_laid_under(tmp_path: Path) -> None:
    """What an asset says itself wins; its prompt replaces that of the defaults, and its parameters join theirs."""
    (tmp_path / "p.txt").write_text("from a file", encoding="utf-8")
    text = '[defaults]\nprompt_file = "p.txt"\nseed = 1\nparam = { a = 1, b = 1 }\n'
    text += '[[asset]]\nid = "x"\n[[asset]]\nid = "y"\nprompt = "own"\nseed = 2\nparam = { b = 2 }\n'
    found = manifest(tmp_path, text).assets
    assert (found["x"].prompt, found["x"].fields["seed"]) == ("from a file", 1)
    assert (found["y"].prompt, found["y"].fields["seed"], found["y"].fields["param"]) == ("own", 2, {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("fields", "route"),
    [
        ({"sync": True}, "sync"),
        ({"sync": False}, "async"),
        ({"async": True}, "async"),
        ({"route": "sync"}, "sync"),
        ({}, None),
    ],
)
def test_sync_and_async_are_the_long_options(tmp_path: Path, fields: dict[str, Any], route: str | None) -> None:
    """``sync`` and ``async`` are switches as on the command line."""
    assert manifest(tmp_path, row(**fields)).assets["a"].fields.get("route") == route


def test_a_circle_is_shown(tmp_path: Path) -> None:
    """References that go round in a circle are refused with the circle and the line of one of its assets."""
    said = refused(tmp_path, row(images=["@b"]) + row(id="b", images=["@c"]) + row(id="c", images=["@a"]))
    assert said.startswith("assets.toml:")
    assert "in a circle: @" in said
    assert all(f"@{name}" in said for name in "abc")
    assert "in a circle" in refused(tmp_path, row(images=["@a"]))


def test_ids_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    """An id and a reference in another Unicode form mean the same asset, and two ids in two forms are one."""
    text = row(id="caf\u00e9") + row(id="b", images=["@cafe\u0301"])
    assert manifest(tmp_path, text).assets["b"].needs == ("caf\u00e9",)
    assert "used before" in refused(tmp_path, row(id="caf\u00e9") + row(id="cafe\u0301"))


def test_yaml_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ruamel, a YAML manifest is exit 3 with the command that installs it."""
    real = builtins.__import__

    def without(name: str, *args: Any, **named: Any) -> Any:
        if name.startswith("ruamel"):
            raise ImportError(name)
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigInvalid) as caught:
        manifest(tmp_path, YAML, "yaml")
    assert caught.value.exit_code == 3
    assert "ruamel.yaml" in caught.value.hint


def test_yaml_keeps_texts(tmp_path: Path) -> None:
    """Aspects, dates, and words that YAML 1.1 took for switches stay the text that was written."""
    text = "asset:\n- id: a\n  prompt: no\n  aspect: 16:9\n"
    text += "  param: {d: 2026-11-21, <<: x, n: null, f: 0.5, b: true, o: 0o10}\n"
    asset = manifest(tmp_path, text, "yml").assets["a"]
    assert (asset.prompt, asset.fields["aspect"]) == ("no", "16:9")
    assert asset.fields["param"] == {"d": "2026-11-21", "<<": "x", "n": None, "f": 0.5, "b": True, "o": 8}


def test_where_a_manifest_is_and_is_not(tmp_path: Path) -> None:
    """A missing file, another ending and a root that is no folder are refused; ``--root`` moves the paths."""
    assert "a manifest ends in .toml" in refused(tmp_path, "", "ini")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="is no folder"):
        manifest(tmp_path, row(), root=tmp_path / "none")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "p.txt").write_text("below", encoding="utf-8")
    found = manifest(tmp_path, "[[asset]]\nid = 'a'\nprompt_file = 'p.txt'\n", root=tmp_path / "sub")
    assert (found.assets["a"].prompt, found.root) == ("below", tmp_path / "sub")
    assert found.where(found.assets["a"]) == "assets.toml:1"


def test_an_empty_manifest_is_one(tmp_path: Path) -> None:
    """A manifest without assets is no error."""
    for form in ("toml", "jsonl", "csv"):
        assert manifest(tmp_path, "", form).assets == {}


@pytest.mark.parametrize(
    "other",
    [
        '# comment\n[[asset]]\nseed = 7\nprompt = """a\nb"""\nid = \'a\'\n',
        "[defaults]\nseed = 7\nprompt = \"a\\r\\nb\"\n[[asset]]\nid = 'a'\n",
        "[[asset]]\r\nid = 'a'\r\nseed = 7\r\nprompt = '''\r\na\r\nb\r\n'''\r\n",
        "[[asset]]\nid = 'a'\nprompt-file = 'p.txt'\nseed = 7\nn = 1\nverb = 'generate'\n",
        "[[asset]]\nid = 'a'\nprompt = \"a\\nb\"\nseed = 7\nasync = true\noutput = 'x/y.png'\nsidecar = true\n",
        "[[asset]]\nid = 'a'\nprompt = '{p}'\nseed = '{s}'\nmatrix = { p = [\"a\\nb\"], s = [7] }\n",
        "[[asset]]\nid = 'a'\nprompt = \"a\\nb\"\nseed = 7\nprovider = ['rivya', 'yunwu']\n",
    ],
)
def test_what_changes_no_request(tmp_path: Path, other: str) -> None:
    """Comments, order, line ends, defaults, files, a matrix, targets and providers leave the request's hash alone."""
    (tmp_path / "p.txt").write_bytes(b"a\r\nb\r\n")
    first = manifest(tmp_path, "[[asset]]\nid = 'a'\nprompt = \"a\\nb\"\nseed = 7\n").assets["a"]
    assert manifest(tmp_path, other).assets["a"].request == first.request


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "q"},
        {"seed": 1},
        {"size": "2K"},
        {"model": "x"},
        {"count": 2},
        {"param": {"a": 1}},
        {"verb": "sequence"},
        {"images": ["x.png"]},
        {"negative": "n"},
        {"watermark": False},
    ],
)
def test_what_changes_the_request(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Whatever a provider would be asked differently changes the request's hash."""
    first = manifest(tmp_path, row()).assets["a"]
    assert manifest(tmp_path, row(**fields)).assets["a"].request != first.request
