"""The queue's tables, identical in SQLite and PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa

FORMAT = 1
"""Format of ``jobs.spec``. A process does not claim jobs of a newer format."""

metadata = sa.MetaData()


def _table(name: str, *parts: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(f"storycore_tts_{name}", metadata, *parts)


jobs = _table(
    "jobs",
    # Increases with each job: of two equally urgent jobs, the one with the lower number runs first.
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),  # a hash, see ``identifiers``
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # a value of JobState
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("spec", sa.Text, nullable=False),  # JSON
    sa.Column("created", sa.BigInteger, nullable=False),  # milliseconds since 1970, as all times
    sa.Column("started", sa.BigInteger),
    sa.Column("ended", sa.BigInteger, index=True),
    sa.Column("worker", sa.Text),  # the process that runs it
    sa.Column("attempts", sa.Integer, nullable=False),  # the fencing token of its claim
    sa.Column("progress", sa.Text),  # JSON
    sa.Index("storycore_tts_jobs_owner", "owner", "number"),
)
sa.Index(
    "storycore_tts_jobs_next",
    jobs.c.state,
    jobs.c.backend,
    jobs.c.priority.desc(),
    jobs.c.number,
)
results = _table(
    "results",
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),  # JSON: facts or failure
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("audio", sa.LargeBinary, nullable=False),
)
affinities = _table(
    "sites",
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("machine", sa.Text, nullable=False),
)
uploads = _table(
    "uploads",
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False, index=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
secrets = _table(
    "secrets",
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)
