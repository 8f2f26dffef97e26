#!/usr/bin/env python3
"""FORMAT.md once more, in another language: writes vectors.json, or checks it (--check).

A history is {actor: [(first, last), ...]}, runs ascending and not touching. Actors are integers (u8, u64), UUIDs
and other byte strings (hex), texts, or incarnations of a text (text, number).
"""
import base64, hashlib, hmac, json, pathlib, sys, zlib

VECTORS = pathlib.Path(__file__).with_name("vectors.json")


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def actor_bytes(kind, actor):
    if kind == "u8":
        return actor.to_bytes(1, "big")
    if kind == "u64":
        return actor.to_bytes(8, "big")
    if kind == "2 bytes":
        return bytes.fromhex(actor)
    if kind == "uuid":
        return bytes.fromhex(actor)
    if kind == "text":
        return varint(len(actor.encode())) + actor.encode()
    if kind == "incarnation of text":
        return actor_bytes("text", actor[0]) + varint(actor[1])
    raise ValueError(kind)


def runs_bytes(runs):
    out, end = b"", 0
    for index, (first, last) in enumerate(runs):
        gap, length, more = first - end - 1, last - first + 1, index + 1 < len(runs)
        out += varint(gap << 2 | more << 1 | (length == 1))
        if length > 1:
            out += varint(length - 2)
        end = last
    return out


def entries(kind, seen):
    return b"".join(actor_bytes(kind, actor) + runs_bytes(runs) for actor, runs in seen)


def context(kind, seen):
    return b"\x11" + entries(kind, seen)


def dvv_set(kind, seen, live):
    out = b"\x12"
    for actor, runs in seen:
        dots = sorted(((n, value) for a, n, value in live if a == actor), reverse=True)
        out += actor_bytes(kind, actor) + runs_bytes(runs) + varint(len(dots))
        following = runs[-1][1]
        for counter, value in dots:
            out += varint(following - counter) + varint(len(value) // 2) + bytes.fromhex(value)
            following = counter - 1
    return out


def token(kind, seen, place, note, secret):
    version, actors = (2 if secret else 1), len(seen)
    head = bytes([version << 4 | actors]) if actors < 15 else bytes([version << 4 | 15]) + varint(actors - 15)
    body = head + entries(kind, seen) + note
    out = body + zlib.crc32(body).to_bytes(4, "big")[:2] + zlib.crc32(place + body).to_bytes(4, "big")[1:]
    if secret:
        out += hmac.new(secret, varint(len(place)) + place + out, hashlib.sha256).digest()[:16]
    return base64.urlsafe_b64encode(out).rstrip(b"=").decode()


A, B, C = "0" * 31 + "a", "0" * 31 + "b", "f" * 32
HISTORIES = [
    ("u8", []),
    ("u8", [[7, [[1, 1]]]]),
    ("u64", [[7, [[1, 2], [5, 5]]], [9, [[300, 300]]]]),
    ("u64", [[1, [[1, 1], [3, 100001]]]]),
    ("u64", [[0, [[1, 2**62 - 1]]], [2**64 - 1, [[2**62 - 1, 2**62 - 1]]]]),
    ("uuid", [[A, [[1, 400000]]], [B, [[400000, 400000]]], [C, [[1, 1]]]]),
    ("text", [["", [[1, 2]]], ["laptop", [[2, 4]]], ["téléphone", [[1, 3]]]]),
    ("incarnation of text", [[["phone", 1], [[1, 5]]], [["phone", 300], [[2, 2]]]]),
    ("u8", [[n, [[1, n + 1]]] for n in range(20)]),
    ("2 bytes", [["00ff", [[1, 1]]], ["ff00", [[2, 3]]]]),
]
SETS = [
    ("u8", [], []),
    ("text", [["a", [[1, 2]]], ["b", [[1, 1]]]], [["a", 2, "6d696c6b"], ["b", 1, ""]]),
    ("text", [["a", [[1, 3]]]], [["a", 2, "32"], ["a", 3, "33"]]),
    ("u64", [[1, [[2, 2], [4, 6]]], [2, [[9, 9]]]], [[1, 2, "00"], [1, 5, "ff" * 200]]),
]
TOKENS = [
    ("u64", [], "", "", None),
    ("u64", [[7, [[3, 3]]]], "63617274", "", None),
    ("u64", [[7, [[3, 3]]]], "63617274", "6e6f7465", None),
    ("uuid", [[A, [[1, 400000]]], [B, [[400000, 400000]]], [C, [[1, 1]]]], "63617274", "", None),
    ("u8", [[n, [[1, n + 1]]] for n in range(15)], "00", "", None),
    ("u64", [[7, [[3, 3]]]], "63617274", "", "2a" * 32),
]
REFUSED = [
    ("context", "u8", "", 0, "Truncated"),
    ("context", "u8", "21", 0, "UnknownVersion(33)"),
    ("context", "u8", "12", 0, "OtherKind(18)"),
    ("context", "u8", "1107", 2, "Truncated"),
    ("context", "u8", "1107010701", 3, "NotCanonical"),
    ("context", "u8", "1108010701", 3, "NotCanonical"),
    ("context", "u8", "11078100", 2, "NotCanonical"),
    ("context", "u8", "11070301", 3, "NotCanonical"),
    ("context", "u8", "1107ffffffffffffffffff7f", 2, "Overflow"),
    ("context", "u8", "1107fdffffffffffffffff01", 2, "Overflow"),
    ("context", "u64", "1100000000", 1, "Truncated"),
    ("context", "text", "1102c32801", 2, "NotText"),
    ("context", "text", "11ff", 1, "Truncated"),
    ("context", "text", "118101" + "61" * 129 + "01", 3, "Overflow"),
    ("set", "u8", "120701", 3, "Truncated"),
    ("set", "u8", "1207010101", 4, "NotSeen"),
    ("set", "u8", "120701020000", 6, "Truncated"),
    ("set", "u8", "1207010200000000", 6, "NotSeen"),
    ("set", "u8", "12070101000a00", 6, "Truncated"),
]


def refused_tokens():
    text = token("u64", [[7, [[3, 3]]]], b"cart", b"", None)
    sealed = token("u64", [[7, [[3, 3]]]], b"cart", b"", bytes([42]) * 32)
    newer = base64.urlsafe_b64encode(b"\x30" + b"\0" * 5).rstrip(b"=").decode()
    return [
        ("u64", "63617274", "", "Damaged"),
        ("u64", "63617274", text[:-1] + "x", "OtherPlace"),
        ("u64", "63617274", "x" + text[1:], "TooNew(12)"),
        ("u64", "63617274", text[:8] + "x" + text[9:], "Damaged"),
        ("u64", "63617274", text + "=", "Damaged"),
        ("u64", "63617274", text[:-4], "Damaged"),
        ("u64", "63617272", text, "OtherPlace"),
        ("u64", "63617274", sealed, "Sealed"),
        ("u64", "63617274", newer, "TooNew(3)"),
    ]


def safe(value):
    """Integers beyond 2^53 as texts: not every JSON reader keeps them."""
    if isinstance(value, list):
        return [safe(item) for item in value]
    return str(value) if isinstance(value, int) and value > 2**53 else value


def vectors():
    row = lambda **fields: {name: safe(value) for name, value in fields.items()}
    return {
        "contexts": [row(actor=k, seen=s, bytes=context(k, s).hex()) for k, s in HISTORIES],
        "sets": [row(actor=k, seen=s, live=l, bytes=dvv_set(k, s, l).hex()) for k, s, l in SETS],
        "tokens": [
            row(actor=k, seen=s, place=p, note=n, secret=secret,
                text=token(k, s, bytes.fromhex(p), bytes.fromhex(n), secret and bytes.fromhex(secret)))
            for k, s, p, n, secret in TOKENS
        ],
        "refused tokens": [row(actor=a, place=p, text=t, error=e) for a, p, t, e in refused_tokens()],
        "refused": [row(kind=k, actor=a, bytes=b, offset=o, reason=r) for k, a, b, o, r in REFUSED],
    }


def text():
    rows = {name: ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows) for name, rows in vectors().items()}
    return "{\n" + ",\n".join(f' "{name}": [\n{body}\n ]' for name, body in rows.items()) + "\n}\n"


if sys.argv[1:] == ["--check"]:
    sys.exit(0 if VECTORS.read_text() == text() else "vectors.json is not what this program writes")
VECTORS.write_text(text())
