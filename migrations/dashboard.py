"""Makes the dashboard's page of dashboard/web and stores it, in the deployment's transaction, where it changed.

``page()`` inlines the style and the scripts into ``index.html`` and names the scripts' hashes in its policy, so that
no other script runs. ``dwh.dashboard()`` puts the figures in.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from migrations.script import literal, run

ROOT = Path(__file__).resolve().parent.parent / "dashboard" / "web"
NAME = "dashboard"
INLINE = re.compile(r'<(script|link) (?:src|rel="stylesheet" href)="([^"]+)">(?:</script>)?')


def page() -> str:
    """Return the whole page, without figures.

    Raises:
        CommandError: a file has what a database in another encoding, or the page around it, could not hold.
    """
    hashes: list[str] = []

    def inline(match: re.Match[str]) -> str:
        kind, name = match.groups()
        text = (ROOT / name).read_text(encoding="utf-8").strip("\n")
        if not text.isascii() or re.search(rf"</{'script' if kind == 'script' else 'style'}|<!--", text, re.IGNORECASE):
            raise CommandError(f"dashboard/web/{name} must be ASCII and close no element")
        if kind == "link":
            return f"<style>\n{text}\n</style>"
        code = f"\n{text}\n"
        hashes.append(f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'")
        return f"<script>{code}</script>"

    whole = INLINE.sub(inline, (ROOT / "index.html").read_text(encoding="utf-8"))
    return whole.replace("@@scripts@@", " ".join(hashes))


def deploy(migration: MigrationContext, *, everything: bool) -> None:
    """Store the page within the open transaction, or print that under ``--sql``.

    Args:
        migration: the context of the migration, in the role of the owner.
        everything: store it without a look at what is there.
    """
    content = page()
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    if not everything:
        assert migration.connection is not None
        known = migration.connection.exec_driver_sql(
            "select 1 from etl.page where page = %s and sha256 = %s", (NAME, sha256)
        )
        if known.first():
            return
    run(
        "-- dashboard/web\n"
        "insert into etl.page (page, content, sha256)\n"
        f"values ({literal(NAME)}, {literal(content)}, {literal(sha256)})\n"
        "on conflict (page) do update\n"
        "set content = excluded.content, sha256 = excluded.sha256, deployed_at = clock_timestamp();",
        migration,
    )
