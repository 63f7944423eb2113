"""A drawing as the bytes of an image file, with the EXIF record of a photograph."""

from io import BytesIO

from PIL import Image

from .drawing import Drawing

_MAKE, _MODEL, _DESCRIPTION, _DATE_TIME, _EXIF_IFD, _GPS_IFD, _ORIGINAL = (
    0x010F,
    0x0110,
    0x010E,
    0x0132,
    0x8769,
    0x8825,
    0x9003,
)
_OPTIONS: dict[str, tuple[str, dict[str, int]]] = {
    "jpg": ("JPEG", {"quality": 88}),
    "png": ("PNG", {"compress_level": 6}),
    "webp": ("WEBP", {"quality": 86}),
}


def encode(drawing: Drawing) -> bytes:
    """The file that `drawing.name` promises, with DateTimeOriginal, Make, Model, ImageDescription, GPS in EXIF."""
    form, options = _OPTIONS[drawing.name.rpartition(".")[2]]
    out = BytesIO()
    drawing.image.save(out, form, exif=_exif(drawing).tobytes(), **options)
    return out.getvalue()


def _exif(drawing: Drawing) -> Image.Exif:
    exif = Image.Exif()
    make, _, model = drawing.camera.partition(" ")
    stamp = drawing.taken_at.strftime("%Y:%m:%d %H:%M:%S")
    exif[_MAKE], exif[_MODEL], exif[_DESCRIPTION], exif[_DATE_TIME] = make, model, drawing.captions[0], stamp
    exif.get_ifd(_EXIF_IFD)[_ORIGINAL] = stamp
    gps = exif.get_ifd(_GPS_IFD)
    gps[1], gps[2] = "N" if drawing.latitude >= 0 else "S", _degrees(drawing.latitude)
    gps[3], gps[4] = "E" if drawing.longitude >= 0 else "W", _degrees(drawing.longitude)
    return exif


def _degrees(value: float) -> tuple[float, float, float]:
    """Degrees, minutes, seconds of the size of an angle."""
    size = abs(value)
    minutes = (size - int(size)) * 60
    return float(int(size)), float(int(minutes)), round((minutes - int(minutes)) * 60, 3)
