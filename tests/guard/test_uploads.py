"""Uploads: measured like any other request, their files untouched; whatever can be read in two ways is refused."""

import json
from urllib.parse import quote

import pytest

from tests.support.asgi import request

MEANT = {"graphql-require-preflight": "1"}
CHANGE = "mutation($file:Upload!){upload(file:$file){id}}"
FILE = bytes(range(256)) * 4 + b"\r\n--other\r\n"


def part(name, content, filename=None, *, head=""):
    shown = f'; filename="{filename}"' if filename is not None else ""
    if isinstance(content, str):
        content = content.encode()
    return f'\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n{head}\r\n'.encode() + content + b"\r\n"


def form(*parts, boundary="limit", end=b"--\r\n"):
    mark = b"--" + boundary.encode()
    return mark + mark.join(parts) + mark + end


def operations(query=CHANGE, variables=None, **more):
    return part("operations", json.dumps({"query": query, "variables": variables or {"file": None}, **more}))


def mapped(**paths):
    return part("map", json.dumps(paths or {"0": ["variables.file"]}))


GOOD = form(operations(), part("map", '{"0":["variables.file"]}'), part("0", FILE, "a.bin"))


async def send(guard, body, content_type="multipart/form-data; boundary=limit", headers=None):
    return await request(guard, body=body, content_type=content_type, headers=MEANT if headers is None else headers)


async def test_an_upload_is_measured_and_reaches_the_app_byte_for_byte(guarded) -> None:
    guard = guarded(multipart=True)
    assert (await send(guard, GOOD)).status == 200
    assert guard.app.bodies == [GOOD]
    assert guard.metric("fraiseql_graphql_query_complexity_sum") == 1
    dear = form(operations("{users(limit:5000){id}}"), mapped(), part("0", FILE, "a.bin"))
    assert (await send(guard, dear)).code == "QUERY_TOO_COMPLEX"
    assert len(guard.app.bodies) == 1


async def test_uploads_are_off_unless_switched_on(guarded) -> None:
    reply = await send(guarded(), GOOD)
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_foreign_page_cannot_send_one(guarded) -> None:
    guard = guarded(multipart=True)
    for headers in ({}, {"origin": "https://evil.example"}, {"authorization": "Basic YTpi"}):
        reply = await send(guard, GOOD, headers=headers)
        assert (reply.status, reply.code) == (400, "CROSS_SITE_REQUEST")
    for name in ("apollo-require-preflight", "graphql-require-preflight", "x-requested-with"):
        assert (await send(guard, GOOD, headers={name: "true"})).status == 200


async def test_files_may_be_larger_than_documents_and_both_are_bounded(guarded) -> None:
    guard = guarded(multipart=True, max_body_bytes=500, max_request_bytes=5000)
    large = form(operations(), mapped(), part("0", b"x" * 3000, "a"))
    assert (await send(guard, large)).status == 200
    assert (await send(guard, form(operations(), mapped(), part("0", b"x" * 5000, "a")))).status == 413
    padded = form(operations(padding="x" * 600), mapped(), part("0", b"x", "a"))
    assert (await send(guard, padded)).code == "BODY_TOO_LARGE"
    assert (await request(guard, body=json.dumps({"query": "{a}", "x": "y" * 600}).encode())).status == 413


async def test_lists_of_files_and_batches(guarded) -> None:
    guard = guarded(multipart=True, batching=True)
    several = form(
        operations("mutation($files:[Upload]){x(files:$files)}", {"files": [None, None]}),
        mapped(a=["variables.files.0"], b=["variables.files.1"]),
        part("a", FILE, "a", head="Content-Type: image/png\r\n"),
        part("b", b"", "naïve name.txt"),
    )
    assert (await send(guard, several)).status == 200
    batch = json.dumps([{"query": "{a}"}, {"query": CHANGE, "variables": {"file": None}}])
    body = form(part("operations", batch), mapped(x=["1.variables.file"]), part("x", FILE, "a"))
    assert (await send(guard, body)).status == 200
    assert guard.app.bodies == [several, body]


async def test_an_upload_may_name_its_document(guarded, tmp_path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"change": CHANGE}))
    guard = guarded(multipart=True, trusted_documents="require", trusted_documents_file=file)
    head, tail = part("operations", '{"documentId":"change","variables":{"file":null}}'), part("0", FILE, "a")
    assert (await send(guard, form(head, mapped(), tail))).status == 200
    expected = part(
        "operations", json.dumps({"query": CHANGE}, separators=(",", ":"))[:-1] + ',"variables":{"file":null}}'
    )
    assert guard.app.bodies == [form(expected, mapped(), tail)]


LAST = part("0", FILE, "a")
FORMS = {
    "a charset": "multipart/form-data; boundary=limit; charset=utf-8",
    "a charset first": 'Multipart/Form-Data;charset="UTF-8" ; boundary="limit"',
    "empty parameters": "multipart/form-data;; boundary=limit ;",
}


@pytest.mark.parametrize("case", FORMS)
async def test_a_boundary_may_have_company(guarded, case) -> None:
    guard = guarded(multipart=True)
    assert (await send(guard, GOOD, FORMS[case])).status == 200
    assert guard.app.bodies == [GOOD]


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 255, "名" * 251 + ".png", "😀" * 255])
async def test_a_file_has_a_name_of_up_to_255_characters(guarded, name) -> None:
    guard = guarded(multipart=True)
    encoded = "filename*=utf-8''" + quote(name)
    several = part("0", FILE, name), part("0", FILE, f'a.png"; {encoded}; x="').replace(b'; x=""', b"")
    for file in several:
        assert (await send(guard, form(operations(), mapped(), file))).status == 200
    assert (await send(guard, form(operations(), mapped(), part("0", FILE, name + "aaaaa")))).code == "BAD_REQUEST"


ODD = {
    "no boundary": (GOOD, "multipart/form-data"),
    "two boundaries": (GOOD, "multipart/form-data; boundary=limit; boundary=other"),
    "another parameter": (GOOD, "multipart/form-data; charset=utf-16; boundary=limit"),
    "another boundary": (GOOD, "multipart/form-data; boundary=Limit"),
    "nothing": b"",
    "JSON": b'{"query":"{a}"}',
    "a preamble": b"x\r\n" + GOOD,
    "an epilogue": GOOD + b"x",
    "no end": GOOD[:-4],
    "no parts": form(),
    "no map": form(operations(), LAST),
    "map first": form(mapped(), operations(), LAST),
    "operations twice": form(operations(), mapped(), operations(), LAST),
    "operations as a file": form(part("operations", '{"query":"{a}"}', "a"), mapped(), LAST),
    "operations as a file by its encoded name": form(
        part("operations\"; filename*=\"x", '{"query":"{a}"}').replace(b'filename*="x"', b"filename*=utf-8''x"),
        mapped(), LAST,
    ),
    "a file named operations": form(
        operations(), mapped(operations=["variables.file"]), part("operations", '{"query":"{b}"}', "a")
    ),
    "a file named map": form(operations(), mapped(map=["variables.file"]), part("map", "{}", "a")),
    "a boundary with an escape": (GOOD, 'multipart/form-data; boundary="lim\\it"'),
    "a boundary in pieces": (GOOD, "multipart/form-data; boundary=limit; boundary*0=other"),
    "a boundary without its quotes": (
        form(operations(), mapped(), LAST, boundary="a(b)c"), "multipart/form-data; boundary=a(b)c"
    ),
    "operations in the map": form(operations(), mapped(operations=["variables.file"])),
    "a field that is no file": form(operations(), mapped(x=["variables.file"]), part("x", "y")),
    "a file that is not mapped": form(operations(), mapped(), LAST, part("1", FILE, "b")),
    "a file twice": form(operations(), mapped(), LAST, LAST),
    "a file that is missing": form(operations(), mapped(**{"0": ["variables.file"], "1": ["variables.file"]}), LAST),
    "a path that leads nowhere": form(operations(), mapped(**{"0": ["variables.other"]}), LAST),
    "a path to a value": form(operations(variables={"file": 1}), mapped(), LAST),
    "a path to the document": form(operations(), mapped(**{"0": ["query"]}), LAST),
    "a path without a batch": form(operations(), mapped(**{"0": ["0.variables.file"]}), LAST),
    "no path": form(operations(), mapped(**{"0": []}), LAST),
    "a path that is none": form(operations(), mapped(**{"0": [1]}), LAST),
    "paths that are no list": form(operations(), mapped(**{"0": "variables.file"}), LAST),
    "one path for two files": form(
        operations(), mapped(a=["variables.file"], b=["variables.file"]), part("a", "", "a"), part("b", "", "b")
    ),
    "a map that is none": form(operations(), part("map", "[]")),
    "a map that is no JSON": form(operations(), part("map", "{"), LAST),
    "a map that repeats a key": form(
        operations(), part("map", '{"0":["variables.file"],"0":["variables.file"]}'), LAST
    ),
    "operations that are no JSON": form(part("operations", "{"), mapped(), LAST),
    "operations that repeat a key": form(
        part("operations", '{"query":"{a}","query":"{b}","variables":{"file":null}}'), mapped(), LAST
    ),
    "two names": form(part('operations"; name="x', "{}"), mapped(), LAST),
    "an escaped quote": form(operations(), mapped(), part("0", FILE, 'a\\"; name=\\"operations')),
    "a name without quotes": GOOD.replace(b'name="operations"', b"name=operations"),
    "a disposition twice": form(
        part("operations", "{}", head='Content-Disposition: form-data; name="x"\r\n'), mapped(), LAST
    ),
    "an unknown header": form(part("operations", '{"query":"{a}"}', head="X-Name: operations\r\n"), mapped(), LAST),
    "a folded header": form(part("operations", '{"query":"{a}"}', head="Content-Type: a\r\n b\r\n"), mapped(), LAST),
    "a transfer encoding": form(
        part("operations", "e30=", head="Content-Transfer-Encoding: base64\r\n"), mapped(), LAST
    ),
    "a long head": form(part("operations", "{}", head=f"Content-Type: {'a' * 3000}\r\n"), mapped(), LAST),
    "bare line feeds": GOOD.replace(b"\r\n", b"\n"),
    "the boundary inside a file": form(operations(), mapped(), part("0", b"a--limitb", "a")),
    "too many parts": form(operations(), mapped(), *[part(str(number), "", "a") for number in range(40)]),
    "blanks after the boundary": GOOD.replace(b"--limit\r\n", b"--limit \r\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
async def test_what_parsers_could_read_differently_is_refused(guarded, case) -> None:
    body, content_type = (
        ODD[case] if isinstance(ODD[case], tuple) else (ODD[case], "multipart/form-data; boundary=limit")
    )
    guard = guarded(multipart=True)
    reply = await send(guard, body, content_type)
    assert (reply.status, reply.code) == (400, "BAD_REQUEST")
    assert guard.app.bodies == []
