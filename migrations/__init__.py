"""The warehouse's deployment: Alembic revisions, then the files of procedures/, then those of jobs/."""
