"""One SQL text for two engines."""

from posthouse.store.statement import ddl, for_postgres, for_sqlite, split_statements


def test_names_become_numbers_and_a_repeated_name_one_number() -> None:
    found = for_postgres("SELECT :b, :a WHERE x = :b AND y IN (:list...) AND z IN (:n...int)")
    assert found.sql == (
        "SELECT $1, $2 WHERE x = $1 AND y IN (SELECT unnest($3::text[])) AND z IN (SELECT unnest($4::bigint[]))"
    )
    assert (found.names, found.lists) == (("b", "a", "list", "n"), frozenset({"list", "n"}))


def test_sqlite_keeps_names_and_reads_lists_out_of_json() -> None:
    found = for_sqlite("SELECT :a WHERE y IN (:list...) AND z IN (:n...int)")
    assert found.sql == (
        "SELECT :a WHERE y IN (SELECT value FROM json_each(:list)) AND z IN (SELECT value FROM json_each(:n))"
    )
    assert found.lists == {"list", "n"}


def test_literals_and_casts_are_no_names() -> None:
    text = "SELECT ':a', 'it''s :b', x::text, y::bigint[] WHERE z = :c"
    assert for_postgres(text).sql == text.replace(":c", "$1")
    assert for_postgres(text).names == ("c",)
    assert for_sqlite(text).sql == text


def test_column_types_are_put_in_for_the_engine() -> None:
    text = "CREATE TABLE t (a $text, b $blob, c $json, d $serial)"
    assert ddl(text, "sqlite") == "CREATE TABLE t (a TEXT, b BLOB, c TEXT, d INTEGER PRIMARY KEY)"
    assert "$" not in ddl(text, "postgres")
    # Byte order for all text: both engines sort and fold alike.
    assert ddl(text, "postgres").count('COLLATE "C"') == 2


def test_a_migration_is_split_where_a_line_ends_with_a_semicolon() -> None:
    text = "-- one; two\nCREATE TABLE a (\n  b TEXT DEFAULT ';x'\n);\n\n-- more\nINSERT INTO a VALUES ('y'); \nSELECT 1"
    assert split_statements(text) == [
        "CREATE TABLE a (\n  b TEXT DEFAULT ';x'\n)", "INSERT INTO a VALUES ('y')", "SELECT 1",
    ]  # fmt: skip
