"""Somebody who sits at a browser."""

from __future__ import annotations

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.acceptance.console_rig import PASSWORD


class Person:
    """Somebody who sits at a browser."""

    def __init__(self, driver: webdriver.Chrome, base_url: str) -> None:
        self.driver, self.base_url = driver, base_url

    def opens(self, path: str) -> None:
        self.driver.get(self.base_url + path)

    def writes(self, field: str, text: str) -> None:
        self.driver.find_element(By.ID, field).send_keys(text)

    def presses(self, text: str) -> None:
        """Press a button, or follow a link, and wait for the page that comes."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        xpath = f"//button[starts-with(normalize-space(), '{text}')] | //a[starts-with(normalize-space(), '{text}')]"
        # A page that renews itself may just put the same button into the place of the one that was found.
        patience = WebDriverWait(self.driver, 30, ignored_exceptions=[StaleElementReferenceException])
        patience.until(lambda driver: driver.find_element(By.XPATH, xpath).click() is None)
        WebDriverWait(self.driver, 30).until(lambda driver: driver.find_element(By.TAG_NAME, "html") != before)

    def logs_in(self) -> None:
        self.opens("/console/")
        self.writes("name", "ada")
        self.writes("password", PASSWORD)
        self.presses("Log in")

    def finds(self, what: str) -> None:
        before = self.driver.find_element(By.TAG_NAME, "html")
        self.writes("what", what + Keys.ENTER)
        WebDriverWait(self.driver, 15).until(lambda driver: driver.find_element(By.TAG_NAME, "html") != before)

    @property
    def reads(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "main").text

    @property
    def complaints(self) -> list[str]:
        """What the browser complained of: a policy that was broken, a script that failed."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
