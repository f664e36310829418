"""A reader of ELF files, as far as tests ask: what a shared object tells the loader. 64 bits, little-endian.

Source: System V Application Binary Interface, chapters 4 and 5, and Linux' <elf.h>.
"""

import struct
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

X86_64, AARCH64 = 62, 183
PT_LOAD, PT_DYNAMIC = 1, 2
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
EXECUTABLE, WRITABLE = 1, 2
SHT_DYNSYM = 11
DT_FLAGS, DF_BIND_NOW = 30, 8


class Segment(NamedTuple):
    type: int
    flags: int
    offset: int
    address: int
    physical_address: int
    num_bytes: int
    memory_bytes: int
    alignment: int


class Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    num_bytes: int
    link: int
    info: int
    alignment: int
    entry_bytes: int


class ElfFile:
    """One file. `machine` is X86_64, AARCH64 or another value of e_machine."""

    def __init__(self, data: bytes) -> None:
        assert data[:6] == b"\x7fELF\x02\x01", "no ELF file of 64 bits, little-endian"
        self._data = data
        (self.machine,) = struct.unpack_from("<H", data, 18)

    @cached_property
    def segments(self) -> list[Segment]:
        (offset,) = struct.unpack_from("<Q", self._data, 32)
        size, count = struct.unpack_from("<HH", self._data, 54)
        return [Segment(*struct.unpack_from("<IIQQQQQQ", self._data, offset + i * size)) for i in range(count)]

    def segments_of(self, type: int) -> list[Segment]:
        return [segment for segment in self.segments if segment.type == type]

    @cached_property
    def sections(self) -> list[Section]:
        (offset,) = struct.unpack_from("<Q", self._data, 40)
        size, count = struct.unpack_from("<HH", self._data, 58)
        return [Section(*struct.unpack_from("<IIQQQQIIQQ", self._data, offset + i * size)) for i in range(count)]

    @property
    def binds_at_load(self) -> bool:
        """Return whether the loader fills all tables of addresses at once, so that none stays writable."""
        (segment,) = self.segments_of(PT_DYNAMIC)
        entries = self._data[segment.offset : segment.offset + segment.num_bytes]
        return any(tag == DT_FLAGS and value & DF_BIND_NOW for tag, value in struct.iter_unpack("<QQ", entries))

    @cached_property
    def symbols(self) -> dict[str, int]:
        """The addresses of the dynamic symbols by their names; 0 for those that other objects define."""
        return dict(self._read_symbols())

    def _read_symbols(self) -> Iterator[tuple[str, int]]:
        (table,) = [section for section in self.sections if section.type == SHT_DYNSYM]
        names = self.sections[table.link].offset
        entries = self._data[table.offset : table.offset + table.num_bytes]
        for name, _info, _other, _section, address, _size in struct.iter_unpack("<IBBHQQ", entries):
            start = names + name
            yield self._data[start : self._data.index(b"\0", start)].decode(), address

    def read(self, address: int, num_bytes: int) -> bytes:
        """Return the bytes that the file has for an address."""
        for segment in self.segments_of(PT_LOAD):
            if segment.address <= address < segment.address + segment.num_bytes:
                offset = address - segment.address + segment.offset
                return self._data[offset : offset + num_bytes]
        raise ValueError(f"no segment has the address {address:#x}")
