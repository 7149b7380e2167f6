"""Elements of the page: a text stays a text, wherever it is put."""

from html.parser import HTMLParser

import pytest

from smki_sync.report.charts import element, html_text, table

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt; &amp; &#60;",
    "</style></title><!-- ",
    "]]><svg onload=alert(1)>",
]


class Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[str | None] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_comes_out_as_it_went_in_and_makes_no_element(text: str) -> None:
    read = Read(html_text(element("p", text, element("b", text), text, title=text)))
    assert read.tags == ["p", "b"]
    assert [t for t in read.texts if t.strip()] == [text] * 3
    assert read.attributes == [text]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_takes_any_text_as_caption_heading_and_cell(text: str) -> None:
    read = Read(html_text(table(text, (text, text), [(text, text)], numbers=1)))
    assert read.tags == ["div", "table", "caption", "thead", "tr", "th", "th", "tbody", "tr", "th", "td"]
    assert [t for t in read.texts if t.strip()] == [text] * 5


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\u202eb", r"a\u202eb"),
        ("a\0b", r"a\x00b"),
        ("a\ud800b", r"a\ud800b"),
        ("a\nb", r"a\nb"),
    ],
)
def test_what_does_not_print_is_written_out(text: str, shown: str) -> None:
    written = html_text(element("p", text, title=text))
    assert written.count(shown) == 2
    assert text not in written
    written.encode("utf-8")
