"""Sources over other foreign data wrappers, and facts by one generic routine."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UPGRADE = r"""
alter table etl.source add column fdw text default 'postgres_fdw' not null;
comment on column etl.source.fdw is 'Foreign data wrapper that it is read with; postgres_fdw stands for dblink too.';
alter table etl.batch_source
    alter column snapshot drop not null,
    alter column lsn drop not null;
comment on column etl.batch_source.captured_at is 'The source''s clock when its snapshot was taken; the warehouse''s for a source other than PostgreSQL.';
comment on column etl.batch_source.snapshot is 'pg_current_snapshot() of the reading transaction at the source; null for a source other than PostgreSQL.';
alter table etl.stage add column is_made boolean default false not null;
comment on column etl.stage.is_made is 'True if etl.create_stage() made the function, so that it goes with its registration.';
alter table etl.dimension add column is_made boolean default false not null;
comment on column etl.dimension.is_made is 'True if etl.add_dimension() made the table, so that it goes with its registration.';
create table etl.fact (
    fact text not null,
    stage text not null,
    dimensions text[] default '{}'::text[] not null,
    key_columns text[],
    is_made boolean default false not null,
    constraint fact_pkey primary key (fact)
);
comment on table etl.fact is 'Facts that dwh.load_fact() loads.';
comment on column etl.fact.fact is 'Table of the facts, schema.name.';
comment on column etl.fact.stage is 'Stage function that delivers them.';
comment on column etl.fact.dimensions is 'Dimensions that the facts refer to, each by its business key, which the stage has.';
comment on column etl.fact.key_columns is 'Columns of the stage that tell one fact; null where only equal rows can be told.';
comment on column etl.fact.is_made is 'True if etl.add_fact() made the table, so that it goes with its registration.';
grant select on etl.fact to headrace_monitor;
drop procedure if exists etl.add_table(text, text, text, text, text[], text, text[], text[], jsonb, boolean, text, text, text, interval);
"""

DOWNGRADE = r"""
delete from etl.batch_source where snapshot is null or lsn is null;
alter table etl.batch_source
    alter column snapshot set not null,
    alter column lsn set not null;
alter table etl.source drop column fdw cascade;
drop table etl.fact cascade;
alter table etl.dimension drop column is_made cascade;
alter table etl.stage drop column is_made cascade;
"""


def upgrade() -> None:
    """Remember each source's wrapper, batches without a snapshot, facts, and what the calls made."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Know sources over postgres_fdw only, and facts by routines of their own."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
