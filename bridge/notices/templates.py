"""The texts of notices: Jinja2 in a sandbox, the operator's own before those of the package, tried out before they are used.

A template ``KIND.txt`` begins with a line ``Subject: ...``; a ``KIND.html`` beside it is sent as a second form of the same.
A file whose name begins with ``_`` is a part that others include.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import FunctionLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bridge.contract.mail import NoticeKind

_PACKAGED = Path(__file__).with_name("templates")
_SUBJECT = "Subject:"
_ENDINGS = (".txt", ".html")
_LONGEST_SUBJECT = 250  # characters
_LARGEST = 256_000  # bytes of one file


class TemplateFault(Exception):
    """A template can't be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Text:
    """A rendered notice."""

    subject: str
    plain: str
    html: str | None


@dataclass(frozen=True)
class Templates:
    """The texts in force. Equal where the files are.

    Attributes:
        sources: file name -> its text.
    """

    sources: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path | None) -> Templates:
        """Read the package's templates, and those of ``folder`` in their place.

        Raises:
            TemplateFault: the folder or a file in it can't be read.
        """
        sources = dict(_files(_PACKAGED))
        if folder is not None:
            own = dict(_files(folder))
            # A text of one's own without an HTML form is sent without: the other form may say something else.
            for name in own:
                sources.pop(name.removesuffix(".txt") + ".html", None)
            sources |= own
        return cls(sources)

    @cached_property
    def _environment(self) -> ImmutableSandboxedEnvironment:
        return ImmutableSandboxedEnvironment(
            loader=FunctionLoader(self._source),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
        )

    def _source(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        text = self.sources.get(name)
        return None if text is None else (_body(name, text), name, lambda: True)

    def render(self, kind: str, values: Mapping[str, Any]) -> Text:
        """Fill a notice's template in.

        Raises:
            TemplateFault: it can't be; the message quotes no value.
        """
        name = f"{kind}.txt"
        subject = " ".join(_clean(self._rendered(name, values, self._subject(name))).split())[:_LONGEST_SUBJECT]
        if not subject:
            raise TemplateFault(f"{name}:1: the subject is empty")
        plain = _clean(self._rendered(name, values)).strip("\n") + "\n"
        html = self._rendered(f"{kind}.html", values) if f"{kind}.html" in self.sources else None
        return Text(subject, plain, html)

    def faults(self) -> list[str]:
        """Return what is wrong with the templates, ``file:line: words``, having filled each in with made-up values."""
        known = {f"{kind}{ending}" for kind in NoticeKind for ending in _ENDINGS}
        found = []
        for name in self.sources:
            if name not in known and not name.startswith("_"):
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(known))}"
                found.append(f"{name}: no notice has this file; {hint} A part that others include begins with '_'")
        for kind in NoticeKind:
            for values in samples(kind):
                try:
                    self.render(kind, values)
                except TemplateFault as fault:
                    found.append(str(fault))
        return list(dict.fromkeys(found))

    def _subject(self, name: str) -> str:
        first, _, _ = self.sources[name].partition("\n")
        if not first.startswith(_SUBJECT):
            raise TemplateFault(f"{name}:1: the first line has to be '{_SUBJECT} ...'")
        return first.removeprefix(_SUBJECT).strip()

    def _rendered(self, name: str, values: Mapping[str, Any], text: str | None = None) -> str:
        try:
            environment = self._environment
            template = environment.get_template(name) if text is None else environment.from_string(text)
            return str(template.render(values))
        except TemplateSyntaxError as fault:
            raise TemplateFault(f"{fault.name or name}:{fault.lineno}: {fault.message}") from None
        except TemplateError as fault:
            raise TemplateFault(f"{_place(fault, name)}: {fault.message or type(fault).__name__}") from None
        except Exception as fault:  # noqa: BLE001 - whatever an operator's expression does; its message may quote values
            raise TemplateFault(f"{_place(fault, name)}: fails with {type(fault).__name__}") from None


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    try:
        for file in sorted(folder.iterdir()):
            if file.suffix in _ENDINGS and file.is_file():
                if file.stat().st_size > _LARGEST:
                    raise TemplateFault(f"{file.name}: larger than {_LARGEST} bytes")
                yield file.name, file.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise TemplateFault(f"{folder} can't be read: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise TemplateFault(f"{file.name}: is not UTF-8 text") from None


def _body(name: str, text: str) -> str:
    # The subject's line stays, empty: what is said of a fault counts lines as the operator does.
    if name.endswith(".txt") and text.startswith(_SUBJECT):
        return "\n" + text.partition("\n")[2]
    return text


def _place(fault: BaseException, name: str) -> str:
    """Return ``file:line`` of the template that a fault came through last; a subject stands in the first line."""
    place, trace = f"{name}:1", fault.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "__jinja_exception__" in trace.tb_frame.f_globals and code.co_filename.endswith(_ENDINGS):
            place = f"{code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _clean(text: str) -> str:
    """Leave out control characters: nobody's name rings a bell in a mail or begins a header."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(sign for sign in lines if sign in "\n\t" or sign.isprintable() or sign.isspace())


_LEARNER = {"first_name": "Ada", "last_name": "Lovelace", "name": "Ada Lovelace", "email": "ada@example.org"}
_NOBODY = {"first_name": "", "last_name": "", "name": "", "email": ""}
_COURSES = [
    {"title": "Introduction to Ethics", "url": "https://school.example.org/ethics"},
    {"title": "Bookkeeping", "url": None},
]
_MORE: Mapping[str, Callable[[bool], dict[str, Any]]] = {
    NoticeKind.ACCESS: lambda full: {"product_url": "https://school.example.org/start" if full else None},
    NoticeKind.CANCELLED_USER: lambda full: {"explanation": "You asked for it." if full else ""},
    NoticeKind.CANCELLED_ADMIN: lambda full: {"explanation": "The member asked for it." if full else ""},
    NoticeKind.SEATS: lambda full: {
        "quantity": 2 if full else 1,
        "links": [f"https://courses.example.org/claim/SAMPLE{n}" for n in range(2 if full else 1)],
    },
}


def samples(kind: str) -> Iterator[dict[str, Any]]:
    """Yield made-up values for a notice: everything that can be there, and as little as can be."""
    for full, courses in ((True, _COURSES), (True, _COURSES[:1]), (False, _COURSES[1:]), (False, [])):
        yield {
            "learner": _LEARNER if full else _NOBODY,
            "recipient": "ada@example.org",
            "registration_id": 7,
            "order_number": "1001" if full else "",
            "source": "shop",
            "courses": courses,
            **_MORE[kind](full),
        }
