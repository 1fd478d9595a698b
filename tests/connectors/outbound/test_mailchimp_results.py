"""The archive that a batch's results come in, read as something that may have been made by anybody."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import Any

import orjson
import pytest

from connectors.outbound.mailchimp.results import LARGEST, read
from connectors.sandbox.mailchimp import packed

ROW = {"status_code": 200, "operation_id": "a.0", "response": '{"status":"subscribed"}'}


def archive(*files: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as made:
        for name, text in files:
            one = tarfile.TarInfo(name)
            one.type, one.linkname, one.size = kind, link, len(text)
            made.addfile(one, io.BytesIO(text))
    return target.getvalue()


def test_each_operation_has_its_answer() -> None:
    """From every file of the archive, by the id that we gave."""
    rows = [ROW, {"status_code": 204, "operation_id": "a.1", "response": ""}]
    found = read(packed(rows))
    assert {name: (answer.status, answer.json) for name, answer in found.items()} == {
        "a.0": (200, {"status": "subscribed"}),
        "a.1": (204, None),
    }


def test_an_archive_that_was_unpacked_on_the_way_is_read() -> None:
    """The transport unpacks what is declared as compressed."""
    assert list(read(gzip.decompress(packed([ROW])))) == ["a.0"]


def test_other_files_and_strange_rows_are_passed_over() -> None:
    """Only JSON counts, and only rows with id, status and text."""
    rows: list[Any] = [ROW, None, {"operation_id": 5}, {"operation_id": "b", "status_code": "200"}]
    found = read(archive(("README", b"hello"), ("a.json", orjson.dumps(rows)), ("b.json", b"{}")))
    assert list(found) == ["a.0"]


@pytest.mark.parametrize("name", ["../a.json", "/etc/a.json", "a/../../b.json", "a\\..\\b.json", "..json/x"])
def test_a_strange_name_is_refused(name: str) -> None:
    """Nothing is written anywhere, and still: such an archive is not Mailchimp's."""
    with pytest.raises(ValueError, match="strange name"):
        read(archive((name, b"[]")))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE])
def test_anything_but_a_file_is_refused(kind: bytes) -> None:
    """A link could point anywhere."""
    with pytest.raises(ValueError, match="something else than files"):
        read(archive(("a.json", b""), kind=kind, link="/etc/passwd"))


def test_a_bomb_is_not_unpacked() -> None:
    """It ends where more comes out than we can have asked for."""
    with pytest.raises(ValueError, match="longer than 32 MB"):
        read(gzip.compress(b"\0" * (LARGEST + 1)))


def test_a_header_that_claims_more_than_there_is_is_refused() -> None:
    """A file can't be longer than its archive."""
    one = tarfile.TarInfo("a.json")
    one.size = 10**12
    with pytest.raises(ValueError, match="the results"):
        read(gzip.compress(one.tobuf() + b"\0" * 10_240))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b"\x1f\x8b", b"\x1f\x8bnonsense", packed([ROW])[:-20], gzip.compress(b"x" * 2_000)],
    ids=["nothing", "page", "beginning", "nonsense", "cut", "other"],  # an archive has its time in it
)
def test_what_is_no_archive_is_refused(body: bytes) -> None:
    """A proxy's page, a cut transfer, or something else that is compressed."""
    with pytest.raises(ValueError, match="results"):
        read(body)


def test_a_file_that_is_no_json_is_refused() -> None:
    """Half of the results is no result."""
    with pytest.raises(ValueError, match="no JSON"):
        read(archive(("a.json", b"[{")))


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_headers_without_end_are_refused(kind: bytes) -> None:
    """Each may announce the next; a program that follows them all falls over."""
    one = tarfile.TarInfo("a")
    one.type, one.size = kind, 12
    endless = (one.tobuf(tarfile.USTAR_FORMAT) + b"12 path=abc\n".ljust(512, b"\0")) * 5_000
    with pytest.raises(ValueError, match="no archive"):
        read(gzip.compress(endless))
