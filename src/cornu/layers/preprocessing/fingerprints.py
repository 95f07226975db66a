"""64-bit hashes of many byte strings at once: FarmHash's Fingerprint64, SipHash-2-4, and the mix that crosses them.

Both are published algorithms; they are written here as operations on whole arrays of uint64, which wrap around as the
algorithms want. The strings lie in one buffer, and words are read from it at any byte.
"""

import numpy as np

_K0, _K1, _K2 = (np.uint64(k) for k in (0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F))
_CROSS = np.uint64(0xC6A4A7935BD1E995)
_PAD = 80  # bytes behind the last string: words may be read there, and are then not used


class _Buffer:
    """Byte strings one after another, and the words at given places."""

    def __init__(self, strings: list):
        self.lengths = np.fromiter(map(len, strings), "int64", len(strings))
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype("int64")
        data = b"".join((*strings, bytes(_PAD)))
        self.bytes = np.frombuffer(data, "uint8")
        self._words = {size: np.ndarray(len(data) - size + 1, f"<u{size}", data, strides=(1,)) for size in (4, 8)}

    def word(self, places, size: int = 8):
        return self._words[size][places].astype("uint64")


def _rotate(x, by: int):
    """The bits moved to the right, those that fall out coming in at the left."""
    return (x >> np.uint64(by)) | (x << np.uint64(64 - by))


def _mix(x):
    return x ^ (x >> np.uint64(47))


def _join(u, v, factor):
    a = _mix((u ^ v) * factor)
    return _mix((v ^ a) * factor) * factor


def farm_fingerprints(strings: list) -> np.ndarray:
    """FarmHash's Fingerprint64 of each byte string (Pike, 2014: github.com/google/farmhash, variant `na`).

    >>> int(farm_fingerprints([b"a"])[0] % 1000)
    939
    """
    buffer = _Buffer(strings)
    result = np.full(len(strings), _K2)
    kinds = ((1, 3, _up_to_3), (4, 7, _up_to_7), (8, 16, _up_to_16), (17, 32, _up_to_32), (33, 64, _up_to_64),
             (65, np.inf, _longer))
    for low, high, fingerprint in kinds:
        rows = np.flatnonzero((buffer.lengths >= low) & (buffer.lengths <= high))
        if len(rows):
            with np.errstate(over="ignore"):
                result[rows] = fingerprint(buffer, buffer.starts[rows], buffer.lengths[rows])
    return result


def _up_to_3(buffer, start, n):
    a, b, c = (buffer.bytes[start + k].astype("uint64") for k in (0, n >> 1, n - 1))
    y, z = a + (b << np.uint64(8)), n.astype("uint64") + (c << np.uint64(2))
    return _mix(y * _K2 ^ z * _K0) * _K2


def _factor(n):
    return _K2 + n.astype("uint64") * np.uint64(2)


def _up_to_7(buffer, start, n):
    a = buffer.word(start, 4)
    return _join(n.astype("uint64") + (a << np.uint64(3)), buffer.word(start + n - 4, 4), _factor(n))


def _up_to_16(buffer, start, n):
    factor, a, b = _factor(n), buffer.word(start) + _K2, buffer.word(start + n - 8)
    return _join(_rotate(b, 37) * factor + a, (_rotate(a, 25) + b) * factor, factor)


def _ends(buffer, start, n, first):
    """The two halves that the middle lengths are made from: of the first and the last 16 bytes."""
    factor, a, b = _factor(n), buffer.word(start) * first, buffer.word(start + 8)
    c, d = buffer.word(start + n - 8) * factor, buffer.word(start + n - 16) * _K2
    return factor, a, _rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + _K2, 18) + c


def _up_to_32(buffer, start, n):
    factor, _, y, z = _ends(buffer, start, n, _K1)
    return _join(y, z, factor)


def _up_to_64(buffer, start, n):
    factor, a, y, z = _ends(buffer, start, n, _K2)
    z = _join(y, z, factor)
    e, f = buffer.word(start + 16) * factor, buffer.word(start + 24)
    g, h = (y + buffer.word(start + n - 32)) * factor, (z + buffer.word(start + n - 24)) * factor
    return _join(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, factor)


def _weak(buffer, at, a, b):
    """32 bytes mixed into a pair."""
    w, x, y, z = (buffer.word(at + k) for k in (0, 8, 16, 24))
    a = a + w
    b = _rotate(b + a + z, 21)
    c, a = a, a + x + y
    return a + z, b + _rotate(a, 44) + c


def _round(buffer, at, state, factor, weight):
    """64 bytes mixed into the state of seven words."""
    x, y, z, v0, v1, w0, w1 = state
    x = _rotate(x + y + v0 + buffer.word(at + 8), 37) * factor
    y = _rotate(y + v1 + buffer.word(at + 48), 42) * factor
    x = x ^ w1 * weight
    y = y + v0 * weight + buffer.word(at + 40)
    z = _rotate(z + w0, 33) * factor
    v = _weak(buffer, at, v1 * factor, x + w0)
    w = _weak(buffer, at + 32, z + w1, y + buffer.word(at + 16))
    return [z, y, x, *v, *w]


def _longer(buffer, start, n):
    seed = np.full(len(start), np.uint64(81))
    y = seed * _K1 + np.uint64(113)
    state = [seed * _K2 + buffer.word(start), y, _mix(y * _K2 + np.uint64(113)) * _K2,
             *np.zeros((4, len(start)), "uint64")]
    blocks, rest = (n - 1) // 64, (n - 1) & 63
    for block in range(int(blocks.max())):
        on = np.flatnonzero(blocks > block)
        for old, new in zip(state, _round(buffer, start[on] + 64 * block, [s[on] for s in state], _K1, np.uint64(1))):
            old[on] = new
    x, y, z, v0, v1, w0, w1 = state
    factor = _K1 + ((z & np.uint64(255)) << np.uint64(1))
    w0 = w0 + rest.astype("uint64")
    v0 = v0 + w0
    w0 = w0 + v0
    x, y, z, v0, v1, w0, w1 = _round(buffer, start + n - 64, [x, y, z, v0, v1, w0, w1], factor, np.uint64(9))
    return _join(_join(v0, w0, factor) + _mix(y) * _K0 + z, _join(v1, w1, factor) + x, factor)


def sip_fingerprints(strings: list, key) -> np.ndarray:
    """SipHash-2-4 of each byte string under a key of two 64-bit numbers (Aumasson and Bernstein, 2012).

    >>> hex(int(sip_fingerprints([bytes(range(15))], (0x0706050403020100, 0x0F0E0D0C0B0A0908))[0]))
    '0xa129ca6149be45e5'
    """
    buffer = _Buffer(strings)
    low, high = (np.uint64(k & 0xFFFFFFFFFFFFFFFF) for k in key)
    v = [np.full(len(strings), k ^ np.uint64(c)) for k, c in (
        (low, 0x736F6D6570736575), (high, 0x646F72616E646F6D), (low, 0x6C7967656E657261), (high, 0x7465646279746573))]
    whole = buffer.lengths // 8
    with np.errstate(over="ignore"):
        for block in range(int(whole.max(initial=0)) + 1):
            on = np.flatnonzero(whole >= block)
            word = buffer.word(buffer.starts[on] + 8 * block)
            last = whole[on] == block  # what is left of the string, and its length in the top byte
            left = (buffer.lengths[on] % 8).astype("uint64") * np.uint64(8)
            count = buffer.lengths[on].astype("uint64") << np.uint64(56)
            tail = (word & ((np.uint64(1) << left) - np.uint64(1))) | count
            word = np.where(last, tail, word)
            part = [a[on] for a in v]
            part[3] = part[3] ^ word
            part = _sip_rounds(part, 2)
            part[0] = part[0] ^ word
            for old, new in zip(v, part):
                old[on] = new
        v[2] = v[2] ^ np.uint64(0xFF)
        v = _sip_rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _sip_rounds(v, count: int):
    a, b, c, d = v
    for _ in range(count):
        a, c = a + b, c + d
        b, d = _rotate(b, 64 - 13) ^ a, _rotate(d, 64 - 16) ^ c
        a = _rotate(a, 64 - 32)
        c, a = c + b, a + d
        b, d = _rotate(b, 64 - 17) ^ c, _rotate(d, 64 - 21) ^ a
        c = _rotate(c, 64 - 32)
    return [a, b, c, d]


def crossed(columns: list, seed: int = 0xDECAFCAFFE) -> np.ndarray:
    """One fingerprint for each row of several columns of fingerprints (as TensorFlow's crossed columns have it)."""
    result = np.full(columns[0].shape, np.uint64(seed))
    with np.errstate(over="ignore"):
        for column in columns:
            mixed = (result ^ _CROSS ^ _mix(column * _CROSS) * _CROSS) * _CROSS
            result = _mix(_mix(mixed) * _CROSS)
    return result
