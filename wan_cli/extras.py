"""What each optional extra brings, and the command that installs it.

The command names the library and not the extra: on PyPI ``wan-cli`` is somebody else's project, so a command with that
name would bring theirs to whoever runs ``wan`` from a checkout or a single file.
"""

REQUIREMENTS = {
    "sandbox": "uvicorn>=0.34", "video": "av>=15", "keyring": "keyring>=25.5", "yaml": "ruamel.yaml>=0.18.6",
    "s3": "obstore>=0.6", "distributed": "procrastinate>=3.2' 'psycopg[binary]>=3.2",
}  # fmt: skip
"""As ``pyproject.toml`` has them."""


def install(extra: str) -> str:
    """Return the command that installs what an extra brings."""
    return f"python -m pip install '{REQUIREMENTS[extra]}'"
