"""MLflow's pages of a store in a browser: what somebody sees who follows the link."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store
from actsearch.tracking.replica import Replica
from actsearch.tracking.report import write_report

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not (BROWSER and DRIVER),
        reason="no browser: apt-get install --no-install-recommends chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def shown(searched_once, tmp_path_factory):
    """The link to a study's runs at a server that runs, a second study of the same task beside."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(searched_once, folder / "store")
    run = StudyRun.load(Store(folder / "store"), "s")
    write_report(run)
    replica = Replica(run)
    replica.connect()
    replica.close("FINISHED")
    other = replica.client.create_run(
        replica.experiment, run_name="of another study", tags={"actsearch.study": "other"}
    )
    replica.client.log_metric(other.info.run_id, "val_loss", 0.0)
    (folder / "store").rename(folder / "moved")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).parent / "actsearch")
    command = [program, "ui", "s", "--store", "moved", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        link = next(line for line in process.stdout if line.startswith("s: "))
        yield link.removeprefix("s: ").strip(), f"sqlite:///{folder / 'moved' / 'mlflow.db'}"
        process.terminate()


@pytest.fixture(scope="module")
def browser(shown):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for option in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1800,1400"):
        options.add_argument(f"--{option}")
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


def open_page(browser, link: str, *wanted: str) -> str:
    """Open a page, wait until it has some texts, and return all of its text."""

    def text(driver) -> str:
        found = driver.find_element(By.TAG_NAME, "body").text
        return found if all(part in found for part in wanted) else ""

    def answered(driver) -> str:
        # Once more: while the server starts there is nothing, and only the fragment differs later.
        driver.get("about:blank")
        driver.get(link)
        return WebDriverWait(driver, 20).until(text)

    return WebDriverWait(browser, 120, ignored_exceptions=[Exception]).until(answered)


def test_the_link_shows_the_runs_of_the_study_the_best_first(shown, browser):
    link, uri = shown
    text = open_page(browser, link, "trial ", "matching runs")
    assert "Observability" not in text, "the menu is that of trainings, not of language models"
    rows = browser.find_elements(By.CSS_SELECTOR, "[role=row] a[href*='/runs/']")
    names = list(dict.fromkeys(row.text for row in rows if row.text))
    assert "of another study" not in names
    client = MlflowClient(uri)
    best = client.search_runs(
        ["1"], "tags.`actsearch.study` = 's'", order_by=["metrics.val_loss ASC"]
    )
    values = {run.info.run_name: run.data.metrics.get("val_loss") for run in best}
    seen = [values[name] for name in names[:8]]
    assert seen == sorted(seen)
    assert seen[0] == best[0].data.metrics["val_loss"]


def test_the_list_of_experiments_says_what_this_is(shown, browser):
    pages = shown[0].partition("#")[0]
    text = open_page(browser, f"{pages}#/experiments", "own.Own")
    assert "Activation functions, searched in" in text


def test_the_page_of_a_run_shows_its_pictures(shown, browser):
    link, uri = shown
    pages = link.partition("/runs?")[0]
    (parent,) = MlflowClient(uri).search_runs(["1"], "tags.`actsearch.kind` = 'study'")
    page = f"{pages}/runs/{parent.info.run_id}"
    text = open_page(browser, page, "confirmed.gain", "actsearch.verdict")
    assert f"Created by\n{parent.data.tags['mlflow.user']}" in text
    assert f"Source\n{Path(sys.argv[0]).name}" in text
    open_page(browser, f"{page}/artifacts/report/history.png", "history.png")
    width = WebDriverWait(browser, 30).until(
        lambda driver: driver.execute_script(
            "return Math.max(...[...document.images].filter(i => i.src.startsWith('blob:'))"
            ".map(i => i.naturalWidth), 0)"
        )
    )
    assert width > 300, "the picture itself, from a store that was moved"


def test_runs_are_compared(shown, browser):
    link, uri = shown
    pages = link.partition("#")[0]
    trials = MlflowClient(uri).search_runs(["1"], "tags.`actsearch.kind` = 'trial'", max_results=2)
    ids = ",".join(f'"{run.info.run_id}"' for run in trials)
    text = open_page(
        browser, f'{pages}#/compare-runs?runs=[{ids}]&experiments=["1"]', "Comparing 2 Runs"
    )
    for run in trials:
        assert run.info.run_name in text
    assert "Parallel Coordinates Plot" in text
    assert "net.1" in text
