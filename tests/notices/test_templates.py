"""The texts of notices: the package's own, the operator's in their place, and what is said of a faulty one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.contract.mail import NoticeKind
from bridge.notices.templates import TemplateFault, Templates, samples


def own(folder: Path, **files: str) -> Templates:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return Templates.read(folder)


VALUES = next(samples("access"))


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_notice_has_a_text_that_stands_all_its_data(kind: NoticeKind) -> None:
    """The package's templates can be filled in with everything and with as little as can be."""
    templates = Templates.read(None)
    assert templates.faults() == []
    for values in samples(kind):
        text = templates.render(kind, values)
        assert text.subject
        assert "\n\n\n" not in text.plain
        assert text.html is None


def test_seats_name_every_link() -> None:
    """Whoever bought seats gets each claim link once."""
    text = Templates.read(None).render("seats", next(samples("seats")))
    assert text.plain.count("https://courses.example.org/claim/SAMPLE") == 2
    assert text.subject.startswith("Your 2 seats")


def test_a_buyer_is_not_greeted_by_the_learners_name() -> None:
    """Links that go to somebody else than the learner whom the order names greet nobody by that name."""
    values = next(samples("seats"))
    assert "Hello Ada," in Templates.read(None).render("seats", values).plain
    assert "Ada" not in Templates.read(None).render("seats", {**values, "recipient": "boss@example.org"}).plain


def test_a_file_of_ones_own_takes_the_place_of_one(tmp_path: Path) -> None:
    """An operator's file replaces that notice's text, and the others stay."""
    templates = own(tmp_path, access__txt="Subject: Hi {{ learner.first_name }}\n\nWelcome.\n")
    assert templates.faults() == []
    assert templates.render("access", VALUES).subject == "Hi Ada"
    assert templates.render("access", VALUES).plain == "Welcome.\n"
    assert templates.sources["seats.txt"] == Templates.read(None).sources["seats.txt"]


def test_what_is_put_into_html_is_escaped(tmp_path: Path) -> None:
    """A name is text in the HTML form, whatever it looks like."""
    templates = own(tmp_path, access__html="<p>{{ learner.name }}</p>")
    values = {**VALUES, "learner": {**VALUES["learner"], "name": "<script>alert(1)</script>"}}
    text = templates.render("access", values)
    assert text.html == "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"


def test_a_part_can_be_included(tmp_path: Path) -> None:
    """Files that begin with an underscore are parts, and no notices."""
    templates = own(tmp_path, access__txt='Subject: Hi\n\n{% include "_foot.txt" %}', _foot__txt="The office\n")
    assert templates.faults() == []
    assert templates.render("access", VALUES).plain == "The office\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("access__txt", "Hello\n", "access.txt:1: the first line has to be 'Subject: ...'"),
        ("access__txt", "Subject: \n\nHello\n", "access.txt:1: the subject is empty"),
        ("access__txt", "Subject: Hi\n\nHello\n{{ nmae }}\n", "access.txt:4: 'nmae' is undefined"),
        ("access__txt", "Subject: {{ nmae }}\n\nHello\n", "access.txt:1: 'nmae' is undefined"),
        (
            "access__txt",
            "Subject: Hi\n\n{% if %}\n",
            "access.txt:3: Expected an expression, got 'end of statement block'",
        ),
        ("access__txt", "Subject: Hi\n\n{{ courses[7].title }}\n", "access.txt:3: list object has no element 7"),
        ("access__txt", "Subject: Hi\n\n{{ 1 // 0 }}\n", "access.txt:3: fails with ZeroDivisionError"),
        ("access__html", "<p>\n{{ nmae }}", "access.html:2: 'nmae' is undefined"),
        ("acess__txt", "Subject: Hi\n", "acess.txt: no notice has this file; did you mean 'access.txt'?"),
    ],
)
def test_a_faulty_template_is_named_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    """What is wrong is said before anything is sent, with the file and the line in it."""
    faults = own(tmp_path, **{name: text}).faults()
    assert any(fault.startswith(said) for fault in faults), faults


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ learner.__init__.__globals__ }}",
        "{{ courses.append(1) }}",
        "{% for n in range(10000000) %}x{% endfor %}",
    ],
)
def test_a_template_can_do_nothing_but_write(tmp_path: Path, text: str) -> None:
    """The sandbox lets no template reach into the bridge, change its data or eat its time."""
    assert own(tmp_path, access__txt=f"Subject: Hi\n\n{text}\n").faults()


def test_a_value_can_not_begin_another_line_of_the_subject() -> None:
    """Line ends in a title become spaces in the subject, and the body stays a body."""
    values = {**VALUES, "courses": [{"title": "One\r\nBcc: eve@example.org", "url": None}]}
    text = Templates.read(None).render("access", values)
    assert text.subject == "You have access to One Bcc: eve@example.org"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A missing folder is a fault, and not silence."""
    with pytest.raises(TemplateFault, match="can't be read"):
        Templates.read(tmp_path / "nowhere")
