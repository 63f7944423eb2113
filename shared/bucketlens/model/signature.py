"""What a file is, from its first bytes. Standard library only."""

from __future__ import annotations

SUPPORTED = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif")
"""The formats that become pixels."""

_LEADING: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"8BPS", "Photoshop (PSD)"),
    (b"\x00\x00\x01\x00", "Windows icon (ICO)"),
    (b"\x00\x00\x02\x00", "Windows cursor (CUR)"),
    (b"icns", "Apple icon (ICNS)"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"FUJIFILMCCD-RAW", "camera raw (RAF)"),
    (b"IIRO", "camera raw (ORF)"),
    (b"IIU\x00", "camera raw (RW2)"),
    (b"%PDF-", "PDF"),
    (b"%!PS", "PostScript"),
    (b"gimp xcf", "GIMP (XCF)"),
    (b"DDS ", "DirectDraw surface (DDS)"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"qoif", "QOI"),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile (WMF)"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
)
# Brands of the ISO base media file format: ISO/IEC 23008-12 annex B (HEIF), AV1 Image File Format section 8 (AVIF).
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
# Sizes of the header that follows "BM....": OS/2 1 and 2, Windows 3, the undocumented 52 and 56, version 4 and 5.
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}


def recognise(body: bytes) -> str | None:
    """One of ``SUPPORTED``, the display name of another format, ``"text"``, or None for bytes of no known kind.

    Looks at no more than the first kilobyte. Says nothing about whether the rest is intact.
    """
    if body.startswith(b"RIFF"):
        return {b"WEBP": "webp", b"AVI ": "AVI video", b"WAVE": "WAVE audio"}.get(body[8:12], "RIFF container")
    if body.startswith(b"BM") and len(body) >= 18 and int.from_bytes(body[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if body[4:8] == b"ftyp":
        return _media(body[:1024])
    leading = next((name for start, name in _LEADING if body.startswith(start)), None)
    return leading or _text(body[:1024])


def _media(head: bytes) -> str:
    box = head[8 : max(16, int.from_bytes(head[:4], "big"))]
    brands = {box[:4], *(box[at : at + 4] for at in range(8, len(box), 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    if brands & _HEIC_BRANDS:
        return "HEIC"
    if brands & {b"mif1", b"msf1", b"heif"}:
        return "HEIF"
    return "Canon raw (CR3)" if box[:4] == b"crx " else "MPEG-4 video"


def _text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or not error.start:  # otherwise the kilobyte merely ends inside a character
            return None
        text = head[: error.start].decode("utf-8-sig")
    if any(character < " " and character not in "\t\n\r\f" for character in text):
        return None
    return "SVG" if "<svg" in text else "text"
