"""The node's page in headless Chromium: what it shows, and that siblings can be decided between by a click.

    python3 look.py http://127.0.0.1:8001/ [folder for screenshots]

Needs playwright and chromium (or google-chrome); without them it ends with status 77.
"""
import pathlib
import shutil
import sys

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sys.exit(77)

browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
if browser is None:
    sys.exit(77)
address = sys.argv[1]
screenshots = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None


def keep(page, name):
    if screenshots:
        page.screenshot(path=screenshots / f"{name}.png", full_page=True)


with sync_playwright() as playwright:
    chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))

    page.goto(address + "#cart")
    expect(page.locator("#node")).to_have_text("node solo")
    expect(page.locator("#members tr")).to_have_count(1)
    expect(page.locator("#members")).to_contain_text("1024")
    expect(page.locator("#ring path").first).to_be_visible()
    expect(page.locator("#key")).to_contain_text("2 siblings")
    expect(page.locator("#key")).to_contain_text("preference list solo")
    assert page.locator("#key b").count() == 0, "a value became a part of the page"
    keep(page, "siblings")

    page.locator(".sibling", has_text="milk").get_by_role("button", name="keep this one").click()
    expect(page.locator(".sibling")).to_have_count(1)
    expect(page.locator(".sibling")).to_contain_text("milk")
    page.get_by_label("value").fill("milk and eggs")
    page.get_by_role("button", name="write").click()
    expect(page.locator(".sibling")).to_contain_text("milk and eggs")

    page.locator("#keys button", has_text="profile").click()
    expect(page.locator("#key")).to_contain_text("Jack")
    page.get_by_label("only with siblings").check()
    expect(page.locator("#keys")).to_contain_text("No key.")

    phone = chromium.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    phone.goto(address + "#profile")
    expect(phone.locator("#key")).to_contain_text("Jack")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390, "it is wider than a phone"
    keep(phone, "phone")
    assert not said, said
