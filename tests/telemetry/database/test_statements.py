"""Statements are told apart by what they do to which table, whatever they are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.signals import QUERY_TYPES
from fraiseql_guard.core.statement import Statement
from fraiseql_guard.telemetry.database.sql_tokens import tokens
from fraiseql_guard.telemetry.database.statements import Statements, parse

KNOWN = [
    ("SELECT * FROM users", "select", "users"),
    ('SELECT "data"::text FROM "v_user" WHERE id = %s LIMIT 3', "select", "v_user"),
    ("select a from public.Post p join tb_user u on true", "select", "post"),
    ("select a from Blog.post", "select", "blog.post"),
    ('SELECT * FROM ONLY "a b"."c""d"', "select", 'a b.c"d'),
    ("SELECT * FROM `my table`", "select", "my table"),
    ("SELECT EXISTS(SELECT 1 FROM v_user WHERE x)", "select", "v_user"),
    ("SELECT (SELECT count(*) FROM tb_user) AS users, pg_sleep(%(seconds)s)", "select", "tb_user"),
    ("SELECT * FROM (SELECT * FROM inside) AS x", "select", "inside"),
    ("(SELECT 1 FROM a) UNION (SELECT 2 FROM b)", "select", "a"),
    ("SELECT extract(year FROM made_at), trim(both FROM name) FROM t", "select", "t"),
    ("SELECT a IS DISTINCT FROM b FROM t", "select", "t"),
    ("SELECT extract(year FROM now)", "call", "extract"),
    ("SELECT 'it''s FROM lies', $$ FROM lies $$, E'\\' FROM lies' FROM t", "select", "t"),
    ("SELECT $x$ $$ FROM lies $x$ FROM t", "select", "t"),
    ("-- FROM lies\nSELECT /* FROM /* lies */ FROM lies */ 1 FROM t", "select", "t"),
    ("SELECT 1", "select", ""),
    ("TABLE post", "select", "post"),
    ("VALUES (1)", "select", ""),
    ("SELECT * FROM app.create_post($1)", "call", "app.create_post"),
    ("SELECT row_to_json(public.create_post(%s::jsonb))", "call", "create_post"),
    ("SELECT pg_sleep(10)", "call", "pg_sleep"),
    ("CALL refresh_all()", "call", "refresh_all"),
    ("WITH a AS (SELECT * FROM post) SELECT * FROM a", "select", "post"),
    ("WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t) SELECT sum(n) FROM t", "select", ""),
    ("WITH update AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM update", "insert", "b"),
    ("WITH a AS (SELECT 1), b AS NOT MATERIALIZED (SELECT 2) UPDATE s.t SET x = 1", "update", "s.t"),
    ("INSERT INTO post (title) VALUES (%s)", "insert", "post"),
    ("UPDATE ONLY post SET title = 'x' FROM other", "update", "post"),
    ("DELETE FROM post USING other", "delete", "post"),
    ("MERGE INTO post USING x ON true WHEN MATCHED THEN DELETE", "other", "post"),
    ("SET LOCAL statement_timeout = '30s'", "other", ""),
    ("BEGIN", "other", ""),
    ("EXPLAIN SELECT 1 FROM t", "other", ""),
    ("", "other", ""),
    (";;", "other", ""),
    ("SELECT", "select", ""),
    ("SELECT * FROM", "select", ""),
    ("INSERT INTO", "insert", ""),
    ("WITH a AS (SELECT", "other", ""),
]
SQL_PIECES = [
    *"select from with as into insert update delete only distinct extract a é".split(),
    *"( ) , . ; \" ' $$ $1 /* */ -- \\ %(x)s".split(),
    "\n",
]
ANYTHING = st.one_of(st.text(), st.lists(st.sampled_from(SQL_PIECES), max_size=60).map(" ".join))


@pytest.mark.parametrize(("text", "query_type", "table_name"), KNOWN)
def test_a_statement(text: str, query_type: str, table_name: str) -> None:
    assert parse(text) == Statement(query_type, table_name)


@given(ANYTHING)
def test_no_text_breaks_it(text: str) -> None:
    assert parse(text).query_type in QUERY_TYPES
    assert Statements().describe(text) == parse(text)


@given(ANYTHING)
def test_the_work_grows_no_faster_than_the_text(text: str) -> None:
    assert sum(1 for _ in tokens(text)) <= len(text)


@given(st.text(max_size=50))
def test_what_stands_beyond_the_beginning_makes_no_difference(tail: str) -> None:
    long = "SELECT " + "a, " * 4000
    assert parse(long + tail + " FROM t") == parse(long)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=40))
def test_any_quoted_name_is_read_as_postgresql_reads_it(name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    assert parse(f"SELECT * FROM {quoted} WHERE true") == Statement("select", name)
    assert parse(f"INSERT INTO s.{quoted} VALUES (1)") == Statement("insert", f"s.{name}")


@given(st.sampled_from(KNOWN), st.sampled_from([" ", "\n\t", "/* FROM x */", "-- FROM x\n"]))
def test_comments_and_white_space_say_nothing(known: tuple[str, str, str], between: str) -> None:
    assert parse(between + known[0] + between) == parse(known[0])


@pytest.mark.parametrize("odd", [None, 7, object(), ["SELECT 1 FROM t"], type, b"\xff\xfe", memoryview(b"SELECT")])
def test_anything_else_is_other_or_read_as_far_as_it_goes(odd: object) -> None:
    assert Statements().describe(odd).query_type in QUERY_TYPES


def test_bytes_are_text() -> None:
    assert Statements().describe(b"SELECT * FROM t") == Statement("select", "t")


def test_the_memory_is_bounded() -> None:
    statements = Statements()
    for number in range(2000):
        statements.describe(f"SELECT {number} FROM t")
    assert statements.remembered <= 512


@pytest.mark.fraiseql
def test_statements_of_psycopg_are_read_without_their_values() -> None:
    sql = pytest.importorskip("psycopg.sql", reason="comes with FraiseQL")
    query = sql.SQL("SELECT {} FROM {} WHERE x = {} AND y = {} LIMIT {}")
    made = [
        query.format(
            sql.Identifier("a"), sql.Identifier("s", "T x"), sql.Literal(value), sql.Placeholder(), sql.SQL("1")
        )
        for value in ("FROM lies", "another")
    ]
    statements = Statements()
    assert {statements.describe(each) for each in made} == {Statement("select", "s.T x")}
    assert statements.remembered == 1  # values do not fill the memory
    assert statements.describe(sql.SQL("DELETE FROM t")) == Statement("delete", "t")
