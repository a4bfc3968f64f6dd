"""One PostgreSQL database for many small tests: how it is made, and emptied before each."""

from __future__ import annotations

# Rows only: the tables are many and small, and nothing counts up but what lies in the rows.
EMPTY = """
DO $$
DECLARE
  name text;
BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
  DELETE FROM organization;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_version' LOOP
    EXECUTE format('DELETE FROM %I', name);
  END LOOP;
END $$
"""


def named(server: str, name: str) -> str:
    """The address of a server's database."""
    return server.replace("/postgres?", f"/{name}?", 1)


async def run(url: str, sql: str) -> None:
    """Run a statement on a connection of its own."""
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
