"""Chromium from Debian, driven by Playwright: for the tests of the console and its pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from tools.components import CACHE, locate

_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{fonts}</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>{cache}</cachedir>
  <alias binding="strong"><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
  <alias binding="strong"><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
</fontconfig>
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window, with the same fonts on every machine. It knows no proxy and updates nothing."""
    program = locate("chromium")
    with TemporaryDirectory(prefix="fg-browser-") as folder:
        fonts = Path(folder) / "fonts.conf"
        fonts.write_text(_FONTS.format(fonts=CACHE / "chromium/usr/share/fonts", cache=folder), encoding="utf-8")
        arguments = ["--disable-dev-shm-usage", "--disable-background-networking", "--no-proxy-server", "--disable-gpu"]
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=program,
                args=arguments,
                chromium_sandbox=os.geteuid() != 0,  # root may not have one
                env={**os.environ, "FONTCONFIG_FILE": str(fonts), "HOME": folder},
            )
            try:
                yield browser
            finally:
                browser.close()
