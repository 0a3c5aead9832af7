"""The warehouse's tables as SQLAlchemy metadata: what ``alembic check`` compares the database with.

Routines and views live in ``procedures/``; foreign tables, mirrors, change sets and fact partitions are made by the
registry at run time and are not listed here.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, OID, ExcludeConstraint
from sqlalchemy.types import UserDefinedType

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

MOMENT = DateTime(timezone=True)
NOW = text("clock_timestamp()")
ROW_COUNTS = ("rows_read", "rows_inserted", "rows_updated", "rows_deleted", "rows_quarantined")


class PgLsn(UserDefinedType[str]):
    """PostgreSQL's ``pg_lsn``, a position in the write-ahead log."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in SQL."""
        return "pg_lsn"


# --------------------------------------------------------------------------------------------------------------------
# etl: control
# --------------------------------------------------------------------------------------------------------------------
Table(
    "warehouse",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true"), comment="Holds the table to one row."),
    Column(
        "warehouse_id",
        Text,
        nullable=False,
        comment="Eight hexadecimal digits in the names of this warehouse's jobs, slots and publications.",
    ),
    Column(
        "system_identifier",
        BigInteger,
        nullable=False,
        comment="The cluster's system identifier when the id was given; another one means a copy.",
    ),
    Column(
        "database_oid",
        OID,
        nullable=False,
        comment="The database's oid when the id was given; another one means a clone.",
    ),
    Column(
        "time_zone",
        Text,
        nullable=False,
        server_default=text("'UTC'"),
        comment="Time zone that turns captured_at into captured_on; fixed at the first load.",
    ),
    Column("created_at", MOMENT, nullable=False, server_default=NOW, comment="When the id was given."),
    CheckConstraint("one", name="one_row"),
    CheckConstraint("warehouse_id ~ '^[0-9a-f]{8}$'", name="id_form"),
    schema="etl",
    comment="The identity of this warehouse: one row. A clone or a copy restored elsewhere is given a new id by etl.warehouse_id().",
)

Table(
    "settings",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true"), comment="Holds the table to one row."),
    Column(
        "fetch_size", Integer, nullable=False, server_default=text("20000"), comment="Rows per fetch from a source."
    ),
    Column(
        "log_retention",
        Interval,
        nullable=False,
        server_default=text("'90 days'::interval"),
        comment="Age at which etl.purge() deletes runs, steps and errors.",
    ),
    Column(
        "cron_retention",
        Interval,
        nullable=False,
        server_default=text("'7 days'::interval"),
        comment="Age at which etl.purge() deletes rows of cron.job_run_details.",
    ),
    Column(
        "max_changes",
        Integer,
        nullable=False,
        server_default=text("200000"),
        comment="Changes that one batch takes from a slot; a single transaction may exceed it.",
    ),
    Column(
        "publish_changes",
        BigInteger,
        nullable=False,
        server_default=text("5000000"),
        comment="Changes after which a publish commits before it takes the next waiting batches.",
    ),
    Column(
        "slot_timeout",
        Interval,
        nullable=False,
        server_default=text("'30 seconds'::interval"),
        comment="How long the making of a slot may wait for transactions at the source.",
    ),
    Column(
        "slot_lag_warning",
        BigInteger,
        nullable=False,
        server_default=text("1073741824"),
        comment="Bytes of WAL that a slot may hold back before etl.status warns.",
    ),
    CheckConstraint("one", name="one_row"),
    Column(
        "retry_attempts",
        Integer,
        nullable=False,
        server_default=text("3"),
        comment="How often a phase is tried again within a run after a serialization failure, deadlock or lock timeout.",
    ),
    Column(
        "retry_pause",
        Interval,
        nullable=False,
        server_default=text("'200 milliseconds'::interval"),
        comment="Mean pause before the first such attempt; doubled for each further one.",
    ),
    Column(
        "backoff_first",
        Interval,
        nullable=False,
        server_default=text("'30 seconds'::interval"),
        comment="Pause of a pipeline after its second failure in a row for want of connection or resources; doubled each time.",
    ),
    Column(
        "backoff_longest",
        Interval,
        nullable=False,
        server_default=text("'15 minutes'::interval"),
        comment="Longest such pause.",
    ),
    Column(
        "quarantine_share",
        Numeric,
        nullable=False,
        server_default=text("0.5"),
        comment="Share of a change set that one reason may send to quarantine; beyond it the publish stops.",
    ),
    Column(
        "quarantine_from",
        Integer,
        nullable=False,
        server_default=text("1000"),
        comment="Rows of a change set from which quarantine_share counts.",
    ),
    Column(
        "check_sample",
        Integer,
        nullable=False,
        server_default=text("20"),
        comment="Offending rows of a check that the log keeps.",
    ),
    Column(
        "copy_from",
        BigInteger,
        nullable=False,
        server_default=text("100000"),
        comment="Rows at the source from which a first copy without a key fills its mirror directly.",
    ),
    CheckConstraint("copy_from >= 0", name="copy_from"),
    Column(
        "reader_samples",
        Text,
        nullable=False,
        server_default=text("'masked'::text"),
        comment="What readers of dwh see of a quarantined row, of what a check found and of an error: none; masked: numbers, dates and nulls, no text; rows: all of it.",
    ),
    Column(
        "dashboard_cells",
        Integer,
        nullable=False,
        server_default=text("150000"),
        comment="Cells that a cube of figures in the dashboard page may have; beyond it the page is coarser and a live one asks the server.",
    ),
    CheckConstraint("dashboard_cells between 10 and 5000000", name="dashboard_cells"),
    CheckConstraint("reader_samples in ('none', 'masked', 'rows')", name="reader_samples"),
    CheckConstraint("retry_attempts between 0 and 20", name="retry_attempts"),
    CheckConstraint("quarantine_share between 0 and 1", name="quarantine_share"),
    CheckConstraint("quarantine_from > 0", name="quarantine_from"),
    CheckConstraint("check_sample between 0 and 1000", name="check_sample"),
    CheckConstraint("max_changes between 100 and 10000000", name="max_changes"),
    CheckConstraint("publish_changes >= 1000", name="publish_changes"),
    CheckConstraint("slot_timeout between interval '1 second' and interval '1 hour'", name="slot_timeout"),
    CheckConstraint("slot_lag_warning >= 1048576", name="slot_lag_warning"),
    CheckConstraint("fetch_size between 100 and 1000000", name="fetch_size"),
    CheckConstraint("log_retention >= interval '1 hour'", name="log_retention"),
    CheckConstraint("cron_retention >= interval '1 hour'", name="cron_retention"),
    schema="etl",
    comment="Policy of the whole warehouse, one row; change it by UPDATE as headrace_owner.",
)

Table(
    "secret",
    metadata,
    Column("secret", Text, primary_key=True, comment="What it is for: mask is the key of the hash mask."),
    Column("value", LargeBinary, nullable=False, comment="The secret itself; readable by headrace_owner alone."),
    schema="etl",
    comment="Keys that must not leave the warehouse.",
)

Table(
    "source",
    metadata,
    Column(
        "source",
        Text,
        primary_key=True,
        comment="Name of the source: also of its foreign server and of the schema of its foreign tables.",
    ),
    Column(
        "fdw",
        Text,
        nullable=False,
        server_default=text("'postgres_fdw'"),
        comment="Foreign data wrapper that it is read with; postgres_fdw stands for dblink too.",
    ),
    Column("added_at", MOMENT, nullable=False, server_default=NOW, comment="When it was registered."),
    schema="etl",
    comment="Registered operational databases. Written by etl.add_source() and etl.remove_source().",
)

Table(
    "pipeline",
    metadata,
    Column("pipeline", Text, primary_key=True, comment="Name of the pipeline."),
    Column(
        "pipeline_id",
        Integer,
        Identity(always=True),
        nullable=False,
        unique=True,
        comment="Number used for the pipeline's advisory lock.",
    ),
    Column(
        "paused_at", MOMENT, comment="Set while the pipeline is paused by etl.pause(); its runs are logged as skipped."
    ),
    Column("pause_reason", Text, comment="Why it is paused, in words."),
    Column(
        "on_success",
        Text,
        comment="Callback procedure schema.name(pipeline text, run_id bigint, status text), called after a run that succeeded.",
    ),
    Column(
        "on_failure",
        Text,
        comment="Callback procedure of the same form, called after a run that failed or was canceled.",
    ),
    Column(
        "run_timeout",
        Interval,
        comment="A run that takes longer is canceled by etl.cancel_overdue(); null for no limit.",
    ),
    Column(
        "step_timeout", Interval, comment="A table or step that takes longer is canceled likewise; null for no limit."
    ),
    Column(
        "failures",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Failures in a row for want of connection or resources.",
    ),
    Column("next_attempt_at", MOMENT, comment="Until then runs are skipped, unless forced; null if nothing is wrong."),
    Column("added_at", MOMENT, nullable=False, server_default=NOW, comment="When it was registered."),
    CheckConstraint("pipeline <> ''", name="name"),
    schema="etl",
    comment="Units of consistency: the tables of a pipeline are captured from one source snapshot and published together or not at all.",
)

Table(
    "source_table",
    metadata,
    Column(
        "source_table_id",
        Integer,
        Identity(always=True),
        primary_key=True,
        comment="Number of the table, used in progress and locks.",
    ),
    Column("source", Text, ForeignKey("etl.source.source"), nullable=False, comment="Source it lives in."),
    Column("source_schema", Text, nullable=False, comment="Its schema at the source."),
    Column("source_name", Text, nullable=False, comment="Its name at the source."),
    Column(
        "mirror",
        Text,
        nullable=False,
        unique=True,
        comment="Name of the mirror in mrr; its change set is stg.<mirror>_changes.",
    ),
    Column(
        "pipeline",
        Text,
        ForeignKey("etl.pipeline.pipeline"),
        nullable=False,
        comment="Pipeline that captures and publishes it.",
    ),
    Column(
        "capture",
        Text,
        nullable=False,
        server_default=text("'full'"),
        comment="Capture mode: full compares a fresh snapshot with the mirror; log decodes the source's WAL; watermark reads what a growing column says is new.",
    ),
    Column("key_columns", ARRAY(Text), comment="Source columns of its key; null for a table without one."),
    Column(
        "enabled",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="False leaves it out of capture; what is mirrored stays.",
    ),
    Column("copied_at", MOMENT, comment="When its first copy was committed; null until then."),
    Column(
        "inserts_only",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Mode log: only inserts are captured, because the table has no replica identity.",
    ),
    Column(
        "on_schema_change",
        Text,
        nullable=False,
        server_default=text("'evolve'"),
        comment="What a changed column at the source leads to: evolve takes over new columns and else resyncs, resync registers anew and compares, stop fails.",
    ),
    Column(
        "needs_resync",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="True until the next capture has compared the mirror with the source.",
    ),
    Column(
        "needs_rebuild",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="True until the next capture has compared the mirror and written all of it into the change set, after a part of the warehouse was restored.",
    ),
    Column(
        "copy_snapshot", Text, comment="Mode log: source snapshot of the last copy; changes that it saw are skipped."
    ),
    Column("copy_lsn", PgLsn, comment="Mode log: WAL position at or below which all lies that copy_snapshot saw."),
    Column(
        "partition_tree",
        Text,
        comment="Mode log: the table, or the partitions of a partitioned one, at the last capture.",
    ),
    Column("watermark_column", Text, comment="Mode watermark: the growing column."),
    Column(
        "watermark_overlap",
        Text,
        comment="Mode watermark: how far below the mark is read again, in the column's own terms.",
    ),
    Column(
        "full_every",
        Interval,
        comment="Mode watermark: how often a full comparison finds deleted rows; null for never.",
    ),
    Column("full_at", MOMENT, comment="When the table was last compared in full."),
    Column("added_at", MOMENT, nullable=False, server_default=NOW, comment="When it was registered."),
    UniqueConstraint("source", "source_schema", "source_name"),
    CheckConstraint("capture in ('full', 'log', 'watermark')", name="capture"),
    CheckConstraint("on_schema_change in ('evolve', 'resync', 'stop')", name="on_schema_change"),
    CheckConstraint("(capture = 'watermark') = (watermark_column is not null)", name="watermark"),
    CheckConstraint("octet_length(mirror) between 1 and 55", name="mirror_length"),
    Index(None, "pipeline"),
    schema="etl",
    comment="Mirrored tables. Written by etl.add_table() and etl.remove_table().",
)

Table(
    "source_column",
    metadata,
    Column(
        "source_table_id",
        Integer,
        ForeignKey("etl.source_table.source_table_id", ondelete="CASCADE"),
        nullable=False,
        primary_key=True,
        comment="Table it belongs to.",
    ),
    Column("position", SmallInteger, primary_key=True, autoincrement=False, comment="Attribute number at the source."),
    Column("column_name", Text, nullable=False, comment="Its name, the same at the source and in the mirror."),
    Column("source_type", Text, nullable=False, comment="Its type at the source as format_type() writes it."),
    Column("mirror_type", Text, nullable=False, comment="Its type in the mirror."),
    Column(
        "mask",
        Text,
        comment="drop: not mirrored; hash: HMAC-SHA-256 with the secret of the warehouse; truncate: the first mask_length characters.",
    ),
    Column("mask_length", Integer, comment="Characters kept by the mask truncate."),
    UniqueConstraint("source_table_id", "column_name"),
    CheckConstraint("mask in ('drop', 'hash', 'truncate')", name="mask"),
    CheckConstraint("(mask is not distinct from 'truncate') = (mask_length is not null)", name="mask_length"),
    schema="etl",
    comment="Columns of the mirrored tables as they were at registration, with what is left out or masked.",
)

Table(
    "slot",
    metadata,
    Column("pipeline", Text, ForeignKey("etl.pipeline.pipeline"), primary_key=True, comment="Pipeline."),
    Column("source", Text, ForeignKey("etl.source.source"), primary_key=True, comment="Source."),
    Column("slot_name", Text, nullable=False, comment="Name of the slot, and of the publication, at the source."),
    Column("position", PgLsn, nullable=False, comment="WAL position up to which all changes are in batches."),
    Column(
        "system_identifier",
        BigInteger,
        nullable=False,
        comment="The source's system identifier when the slot was made.",
    ),
    Column("timeline", Integer, nullable=False, comment="The source's timeline when the slot was made."),
    Column("made_at", MOMENT, nullable=False, server_default=NOW, comment="When the slot was made."),
    Column("read_at", MOMENT, comment="The source's clock when the slot was last read."),
    Column(
        "lag_bytes", BigInteger, comment="WAL between position and the source's end of WAL when the slot was last read."
    ),
    schema="etl",
    comment="Logical slots of the pipelines that capture by mode log.",
)

Table(
    "watermark",
    metadata,
    Column(
        "source_table_id",
        Integer,
        ForeignKey("etl.source_table.source_table_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="Table.",
    ),
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False, comment="Batch that read up to the mark."),
    Column("mark", Text, nullable=False, comment="Highest value of the watermark column that the batch saw."),
    Column(
        "snapshot",
        Text,
        nullable=False,
        comment="Source snapshot of the batch; the mark is safe once all transactions open in it have ended.",
    ),
    schema="etl",
    comment="Marks of tables captured by mode watermark, the newest safe one and all after it.",
)

Table(
    "reconciliation",
    metadata,
    Column(
        "reconciliation_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the comparison."
    ),
    Column(
        "run_id",
        BigInteger,
        ForeignKey("etl.run_log.run_id", ondelete="CASCADE"),
        nullable=False,
        comment="Run that made it.",
    ),
    Column("mirror", Text, nullable=False, comment="Mirror that was compared with its source."),
    Column("rows_source", BigInteger, nullable=False, comment="Rows at the source."),
    Column(
        "rows_mirror",
        BigInteger,
        nullable=False,
        comment="Rows in the mirror, with the changes still in the slot that the source's snapshot already saw.",
    ),
    Column("buckets_different", Integer, nullable=False, comment="Hash buckets, of 1024, that differ."),
    Column("rows_different", BigInteger, nullable=False, comment="Rows that only one side has, counting copies."),
    Column("compared_at", MOMENT, nullable=False, server_default=NOW, comment="When it was made."),
    Index(None, "run_id"),
    schema="etl",
    comment="Comparisons of mirrors with their sources by etl.reconcile().",
)

Table(
    "difference",
    metadata,
    Column(
        "reconciliation_id",
        BigInteger,
        ForeignKey("etl.reconciliation.reconciliation_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="Comparison.",
    ),
    Column(
        "number",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="Number of the row in the comparison; at most 100 are kept.",
    ),
    Column("bucket", Integer, nullable=False, comment="Hash bucket."),
    Column("row_image", Text, nullable=False, comment="Text form of the row, without hashed columns."),
    Column("copies_source", BigInteger, nullable=False, comment="How often the source has it."),
    Column("copies_mirror", BigInteger, nullable=False, comment="How often the mirror has it."),
    schema="etl",
    comment="A sample of the rows that a comparison found different.",
)

Table(
    "stage",
    metadata,
    Column("stage", Text, primary_key=True, comment="Stage function, schema.name(p_batch bigint)."),
    Column("mirror", Text, primary_key=True, comment="Mirror whose change set it reads."),
    Column(
        "is_made",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="True if etl.create_stage() made the function, so that it goes with its registration.",
    ),
    schema="etl",
    comment="Which change sets a stage function cleans, types and judges.",
)

Table(
    "dimension",
    metadata,
    Column("dimension", Text, primary_key=True, comment="Table of the dimension, schema.name."),
    Column("stage", Text, nullable=False, comment="Stage function that delivers its members."),
    Column("surrogate_key", Text, nullable=False, comment="Its surrogate key column, an identity."),
    Column("business_key", Text, nullable=False, comment="Its business key column, the same name in the stage."),
    Column("attributes", ARRAY(Text), nullable=False, comment="Columns whose change opens a new version (SCD2)."),
    Column(
        "is_made",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="True if etl.add_dimension() made the table, so that it goes with its registration.",
    ),
    schema="etl",
    comment="Dimensions that dwh.load_dimension() loads.",
)

Table(
    "fact",
    metadata,
    Column("fact", Text, primary_key=True, comment="Table of the facts, schema.name."),
    Column("stage", Text, nullable=False, comment="Stage function that delivers them."),
    Column(
        "dimensions",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'::text[]"),
        comment="Dimensions that the facts refer to, each by its business key, which the stage has.",
    ),
    Column(
        "key_columns",
        ARRAY(Text),
        comment="Columns of the stage that tell one fact; null where only equal rows can be told.",
    ),
    Column(
        "is_made",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="True if etl.add_fact() made the table, so that it goes with its registration.",
    ),
    Column(
        "measures",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'::text[]"),
        comment="Columns whose sums by day the dashboard shows.",
    ),
    schema="etl",
    comment="Facts that dwh.load_fact() loads.",
)

Table(
    "step",
    metadata,
    Column(
        "step_id", Integer, Identity(always=True), primary_key=True, comment="Number of the step, used in progress."
    ),
    Column(
        "pipeline",
        Text,
        ForeignKey("etl.pipeline.pipeline", ondelete="CASCADE"),
        nullable=False,
        comment="Pipeline that it is a step of.",
    ),
    Column("step", Text, nullable=False, comment="Name of the step."),
    Column(
        "routine",
        Text,
        nullable=False,
        comment="Function schema.name(p_batch bigint, p_step etl.step) returns etl.row_counts.",
    ),
    Column("target", Text, comment="Table that it loads, schema.name; etl.rebuild() finds the step by it."),
    Column(
        "stages",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'::text[]"),
        comment="Stage functions that it reads; it is left out for a batch in which none of their mirrors changed.",
    ),
    Column(
        "depends_on",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'::text[]"),
        comment="Steps of the same pipeline that come before it.",
    ),
    Column("enabled", Boolean, nullable=False, server_default=text("true"), comment="False leaves it out."),
    UniqueConstraint("pipeline", "step"),
    schema="etl",
    comment="Steps of the publish phase, run for every batch in the order of their dependencies.",
)

# --------------------------------------------------------------------------------------------------------------------
# etl: batches
# --------------------------------------------------------------------------------------------------------------------
Table(
    "batch",
    metadata,
    Column(
        "batch_id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Number of the batch; batches of a pipeline are published in this order.",
    ),
    Column("pipeline", Text, ForeignKey("etl.pipeline.pipeline"), nullable=False, comment="Pipeline it belongs to."),
    Column(
        "kind",
        Text,
        nullable=False,
        server_default=text("'capture'"),
        comment="capture, replay (rows from quarantine) or rebuild (rows from a mirror).",
    ),
    Column("run_id", BigInteger, comment="Run that captured it."),
    Column("captured_at", MOMENT, nullable=False, comment="The source's clock when the snapshot was taken."),
    Column("rows_changed", BigInteger, nullable=False, server_default=text("0"), comment="Rows in its change sets."),
    Column("published_at", MOMENT, comment="When it was published; null while it waits."),
    Column("published_run_id", BigInteger, comment="Run that published it."),
    CheckConstraint("kind in ('capture', 'replay', 'rebuild')", name="kind"),
    Index("batch_waiting_idx", "pipeline", "batch_id", postgresql_where=text("published_at is null")),
    Index("batch_pipeline_idx", "pipeline", "batch_id"),
    schema="etl",
    comment="Captured batches. A batch waits until one publish has brought all waiting ones to dwh.",
)

Table(
    "batch_source",
    metadata,
    Column(
        "batch_id",
        BigInteger,
        ForeignKey("etl.batch.batch_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="Batch.",
    ),
    Column("source", Text, primary_key=True, comment="Source."),
    Column(
        "captured_at",
        MOMENT,
        nullable=False,
        comment="The source's clock when its snapshot was taken; the warehouse's for a source other than PostgreSQL.",
    ),
    Column(
        "snapshot",
        Text,
        comment="pg_current_snapshot() of the reading transaction at the source; null for a source other than PostgreSQL.",
    ),
    Column(
        "lsn",
        PgLsn,
        comment="Flushed WAL position of the source: read before the snapshot, or, where log tables were copied, above all that it saw.",
    ),
    Column(
        "system_identifier",
        BigInteger,
        comment="The source's system identifier, to notice another server behind the same name.",
    ),
    Column("timeline", Integer, comment="The source's timeline, to notice a restore or a failover."),
    schema="etl",
    comment="The source snapshot that a batch was captured from.",
)

Table(
    "batch_table",
    metadata,
    Column(
        "batch_id",
        BigInteger,
        ForeignKey("etl.batch.batch_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="Batch.",
    ),
    Column("mirror", Text, primary_key=True, comment="Mirror whose change set it counts."),
    Column("rows_read", BigInteger, nullable=False, comment="Rows read at the source."),
    Column("rows_inserted", BigInteger, nullable=False, comment="Rows marked I in the change set."),
    Column("rows_updated", BigInteger, nullable=False, comment="Rows marked U in the change set."),
    Column("rows_deleted", BigInteger, nullable=False, comment="Rows marked D in the change set."),
    schema="etl",
    comment="What a batch changed, per mirror. Tables without a change have no row.",
)

# --------------------------------------------------------------------------------------------------------------------
# etl: log
# --------------------------------------------------------------------------------------------------------------------
Table(
    "run_log",
    metadata,
    Column("run_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the run."),
    Column("pipeline", Text, nullable=False, comment="Pipeline."),
    Column("action", Text, nullable=False, comment="run, capture, publish, rebuild or replay_quarantine."),
    Column("status", Text, nullable=False, comment="running, succeeded, failed, skipped, canceled or aborted."),
    Column("started_by", Text, nullable=False, comment="Role that started it."),
    Column("started_from", Text, nullable=False, comment="pg_cron, or the application name of the session."),
    Column("backend_pid", Integer, nullable=False, comment="Process that works on it."),
    Column(
        "dry_run",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="True if everything it did was rolled back on purpose.",
    ),
    Column("started_at", MOMENT, nullable=False, server_default=NOW, comment="When it was opened."),
    Column("finished_at", MOMENT, comment="When it was closed; null while it runs."),
    Column("first_batch", BigInteger, comment="First batch that it published."),
    Column("last_batch", BigInteger, comment="Last batch that it published."),
    Column("message", Text, comment="The outcome in words."),
    CheckConstraint("status in ('running', 'succeeded', 'failed', 'skipped', 'canceled', 'aborted')", name="status"),
    CheckConstraint("(status = 'running') = (finished_at is null)", name="finished"),
    Index("run_log_pipeline_idx", "pipeline", "run_id"),
    Index("run_log_running_idx", "pipeline", postgresql_where=text("status = 'running'")),
    schema="etl",
    comment="One row per run, whoever started it; survives every rollback.",
)

Table(
    "step_log",
    metadata,
    Column("step_log_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the entry."),
    Column(
        "run_id",
        BigInteger,
        ForeignKey("etl.run_log.run_id", ondelete="CASCADE"),
        nullable=False,
        comment="Run it belongs to.",
    ),
    Column("phase", Text, nullable=False, comment="capture or publish."),
    Column("step", Text, nullable=False, comment="Name of the step; in the capture phase the mirror."),
    Column("attempt", Integer, nullable=False, server_default=text("1"), comment="Attempt within the run."),
    Column("batch_id", BigInteger, comment="Batch it worked on."),
    Column(
        "status",
        Text,
        nullable=False,
        comment="succeeded, failed, canceled, or rolled_back where a later step of the phase failed.",
    ),
    *(
        Column(name, BigInteger, nullable=False, server_default=text("0"), comment=f"Rows {name[5:]}.")
        for name in ROW_COUNTS
    ),
    Column("started_at", MOMENT, nullable=False, comment="When it began."),
    Column("finished_at", MOMENT, nullable=False, comment="When it ended."),
    CheckConstraint("status in ('succeeded', 'failed', 'canceled', 'rolled_back')", name="status"),
    Index(None, "run_id"),
    schema="etl",
    comment="One row per step, batch and attempt, with the rows it moved.",
)

Table(
    "procedure_errors",
    metadata,
    Column("error_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the error."),
    Column(
        "run_id",
        BigInteger,
        ForeignKey("etl.run_log.run_id", ondelete="CASCADE"),
        comment="Run in which it happened, if in one.",
    ),
    Column("pipeline", Text, comment="Pipeline."),
    Column("step", Text, comment="Step, mirror or routine that it happened in."),
    Column("routine", Text, nullable=False, comment="Routine that caught it."),
    Column("sqlstate", Text, nullable=False, comment="SQLSTATE."),
    Column("message", Text, nullable=False, comment="Message."),
    Column("detail", Text, comment="Detail."),
    Column("hint", Text, comment="Hint: what to do next."),
    Column("context", Text, comment="Call stack."),
    Column("occurred_at", MOMENT, nullable=False, server_default=NOW, comment="When it was caught."),
    Column(
        "occurred_for", Text, nullable=False, server_default=text("session_user"), comment="Role whose session it was."
    ),
    CheckConstraint("sqlstate ~ '^[0-9A-Z]{5}$'", name="sqlstate"),
    Index(None, "run_id"),
    Index(None, "occurred_at"),
    schema="etl",
    comment="Every error that a procedure caught, with all that PostgreSQL said of it.",
)

Table(
    "job",
    metadata,
    Column("job", Text, primary_key=True, comment="Name of the job: its file below jobs/warehouse."),
    Column("schedule", Text, nullable=False, comment="When it runs, as pg_cron writes it."),
    Column("command", Text, nullable=False, comment="What it runs."),
    Column("username", Text, nullable=False, comment="Role it runs as."),
    Column(
        "is_scheduled",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="True once pg_cron has taken it; false where pg_cron is absent.",
    ),
    schema="etl",
    comment="Jobs that the deployment handed to pg_cron, wherever pg_cron lives.",
)

Table(
    "layout",
    metadata,
    Column("relation", Text, primary_key=True, comment="Table, schema.name."),
    Column(
        "kind",
        Text,
        nullable=False,
        comment="distributed over the workers, reference: whole on every node, or local: on the coordinator alone.",
    ),
    Column(
        "distribution_column",
        Text,
        comment="Column whose hash tells the shard, part of the primary key; null unless distributed.",
    ),
    CheckConstraint("kind in ('distributed', 'reference', 'local')", name="kind"),
    CheckConstraint("(kind = 'distributed') = (distribution_column is not null)", name="column"),
    schema="etl",
    comment="Where tables live on a cluster of Citus; without the extension it has no effect. etl.apply_layout() brings it about; tables that are not named stay on the coordinator.",
)

Table(
    "check_rule",
    metadata,
    Column("check_id", Integer, Identity(always=True), primary_key=True, comment="Number of the check."),
    Column(
        "pipeline",
        Text,
        ForeignKey("etl.pipeline.pipeline", ondelete="CASCADE"),
        nullable=False,
        comment="Pipeline whose publishes it judges.",
    ),
    Column("check_name", Text, nullable=False, comment="Name of the check."),
    Column("severity", Text, nullable=False, comment="error stops the publish, warn only logs."),
    Column("query", Text, nullable=False, comment="Query that returns the offending rows; none means passed."),
    Column("enabled", Boolean, nullable=False, server_default=text("true"), comment="False leaves it out."),
    UniqueConstraint("pipeline", "check_name"),
    CheckConstraint("severity in ('warn', 'error')", name="severity"),
    schema="etl",
    comment="Checks that a publish must pass before readers see it. Written by etl.add_check() and etl.remove_check().",
)

Table(
    "check_log",
    metadata,
    Column("check_log_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the entry."),
    Column(
        "run_id",
        BigInteger,
        ForeignKey("etl.run_log.run_id", ondelete="CASCADE"),
        nullable=False,
        comment="Run that it was checked in.",
    ),
    Column("check_name", Text, nullable=False, comment="Check."),
    Column("severity", Text, nullable=False, comment="Its severity then."),
    Column("status", Text, nullable=False, comment="passed, warned, or failed: the publish was stopped."),
    Column("first_batch", BigInteger, comment="First batch of the publish."),
    Column("last_batch", BigInteger, comment="Last batch of the publish."),
    Column("rows_found", BigInteger, nullable=False, comment="Offending rows."),
    Column("sample", JSONB, comment="Some of them, at most etl.settings.check_sample."),
    Column("checked_at", MOMENT, nullable=False, comment="When it was checked."),
    CheckConstraint("status in ('passed', 'warned', 'failed')", name="status"),
    Index(None, "run_id"),
    Index("check_log_check_name_idx", "check_name", "check_log_id"),
    schema="etl",
    comment="Outcome of every check of every publish; survives the rollback of a publish that it stopped.",
)

Table(
    "backup_log",
    metadata,
    Column("backup_log_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the entry."),
    Column("kind", Text, nullable=False, comment="logical, physical, verify or restore."),
    Column(
        "status",
        Text,
        nullable=False,
        server_default=text("'running'"),
        comment="running, succeeded, failed, or aborted: its script ended before it could say so.",
    ),
    Column("backup", Text, comment="Name of the backup."),
    Column("place", Text, nullable=False, comment="Host and directory or repository that it is in."),
    Column("bytes", BigInteger, comment="Size of the backup."),
    Column(
        "started_by",
        Text,
        nullable=False,
        server_default=text("session_user"),
        comment="Role that the script connected as.",
    ),
    Column("started_at", MOMENT, nullable=False, server_default=NOW, comment="When it began."),
    Column("finished_at", MOMENT, comment="When it ended; null while it runs."),
    Column("message", Text, comment="The outcome in words."),
    CheckConstraint("kind in ('logical', 'physical', 'verify', 'restore')", name="kind"),
    CheckConstraint("status in ('running', 'succeeded', 'failed', 'aborted')", name="status"),
    CheckConstraint("(status = 'running') = (finished_at is null)", name="finished"),
    Index("backup_log_kind_idx", "kind", "backup_log_id"),
    schema="etl",
    comment="Backups, verifications and restores of this warehouse. Written by the scripts of backup/.",
)

Table(
    "deployed_file",
    metadata,
    Column("path", Text, primary_key=True, comment="File below procedures/."),
    Column("sha256", Text, nullable=False, comment="Hash of its text when it was deployed."),
    Column("deployed_at", MOMENT, nullable=False, server_default=NOW, comment="When it was deployed."),
    schema="etl",
    comment="What alembic upgrade head deployed of procedures/.",
)

Table(
    "page",
    metadata,
    Column("page", Text, primary_key=True, comment="Name of the page."),
    Column(
        "content",
        Text,
        nullable=False,
        comment="HTML with everything inlined; @@connect@@ and @@data@@ stand for what dwh.dashboard() puts there.",
    ),
    Column("sha256", Text, nullable=False, comment="Hash of the content."),
    Column("deployed_at", MOMENT, nullable=False, server_default=NOW, comment="When it was deployed."),
    schema="etl",
    comment="Pages that alembic upgrade head deployed of dashboard/web, without figures.",
)

# --------------------------------------------------------------------------------------------------------------------
# stg
# --------------------------------------------------------------------------------------------------------------------
Table(
    "quarantine",
    metadata,
    Column(
        "quarantine_id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Number of the entry; the highest of equal rows is the newest.",
    ),
    Column("mirror", Text, nullable=False, comment="Mirror that the row is in."),
    Column("stage", Text, nullable=False, comment="Stage function that judged it."),
    Column("batch_id", BigInteger, nullable=False, comment="Batch that first captured the row."),
    Column("reason", Text, nullable=False, comment="Why it was not let into dwh."),
    Column(
        "row_key", Text, nullable=False, comment="Text form of its key, or of the whole row where the table has none."
    ),
    Column(
        "row_hash",
        BigInteger,
        Computed("hashtextextended(row_key, 0)", persisted=True),
        nullable=False,
        comment="Hash of row_key, for look-ups.",
    ),
    Column("row_data", JSONB, nullable=False, comment="The row as it is in the mirror."),
    Column("quarantined_at", MOMENT, nullable=False, server_default=NOW, comment="When it was judged."),
    Index("quarantine_row_idx", "mirror", "row_hash"),
    schema="stg",
    comment="Source rows that were judged unfit for dwh, with the reason. They leave when their source row is mended or deleted, or by etl.replay_quarantine().",
)

Table(
    "left_out",
    metadata,
    Column("mirror", Text, primary_key=True, comment="Mirror."),
    Column(
        "change_seq",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Number of the row in the change set.",
    ),
    schema="stg",
    comment="Rows of a first copy that the judge has put into quarantine; empty between publishes.",
)

Table(
    "sales_delta",
    metadata,
    Column("captured_on", Date, nullable=False, comment="Day."),
    Column("country", Text, nullable=False, comment="Country of the customer's version, or (unknown)."),
    Column("product_key", BigInteger, nullable=False, comment="Version of the product."),
    Column("lines", BigInteger, nullable=False, comment="Sales added, less sales removed."),
    Column("units", BigInteger, nullable=False, comment="Units added, less units removed."),
    schema="stg",
    comment="What a publish changes in the facts, on its way into the aggregates; empty between publishes.",
    prefixes=["UNLOGGED"],
)

Table(
    "completed_member",
    metadata,
    Column("dimension", Text, primary_key=True, comment="Dimension."),
    Column(
        "member_key",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Surrogate key of the inferred member that was completed in place.",
    ),
    schema="stg",
    comment="Inferred members that a publish completed and whose facts the aggregates must move; empty between publishes.",
    prefixes=["UNLOGGED"],
)


# --------------------------------------------------------------------------------------------------------------------
# dwh
# --------------------------------------------------------------------------------------------------------------------
def dimension(name: str, member: str, attributes: tuple[str, ...]) -> Table:
    """Build one SCD2 dimension table ``dwh.dim_<name>``.

    Args:
        name: what a member is called, such as ``customer``; names the table, its surrogate and its business key.
        member: the member in words, for the comments.
        attributes: columns of type text whose change opens a new version.

    Returns:
        The table, added to ``metadata``.
    """
    key, business_key, table = f"{name}_key", f"{name}_id", f"dim_{name}"
    return Table(
        table,
        metadata,
        Column(key, BigInteger, Identity(always=True), primary_key=True, comment="Surrogate key: one per version."),
        Column("source", Text, nullable=False, comment="Source that the member comes from."),
        Column(business_key, BigInteger, nullable=False, comment=f"The source's own id of the {member}."),
        *(
            Column(
                a,
                Text,
                comment=f"{a.capitalize().replace('_', ' ')} of the {member}; null while the member is inferred.",
            )
            for a in attributes
        ),
        Column("valid_from", MOMENT, nullable=False, comment="Start of the version's period, inclusive."),
        Column(
            "valid_to",
            MOMENT,
            nullable=False,
            server_default=text("'infinity'::timestamp with time zone"),
            comment="End of the version's period, exclusive; infinity for the current one.",
        ),
        Column(
            "is_current",
            Boolean,
            nullable=False,
            server_default=text("true"),
            comment="True for the version that holds now; none for a deleted member.",
        ),
        Column(
            "is_inferred",
            Boolean,
            nullable=False,
            server_default=text("false"),
            comment=f"True while only facts speak of the {member} and its own row has not come.",
        ),
        Column(
            "batch_from",
            BigInteger,
            nullable=False,
            comment="First batch whose facts refer to this version; 0 for the first version.",
        ),
        Column(
            "batch_to",
            BigInteger,
            nullable=False,
            server_default=text("9223372036854775807"),
            comment="Batch from which facts refer to the next version.",
        ),
        CheckConstraint("valid_from < valid_to", name="period"),
        CheckConstraint("batch_from < batch_to", name="batches"),
        CheckConstraint("is_current = (valid_to = 'infinity'::timestamp with time zone)", name="current"),
        ExcludeConstraint(
            (business_key, "="),
            ("source", "="),
            (text("tstzrange(valid_from, valid_to)"), "&&"),
            using="gist",
            name=f"{table}_period_excl",
        ),
        Index(f"{table}_current_idx", "source", business_key, unique=True, postgresql_where=text("is_current")),
        Index(f"{table}_version_idx", "source", business_key, "batch_from", unique=True),
        schema="dwh",
        comment=f"The {member} dimension, SCD2: one row per version, periods never overlap.",
    )


dimension("customer", "customer", ("name", "country"))
dim_product = dimension("product", "product", ("name", "product_group"))
Index("dim_product_later_idx", dim_product.c.source, dim_product.c.product_id, postgresql_where=text("batch_from > 0"))

Table(
    "dim_date",
    metadata,
    Column("date_day", Date, primary_key=True, comment="The day."),
    Column("year", Integer, nullable=False, comment="Year."),
    Column("quarter", Integer, nullable=False, comment="Quarter, 1 to 4."),
    Column("month", Integer, nullable=False, comment="Month, 1 to 12."),
    Column("month_name", Text, nullable=False, comment="English name of the month."),
    Column("iso_year", Integer, nullable=False, comment="Year of the ISO week."),
    Column("iso_week", Integer, nullable=False, comment="ISO week, 1 to 53."),
    Column("day_of_month", Integer, nullable=False, comment="Day of the month, 1 to 31."),
    Column("day_of_week", Integer, nullable=False, comment="ISO day of the week, 1 Monday to 7 Sunday."),
    Column("day_name", Text, nullable=False, comment="English name of the day."),
    Column("is_weekend", Boolean, nullable=False, comment="True on Saturday and Sunday."),
    schema="dwh",
    comment="The date dimension: every day of each year that has facts.",
)

Table(
    "fact_sales",
    metadata,
    Column(
        "sale_key",
        BigInteger,
        Identity(always=True, cache=1000),
        nullable=False,
        comment="Number of the fact; the highest of equal ones is the newest.",
    ),
    Column("source", Text, nullable=False, comment="Source that the sale comes from."),
    Column("customer_id", BigInteger, nullable=False, comment="The source's own id of the customer."),
    Column("product_id", BigInteger, nullable=False, comment="The source's own id of the product."),
    Column(
        "customer_key",
        BigInteger,
        nullable=False,
        comment="Version of the customer that was current when the sale was captured.",
    ),
    Column(
        "product_key",
        BigInteger,
        nullable=False,
        comment="Version of the product that was current when the sale was captured.",
    ),
    Column("qty", BigInteger, nullable=False, comment="Units sold."),
    Column("captured_at", MOMENT, nullable=False, comment="The source's clock when the sale was captured."),
    Column("captured_on", Date, nullable=False, comment="Day of captured_at in the time zone of the warehouse."),
    Column("batch_id", BigInteger, nullable=False, comment="Batch that captured the sale."),
    PrimaryKeyConstraint("sale_key", "captured_on", "customer_id", name="fact_sales_pkey"),
    Index(
        "fact_sales_place_idx",
        text("((sale_key & -4294967296) | (hashint8(customer_id)::bigint & 4294967295))"),
        "product_id",
    ),
    schema="dwh",
    comment="One row per sale. Partitioned by month of captured_on. Equal sales are found by customer and product, within generations of 2^32 numbers.",
    postgresql_partition_by="RANGE (captured_on)",
)

Table(
    "sales_by_day",
    metadata,
    Column("captured_on", Date, primary_key=True, comment="Day."),
    Column(
        "country", Text, primary_key=True, comment="Country of the customer when the sale was captured, or (unknown)."
    ),
    Column(
        "product_key",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Version of the product when the sale was captured.",
    ),
    Column("lines", BigInteger, nullable=False, comment="Number of sales."),
    Column("units", BigInteger, nullable=False, comment="Units sold."),
    CheckConstraint("lines > 0", name="lines"),
    schema="dwh",
    comment="fact_sales by day, country and product; kept up to date by every publish.",
)

Table(
    "sales_by_group",
    metadata,
    Column(
        "product_group",
        Text,
        primary_key=True,
        comment="Group of the product when the sale was captured, or (unknown).",
    ),
    Column("captured_on", Date, primary_key=True, comment="Day."),
    Column(
        "country", Text, primary_key=True, comment="Country of the customer when the sale was captured, or (unknown)."
    ),
    Column("lines", BigInteger, nullable=False, comment="Number of sales."),
    Column("units", BigInteger, nullable=False, comment="Units sold."),
    CheckConstraint("lines > 0", name="lines"),
    schema="dwh",
    comment="fact_sales by day, country and product group; kept up to date by every publish.",
)

Table(
    "sales_by_product",
    metadata,
    Column("product_key", BigInteger, primary_key=True, autoincrement=False, comment="Version of the product."),
    Column("lines", BigInteger, nullable=False, comment="Number of sales."),
    Column("units", BigInteger, nullable=False, comment="Units sold."),
    CheckConstraint("lines > 0", name="lines"),
    schema="dwh",
    comment="fact_sales by product; kept up to date by every publish.",
)

Table(
    "facts_by_day",
    metadata,
    Column("fact", Text, primary_key=True, comment="Table of the facts."),
    Column("captured_on", Date, primary_key=True, comment="Day."),
    Column("measure", Text, primary_key=True, comment="Column that is summed; empty for the number of rows."),
    Column("total", Numeric, nullable=False, comment="The sum, or the number of rows."),
    schema="dwh",
    comment="Facts that etl.add_fact() registered, by day; kept up to date by every publish. Read dwh.metric_fact.",
)

Table(
    "dashboard_copy",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true"), comment="Holds the table to one row."),
    Column("content", Text, nullable=False, comment="The page, as dwh.dashboard() returned it."),
    Column("run_id", BigInteger, comment="Run after which it was made."),
    Column("made_at", MOMENT, nullable=False, comment="When it was made."),
    CheckConstraint("one", name="one_row"),
    schema="dwh",
    comment="A copy of the dashboard page, at most one row; kept by dwh.store_dashboard() where a pipeline calls it after each success.",
)

Table(
    "stored_routines",
    metadata,
    Column("routine_schema", Text, primary_key=True, comment="Schema."),
    Column("routine_name", Text, primary_key=True, comment="Name."),
    Column("arguments", Text, primary_key=True, comment="Identity arguments, which tell overloads apart."),
    Column("kind", Text, nullable=False, comment="function, procedure, aggregate or window."),
    Column("result", Text, comment="Result type; null for a procedure."),
    Column("language", Text, nullable=False, comment="Language."),
    Column("security", Text, nullable=False, comment="definer or invoker."),
    Column("owner", Text, nullable=False, comment="Owner."),
    Column("source", Text, comment="Source text of the whole definition."),
    Column("comment", Text, comment="Its COMMENT."),
    Column("source_hash", Text, nullable=False, comment="SHA-256 of the source text."),
    Column("first_seen", MOMENT, nullable=False, comment="When it was first stored."),
    Column("last_seen", MOMENT, nullable=False, comment="When it was last found in pg_proc."),
    Column("vanished_at", MOMENT, comment="When it was first missed; null while it exists."),
    CheckConstraint("kind in ('function', 'procedure', 'aggregate', 'window')", name="kind"),
    schema="dwh",
    comment="Copies of every routine of this database that is not the system's or an extension's. Written by dwh.insert_procedure_info().",
)

Table(
    "country_access",
    metadata,
    Column(
        "login",
        Text,
        primary_key=True,
        comment="Name that the person signs in to Power BI with, such as ada@example.com.",
    ),
    Column(
        "country",
        Text,
        primary_key=True,
        comment="Country as the customers have it; (unknown) for customers without one.",
    ),
    schema="dwh",
    comment="Which countries a person may see in the Power BI report: its role Country reads it at each refresh. PostgreSQL itself does not.",
)
