#!/usr/bin/env python3
"""Reads an unsealed repository in a directory, as docs/repository-format.md describes it. Shares no code with CACS.

    read_repository.py DIRECTORY list                            checkpoints: id, application, incarnation, time
    read_repository.py DIRECTORY entries CHECKPOINT              entries: bytes, layout, name
    read_repository.py DIRECTORY layout CHECKPOINT NAME          runs of pages: first page, pages
    read_repository.py DIRECTORY restore CHECKPOINT NAME FILE    writes an entry to FILE
    read_repository.py DIRECTORY verify                          reads everything

Every checksum and content id is verified. Segments that are compressed with zstd are not read: the standard library
has none. Ends with 1 and says why when something is damaged, missing or beyond it."""

import json
import os
import re
import struct
import sys

from repository_bytes import (LAYOUTS, NOT_FOR_US, PAGE, READER, Bytes, Pack, Problem, expand_lz4, hkdf, mac, need,
                              open_part, parse_blob, parse_table, stop, zeros)


class Repository:
    def __init__(self, directory):
        self.directory = directory
        self.packs, self.segments = {}, {}
        body = self.document(b"CACSREPO", "repository")
        stop(body["sealing"] == 0, directory + NOT_FOR_US)
        root = hkdf(body["repository"].encode(), b"cacs unsealed")
        self.id_key, self.name_key = hkdf(root, b"cacs content id"), hkdf(root, b"cacs names")
        self.newest = {}  # pack id: its highest generation
        for name in self.names("packs"):
            if re.fullmatch("[0-9a-f]{32}\\.[1-9][0-9]{0,8}", name):
                pack, generation = bytes.fromhex(name[:32]), int(name[33:])
                self.newest[pack] = max(generation, self.newest.get(pack, 0))

    def names(self, folder):
        path = os.path.join(self.directory, folder)
        return sorted(name for name in os.listdir(path) if not name.endswith("~")) if os.path.isdir(path) else []

    def load(self, name):
        with open(os.path.join(self.directory, name), "rb") as file:
            return file.read()

    # --- documents

    def document(self, magic, name):
        data = self.load(name)
        need(64 <= len(data) <= 16 << 20 and data[:8] == magic, name + " is another kind of object, or cut off")
        _, _, minimum, sealing, zeros3, keys, zeros4, _, length = struct.unpack("<8sHHB3sI4s16sQ", data[:48])
        stop(minimum <= READER and sealing == 0, name + NOT_FOR_US)
        need(not any(zeros3 + zeros4) and keys == 0 and length == len(data) - 64, name + ": its header cannot be")
        return json.loads(open_part(0, data[:48] + name.encode(), data[48:], name))

    def manifest_name(self, checkpoint):
        return mac(self.name_key, b"manifest " + checkpoint.encode())[:16].hex()

    def documents(self, folder, magic, right_name):
        for name in self.names(folder):
            body = self.document(magic, folder + "/" + name)
            need(right_name(body) == name, name + " is another under this name")
            yield body

    def manifests(self):
        return self.documents("manifests", b"CACSMANI", lambda body: self.manifest_name(body["checkpoint"]))

    def entries(self, body):
        blob = parse_blob(bytes.fromhex(body["entries"]))
        need(blob.size <= 1 << 30, "a list of entries that is too long")
        fields = Bytes(b"".join(self.stream(blob)), "the list of entries")
        entries, last = {}, b""
        while fields.left():
            name = fields.take(*fields.unpack("H"))
            need(name > last, "entries out of order")
            last = name
            entries[name] = parse_blob(fields.take(32))
        need(len(entries) == body["entry_count"], "another number of entries")
        return entries

    def manifest(self, checkpoint):
        name = self.manifest_name(checkpoint)
        stop(name in self.names("manifests"), "there is no checkpoint " + checkpoint)
        return self.entries(self.document(b"CACSMANI", "manifests/" + name))

    def entry(self, checkpoint, name):
        blob = self.manifest(checkpoint).get(os.fsencode(name))
        stop(blob, "the checkpoint has no entry " + name)
        return blob

    # --- packs

    def pack(self, pack_id):
        if pack_id not in self.packs:
            need(pack_id in self.newest, "pack " + pack_id.hex() + " is not there")
            self.packs[pack_id] = self.open_pack(pack_id, self.newest[pack_id])
        return self.packs[pack_id]

    def open_pack(self, pack_id, generation):
        name = "packs/%s.%d" % (pack_id.hex(), generation)
        data = self.load(name)
        need(64 + 48 + 32 <= len(data) <= 256 << 20 and data[:8] == b"CACSPACK", name + " is no pack, or cut off")
        header, trailer = data[:64], data[-48:]
        _, _, minimum, sealing, identity, *fields, zeros2 = struct.unpack("<8sHHBB2sI16sI16x8s", header)
        stop(minimum <= READER and (sealing, identity) == (0, 1), name + NOT_FOR_US)
        need(fields == [bytes(2), 0, pack_id, generation] and not any(zeros2), name + " is another under this name")
        magic, at, table_bytes, hooks_bytes, count, slots, zeros3 = struct.unpack("<8sQIIII16s", trailer)
        need(magic == b"CACSTAIL" and at >= 64 and at + table_bytes + hooks_bytes + 48 == len(data) and
             count <= 1 << 16 and not any(zeros3), name + ": its trailer cannot be")
        table = open_part(1 << 32, header + trailer, data[at:at + table_bytes], name + ", its table")
        hooks = open_part((1 << 32) + 1, header + trailer, data[at + table_bytes:-48], name + ", its hooks")
        need(len(hooks) % 8 == 0, name + ": hooks")
        return Pack(name, data, *parse_table(Bytes(table, name + ", its table"), count, slots, at))

    def segment(self, pack, number):
        if (pack.name, number) not in self.segments:
            segment, what = pack.segments[number], "%s, segment %d" % (pack.name, number)
            stored = pack.data[segment.offset:segment.offset + segment.stored]
            raw = open_part(number, pack.data[:64] + struct.pack("<I", number), stored, what)
            stop(segment.codec != 1, what + " is compressed with zstd")
            if segment.codec == 2:
                raw = expand_lz4(raw, segment.raw, what)
            need(len(raw) == segment.raw, what + " has another length")
            self.segments = {(pack.name, number): raw}  # the one used last
        return self.segments[pack.name, number]

    def slot(self, pack_id, number, size=None):
        pack = self.pack(pack_id)
        what = "%s, slot %d:%d" % (pack.name, number >> 8, number & 255)
        need(number in pack.places, what + " is not there")
        content_id, at, length = pack.places[number]
        need(size in (None, length), what + " has another length than is expected")
        content = self.segment(pack, number >> 8)[at:at + length]
        need(mac(self.id_key, content)[:16] == content_id, what + ": the content is not what its id says")
        return content

    # --- blobs

    def stream(self, blob):
        """The blob's bytes, in order, in parts."""
        if blob.layout == 0:
            return zeros(blob.size)
        if blob.layout == 1:
            return [self.slot(blob.pack, blob.slot, blob.size)]
        if blob.layout == 2:
            return self.file_node(blob.pack, blob.slot, blob.height, blob.size)
        return self.pages(blob)

    def file_node(self, pack, slot, level, size):
        fields = Bytes(self.slot(pack, slot), "a node of a file tree")
        packs, following, total = fields.node(b"FN", level), {}, 0
        for _ in range(fields.varint()):
            head = fields.varint()
            length = head >> 1
            total += length
            need(length > 0 and total <= size and (level == 0 or head & 1), "an entry of a file tree that cannot be")
            if not head & 1:
                yield from zeros(length)
            elif level:
                yield from self.file_node(*fields.place(packs, following, 1), level - 1, length)
            else:
                yield self.slot(*fields.place(packs, following, 1), length)
        need(total == size and not fields.left(), "a node of a file tree of another length")

    def head(self, blob):
        """Runs of pages, and pack, slot and level of the top node."""
        head = self.slot(blob.pack, blob.slot, 68)
        magic, flags, level, zeros4, pages, layout, pack, slot = struct.unpack("<2sBB4sQ32s16sI", head)
        need(magic == b"PM" and flags <= 1 and level <= 8 and not any(zeros4) and pages == -(-blob.size // PAGE),
             "the head of a page map that cannot be")
        return self.layout(parse_blob(layout), pages), None if flags else (pack, slot, level)

    def layout(self, blob, pages):
        if blob.size == 0:
            return [(0, pages)]
        need(blob.layout != 3 and blob.size <= 1 << 30, "a layout of pages that cannot be")
        fields = Bytes(b"".join(self.stream(blob)), "a layout of pages")
        runs, following = [], 0
        while fields.left():
            first, count = following + fields.svarint(), fields.varint()
            following = first + count
            need(first >= 0 and count > 0 and following <= 1 << 50, "a run of pages that cannot be")
            runs.append((first, count))
        ordered = sorted(runs)
        need(all(a + n <= b for (a, n), (b, _) in zip(ordered, ordered[1:])), "a page that is in two runs")
        need(sum(count for _, count in runs) == pages, "a layout of another number of pages")
        return runs

    def page_node(self, pack, slot, level):
        """Children by number: (pack, slot)."""
        fields = Bytes(self.slot(pack, slot), "a node of a page map")
        packs, following, children, at = fields.node(b"PN", level), {}, {}, 0
        while at < 64:
            head = fields.varint()
            count = head >> 1
            need(0 < count <= 64 - at, "a run of children that cannot be")
            if head & 1:
                child, first = fields.place(packs, following, count)
                children.update((at + i, (child, first + i)) for i in range(count))
            at += count
        need(not fields.left(), "a node of a page map of another length")
        return children

    def pages(self, blob):
        runs, top = self.head(blob)
        left, nodes = blob.size, {}
        for page in (page for first, count in runs for page in range(first, first + count)):
            place, level = top[:2] if top and not page >> 6 * (top[2] + 1) else None, top[2] if top else 0
            while place and level >= 0:
                if place not in nodes:
                    nodes[place] = self.page_node(*place, level)
                place = nodes[place].get(page >> 6 * level & 63)
                level -= 1
            yield (self.slot(*place, PAGE) if place else bytes(PAGE))[:left]
            left -= min(left, PAGE)

    def verify(self):
        for pack_id in self.newest:
            for number in self.pack(pack_id).places:
                self.slot(pack_id, number)
        for body in [*self.manifests(), *self.documents("pieces", b"CACSPIEC", lambda body: body["piece"])]:
            for blob in self.entries(body).values():
                need(sum(map(len, self.stream(blob))) == blob.size, "a blob of another length")
        list(self.documents("damaged", b"CACSDAMG", lambda body: body["pack"]))


def main(directory, command, *arguments):
    repository = Repository(directory)
    if command == "list":
        for body in sorted(repository.manifests(), key=lambda body: body["checkpoint"]):
            print(body["checkpoint"], body["application"], body["incarnation"], body["created_at"])
    elif command == "entries":
        for name, blob in repository.manifest(*arguments).items():
            print(blob.size, LAYOUTS[blob.layout], os.fsdecode(name))
    elif command == "layout":
        for run in repository.head(repository.entry(*arguments))[0]:
            print(*run)
    elif command == "restore":
        blob = repository.entry(*arguments[:2])
        with open(arguments[2], "wb") as file:
            file.writelines(repository.stream(blob))
    else:
        stop(command == "verify", "no such command: " + command)
        repository.verify()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (Problem, OSError) as problem:
        sys.exit("read_repository: %s" % problem)
