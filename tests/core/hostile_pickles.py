"""Pickles that no pickler writes: they would corrupt memory, run code, or take memory without end."""

from __future__ import annotations

import pickle
import struct

PROTOCOL = b"\x80\x04"


def name(module: str, attribute: str) -> bytes:
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def array_type(code: str, state: bytes = b"") -> bytes:
    return name("numpy", "dtype") + b"(" + text(code) + b"\x89\x88tR" + state


EIGHT = b"C\x08AAAAAAAA"
RECORD = (
    b"(K\x03" + text("|") + b"N" + text("a") + b"\x85}" + text("a") + array_type("O8") + b"K\x00\x86sK\x08K\x01K\x00tb"
)
EMPTY_ARRAY = name("numpy.core.multiarray", "_reconstruct") + b"(" + name("numpy", "ndarray") + b"K\x00\x85C\x01btR"


def array_with(dtype: bytes, content: bytes, shape: bytes = b"K\x01\x85") -> bytes:
    return EMPTY_ARRAY + b"(K\x01" + shape + dtype + b"\x89" + content + b"tb"


def scalar(dtype: bytes, content: bytes) -> bytes:
    return name("numpy._core.multiarray", "scalar") + b"(" + dtype + content + b"tR"


def called(module: str, attribute: str, args: bytes = b"(t") -> bytes:
    return name(module, attribute) + args + b"R"


ARRAYS = {
    "array_over_pointers": name("numpy", "ndarray") + b"(K\x01\x85" + array_type("O8") + EIGHT + b"tR",
    "objects_from_bytes": array_with(array_type("O8"), EIGHT),
    "records_of_objects": array_with(array_type("V8", RECORD), EIGHT),
    "scalar_of_objects": scalar(array_type("O8"), EIGHT),
    "scalar_of_records": scalar(array_type("V8", RECORD), EIGHT),
    "buffer_of_objects": called(
        "numpy.core.numeric", "_frombuffer", b"(" + EIGHT + array_type("O8") + b"K\x01\x85" + text("C") + b"t"
    ),
    "numbers_with_fields": array_with(array_type("f8", RECORD), EIGHT),
    "negative_shape": array_with(array_type("f8"), EIGHT, b"J\xff\xff\xff\xff\x85"),
    "huge_shape": array_with(array_type("f8"), EIGHT, b"\x8a\x08" + b"\xff" * 7 + b"\x00\x85"),
    "empty_but_huge": array_with(array_type("f8"), b"C\x00", b"K\x00J\xff\xff\xff\x7f\x86"),
    "text_without_length": array_with(array_type("U0"), b"C\x00", b"J\xff\xff\xff\x7f\x85"),
    "characters_that_do_not_exist": array_with(array_type("U2"), b"C\x08" + b"\xff" * 8),
    "neither_true_nor_false": array_with(array_type("b1"), EIGHT, b"K\x08\x85"),
    "an_array_never_filled": EMPTY_ARRAY,
    "an_array_in_itself": EMPTY_ARRAY + b"q\x00(K\x01K\x01\x85" + array_type("O8") + b"\x89]h\x00atb",
    "arrays_in_arrays": EMPTY_ARRAY
    + b"0"
    + b"N" * 1
    + b"".join(b"q\x01" + array_with(array_type("O8"), b"]h\x01a") for _ in range(3000)),
}
NAMES = {
    "eval": called("builtins", "eval", b"(" + text("1") + b"t"),
    "getattr": called("builtins", "getattr", b"(" + name("numpy", "ndarray") + text("__class__") + b"t"),
    "dotted": PROTOCOL + text("builtins") + text("object.__init__") + b"\x93)R",
    "dotted_array": PROTOCOL + text("numpy") + text("ndarray.__new__") + b"\x93)R",
    "f2py": called("numpy.f2py.crackfortran", "myeval", b"(" + text("1") + b"t"),
    "reconstructor": called(
        "copy_reg", "_reconstructor", b"(" + name("os", "system") + name("__builtin__", "object") + b"Nt"
    ),
    "instance": b"(ios\nsystem\n",
    "object": b"(" + name("os", "system") + text("true") + b"o",
    "new": name("os", "system") + text("true") + b"\x85\x81",
    "extension": b"\x82\x01",
    "persistent": b"Pfoo\n",
    "persistent_binary": text("x") + b"Q",
    "a_name_as_value": name("numpy", "ndarray"),
    "state_of_a_function": name("_codecs", "encode") + b"}" + text("__code__") + b"Nsb",
    "state_of_a_type": name("numpy", "dtype") + b"}" + text("__class__") + b"Nsb",
    "state_of_a_list": b"]}b",
    "class_of_an_array": EMPTY_ARRAY + b"}" + text("__class__") + name("numpy", "dtype") + b"sb",
    "a_call_of_text": text("x") + b")R",
    "options": name("numpy", "dtype") + text("f8") + b"\x85}" + text("align") + b"\x88s\x92",
}
MEMORY = {
    "memo_index": b"Nr\xff\xff\xff\xff0" + b"Nr\x00\x00\x00\x800N" + b"h\x07",
    "frame": b"\x80\x04\x95" + b"\xff" * 8,
    "bytes8": b"\x8e" + struct.pack("<Q", 1 << 40),
    "text8": b"\x8d" + struct.pack("<Q", 1 << 62),
    "bytearray8": b"\x96" + struct.pack("<Q", 1 << 36),
    "bytes4": b"B\xff\xff\xff\xff",
    "long4": b"\x8b\xff\xff\xff\x7f",
    "negative_long4": b"\x8b\xff\xff\xff\xff",
    "digits": b"I" + b"9" * 100_000 + b"\n",
    "buffer": b"\x97",
    "lists_in_lists": b"]" * 500_000 + b"a" * 499_999,
    "tuples_in_a_key": b"}" + b")" + b"\x85" * 200_000 + b"Ns",
    "objects_in_objects": b"N"
    + b"".join(b"q\x00" + EMPTY_ARRAY + b"(K\x01)" + array_type("O8") + b"\x89]h\x00atb" for _ in range(20_000)),
    "tuples_in_tuples": b")" + b"\x85" * 200_000,
    "a_list_in_itself": b"]q\x00h\x00a",
    "a_dictionary_in_itself": b"}q\x00" + text("a") + b"h\x00s",
    "laughs": b"]q\x00Na" + b"".join(b"](" + b"h\x00" * 10 + b"eq\x00" for _ in range(12)),
    "laughs_of_text": text("x" * 1000) + b"q\x00" + b"".join(b"0](" + b"h\x00" * 50 + b"eq\x00" for _ in range(6)),
    "laughs_of_arrays": array_with(array_type("f8"), b"B" + struct.pack("<I", 8000) + bytes(8000), b"M\xe8\x03\x85")
    + b"q\x00"
    + b"".join(b"0](" + b"h\x00" * 50 + b"eq\x00" for _ in range(5)),
    "sets": b"(" + b"\x8f" * 8_000_000 + b"t",
    "open": b"(" * 1_000_000,
    "copies_of_bytes": text("x" * 200_000) + b"q\x000(" + (name("_codecs", "encode") + b"h\x00\x85R") * 5000 + b"t",
    "copies_of_arrays": b"B"
    + struct.pack("<I", 800_000)
    + bytes(800_000)
    + b"q\x000"
    + array_type("f8")
    + b"q\x010("
    + array_with(b"h\x01", b"h\x00", b"J\xa0\x86\x01\x00\x85") * 3000
    + b"t",
    "ordered": called("collections", "OrderedDict", b"K\x01\x85"),
    "set_of_sets": called("builtins", "set", b"]]a\x85"),
    "set_of_a_number": called("builtins", "set", b"K\x01\x85"),
}


def finished(hostile: dict[str, bytes]) -> dict[str, bytes]:
    """The files, by name."""
    return {f"{title}.pkl": content + pickle.STOP for title, content in hostile.items()}
