#!/usr/bin/env python3
"""A second decoder of envelope version 1. It checks that the golden vectors open, and that altered vectors do not.

The decoder follows the description of the format in shared/src/envelope/format.rs, not the code there. It uses only the
standard library: HMAC comes from `hmac`, and AES and GHASH are written below after FIPS 197 and SP 800-38D. It shares
no code and no library with the program that made the vectors.

Never use this decoder on a real secret: it is slow and not constant-time.
"""

# assures 2. Seen to fail: a byte of a vector was changed
import hmac
import json
import pathlib
import sys

HEADER, TAG = 2 + 32 + 32 + 12, 16
LONGEST = 300 * 1024


class Refused(Exception):
    pass


def expand(salt, data_key, info):
    """HKDF-SHA-512 with 32 bytes of output, so one block of 64 bytes is enough."""
    prk = hmac.digest(salt, data_key, "sha512")
    return hmac.digest(prk, info + b"\x01", "sha512")[:32]


def times2(byte):
    return (byte << 1) ^ (0x11B if byte & 0x80 else 0)


def make_sbox():
    # 3 generates all nonzero elements of the field, and the inverse of 3^n is 3^(255-n).
    powers = [1]
    while len(powers) < 255:
        powers.append(powers[-1] ^ times2(powers[-1]))
    sbox = [0x63] * 256
    for n, power in enumerate(powers):
        inverse = powers[-n % 255]
        rotated = (inverse << shift | inverse >> (8 - shift) for shift in range(5))
        for turn in rotated:
            sbox[power] ^= turn & 0xFF
    return sbox


SBOX = make_sbox()


def round_keys(key):
    """The 15 round keys of AES-256."""
    words, rcon = [list(key[i : i + 4]) for i in range(0, 32, 4)], 1
    while len(words) < 60:
        word = words[-1]
        if len(words) % 8 == 0:
            word = [SBOX[byte] for byte in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = times2(rcon)
        elif len(words) % 8 == 4:
            word = [SBOX[byte] for byte in word]
        words.append([a ^ b for a, b in zip(words[-8], word)])
    return [sum(words[i : i + 4], []) for i in range(0, 60, 4)]


def aes(keys, block):
    state = [a ^ b for a, b in zip(block, keys[0])]
    for number, key in enumerate(keys[1:], 1):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number < 14:
            mixed = []
            for i in range(0, 16, 4):
                column = state[i : i + 4]
                every = column[0] ^ column[1] ^ column[2] ^ column[3]
                mixed += [c ^ every ^ times2(c ^ column[(j + 1) % 4]) for j, c in enumerate(column)]
            state = mixed
        state = [a ^ b for a, b in zip(state, key)]
    return bytes(state)


def ghash(h, aad, text):
    def padded(data):
        return data + bytes(-len(data) % 16)

    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(text)).to_bytes(8, "big")
    data, y = padded(aad) + padded(text) + lengths, 0
    for i in range(0, len(data), 16):
        x, y, v = y ^ int.from_bytes(data[i : i + 16], "big"), 0, h
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                y ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
    return y.to_bytes(16, "big")


def gcm_open(key, nonce, aad, text, tag):
    keys = round_keys(key)
    h = int.from_bytes(aes(keys, bytes(16)), "big")
    mask = aes(keys, nonce + b"\0\0\0\1")
    expected = bytes(a ^ b for a, b in zip(ghash(h, aad, text), mask))
    if not hmac.compare_digest(expected, tag):
        raise Refused("the tag is wrong")
    stream = b"".join(aes(keys, nonce + (2 + i).to_bytes(4, "big")) for i in range((len(text) + 15) // 16))
    return bytes(a ^ b for a, b in zip(text, stream))


def additional_data(vector):
    data = b"zoom-credentials\x01\x01"
    for part in ("table", "team", "secret_id", "purpose"):
        part = vector[part].encode()
        data += len(part).to_bytes(2, "big") + part
    return data + vector["generation"].to_bytes(8, "big")


def open_sealed(data_key, aad, sealed):
    if len(sealed) > LONGEST:
        raise Refused("the ciphertext is too long")
    if len(sealed) < HEADER + TAG:
        raise Refused("the ciphertext is too short")
    if sealed[:2] != b"\x01\x01":
        raise Refused("unknown version or suite")
    salt, commitment, nonce = sealed[2:34], sealed[34:66], sealed[66:78]
    if not hmac.compare_digest(commitment, expand(salt, data_key, b"zcv1 commit")):
        raise Refused("wrong key")
    return gcm_open(expand(salt, data_key, b"\x01zcv1 key"), nonce, aad, sealed[HEADER:-TAG], sealed[-TAG:])


def flips(data):
    for i in range(len(data)):
        yield i, data[:i] + bytes([data[i] ^ 0x01]) + data[i + 1 :]


def is_refused(data_key, aad, sealed):
    try:
        open_sealed(data_key, aad, sealed)
    except Refused:
        return True
    return False


def mistakes(vector):
    """Yields each mistake in a vector."""
    data_key, aad, sealed = (bytes.fromhex(vector[name]) for name in ("data_key", "aad", "sealed"))
    if aad != additional_data(vector):
        yield "the additional data differs"
    if sealed[2:34].hex() != vector["salt"] or sealed[66:78].hex() != vector["nonce"]:
        yield "salt or nonce is not at its place in the ciphertext"
    try:
        if open_sealed(data_key, aad, sealed).hex() != vector["plaintext"]:
            yield "it opens to a different plaintext"
    except Refused as reason:
        yield f"it does not open: {reason}"
    for i, altered in flips(sealed):
        if not is_refused(data_key, aad, altered):
            yield f"it opens with byte {i} altered"
    for i, altered in flips(aad):
        if not is_refused(data_key, altered, sealed):
            yield f"it opens with byte {i} of the additional data altered"
    for i, altered in flips(data_key):
        if not is_refused(altered, aad, sealed):
            yield f"it opens with byte {i} of the data key altered"


def main():
    # The test vector in FIPS 197, C.3, checks the AES above.
    block = aes(round_keys(bytes(range(32))), bytes.fromhex("00112233445566778899aabbccddeeff"))
    assert block.hex() == "8ea2b7ca516745bfeafc49904b496089", "the AES of this decoder is wrong"

    try:
        open_sealed(bytes(32), b"", b"\x01\x01" + bytes(LONGEST - 1))
    except Refused as reason:
        assert str(reason) == "the ciphertext is too long", reason

    vectors = json.loads(pathlib.Path(__file__).with_name("envelope-v1.json").read_text("utf-8"))
    failed = 0
    for vector in vectors:
        wrong = list(mistakes(vector))
        failed += bool(wrong)
        for mistake in wrong:
            print(f"{vector['name']}: {mistake}", file=sys.stderr)
    print(f"{len(vectors) - failed} passed, {failed} failed")
    return 1 if failed or not vectors else 0


if __name__ == "__main__":
    sys.exit(main())
