"""The pages in a browser: charts are drawn, the slider moves the samples, news arrive, nothing is asked of the network.

They need Chromium (Debian's ``chromium``, or ``POISE_CHROMIUM`` for another); POISE_BROWSER=required lets them fail
where it is missing.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from by_hand import COLLAPSE, OVER, make_run
from poise.report import Record
from poise.report.html import render
from poise.runs import Run, State, Status
from serving import Board, serving

CHROMIUM = os.environ.get("POISE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
DESKTOP, PHONE = (1280, 900), (390, 800)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    missing = "" if CHROMIUM else "there is no chromium: apt-get install chromium, or name another by POISE_CHROMIUM"
    if not find_spec("playwright"):
        missing = "there is no playwright: pip install 'poise[test]'"
    if missing:
        (pytest.fail if os.environ.get("POISE_BROWSER") == "required" else pytest.skip)(missing)
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        # Root may not have the sandbox; what is opened here is our own.
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address; in the end the page must have said nothing on its console and asked nobody else."""
    contexts, said, asked = [], [], []

    def open_(url: str, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith(("data:", "blob:", "file:", "http://127.0.0.1:"))} == set()


def with_pictures(run: Run) -> Run:
    """A run with four pictures of generated samples and one of real ones, all of one color each."""
    run.samples.mkdir()
    for step in (100, 400, 1600, 4000):
        Image.fromarray(np.full((64, 64), step // 16, dtype=np.uint8)).save(run.samples / f"{step:08d}.png")
    Image.fromarray(np.full((64, 64), 9, dtype=np.uint8)).save(run.real_picture)
    return run


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a report of one run in which something was found."""
    monkeypatch.setattr(Record, "findings", [COLLAPSE, OVER])
    path = tmp_path / "report.html"
    path.write_text(render([Record.read(with_pictures(make_run(tmp_path / "a <b>")))]))
    return path.as_uri()


def drawn(page: Any) -> None:
    """Wait until every chart has its curves."""
    page.wait_for_function(
        "() => { const plots = [...document.querySelectorAll('.chart .plot')];"
        " return plots.length && plots.every(it => it.querySelector('.scatterlayer .trace path')); }"
    )


def until(page: Any, what: str) -> None:
    """Wait until an expression is true; a function, as the page's policy lets no text be carried out."""
    page.wait_for_function(f"() => {what}")


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def test_a_report_begins_with_the_verdict_and_draws_its_charts(open_page: Callable[..., Any], report: str) -> None:
    page = open_page(report)
    drawn(page)
    assert page.locator("h1").inner_text() == "a <b>"
    assert page.locator(".verdict > p").first.inner_text() == "This run is in trouble: mode collapse."
    assert page.locator(".finding").count() == 2
    assert "Give D a minibatch_stddev." in page.locator(".finding").first.inner_text()
    assert "diversity 0.1235" in page.locator(".evidence").first.inner_text()
    # It began at step 1,200; the other one was over before the first picture was made.
    assert page.locator(".finding .seen").all_inner_texts() == ["step 1,600"]
    assert page.evaluate("document.querySelector('.seen img').naturalWidth") == 64
    titles = page.locator(".chart h3").all_inner_texts()
    assert titles[:3] == ["Who leads", "KID", "Losses"]
    # Raw and smoothed; spans of findings lie on every chart.
    assert page.locator('[data-key="losses"] .scatterlayer .trace').count() == 2
    for key in ("balance", "losses", "score-kid"):
        assert page.locator(f'[data-key="{key}"] .shapelayer path').count() >= 4, key
        assert "mode collapse" in page.locator(f'[data-key="{key}"] .annotation').all_text_contents()
    assert page.locator(".gauge").inner_text().split("\n")[1] == "70 %"


def test_the_score_is_on_a_logarithmic_axis_where_it_belongs(open_page: Callable[..., Any], tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    for step in range(4500, 8001, 500):
        run.metrics.append({"step": step, "kid": 1e-8 * step, "kid_std": 1e-8})
    path = tmp_path / "report.html"
    path.write_text(render([Record.read(run)]))
    page = open_page(path.as_uri())
    drawn(page)
    kind = "document.querySelector('[data-key=\"{}\"] .plot').layout.yaxis.type"
    assert page.evaluate(kind.format("score-kid")) == "log"
    assert page.evaluate(kind.format("losses")) == "linear"


def test_the_slider_moves_the_samples(open_page: Callable[..., Any], report: str) -> None:
    page = open_page(report)
    picture, slider = page.locator("img.generated"), page.locator(".slider input")
    last = picture.get_attribute("src")
    assert page.locator(".slider output").inner_text() == "step 4,000"
    slider.fill("0")
    assert page.locator(".slider output").inner_text() == "step 100"
    first = picture.get_attribute("src")
    assert first != last
    slider.press("ArrowRight")
    assert page.locator(".slider output").inner_text() == "step 400"
    assert picture.get_attribute("src") not in (first, last)
    assert page.locator("img.real").count() == 1
    assert page.evaluate("[...document.images].every(it => it.complete && it.naturalWidth === 64)")
    page.get_by_role("button", name="Play").click()
    until(page, "document.querySelector('.slider output').textContent === 'step 4,000'")


def test_a_click_into_a_chart_shows_the_samples_of_that_time(open_page: Callable[..., Any], report: str) -> None:
    page = open_page(report)
    drawn(page)
    box = page.locator('[data-key="losses"] .nsewdrag').bounding_box()
    page.locator('[data-key="losses"]').scroll_into_view_if_needed()
    box = page.locator('[data-key="losses"] .nsewdrag').bounding_box()
    place = (box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])  # step 1600 of 4000
    page.mouse.move(*place)
    page.wait_for_timeout(200)
    page.mouse.click(*place)
    until(page, "document.querySelector('.slider output').textContent === 'step 1,600'")


def test_the_axis_goes_by_steps_images_or_hours(open_page: Callable[..., Any], report: str) -> None:
    page = open_page(report)
    drawn(page)
    end = "document.querySelector('[data-key=\"losses\"] .plot').data[0].x.at(-1)"
    assert page.evaluate(end) == 4000
    page.get_by_role("button", name="kimg").click()
    assert page.evaluate(end) == pytest.approx(256)
    page.get_by_role("button", name="hours").click()
    assert page.evaluate(end) == pytest.approx(80 / 3600, rel=1e-3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_report_fits_the_screen_and_follows_the_colors_of_the_system(
    open_page: Callable[..., Any], report: str, size: tuple[int, int], scheme: str
) -> None:
    page = open_page(report, size, scheme)
    drawn(page)
    assert fits(page)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")
    widths = page.evaluate("[...document.querySelectorAll('.chart')].map(it => it.getBoundingClientRect().width)")
    assert max(widths) <= size[0]


def test_several_runs_are_drawn_together(open_page: Callable[..., Any], tmp_path: Path) -> None:
    runs = [with_pictures(make_run(tmp_path / name, rows)) for name, rows in (("one", 40), ("two", 20), ("three", 10))]
    runs[1].write_config("format: 1\ndata: digits\nseed: 4\n")
    path = tmp_path / "report.html"
    path.write_text(render([Record.read(run) for run in runs]))
    for size in (DESKTOP, PHONE):
        page = open_page(path.as_uri(), size)
        drawn(page)
        assert page.locator("h1").inner_text() == "3 runs"
        assert page.locator("img.generated").count() == 3
        legend = page.locator('[data-key="losses"] .legend').inner_text().split("\n")
        assert legend == ["one", "two", "three"]
        assert fits(page)
    assert "seed" in page.locator("table").all_inner_texts()[1]


# The board.


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with_pictures(make_run(tmp_path / "a <b>"))
    make_run(tmp_path / "other", rows=10)
    with serving(tmp_path) as it:
        yield it


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_board_lists_runs_and_leads_to_them(
    open_page: Callable[..., Any], board: Board, size: tuple[int, int]
) -> None:
    page = open_page(board.url, size)
    page.get_by_text("Nothing is wrong, as far as the files tell.").nth(1).wait_for()
    assert sorted(page.locator("tbody a").all_inner_texts()) == ["a <b>", "other"]
    assert fits(page)
    page.get_by_label("filter runs").fill("OTH")
    assert page.locator("tbody a").all_inner_texts() == ["other"]
    page.get_by_label("filter runs").fill("")
    page.get_by_role("link", name="a <b>").click()
    drawn(page)
    assert page.locator("h1").inner_text() == "a <b>"
    assert page.locator("img.real").bounding_box()["y"] < page.locator(".chart").first.bounding_box()["y"]
    assert fits(page)
    page.get_by_role("link", name="All runs").click()
    page.get_by_role("link", name="other").wait_for()


def test_chosen_runs_are_compared(open_page: Callable[..., Any], board: Board) -> None:
    page = open_page(board.url)
    compare = page.get_by_role("button", name="Compare")
    page.get_by_label("compare other").check()
    assert compare.is_disabled()
    page.get_by_label("compare a <b>").check()
    compare.click()
    drawn(page)
    assert page.locator("h1").inner_text() == "2 runs"


def test_news_arrive_by_themselves(open_page: Callable[..., Any], board: Board, tmp_path: Path) -> None:
    run = Run(tmp_path / "other")
    page = open_page(f"{board.url}/view?run=other")
    drawn(page)
    page.locator("summary", has_text="What this rests on").click()
    points = "document.querySelector('[data-key=\"losses\"] .plot').data[0].x.at(-1)"
    assert page.evaluate(points) == 1000
    assert page.locator(".samples").is_hidden()
    run.log.append({"step": 1100, "nimg": 70_400, "seconds": 22.0, "d_loss": 0.5, "d_accuracy": 0.9})
    until(page, f"{points} === 1100")
    with_pictures(run)
    page.locator("img.generated").wait_for()
    page.get_by_text("11 rows of the log (step 100 to 1,100)").wait_for()  # and what was unfolded stays so
    Image.fromarray(np.zeros((64, 64), dtype=np.uint8)).save(run.samples / "00005000.png")
    until(page, "document.querySelector('.slider output').textContent === 'step 5,000'")


def test_a_run_is_asked_for_a_checkpoint_and_to_stop(
    open_page: Callable[..., Any], board: Board, tmp_path: Path
) -> None:
    run = Run(tmp_path / "other")
    page = open_page(f"{board.url}/view?run=other")
    drawn(page)
    stop, save = (page.get_by_role("button", name=name) for name in ("Stop", "Save a checkpoint"))
    assert stop.is_hidden()
    run.write_status(Status(State.RUNNING, 1000, 64_000, None, 256.0, 1.0, 1, "here"))
    with run.claim():
        save.click()
        page.get_by_text("Asked for a checkpoint.").wait_for()
        assert run.checkpoint_request.exists()
        stop.click()
        assert not run.stop_request.exists()
        page.get_by_role("button", name="Really stop?").click()
        page.get_by_text("Asked to stop: it saves first.").wait_for()
        assert run.stop_request.exists()
    page.locator("h1 + .pill", has_text="killed").wait_for()
    assert stop.is_hidden()


def test_a_folder_without_runs_says_how_to_begin(open_page: Callable[..., Any], tmp_path: Path) -> None:
    with serving(tmp_path / "none") as board:
        page = open_page(board.url)
        page.get_by_text("No run yet").wait_for()
        make_run(tmp_path / "none/first")
        page.get_by_role("link", name="first").wait_for()
