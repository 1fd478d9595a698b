"""What Mailchimp says of a finished batch: a gzipped tar of JSON, read in memory and within bounds. Pure."""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from typing import Any

import orjson

from bridge.kit.http import Answer

LARGEST = 32_000_000
"""Bytes, unpacked: our batches come to a few millions."""

_GZIP = b"\x1f\x8b"
_NAME = re.compile(r"(?:\./)?(?:[\w-][\w.-]*/)*[\w-][\w.-]*")


def read(packed: bytes) -> dict[str, Answer]:
    """Return each operation's answer by its id.

    Nothing is written anywhere: names are looked at only to refuse an archive that isn't Mailchimp's.

    Raises:
        ValueError: it is none, or is larger than anything that we asked for.
    """
    found: dict[str, Answer] = {}
    for text in _files(_unpacked(packed)):
        try:
            rows = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ValueError("a file of the results is no JSON") from None
        for row in rows if isinstance(rows, list) else ():
            if (one := _answer(row)) is not None:
                found[one[0]] = one[1]
    return found


def _unpacked(packed: bytes) -> bytes:
    if packed[:2] != _GZIP:  # a proxy, or the transport itself, unpacked it already
        return packed
    unpacking = zlib.decompressobj(wbits=31)
    try:
        data = unpacking.decompress(packed, LARGEST + 1)
    except zlib.error:
        raise ValueError("the results are no gzip") from None
    if len(data) > LARGEST:
        raise ValueError(f"the results are longer than {LARGEST // 1_000_000} MB")
    if not unpacking.eof:
        raise ValueError("the results are cut short")
    return data


def _files(data: bytes) -> list[bytes]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            return [_file(archive, one, len(data)) for one in archive if _wanted(one)]
    except (tarfile.TarError, EOFError, OSError, OverflowError, RecursionError):  # each header may announce another one
        raise ValueError("the results are no archive") from None


def _wanted(one: tarfile.TarInfo) -> bool:
    if one.isdir():
        return False
    if not one.isreg() or one.issparse():
        raise ValueError("the results hold something else than files")
    if not _NAME.fullmatch(one.name):
        raise ValueError("the results hold a file with a strange name")
    return one.name.endswith(".json")


def _file(archive: tarfile.TarFile, one: tarfile.TarInfo, most: int) -> bytes:
    if one.size > most:  # a header may say anything
        raise ValueError("the results hold a file that is longer than they are")
    content = archive.extractfile(one)
    return content.read(one.size) if content is not None else b""


def _answer(row: Any) -> tuple[str, Answer] | None:
    if not isinstance(row, dict):
        return None
    name, status, said = row.get("operation_id"), row.get("status_code"), row.get("response", "")
    if not isinstance(name, str) or not isinstance(status, int) or not isinstance(said, str):
        return None
    return name, Answer(status, {}, said.encode("utf-8", "replace"))
