"""What is true of every manifest: expansion, order, chains."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wan_cli.manifest import Asset, Manifest, Reference, chains, order, read

NAMES = st.sampled_from(["a", "b", "color", "N_1"])
VALUES = st.lists(st.one_of(st.integers(0, 99), st.text("xyz{}$", min_size=1, max_size=4)), min_size=1, max_size=3)
PIECES = st.lists(st.one_of(NAMES.map(lambda name: f"{{{name}}}"), st.text("{}$ab é", max_size=4)), max_size=6)


def reading(*rows: dict[str, Any]) -> Manifest:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "assets.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        return read(path)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(NAMES, VALUES, max_size=3), PIECES)
def test_a_matrix_is_its_product(axes: dict[str, list[Any]], pieces: list[str]) -> None:
    """An asset stands for every combination once, in order, and only names of its matrix are replaced in its texts."""
    prompt = "p" + "".join(pieces) + "p"
    axes = {**axes, "n": list(range(3))}
    rows = list(itertools.product(*axes.values()))
    # the number of the combination makes the id unlike all others
    found = reading(
        *(
            {
                "id": f"i{number}",
                "prompt": prompt,
                "matrix": {name: [value] for name, value in zip(axes, row, strict=True)},
            }
            for number, row in enumerate(rows)
        )
    )
    for asset, row in zip(found.assets.values(), rows, strict=True):
        expected, rest = "", prompt
        while rest:
            hit = next((name for name in axes if rest.startswith(f"{{{name}}}")), None)
            expected += rest[0] if hit is None else str(dict(zip(axes, row, strict=True))[hit])
            rest = rest[1:] if hit is None else rest[len(hit) + 2 :]
        assert asset.prompt == expected
    plain = {
        name: ["".join(filter(str.isalnum, str(value))) + "v" for value in values] for name, values in axes.items()
    }
    ids = "-".join(f"{{{name}}}" for name in plain)
    once = {name: list(dict.fromkeys(values)) for name, values in plain.items()}
    whole = reading({"id": f"i-{ids}", "prompt": "p", "matrix": once})
    assert list(whole.assets) == ["i-" + "-".join(row) for row in itertools.product(*once.values())]


@st.composite
def graphs(draw: st.DrawFn) -> Manifest:
    """Assets that use only those before them, in a shuffled file."""
    names = [f"a{number}" for number in range(draw(st.integers(1, 8)))]
    assets = []
    for place, name in enumerate(names):
        used = draw(st.lists(st.sampled_from(names[:place]), max_size=2, unique=True)) if place else []
        references = {"images": tuple(Reference("asset", one) for one in used)} if used else {}
        assets.append(
            Asset(id=name, verb="edit" if used else "generate", fields={"prompt": name}, references=references)
        )
    shuffled = draw(st.permutations(assets))
    return Manifest(path=Path("/x/assets.toml"), root=Path("/x"), assets={asset.id: asset for asset in shuffled})


@given(graphs())
def test_order_and_chains(manifest: Manifest) -> None:
    """Each asset comes after those it uses; chains are what hangs together, named by the least id of each."""
    seen: set[str] = set()
    for asset in order(manifest):
        assert set(asset.needs) <= seen
        seen.add(asset.id)
    assert seen == set(manifest.assets)
    leaders = chains(manifest.assets.values())
    groups: dict[str, set[str]] = {}
    for name, leader in leaders.items():
        groups.setdefault(leader, set()).add(name)
    assert all(leader == min(group) for leader, group in groups.items())
    assert all(leaders[asset.id] == leaders[need] for asset in manifest.assets.values() for need in asset.needs)
    parents = {name: {name} for name in manifest.assets}
    for asset in manifest.assets.values():
        for need in asset.needs:
            joined = parents[asset.id] | parents[need]
            for name in joined:
                parents[name] = joined
    assert {frozenset(group) for group in groups.values()} == {frozenset(group) for group in parents.values()}
