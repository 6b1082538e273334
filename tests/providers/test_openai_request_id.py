"""The id that support asks for, where an answer carries it in its headers only."""

from __future__ import annotations

from typing import Any


def test_the_request_id_of_the_headers(wan: Any) -> None:
    """OpenAI names a request in ``x-request-id``; the document of a success has it, as that of a refusal does."""
    bought = wan("generate", "a fox", "-p", "openai", "-m", "gpt-image-1", "--sandbox", "--json")
    assert bought.code == 0, bought.err
    assert bought.task["request_id"].startswith("req_")
