"""Forwards ports of this machine's loopback, where containers cannot reach: `forward.py ADDRESS PORT…`.

Listens on ADDRESS (the containers' gateway) at the same ports.
"""

import asyncio
import sys


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def to(port):
    async def forward(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    return forward


async def main():
    address, *ports = sys.argv[1:]
    servers = [await asyncio.start_server(to(int(port)), address, int(port)) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
