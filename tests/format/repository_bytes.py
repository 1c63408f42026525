"""The bytes of a repository's parts, as docs/repository-format.md has them: for read_repository.py."""

import hashlib
import hmac
import struct
from collections import namedtuple

READER, PAGE, LAYOUTS = 2, 4096, ["zeros", "chunk", "file", "pages"]
NOT_FOR_US = " is sealed, or for a newer reader"
Blob = namedtuple("Blob", "pack slot layout height size")
Segment = namedtuple("Segment", "offset stored raw slots codec flags")
Pack = namedtuple("Pack", "name data segments places")


class Problem(Exception):
    pass


def stop(unless, what):
    if not unless:
        raise Problem(what)


def need(condition, what):
    stop(condition, "damaged: " + what)


def mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def hkdf(secret, info):
    return mac(mac(bytes(32), secret), info + b"\1")


def zeros(count):
    yield from (bytes(min(1 << 20, count - at)) for at in range(0, count, 1 << 20))


def open_part(number, context, stored, what):
    """The plaintext of an unsealed part."""
    need(len(stored) >= 16, what + " is too short")
    plain, tag = stored[:-16], stored[-16:]
    head = struct.pack("<QQ", number, len(context))
    need(hashlib.sha256(head + context + plain).digest()[:16] == tag, what + ": its checksum is another")
    return plain


class Bytes:
    """Reads numbers from bytes; never past their end."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        need(count <= self.left(), self.what + " ends too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def unpack(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            need(value < 1 << 64 and shift <= 70 and (byte or shift == 7), self.what + ": a number that is none")
            if byte < 128:
                return value

    def svarint(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def node(self, magic, level):
        """What nodes of both trees start with: the ids of packs."""
        need(self.take(2) == magic and self.take(1)[0] == level, self.what + " that is none")
        return [self.take(16) for _ in range(self.varint())]

    def place(self, packs, following, count):
        """The pack and the first of `count` slots that follow each other."""
        index, delta = self.varint(), self.svarint()
        need(index < len(packs), self.what + ": a pack that is not in its list")
        first = following.get(index, 0) + delta
        following[index] = first + count
        return packs[index], first


def parse_blob(data):
    need(len(data) == 32, "a blob ref of the wrong length")
    blob = Blob(*struct.unpack("<16sIBBxxQ", data))
    need(blob.layout < 4 and blob.height <= 8 and data[22:24] == bytes(2) and blob.size <= 1 << 62 and
         (blob.layout or not any(data[:24])), "a blob ref that is none")
    return blob


def expand_lz4(data, length, what):
    """One block of LZ4: runs of literals, each but the last followed by a copy of what came before."""
    out, at = bytearray(), 0

    def take(count):
        nonlocal at
        need(at + count <= len(data), what + " is cut off")
        at += count
        return data[at - count:at]

    def number(nibble):
        while nibble >= 15:
            more = take(1)[0]
            nibble += more
            if more < 255:
                break
        return nibble

    while True:
        token = take(1)[0]
        out += take(number(token >> 4))
        if at == len(data):
            return bytes(out)
        distance = int.from_bytes(take(2), "little")
        count = number(token & 15) + 4
        need(1 <= distance <= len(out) and len(out) + count <= length, what + " is no LZ4 block")
        pattern = bytes(out[len(out) - distance:])
        out += (pattern * (count // distance + 1))[:count]


def parse_table(fields, count, slots, end):
    """Segments, and where each slot lies: slot number to (id, offset in the expanded segment, length)."""
    segments, places = [], {}
    for _ in range(count):
        *segment, zeros4 = fields.unpack("QIIHBBI")
        segment = Segment(*segment)
        need(zeros4 == 0 and (segment.slots or not any(segment)), "a dropped segment that is there")
        need(segment.slots <= 256 and segment.raw <= 2 << 20 and segment.codec <= 2 and segment.flags <= 1 and
             segment.stored <= segment.raw + 16, "a segment that cannot be")
        segments.append(segment)
    need(sum(segment.slots for segment in segments) == slots, "another number of slots")
    covered = 64
    for segment in sorted(segment for segment in segments if segment.slots):
        need(segment.offset == covered, "segments with gaps")
        covered += segment.stored
    need(covered == end, "segments that do not reach the table")
    for number, segment in enumerate(segments):
        ids = [fields.take(16) for _ in range(segment.slots)]
        lengths = [PAGE] * segment.slots if segment.flags else fields.unpack("%dI" % segment.slots)
        need(sum(lengths) == segment.raw, "slots that do not fill their segment")
        at = 0
        for index, length in enumerate(lengths):
            if length:  # else it was dropped
                places[number * 256 + index] = (ids[index], at, length)
            at += length
    need(not fields.left(), "a table that is too long")
    return segments, places
