"""What the server's command line, its variables and the processes around tell: how many workers there are, and how
large a message of a WebSocket may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraiseql_guard.core.servers import StartedWorkers, started_workers, takes_largest_messages

SPAWNED = ["python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=7)"]
SPAWNED_OTHER = [*SPAWNED[:2], "from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=9)"]
FORK = "--multiprocessing-fork"


def machine(folder: Path, processes: dict[int, tuple[int, list[str]]]) -> Path:
    """A /proc of these processes: parent and command line by pid."""
    for pid, (parent, line) in processes.items():
        own = folder / str(pid)
        own.mkdir()
        (own / "stat").write_text(f"{pid} (odd) name) S {parent} 1 1 0")
        (own / "cmdline").write_bytes(b"".join(part.encode() + b"\0" for part in line))
    (folder / "self").mkdir()
    return folder


def asked(folder: Path, processes, environ=None, modules=()):
    return started_workers(environ or {}, proc=machine(folder, processes), pid=20, modules=modules)


@pytest.mark.parametrize(
    ("line", "how"),
    [
        (["python", "/venv/bin/uvicorn", "app:app", "--workers", "4"], "uvicorn --workers 4"),
        (["python", "-m", "uvicorn", "app:app", "--workers=4"], "uvicorn --workers 4"),
        (["/venv/bin/hypercorn", "-w", "4", "app:app"], "hypercorn --workers 4"),
        (["python", "/bin/gunicorn", "-w4", "-k", "uvicorn.workers.UvicornWorker", "a:a"], "gunicorn --workers 4"),
        (["gunicorn", "--workers", "2", "--workers", "4", "a:a"], "gunicorn --workers 4"),
        (["fastapi", "run", "--workers", "4", "main.py"], "fastapi --workers 4"),
    ],
)
def test_the_command_line_of_the_parent_names_them(tmp_path, line, how) -> None:
    assert asked(tmp_path, {10: (1, line), 20: (10, [*SPAWNED, FORK])}) == StartedWorkers(4, how)


def test_a_forked_worker_has_the_command_line_itself(tmp_path) -> None:
    line = ["python", "gunicorn", "-w", "3", "a:a"]
    assert asked(tmp_path, {10: (1, line), 20: (10, line)}) == StartedWorkers(3, "gunicorn --workers 3")


@pytest.mark.parametrize(
    "line",
    [
        ["uvicorn", "app:app"],
        ["uvicorn", "app:app", "--workers", "1"],
        ["uvicorn", "app:app", "--workers"],
        ["uvicorn", "app:app", "--workers", "many"],
        ["tool", "--workers", "4"],
        [],
    ],
)
def test_where_there_is_one_or_nothing_tells(tmp_path, line) -> None:
    assert asked(tmp_path, {10: (1, line), 20: (10, line)}) is None


def test_a_machine_without_proc_tells_nothing(tmp_path) -> None:
    assert started_workers({}, proc=tmp_path / "none", pid=20, modules=("uvicorn",)) is None


def test_gunicorn_s_variable(tmp_path) -> None:
    processes = {20: (1, ["gunicorn", "a:a"])}
    environ = {"GUNICORN_CMD_ARGS": "--bind=127.0.0.1 --workers=4"}
    assert asked(tmp_path, processes, environ, ("gunicorn",)) == StartedWorkers(4, "GUNICORN_CMD_ARGS=--workers=4")
    assert started_workers(environ, proc=tmp_path, pid=20, modules=("uvicorn",)) is None


def test_siblings_that_multiprocessing_has_started(tmp_path) -> None:
    tracker = ["python", "-c", "from multiprocessing.resource_tracker import main;main(9)"]
    processes = {
        10: (1, ["python", "main.py"]),
        20: (10, [*SPAWNED, FORK]),
        21: (10, [*SPAWNED_OTHER, FORK]),
        22: (10, tracker),
        30: (1, [*SPAWNED, FORK]),
    }
    assert asked(tmp_path, processes, modules=("uvicorn",)) == StartedWorkers(2, "2 processes of uvicorn")


def test_siblings_that_a_configuration_file_of_gunicorn_asked_for(tmp_path) -> None:
    line = ["gunicorn", "-c", "gunicorn.conf.py", "a:a"]
    processes = {10: (1, line), 20: (10, line), 21: (10, line), 22: (10, ["sh"])}
    found = asked(tmp_path, processes, modules=("gunicorn", "uvicorn"))
    assert found == StartedWorkers(2, "2 processes of gunicorn")


def test_siblings_that_gunicorn_has_given_titles(tmp_path) -> None:
    worker = ["gunicorn: worker [shop:app]", "", ""]
    processes = {
        10: (1, ["gunicorn: master [shop:app]", ""]),
        20: (10, worker),
        21: (10, worker),
        22: (10, ["sh"]),
    }
    assert asked(tmp_path, processes, modules=("gunicorn",)) == StartedWorkers(2, "2 processes of gunicorn")


def test_siblings_of_something_else_are_no_workers(tmp_path) -> None:
    processes = {10: (1, ["sh"]), 20: (10, ["python", "a.py"]), 21: (10, ["python", "a.py"])}
    assert asked(tmp_path, processes) is None


# --- messages of WebSockets ------------------------------------------------------------------------------------------

SOCKETS = ("uvicorn.protocols.websockets.auto", "uvicorn.protocols.websockets.websockets_sansio_impl")


def takes_largest(folder: Path, processes, environ=None, modules=SOCKETS) -> bool:
    return takes_largest_messages(environ or {}, proc=machine(folder, processes), pid=20, modules=modules)


@pytest.mark.parametrize(
    ("parent", "line"),
    [
        (["bash"], ["/venv/bin/python", "/venv/bin/uvicorn", "app:app"]),
        (["bash"], ["python3.13", "-O", "-m", "uvicorn", "app:app", "--ws", "wsproto"]),
        (["bash"], ["uvicorn", "--ws-max-queue", "4", "app:app"]),
        (["uvicorn", "app:app", "--workers", "4"], [*SPAWNED, FORK]),
        (["python", "-m", "uvicorn", "app:app", "--reload"], [*SPAWNED, FORK]),
    ],
)
def test_uvicorn_with_its_own_bound_on_messages(tmp_path, parent, line) -> None:
    assert takes_largest(tmp_path, {10: (1, parent), 20: (10, line)})


@pytest.mark.parametrize(
    ("parent", "line"),
    [
        (["bash"], ["uvicorn", "app:app", "--ws-max-size", "262144"]),
        (["bash"], ["uvicorn", "--ws-max-size=262144", "app:app"]),
        (["uvicorn", "app:app", "--ws-max-size", "262144", "--workers", "2"], [*SPAWNED, FORK]),
        (["uvicorn", "app:app"], ["python", "main.py"]),  # started by an app, and may say what it likes
        (["bash"], ["python", "main.py", "uvicorn"]),
        (["bash"], ["python", "-X", "dev", "-m", "uvicorn", "app:app"]),  # rare, and not understood
        (["bash"], ["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "a:a"]),
        (["bash"], ["hypercorn", "a:a"]),
        (["bash"], []),
    ],
)
def test_where_another_bound_is_set_or_nothing_tells(tmp_path, parent, line) -> None:
    assert not takes_largest(tmp_path, {10: (1, parent), 20: (10, line)})


def test_uvicorn_s_variable_and_a_uvicorn_that_speaks_no_websocket(tmp_path) -> None:
    processes = {10: (1, ["bash"]), 20: (10, ["uvicorn", "app:app"])}
    assert not takes_largest(tmp_path, processes, {"UVICORN_WS_MAX_SIZE": "262144"})
    assert not takes_largest_messages({}, proc=tmp_path, pid=20, modules=("uvicorn", SOCKETS[0]))
    assert takes_largest_messages({}, proc=tmp_path, pid=20, modules=SOCKETS)
    assert not takes_largest_messages({}, proc=tmp_path / "none", pid=20, modules=SOCKETS)
