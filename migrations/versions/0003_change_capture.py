"""Capture by log and by watermark."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UPGRADE = r"""
alter table etl.settings
    add column max_changes integer default 200000 not null,
    add column publish_changes bigint default 5000000 not null,
    add column slot_timeout interval default '30 seconds'::interval not null,
    add column slot_lag_warning bigint default 1073741824 not null,
    add constraint settings_publish_changes_check check (publish_changes >= 1000),
    add constraint settings_slot_lag_warning_check check (slot_lag_warning >= 1048576),
    add constraint settings_slot_timeout_check check (slot_timeout between interval '1 second' and interval '1 hour'),
    add constraint settings_max_changes_check check (max_changes between 100 and 10000000);
comment on column etl.settings.max_changes is 'Changes that one batch takes from a slot; a single transaction may exceed it.';
comment on column etl.settings.publish_changes is 'Changes after which a publish commits before it takes the next waiting batches.';
comment on column etl.settings.slot_timeout is 'How long the making of a slot may wait for transactions at the source.';
comment on column etl.settings.slot_lag_warning is 'Bytes of WAL that a slot may hold back before etl.status warns.';
alter table etl.source_table
    drop constraint source_table_capture_check,
    add column inserts_only boolean default false not null,
    add column on_schema_change text default 'evolve' not null,
    add column needs_resync boolean default false not null,
    add column copy_snapshot text,
    add column copy_lsn pg_lsn,
    add column partition_tree text,
    add column watermark_column text,
    add column watermark_overlap text,
    add column full_every interval,
    add column full_at timestamp with time zone,
    add constraint source_table_on_schema_change_check check (on_schema_change in ('evolve', 'resync', 'stop')),
    add constraint source_table_watermark_check check ((capture = 'watermark') = (watermark_column is not null)),
    add constraint source_table_capture_check check (capture in ('full', 'log', 'watermark'));
comment on column etl.source_table.inserts_only is 'Mode log: only inserts are captured, because the table has no replica identity.';
comment on column etl.source_table.on_schema_change is 'What a changed column at the source leads to: evolve takes over new columns and else resyncs, resync registers anew and compares, stop fails.';
comment on column etl.source_table.needs_resync is 'True until the next capture has compared the mirror with the source.';
comment on column etl.source_table.copy_snapshot is 'Mode log: source snapshot of the last copy; changes that it saw are skipped.';
comment on column etl.source_table.copy_lsn is 'Mode log: WAL position at or below which all lies that copy_snapshot saw.';
comment on column etl.source_table.partition_tree is 'Mode log: the partitions of a partitioned table at the last capture.';
comment on column etl.source_table.watermark_column is 'Mode watermark: the growing column.';
comment on column etl.source_table.watermark_overlap is 'Mode watermark: how far below the mark is read again, in the column''s own terms.';
comment on column etl.source_table.full_every is 'Mode watermark: how often a full comparison finds deleted rows; null for never.';
comment on column etl.source_table.full_at is 'When the table was last compared in full.';
comment on column etl.source_table.capture is 'Capture mode: full compares a fresh snapshot with the mirror; log decodes the source''s WAL; watermark reads what a growing column says is new.';
create table etl.slot (
    pipeline text not null,
    source text not null,
    slot_name text not null,
    position pg_lsn not null,
    system_identifier bigint not null,
    timeline integer not null,
    made_at timestamp with time zone default clock_timestamp() not null,
    read_at timestamp with time zone,
    lag_bytes bigint,
    constraint slot_pkey primary key (pipeline, source),
    constraint slot_pipeline_fkey foreign key(pipeline) references etl.pipeline (pipeline),
    constraint slot_source_fkey foreign key(source) references etl.source (source)
);
comment on table etl.slot is 'Logical slots of the pipelines that capture by mode log.';
comment on column etl.slot.pipeline is 'Pipeline.';
comment on column etl.slot.source is 'Source.';
comment on column etl.slot.slot_name is 'Name of the slot, and of the publication, at the source.';
comment on column etl.slot.position is 'WAL position up to which all changes are in batches.';
comment on column etl.slot.system_identifier is 'The source''s system identifier when the slot was made.';
comment on column etl.slot.timeline is 'The source''s timeline when the slot was made.';
comment on column etl.slot.made_at is 'When the slot was made.';
comment on column etl.slot.read_at is 'The source''s clock when the slot was last read.';
comment on column etl.slot.lag_bytes is 'WAL between position and the source''s end of WAL when the slot was last read.';
create table etl.watermark (
    source_table_id integer not null,
    batch_id bigint not null,
    mark text not null,
    snapshot text not null,
    constraint watermark_pkey primary key (source_table_id, batch_id),
    constraint watermark_source_table_id_fkey foreign key(source_table_id) references etl.source_table (source_table_id) on delete cascade
);
comment on table etl.watermark is 'Marks of tables captured by mode watermark, the newest safe one and all after it.';
comment on column etl.watermark.source_table_id is 'Table.';
comment on column etl.watermark.batch_id is 'Batch that read up to the mark.';
comment on column etl.watermark.mark is 'Highest value of the watermark column that the batch saw.';
comment on column etl.watermark.snapshot is 'Source snapshot of the batch; the mark is safe once all transactions open in it have ended.';
create table etl.reconciliation (
    reconciliation_id bigint generated always as identity,
    run_id bigint not null,
    mirror text not null,
    rows_source bigint not null,
    rows_mirror bigint not null,
    buckets_different integer not null,
    rows_different bigint not null,
    compared_at timestamp with time zone default clock_timestamp() not null,
    constraint reconciliation_pkey primary key (reconciliation_id),
    constraint reconciliation_run_id_fkey foreign key(run_id) references etl.run_log (run_id) on delete cascade
);
comment on table etl.reconciliation is 'Comparisons of mirrors with their sources by etl.reconcile().';
create index reconciliation_run_id_idx ON etl.reconciliation (run_id);
comment on column etl.reconciliation.reconciliation_id is 'Number of the comparison.';
comment on column etl.reconciliation.run_id is 'Run that made it.';
comment on column etl.reconciliation.mirror is 'Mirror that was compared with its source.';
comment on column etl.reconciliation.rows_source is 'Rows at the source.';
comment on column etl.reconciliation.rows_mirror is 'Rows in the mirror, with the changes still in the slot that the source''s snapshot already saw.';
comment on column etl.reconciliation.buckets_different is 'Hash buckets, of 1024, that differ.';
comment on column etl.reconciliation.rows_different is 'Rows that only one side has, counting copies.';
comment on column etl.reconciliation.compared_at is 'When it was made.';
create table etl.difference (
    reconciliation_id bigint not null,
    number integer not null,
    bucket integer not null,
    row_image text not null,
    copies_source bigint not null,
    copies_mirror bigint not null,
    constraint difference_pkey primary key (reconciliation_id, number),
    constraint difference_reconciliation_id_fkey foreign key(reconciliation_id) references etl.reconciliation (reconciliation_id) on delete cascade
);
comment on table etl.difference is 'A sample of the rows that a comparison found different.';
comment on column etl.difference.reconciliation_id is 'Comparison.';
comment on column etl.difference.number is 'Number of the row in the comparison; at most 100 are kept.';
comment on column etl.difference.bucket is 'Hash bucket.';
comment on column etl.difference.row_image is 'Text form of the row, without hashed columns.';
comment on column etl.difference.copies_source is 'How often the source has it.';
comment on column etl.difference.copies_mirror is 'How often the mirror has it.';
comment on column etl.batch_source.lsn is 'Flushed WAL position of the source: read before the snapshot, or, where log tables were copied, above all that it saw.';
alter type etl.outcome add attribute more boolean;
drop procedure if exists etl.add_table(text, text, text, text, text[], text, text[], text[], jsonb);
drop function if exists etl.check_columns(etl.source_table);
drop function if exists etl.open_run(text, text, boolean, boolean, boolean);
drop function if exists etl.open_snapshot(text, bigint);
drop function if exists etl.source_columns(text, text, text);
drop function if exists mrr.read_source(etl.source_table, bigint, text, text, text);
drop function if exists mrr.compare_keyed(etl.source_table, bigint);
drop function if exists mrr.compare_keyless(etl.source_table, bigint);
grant select on etl.slot, etl.watermark, etl.reconciliation to headrace_monitor;
"""

DOWNGRADE = r"""
do $$ begin
  if to_regprocedure('etl.drop_slots()') is not null then
    call etl.drop_slots();
  end if;
end $$;
comment on column etl.batch_source.lsn is 'Flushed WAL position of the source, read before the snapshot.';
alter type etl.outcome drop attribute more;
drop table etl.difference cascade;
drop table etl.reconciliation cascade;
drop table etl.watermark;
drop table etl.slot cascade;
delete from etl.source_table where capture <> 'full';
alter table etl.source_table
    drop constraint source_table_capture_check,
    add constraint source_table_capture_check check (capture in ('full')),
    drop column inserts_only,
    drop column on_schema_change,
    drop column needs_resync,
    drop column copy_snapshot,
    drop column copy_lsn,
    drop column partition_tree,
    drop column watermark_column,
    drop column watermark_overlap,
    drop column full_every,
    drop column full_at;
comment on column etl.source_table.capture is 'Capture mode: full compares a fresh snapshot with the mirror.';
alter table etl.settings
    drop column max_changes,
    drop column publish_changes,
    drop column slot_timeout,
    drop column slot_lag_warning;
"""


def upgrade() -> None:
    """Add what the capture modes log and watermark keep."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Leave capture by full comparison."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
