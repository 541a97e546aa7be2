"""Zip and tar archives: the same pictures as their folder, nothing written to disk, and broken ones refused."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poise.data import Data, load
from poise.data.archive import archive
from poise.errors import DataError

Pack = Callable[[Path, dict[str, bytes]], Path]
"""Writes members by name into an archive in a directory and gives its path."""


def png(level: int, size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("L", (size, size), level).save(file, "PNG")
    return file.getvalue()


def add(opened: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    opened.addfile(member, io.BytesIO(content))


def packer(suffix: str) -> Pack:
    def pack(directory: Path, members: dict[str, bytes]) -> Path:
        path = directory / f"pictures{suffix}"
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
                for name, content in members.items():
                    opened.writestr(name, content)
        else:
            mode = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz"}[suffix]
            with tarfile.open(path, mode) as opened:
                for name, content in members.items():
                    add(opened, name, content)
        return path

    return pack


SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz")
every_kind = pytest.mark.parametrize("pack", [packer(suffix) for suffix in SUFFIXES], ids=SUFFIXES)
MEMBERS = {f"{kind}/{level}.png": png(level) for level, kind in enumerate(["dog", "cat", "cat", "dog"])}


def prepared(path: Path) -> Data:
    return load(path, cache=path.parent / "cache")


@every_kind
def test_an_archive_equals_its_folder(pack: Pack, tmp_path: Path) -> None:
    for name, content in MEMBERS.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    packed, folder = prepared(pack(tmp_path, MEMBERS)), prepared(tmp_path / "folder")
    assert packed.classes == ("cat", "dog")
    np.testing.assert_array_equal(packed.array, folder.array)
    np.testing.assert_array_equal(packed.labels, folder.labels)
    assert packed.array[:, 0, 0, 0].tolist() == [1, 2, 0, 3]
    assert packed.fingerprint == folder.fingerprint


@every_kind
def test_one_folder_around_everything_is_taken_off(pack: Pack, tmp_path: Path) -> None:
    wrapped = {f"./wrapped/{name}": content for name, content in MEMBERS.items()} | {"README.txt": b"read me"}
    data = prepared(pack(tmp_path, wrapped))
    assert data.classes == ("cat", "dog")
    assert data.fingerprint == prepared(packer(".tar")(tmp_path, MEMBERS)).fingerprint


@every_kind
@pytest.mark.parametrize("evil", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png", "C:\\evil.png"])
def test_an_archive_with_a_member_outside_is_refused(pack: Pack, evil: str, tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = pack(inside, MEMBERS | {evil: png(1)})
    with pytest.raises(DataError, match=r"evil.png' points outside of the archive, which is refused as a whole"):
        prepared(path)
    assert not list(tmp_path.rglob("evil*"))
    assert not list(tmp_path.rglob("array.npy"))


@every_kind
def test_unsafe_names_of_other_files_count_too(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'\.\./run\.sh' points outside"):
        prepared(pack(tmp_path, MEMBERS | {"../run.sh": b""}))


def test_links_and_devices_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar"
    with tarfile.open(path, "w") as opened:
        for name, content in MEMBERS.items():
            add(opened, name, content)
        for name, kind in [
            ("cat/l.png", tarfile.SYMTYPE),
            ("cat/h.png", tarfile.LNKTYPE),
            ("cat/d.png", tarfile.CHRTYPE),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            opened.addfile(member)
    assert len(prepared(path)) == 4


def test_a_later_member_replaces_an_earlier_one(tmp_path: Path) -> None:
    path = packer(".tar")(tmp_path, MEMBERS)
    with tarfile.open(path, "a") as opened:
        add(opened, "dog/0.png", png(99))
    assert prepared(path).array[:, 0, 0, 0].tolist() == [1, 2, 99, 3]


@every_kind
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_a_truncated_archive_is_named(pack: Pack, share: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = {f"{index}.pgm": b"P5 64 64 255\n" + rng.bytes(4096) for index in range(20)}
    path = pack(tmp_path, noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=rf"{path}: the archive is broken or cut short"):
        prepared(path)


def test_a_tar_cut_between_two_members_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    path = packer(".tar")(tmp_path, MEMBERS)
    with tarfile.open(path) as opened:
        second = opened.getmembers()[2].offset
    path.write_bytes(path.read_bytes()[:second])
    with pytest.raises(DataError, match="no end-of-archive mark"):
        prepared(path)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = packer(".tar")(tmp_path, MEMBERS)
    with tarfile.open(path) as opened:
        second = opened.getmembers()[2].offset
    content = bytearray(path.read_bytes())
    content[second + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken or cut short \(the header of a member is damaged"):
        prepared(path)


@every_kind
def test_what_is_no_archive_is_named(pack: Pack, tmp_path: Path) -> None:
    path = pack(tmp_path, {})
    path.write_text("this is not an archive, whatever its name says" * 100)
    with pytest.raises(DataError, match=r"broken or cut short .* copy or download it again"):
        prepared(path)


@every_kind
def test_an_archive_without_pictures(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image was found"):
        prepared(pack(tmp_path, {"a.txt": b"text"}))


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    path = packer(".zip")(tmp_path, MEMBERS)
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(signature)
        content[at + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"'dog/0.png' is encrypted; unpack it"):
        prepared(path)


@every_kind
def test_unreadable_members_are_skipped_and_named(pack: Pack, tmp_path: Path) -> None:
    members = {f"in/{index:02}.png": png(index) for index in range(30)} | {"in/bad.png": b"text"}
    path = pack(tmp_path, members)
    assert (len(prepared(path)), prepared(path).skipped) == (
        30,
        ("bad.png: not an image that can be read; save it as PNG or JPEG",),
    )


def test_a_damaged_zip_member_is_skipped_and_named(tmp_path: Path) -> None:
    path = packer(".zip")(tmp_path, {f"{index:02}.png": png(index) for index in range(30)})
    content = bytearray(path.read_bytes())
    content[content.find(b"00.png") + 12] ^= 255
    path.write_bytes(content)
    data = prepared(path)
    assert len(data) == 29
    assert data.skipped[0].startswith("00.png: damaged in the archive")


@every_kind
def test_a_member_that_is_too_large_is_not_read(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path, {f"{index:02}.png": png(index) for index in range(30)} | {"large.png": bytes(5000)})
    monkeypatch.setattr("poise.data.files.MAX_BYTES", 4000)
    data = prepared(path)
    assert len(data) == 30
    assert data.skipped == ("large.png: it has 5,000 bytes, more than the 4,000 that are allowed",)


def test_a_compressed_tar_is_told_by_its_content(tmp_path: Path) -> None:
    packer(".tar.xz")(tmp_path, MEMBERS).rename(tmp_path / "pictures.tar")
    assert len(prepared(tmp_path / "pictures.tar")) == 4


@pytest.mark.parametrize("suffix", [".tar", ".tar.xz"])
def test_a_tar_is_read_from_front_to_end(suffix: str, tmp_path: Path) -> None:
    """Names come in the stored order, once each, and iterating again begins anew."""
    files = archive(packer(suffix)(tmp_path, MEMBERS))
    for _ in range(2):
        assert [file.name for file in files.read()] == list(MEMBERS)
        assert {file.name: file.read() for file in files.read()} == MEMBERS
