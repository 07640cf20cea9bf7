"""HTML that is read in one way here and in another there, for tests of what lets prose through."""

import random

FRAGMENTS = (
    *("<p>", "</p>", "<br />", "<hr/>", "<code>", "</code>", '<a href="https://a/b" title="x">', "</a>"),
    *('<p style="text-align:left">', "<td>", "<table>", "</table>", "<li>", "<pre>", "text", "a &amp; b"),
    *(
        "<",
        ">",
        "</",
        "/>",
        "<!",
        "<!-",
        "<!--",
        "--",
        "-->",
        "--!>",
        "<!-->",
        "<!--->",
        "<!-- >",
        "<?",
        "?>",
    ),
    *("<![CDATA[", "]]>", "<!DOCTYPE", "<!ELEMENT", "<%", "%>", "</ p", "</!", "< p>"),
    *(
        "<img src=x onerror=y>",
        "<script>",
        "</script>",
        "<svg>",
        "<math>",
        "<title>",
        "<style>",
        "<plaintext>",
    ),
    *(
        ' title="',
        " title='",
        " title=",
        ' onclick="x"',
        " onclick=x",
        ' href="',
        "javascript:x",
        "java\tscript:x",
    ),
    *(
        '"',
        "'",
        "`",
        "=",
        "/",
        " ",
        "\n",
        "\f",
        "\v",
        "\0",
        "\u00a0",
        "\u2028",
        "&",
        "&lt",
        "&lt;",
        "&#60;",
        "&#x3c",
    ),
    *("&Tab;", "&colon;", "&quot;", "&apos;", "p", "P", "\u0130", "ſ", "K", "A", "onclick", "href", "x"),
)
KNOWN = (
    '<!-- > <p title="--!><img src=x onerror=y>">',
    '<!--> <p title="--><img src=x onerror=y>">',
    '<![CDATA[ > <p title="]]><img src=x onerror=y>">',
    '<? > <p title="?><img src=x onerror=y>">',
    '<!x > <p title="><img src=x onerror=y>">',
    '</ > <p title="><img src=x onerror=y>">',
    "<p title=x\u00a0onclick=y>",
    '<a\u00a0href="x">x</a>',
    '<p title="x"onclick="y">',
    '<p/onclick="y">',
    "<p title=`x` onclick=`y`>",
    '<p title="a\0b">',
    '<p\u000bonclick="y">',
    '<a href="java&Tab;script:x">x</a>',
    '<a href="javascript&colon;x">x</a>',
    '<a href="&#1;javascript:x">x</a>',
    f'<a href="&#{"0" * 5000}106;avascript:x">x</a>',
    '<a href="\u0001javascript:x">x</a>',
)
"""Each was, is, or could be let through by a reader that is not the browser."""


def generated(count: int, seed: int = 1) -> list[str]:
    """So many texts of fragments, the same each time; many are nearly prose."""
    dice = random.Random(seed)
    return ["".join(dice.choices(FRAGMENTS, k=dice.randint(1, 6))) for _ in range(count)]
