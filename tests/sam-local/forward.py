"""Forwards connections from containers to this machine's loopback: `forward.py ADDRESS PORT…`.

Containers cannot reach the loopback. This program listens on ADDRESS, the containers' gateway, at the same ports.
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


def forward_to(port):
    async def forward(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    return forward


async def main():
    address, *ports = sys.argv[1:]
    servers = [await asyncio.start_server(forward_to(int(port)), address, int(port)) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
