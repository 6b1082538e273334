"""The LiteLLM SDK as a client of the sandbox: ``python litellm_program.py BASE KEY MODEL SIZE PROMPT``.

It runs in LiteLLM's own environment and prints one JSON object: the pictures in Base64, or the error.
"""

from __future__ import annotations

import json
import sys

import litellm


def main() -> None:
    """Order one picture."""
    base, key, model, size, prompt = sys.argv[1:]
    try:
        made = litellm.image_generation(
            model=f"openai/{model}", api_base=base, api_key=key, size=size, prompt=prompt, max_retries=0
        )
    except litellm.exceptions.AuthenticationError as error:
        print(json.dumps({"name": type(error).__name__, "status": error.status_code, "message": str(error)}))  # noqa: T201
    else:
        print(json.dumps({"pictures": [item.b64_json for item in made.data]}))  # noqa: T201


main()
