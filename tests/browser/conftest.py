"""One Chromium for all tests here; without one they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from selenium import webdriver

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_DRIVER = shutil.which("chromedriver")


def open_chromium() -> webdriver.Chrome | None:
    """Open a browser without a window, or return None where none is installed."""
    if _CHROMIUM is None or _DRIVER is None:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(_DRIVER))


@pytest.fixture(scope="session")
def chromium() -> Iterator[webdriver.Chrome]:
    if (found := open_chromium()) is None:
        pytest.skip("no Chromium with its chromedriver is installed here")
    yield found
    found.quit()


@pytest.fixture
def driver(chromium: webdriver.Chrome) -> webdriver.Chrome:
    """A browser that knows nobody and has no complaints: cookies are those of a host, whatever its port."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    chromium.get_log("browser")
    return chromium
