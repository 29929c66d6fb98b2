"""What the tests of both pages use."""


def wait(browser, condition, seconds=60):
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, seconds).until(lambda browser: browser.execute_script(f"return {condition}"))
