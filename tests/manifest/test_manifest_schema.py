"""The published JSON Schema, held against manifests that are read and manifests that are refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from test_manifest_reading import TOML

from wan_cli.errors import UsageError
from wan_cli.manifest import read, schema

GOOD = [
    TOML,
    "",
    "[defaults]\nprovider = ['a', 'b']\nwatermark = false\n",
    "[[asset]]\nid = 'a'\nprompt = 'p'\nseed = '{x}'\nwatermark = '{y}'\nmatrix = { x = [1, 2.5, 'a'], y = [true] }\n",
    "[[asset]]\nid = 'a'\nprompt = 'p'\nfirst-frame = 'a.png'\nmask = { asset = 'b' }\nparam = { x = { y = [1] } }\n",
    "[[asset]]\nid = 'a'\nprompt_file = 'p'\nsync = true\nsidecar = true\nconvert = true\nstrict = true\n",
]
BAD = [
    "x = 1",
    "[[asset]]\nprompt = 'p'\n",
    "[[asset]]\nid = 'a'\nbase_url = 'x'\n",
    "[[asset]]\nid = 'a'\nprompt = 'p'\nheaders = { x = 'y' }\n",
    "[[asset]]\nid = 'a'\nprompt = 'p'\nseed = 'x'\n",
    "[[asset]]\nid = 'a'\nprompt = 'p'\ncount = 101\n",
    "[[asset]]\nid = 'a'\nprompt = 'p'\nverb = 'draw'\n",
    "[[asset]]\nid = 'a'\nprompt = 'p'\nprovider = []\n",
    "[[asset]]\nid = 'a'\nprompt = 'p'\nmask = { file = 'b' }\n",
    "[[asset]]\nid = 'a'\nprompt = 'p'\nmatrix = { 'a-b' = ['x'] }\n",
    "[defaults]\nid = 'a'\n",
    "[defaults]\nmatrix = { x = [1] }\n",
]


@pytest.fixture(scope="module")
def check() -> Any:
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.mark.parametrize("text", GOOD)
def test_what_the_schema_takes(check: Any, text: str) -> None:
    """Manifests that are read are valid: with hyphens, lists or words for providers, names of a matrix for numbers."""
    check.validate(tomllib.loads(text))


@pytest.mark.parametrize("text", BAD)
def test_what_both_refuse(check: Any, tmp_path: Path, text: str) -> None:
    """What the schema calls wrong, the reader refuses too."""
    assert not check.is_valid(tomllib.loads(text))
    (tmp_path / "assets.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError):
        read(tmp_path / "assets.toml")
