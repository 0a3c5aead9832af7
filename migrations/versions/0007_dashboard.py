"""What the dashboard needs: its page, a copy of it, and what readers may see there."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UPGRADE = r"""
alter table etl.settings
    add column reader_samples text default 'masked'::text not null,
    add column dashboard_cells integer default 150000 not null,
    add constraint settings_reader_samples_check check (reader_samples in ('none', 'masked', 'rows')),
    add constraint settings_dashboard_cells_check check (dashboard_cells between 10 and 5000000);
comment on column etl.settings.reader_samples is 'What readers of dwh see of a quarantined row, of what a check found and of an error: none; masked: numbers, dates and nulls, no text; rows: all of it.';
comment on column etl.settings.dashboard_cells is 'Cells that a cube of figures in the dashboard page may have; beyond it the page is coarser and a live one asks the server.';
create table etl.page (
    page text not null,
    content text not null,
    sha256 text not null,
    deployed_at timestamp with time zone default clock_timestamp() not null,
    constraint page_pkey primary key (page)
);
comment on table etl.page is 'Pages that alembic upgrade head deployed of dashboard/web, without figures.';
comment on column etl.page.page is 'Name of the page.';
comment on column etl.page.content is 'HTML with everything inlined; @@connect@@ and @@data@@ stand for what dwh.dashboard() puts there.';
comment on column etl.page.sha256 is 'Hash of the content.';
comment on column etl.page.deployed_at is 'When it was deployed.';
create table dwh.dashboard_copy (
    one boolean default true not null,
    content text not null,
    run_id bigint,
    made_at timestamp with time zone not null,
    constraint dashboard_copy_pkey primary key (one),
    constraint dashboard_copy_one_row_check check (one)
);
comment on table dwh.dashboard_copy is 'A copy of the dashboard page, at most one row; kept by dwh.store_dashboard() where a pipeline calls it after each success.';
comment on column dwh.dashboard_copy.one is 'Holds the table to one row.';
comment on column dwh.dashboard_copy.content is 'The page, as dwh.dashboard() returned it.';
comment on column dwh.dashboard_copy.run_id is 'Run after which it was made.';
comment on column dwh.dashboard_copy.made_at is 'When it was made.';
create index check_log_check_name_idx on etl.check_log (check_name, check_log_id);
"""

DOWNGRADE = r"""
drop index etl.check_log_check_name_idx;
drop table dwh.dashboard_copy;
drop table etl.page cascade;
alter table etl.settings drop column reader_samples cascade, drop column dashboard_cells cascade;
"""


def upgrade() -> None:
    """Add the settings and tables."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Leave them out."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
