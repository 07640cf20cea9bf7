"""axe-core in a test's page: what a person with a screen reader, or weak eyes, would stumble over.

Its file comes with a package of the tests; nothing of it is kept here.
"""

from importlib import resources

from playwright.sync_api import Page

SERIOUS = ("serious", "critical")
_RUN = """async (within) => {
  const said = (node) => `${node.html} ${(node.any[0] || {}).message || ''}`;
  const found = await axe.run(within || document, {resultTypes: ['violations']});
  return found.violations.map(({impact, id, nodes}) => [impact, id, nodes.map(said)]);
}"""


def serious(page: Page, within: str = "") -> dict[str, list[str]]:
    """What axe finds that is serious or critical, by its rule; in the whole page, or within a selector."""
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text())
    found: list[tuple[str, str, list[str]]] = page.evaluate(_RUN, within)
    return {rule: nodes for impact, rule, nodes in found if impact in SERIOUS}
