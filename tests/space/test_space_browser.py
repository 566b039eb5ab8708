"""A click-through in headless Chromium, where one is installed."""

import re
import shutil
from itertools import pairwise

import pytest

pytest.importorskip("gradio")
api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
# relative luminance and contrast as WCAG 2 defines them, of text on the first background behind it that is opaque
CONTRAST = """(selector) => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  return [...document.querySelectorAll(selector)].filter((n) => n.offsetParent && n.textContent.trim()).map((node) => {
    let behind = node, back;
    do { back = rgb(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; }
    while (behind && back.length > 3 && back[3] < 1);
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(back)].sort((p, q) => q - p);
    return [(a + 0.05) / (b + 0.05), node.textContent.slice(0, 40)];
  });
}"""


@pytest.fixture(scope="module")
def chromium():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, server):
    """Opens the page in a window of a width and a colour scheme; at the end nothing may have gone wrong in it."""
    contexts, problems = [], []

    def open_page(width=1280, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url) if not ours(request.url) else None)
        page.goto(server)
        page.wait_for_selector("#disk .query", state="attached")
        return page

    def ours(url):
        return url.startswith((server, server.replace("http", "ws"), "data:", "blob:"))

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def box_of(page):
    return page.locator("#box textarea, #box input").first.input_value()


def changed(page, act):
    """Does something and waits until another box, or none, is asked about."""
    before = box_of(page)
    act()
    script = "(old) => document.querySelector('#box textarea, #box input').value !== old"
    page.wait_for_function(script, arg=before)
    return box_of(page)


def test_the_idea_is_there_without_a_click(opened):
    page = opened()
    api.expect(page.locator("#hierarchy h3")).to_have_text("What is this part of?")
    api.expect(page.locator("#similarity h3")).to_have_text("What looks like this? (cosine)")
    for column in ("#hierarchy", "#similarity"):
        api.expect(page.locator(f"{column} .card")).to_have_count(8)
        assert all(re.fullmatch(r"-?\d\.\d\d", text) for text in page.locator(f"{column} .figure").all_inner_texts())
    assert page.locator("#examples .card").count() == 8
    way = page.locator("#path .way li")
    assert way.first.inner_text().strip() == "this"
    assert "origin" in way.last.inner_text()
    assert way.count() > 2
    assert page.locator("#disk .found.results").count() == 8
    assert page.locator("#hierarchy img").first.evaluate("image => image.complete && image.naturalWidth > 0")


def test_examples_results_and_the_question(opened):
    page = opened()
    example = page.locator("#examples .card[data-direction=children]").first
    changed(page, example.click)
    api.expect(page.locator("#hierarchy h3")).to_have_text("What is in this?")
    api.expect(page.get_by_label("What is in this?")).to_be_checked()
    page.get_by_label("What is this part of?").click()
    api.expect(page.locator("#hierarchy h3")).to_have_text("What is this part of?")
    competed = page.locator("#similarity .note").last.inner_text()
    page.get_by_label("Let the same items compete").click()
    api.expect(page.locator("#similarity .note").last).not_to_have_text(competed)
    assert page.locator("#similarity .note").first.inner_text() == "The same items compete."
    changed(page, page.locator("#hierarchy .card").first.click)


def test_a_box_is_drawn_picked_and_typed(opened):
    page = opened()
    page.locator("#picker svg").scroll_into_view_if_needed()
    area = page.locator("#picker svg").bounding_box()
    scale = 192 / area["width"]

    def drag():
        page.mouse.move(area["x"] + 40, area["y"] + 50)
        page.mouse.down()
        page.mouse.move(area["x"] + 90, area["y"] + 100, steps=4)
        page.mouse.move(area["x"] + 140, area["y"] + 170, steps=4)
        page.mouse.up()

    drawn = [float(side) for side in changed(page, drag).split(",")]
    assert drawn == pytest.approx([40 * scale, 50 * scale, 140 * scale, 170 * scale], abs=1.5)
    api.expect(page.locator("#path .start img")).to_be_visible()

    # by keyboard alone: focus a box that is known, and press Enter
    other = page.locator("#picker .known[aria-pressed=false]").first
    changed(page, lambda: (other.focus(), page.keyboard.press("Enter")))
    api.expect(page.locator("#picker .known[aria-pressed=true]")).to_have_count(1)

    field = page.locator("#box textarea, #box input").first
    field.fill("9, 9, 1, 1")
    field.press("Enter")
    api.expect(page.locator(".toast-body")).to_contain_text("x0 < x1")
    field.fill("")
    field.press("Enter")
    api.expect(page.locator("#picker .known[aria-pressed=true]")).to_have_count(0)


def test_the_disk_shows_what_is_pointed_at_and_searches_from_it(opened):
    page = opened()
    found = page.locator("#disk .found.similar").first
    found.scroll_into_view_if_needed()
    found.hover(force=True)
    card = page.locator("#disk .hover")
    api.expect(card).to_be_visible()
    assert card.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert "," in card.inner_text()
    page.mouse.move(1, 1)
    api.expect(card).to_be_hidden()
    last = page.locator("#disk .found.similar").last
    changed(page, lambda: (last.focus(), page.keyboard.press("Enter")))
    point = page.locator("#disk .cloud path").nth(3)
    changed(page, lambda: point.dispatch_event("click"))


def test_uploads_good_and_bad(opened, hostile, index_folder):
    page = opened()
    upload = page.locator("#upload input[type=file], input[type=file]").first
    for name in ("truncated.jpg", "drawing.svg", "text.png", "bomb.gif"):
        upload.set_input_files(str(hostile[name]))
        toast = page.locator(".toast-body")
        api.expect(toast).to_have_count(1)
        assert "picture" in toast.inner_text()
        assert str(hostile[name].parent) not in toast.inner_text()
        page.locator(".toast-close").first.click()
        api.expect(toast).to_have_count(0)
    upload.set_input_files(str(index_folder.parent / "scenes" / "test" / "000003.jpg"))
    api.expect(page.locator("#picker .known")).to_have_count(0)
    assert box_of(page) == ""
    api.expect(page.locator("#hierarchy .card")).to_have_count(8)


def test_on_a_phone_nothing_sticks_out(opened):
    page = opened(width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    boxes = [page.locator(name).bounding_box() for name in ("#picker", "#hierarchy", "#similarity", "#path", "#disk")]
    for upper, lower in pairwise(boxes):
        assert upper["y"] + upper["height"] <= lower["y"] + 1
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["width"] > 300 for box in boxes)


# of each card's name the lines that one word takes
LINES = """() => [...document.querySelectorAll('.card b')].filter((n) => n.offsetParent).map((name) => {
  const place = name.closest('[id]').id, old = name.textContent;
  name.textContent = 'counterweight';
  const range = document.createRange(); range.selectNodeContents(name);
  const lines = range.getClientRects().length, card = name.closest('.card').getBoundingClientRect();
  const fits = range.getBoundingClientRect().right <= card.right; name.textContent = old;
  return [lines, fits, place];
})"""


@pytest.mark.parametrize("width", [1280, 390])
def test_no_word_is_torn_apart_and_the_button_stands_beside_its_field(opened, width):
    page = opened(width=width)
    measured = page.evaluate(LINES)
    # the longest word among the classes, in every card
    assert len(measured) > 24
    assert [entry for entry in measured if entry[:2] != [1, True]] == []
    field = page.locator("#box textarea, #box input").first.bounding_box()
    button = page.locator("#box button").bounding_box()
    assert button["x"] >= field["x"] + field["width"] + 4
    assert button["y"] == pytest.approx(field["y"], abs=1)
    assert button["height"] == pytest.approx(field["height"], abs=1)
    around = page.locator("#box").bounding_box()
    assert button["x"] + button["width"] <= around["x"] + around["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible(opened, scheme):
    page = opened(scheme=scheme)
    measured = []
    for selector in ("h1, #title p, h3, .note, .card b, .card small, .level, #about p", "label span, button"):
        measured += page.evaluate(CONTRAST, selector)
    assert len(measured) > 60
    assert [entry for entry in measured if entry[0] < 4.5] == []
