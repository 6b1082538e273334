"""Templates, slugs, names and targets (reliability.md S6, S7, S15)."""

import ntpath
import os
import re
import tempfile
import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wan_cli import media, naming
from wan_cli.errors import UsageError
from wan_cli.naming import fault, final_paths, parse_template, plan, safe_component, slug
from wan_cli.targets import check_targets

VALUES = {
    "verb": "generate",
    "provider": "rivya",
    "model": "wan2.7-image",
    "seed": 7,
    "date": "2026-11-21",
    "slug": "a-fox",
}
NASTY = [
    "..",
    "../..",
    "/etc/passwd",
    "\\\\host\\share",
    "C:\\x",
    "a:b",
    "CON",
    "con.png",
    "CON.png.txt",
    "AUX ",
    "nul.",
    "COM¹",
    "lpt9.x",
    "a\0b",
    "a\nb",
    "x" * 300,
    "é" * 150,
    "😀" * 80,
    "e\u0301" * 100,
    "שלום",
    "\u202egnp.exe",
    "-rf",
    "fox.",
    "fox ",
    ".",
    " ",
    "",
    "...",
    "~",
    "$HOME",
    "{id}",
    "{{",
    "}",
    "%",
    "\ud800",
    "\u017f",
    "\ufeff",
]
ANY_TEXT = st.one_of(
    st.sampled_from(NASTY), st.text(st.characters(exclude_categories=())), st.text("./\\:- CONcon¹", max_size=8)
)
RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM[1-9¹²³]|LPT[1-9¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL)


def windows_takes(name: str) -> bool:
    """Tell whether Windows takes a name, by the rules of Microsoft's page and the standard library's own reading."""
    return (
        not re.search(r'[\x00-\x1f<>:"/\\|?*]', name)
        and not name.endswith((".", " "))
        and not RESERVED.fullmatch(name)
        and not PureWindowsPath(name).is_reserved()
        and ntpath.basename(name) == name != ""
        and len(name.encode()) <= 255
    )


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A lighthouse at dawn, wide shot!", "a-lighthouse-at-dawn-wide-shot"),
        ("", "untitled"),
        ("?!…", "untitled"),
        ("Ein Füchslein 2", "ein-füchslein-2"),
        ("e\u0301te\u0301", "été"),
        ("灯台の夜明け", "灯台の夜明け"),
        ("हिन्दी में", "हिन्दी-में"),
        ("../../etc", "etc"),
        ("a/b\\c:d", "a-b-c-d"),
        ("\u202egnp", "gnp"),
        ("\ud800x", "x"),
        ("\u0301x", "x"),
        ("İ", "i̇"),
    ],
)
def test_a_slug_keeps_letters_and_digits_of_any_script(prompt: str, expected: str) -> None:
    """Words are lower-cased, composed and joined by a dash; marks stay with their letter; the rest goes."""
    assert slug(prompt) == expected


def test_a_slug_is_cut_at_a_word_and_never_in_a_character() -> None:
    """Sixty bytes, whole words where there are any, whole characters with their marks where there are not."""
    assert slug("seven letters " * 9) == "seven-letters-seven-letters-seven-letters-seven-letters"
    assert slug("灯" * 40) == "灯" * 20
    assert slug("x" + "灯" * 40) == "x" + "灯" * 19
    assert slug("b" * 58 + "q\u0301x") == "b" * 58
    assert slug("q" + "\u0301" * 60) == "untitled"


@settings(deadline=None)
@given(ANY_TEXT)
def test_a_slug_is_always_a_good_piece_of_a_name(prompt: str) -> None:
    """Whatever the prompt: letters, digits, marks and dashes, NFC, 1 to 60 bytes, the same again when slugged."""
    made = slug(prompt)

    assert 1 <= len(made.encode()) <= 60
    assert unicodedata.is_normalized("NFC", made)
    assert made.strip("-") == made
    assert all(char == "-" or char.isalnum() or unicodedata.category(char)[0] == "M" for char in made)


@pytest.mark.parametrize(
    "name",
    ["fox.png", "con-.png", "com0", "console", "été", "e\u0301.png", ".hidden", "-x", "a b.png", "x" * 120 + ".png"],
)
def test_good_names_have_no_fault_and_stay(name: str) -> None:
    """An ordinary name of any script is taken letter for letter."""
    assert fault(name) is None
    assert safe_component(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a:b", "':' is not allowed"),
        ("a\0b", r"'\\x00' is not"),
        ("a/b", "'/'"),
        ("a\\b", "is not allowed"),
        ("CON", "CON is a"),
        ("con.png", "device"),
        ("CON.png.txt", "device"),
        ("AUX ", "end in"),
        ("aux .png", "device"),
        ("COM¹", "device"),
        ("LPT9.x", "device"),
        ("fox.", "end in a dot"),
        ("..", "end in"),
        ("", "empty"),
        ("x" * 121 + ".png", "120 bytes"),
        ("é" * 61, "120 bytes"),
        ("x." + "y" * 254, "255 bytes"),
        ("\udcff", "udcff"),
        ("\u202ex", "u202e"),
        ("conin$", "device"),
    ],
)
def test_s15_bad_names_say_why(name: str, why: str) -> None:
    """Windows' rules and the caps hold on every system, and the reason is named."""
    assert re.search(why, str(fault(name)))


@settings(deadline=None)
@given(ANY_TEXT)
@example("con." + "x" * 300)
@example("con" + " " * 200)
@example("a" * 118 + ".b.")
def test_s7_safe_component_breaks_no_rule(name: str) -> None:
    """Whatever the name, the safe one is one that Windows takes."""
    made = safe_component(name)

    assert fault(made) is None
    assert windows_takes(made)


@pytest.mark.parametrize(
    ("name", "expected"), [("con.png", "con-.png"), ("a/b.png", "a-b.png"), ("fox.", "fox"), ("...", "untitled")]
)
def test_safe_component_stays_near(name: str, expected: str) -> None:
    """Only what breaks a rule is changed."""
    assert safe_component(name) == expected


@pytest.mark.parametrize(
    "text", ["fox", "{slug}-{id}{ext}", "{index:03}", "{{x}}", "{date}/{model}/{seed}.png", "{verb}{provider}"]
)
def test_good_templates_are_taken(text: str) -> None:
    """Every field of the contract can be used, the index padded, and braces doubled."""
    parse_template(text)


def test_parse_template_names_the_fields_used() -> None:
    """The caller learns which values it needs; more fields can be allowed."""
    assert parse_template("{slug}-{index:02}{ext}") == {"slug", "index", "ext"}
    assert parse_template("{task}", (*naming.FIELDS, "task")) == {"task"}


@pytest.mark.parametrize(
    "text",
    [
        "{prompt}",
        "{}",
        "{0}",
        "{id!r}",
        "{id:>9}",
        "{index:3}",
        "{index:03d}",
        "{index:{id}}",
        "{id.x}",
        "{id[0]}",
        "{",
        "}",
        "{id",
        "id}",
        "{slug.__class__}",
        "{ext}.png",
        "{ext}{ext}",
        "{ext}/x",
    ],
)
def test_bad_templates_are_refused_with_the_fields(text: str) -> None:
    """Unknown fields, formats, attributes and unbalanced braces are a usage error that lists what there is."""
    with pytest.raises(UsageError) as caught:
        parse_template(text)

    assert caught.value.hint == "wan help templates"
    assert caught.value.exit_code == 2


def planned(output: str | None, cwd: Path, count: int = 1, **more: object) -> naming.Plan:
    """Plan with this file's values."""
    return plan(output, cwd=str(cwd), values={**VALUES, **more}, count=count)


def test_the_default_is_slug_and_id_in_the_working_directory(tmp_path: Path) -> None:
    """Known values are filled in at once; the id and the extension when they are known."""
    made = planned(None, tmp_path)

    assert made == naming.Plan(template=f"{tmp_path}/a-fox-{{id}}{{ext}}", wanted_ext=None)
    assert final_paths(made.template, 1, ".png", values={"id": "k3f9x2"}) == [tmp_path / "a-fox-k3f9x2.png"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("out", "out/a-fox-{id}{ext}"),
        ("out/", "out/a-fox-{id}{ext}"),
        ("new/", "new/a-fox-{id}{ext}"),
        (".", "a-fox-{id}{ext}"),
        ("out/..", "out/../a-fox-{id}{ext}"),
        ("new/..", "new/../a-fox-{id}{ext}"),
        ("fox.png", "fox.png"),
        ("fox.JPEG", "fox.JPEG"),
        ("fox", "fox{ext}"),
        ("fox.txt", "fox.txt{ext}"),
        ("wan2.7", "wan2.7{ext}"),
        ("a/b/{seed}.webp", "a/b/7.webp"),
        ("{model}", "wan2.7-image{ext}"),
        ("{provider}/{index:03}", "rivya/{index:03}{ext}"),
        ("../x.png", "../x.png"),
        ("new/../x.png", "new/../x.png"),
        ("{{a}}.png", "{{a}}.png"),
        (".png", ".png{ext}"),
        ("br{a}ce", "br{{a}}ce/a-fox-{id}{ext}"),
    ],
)
def test_o_is_a_folder_a_file_or_a_template(output: str, expected: str, tmp_path: Path) -> None:
    """An existing folder or a closing slash means the default name in it; a typed media extension is kept as typed."""
    (tmp_path / "out").mkdir()
    (tmp_path / "br{a}ce").mkdir()

    assert planned(output, tmp_path).template == f"{tmp_path}/{expected}"


def test_an_absolute_o_leaves_the_working_directory(tmp_path: Path) -> None:
    """An absolute path is taken as it is; folders that exist are not held to Windows' rules."""
    odd = tmp_path / "a:b"
    odd.mkdir()

    assert planned(f"{odd}/x.png", Path("/")).template == f"{odd}/x.png"
    assert final_paths(f"{odd}/x.png", 1, ".png") == [odd / "x.png"]


def test_braces_of_the_working_directory_are_literal(tmp_path: Path) -> None:
    """A folder that happens to be called like a field is no field."""
    assert final_paths(planned("x", tmp_path / "{slug}").template, 1, ".png") == [tmp_path / "{slug}" / "x.png"]


@pytest.mark.parametrize(
    ("output", "wanted"), [("a.png", ".png"), ("a.JPEG", ".jpg"), ("a", None), (None, None), ("{slug}.mp4", ".mp4")]
)
def test_a_typed_extension_is_the_wanted_format(output: str | None, wanted: str | None, tmp_path: Path) -> None:
    """The caller learns which format the name promises."""
    assert planned(output, tmp_path).wanted_ext == wanted


@pytest.mark.parametrize(
    "output",
    [
        "",
        "a:b",
        "con",
        "con.png",
        "CON/",
        "new./x",
        "a/nul/x.png",
        "fox .png/aux.png",
        "x" * 121,
        "a\\b",
        "a\nb",
        "\udcff",
        "com{index}",
        "{slug}{slug}{slug}",
        "a?{slug}",
        "{id",
        "{nope}",
    ],
)
def test_a_typed_name_that_breaks_a_rule_is_refused(output: str, tmp_path: Path) -> None:
    """What the user typed is never changed silently: it is a usage error with a hint."""
    with pytest.raises(UsageError) as caught:
        planned(output, tmp_path, slug="s" * 60)

    assert caught.value.hint


def test_a_folder_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """A template has to be kept in the ledger, which takes text only."""
    with pytest.raises(UsageError, match="UTF-8"):
        planned(None, tmp_path / "\udcff")


def test_the_number_counts_into_the_length(tmp_path: Path) -> None:
    """A name that would be too long with its number is refused before buying, not shortened after."""
    assert planned("x" * 120, tmp_path).wanted_ext is None
    with pytest.raises(UsageError, match="120 bytes"):
        planned("x" * 120, tmp_path, count=2)


def test_the_extension_follows_the_bytes() -> None:
    """A typed extension stays where it says the truth, in its own spelling, and gives way where it does not."""
    assert final_paths("/o/a.JPEG", 1, ".jpg") == [Path("/o/a.JPEG")]
    assert final_paths("/o/a.png", 1, ".webp") == [Path("/o/a.webp")]
    assert final_paths("/o/a{ext}", 1, ".mp4") == [Path("/o/a.mp4")]


def test_the_typed_extensions_are_those_of_media() -> None:
    """Both tables say the same (naming does not import media: they are on one layer)."""
    assert set(naming.TRUE_EXTENSIONS.values()) == set(media.EXTENSIONS.values())
    for typed, true in naming.TRUE_EXTENSIONS.items():
        assert media.EXTENSIONS[str(media.mime_of_extension(f"x{typed}"))] == true


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("/o/a{ext}", ["a-1.png", "a-2.png"]),
        ("/o/a.png", ["a-1.png", "a-2.png"]),
        ("/o/a.jpg", ["a-1.png", "a-2.png"]),
        ("/o/{index:03}{ext}", ["001.png", "002.png"]),
        ("/o/{{index}}{ext}", ["{index}-1.png", "{index}-2.png"]),
    ],
)
def test_several_results_are_numbered(template: str, expected: list[str]) -> None:
    """Without an index, the number goes before the extension."""
    assert [path.name for path in final_paths(template, 2, ".png")] == expected


def test_numbers_run_over_the_tasks_of_one_call() -> None:
    """The third of four tasks with one result each is number three; a lone result has none, unless more came."""
    assert final_paths("/o/a{ext}", 1, ".png", first=3, total=4) == [Path("/o/a-3.png")]
    assert final_paths("/o/a{ext}", 1, ".png", total=1) == [Path("/o/a.png")]
    assert final_paths("/o/a{ext}", 2, ".png", total=1) == [Path("/o/a-1.png"), Path("/o/a-2.png")]
    assert final_paths("/o/{index}/a{ext}", 1, ".png", first=2, total=2) == [Path("/o/2/a.png")]
    assert final_paths("/o/a{ext}", 0, ".png") == []


@pytest.mark.parametrize(
    ("output", "value"), [("{slug}", "con"), ("{slug}.png", "nul"), ("{slug}/x", "aux"), ("{id}/x", "con")]
)
def test_a_value_that_is_a_device_gets_a_dash(output: str, value: str, tmp_path: Path) -> None:
    """Names that the user did not type are mended, not refused."""
    made = planned(output, tmp_path, slug=value)
    path = final_paths(made.template, 1, ".png", values={"id": value})[0]

    assert f"{value}-" in str(path.relative_to(tmp_path))


@settings(deadline=None)
@given(
    slug=ANY_TEXT,
    model=ANY_TEXT,
    task=ANY_TEXT,
    output=st.sampled_from([None, "new/", "{model}/{slug}.png", "x{id}", "{id}/{id}{slug}"]),
)
def test_s6_no_value_leaves_the_folder_or_breaks_a_rule(slug: str, model: str, task: str, output: str | None) -> None:
    """Whatever prompt, model and id are: the path stays below the working directory, in names that Windows takes."""
    cwd = Path(tempfile.gettempdir(), "never-made")
    values = {"slug": slug, "model": model}
    why, made = "", None
    try:
        made = plan(output, cwd=str(cwd), values=values, count=3)
    except UsageError as error:
        why = error.message
    if made is None:
        assert "bytes" in why
        return
    depth = {None: 1, "new/": 2, "{model}/{slug}.png": 2, "x{id}": 1, "{id}/{id}{slug}": 2}[output]
    for path in final_paths(made.template, 3, ".png", values={"id": task}):
        names = path.relative_to(cwd).parts

        assert len(names) == depth
        assert all(windows_takes(name) and not name.startswith("-") for name in names)
        assert Path(os.path.normpath(path)) == path
        assert path.suffix == ".png"


@settings(deadline=None)
@given(ANY_TEXT)
def test_a_typed_name_is_taken_as_it_is_or_refused(output: str) -> None:
    """No -o is altered: either the file has exactly that name, or it is a usage error."""
    cwd = Path(tempfile.gettempdir(), "never-made")
    try:
        made = plan(output + ".png", cwd=str(cwd), values={})
    except UsageError:
        return
    if "{" not in output and "}" not in output:
        assert final_paths(made.template, 1, ".png") == [
            Path(cwd, output + ".png" if Path(output + ".png").suffix else output + ".png.png")
        ]


def test_check_targets_makes_folders_and_leaves_nothing_else(tmp_path: Path) -> None:
    """Missing folders are made, and the probe is gone afterwards."""
    assert check_targets([tmp_path / "a" / "b" / "x.png"], overwrite=False, skip_existing=False) == "write"
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert check_targets([], overwrite=False, skip_existing=True) == "write"


def test_d15_an_existing_file_is_refused_before_buying(tmp_path: Path) -> None:
    """The hint names both ways out, and both work."""
    old = tmp_path / "x.png"
    old.touch()
    new = tmp_path / "y.png"

    with pytest.raises(UsageError, match=r"x\.png exists; ") as caught:
        check_targets([old, new], overwrite=False, skip_existing=False)

    assert "--overwrite" in caught.value.hint
    assert "--skip-existing" in caught.value.message
    assert check_targets([old], overwrite=False, skip_existing=True) == "skip"
    assert check_targets([old], overwrite=True, skip_existing=False) == "write"
    with pytest.raises(UsageError, match="exists"):
        check_targets([old, new], overwrite=False, skip_existing=True)


def test_d15_more_existing_files_are_counted(tmp_path: Path) -> None:
    """One is named, the others are counted."""
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.touch()

    with pytest.raises(UsageError, match="a exists and 2 more"):
        check_targets(files, overwrite=False, skip_existing=False)


def test_a_dangling_link_is_in_the_way_and_is_no_file(tmp_path: Path) -> None:
    """A link to nothing neither counts as done nor is written through."""
    link = tmp_path / "x.png"
    link.symlink_to("nowhere")

    for skip in (False, True):
        with pytest.raises(UsageError, match="exists"):
            check_targets([link], overwrite=False, skip_existing=skip)


@pytest.mark.parametrize(
    ("one", "two"), [("Fox.png", "fox.png"), ("é.png", "e\u0301.png"), ("a/x.png", "a/../a/x.png"), ("ß.png", "SS.png")]
)
def test_s7_two_results_of_one_name_are_refused(one: str, two: str, tmp_path: Path) -> None:
    """Case, composition and the way to the folder make no difference."""
    with pytest.raises(UsageError, match="two results") as caught:
        check_targets([tmp_path / one, tmp_path / two], overwrite=True, skip_existing=False)

    assert "{index}" in caught.value.hint


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    """A folder is no target, not even with --overwrite."""
    (tmp_path / "x").mkdir()

    with pytest.raises(UsageError, match="is a folder"):
        check_targets([tmp_path / "x"], overwrite=True, skip_existing=False)


@pytest.mark.parametrize("name", ["f/x.png", "f/g/x.png"])
def test_s04_a_parent_that_is_a_file_is_refused(name: str, tmp_path: Path) -> None:
    """The message says what is wrong with the folder."""
    (tmp_path / "f").touch()

    with pytest.raises(UsageError, match="a part of it is a file"):
        check_targets([tmp_path / name], overwrite=False, skip_existing=False)


def test_s04_a_folder_that_takes_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is really tried: permission bits alone say too little."""

    def denied(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)

    with pytest.raises(UsageError, match="Permission denied"):
        check_targets([tmp_path / "x.png"], overwrite=False, skip_existing=False)
