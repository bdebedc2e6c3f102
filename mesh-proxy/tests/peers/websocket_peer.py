"""A WebSocket server (`serve`) that prints its port and sends back what it gets, and a client
(`ask PORT`) that tries it through a proxy and prints what has worked."""

import asyncio
import http
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosedOK, InvalidStatus


async def echo(websocket):
    async for message in websocket:
        if message == "close":
            await websocket.close(4000, "as asked")
            return
        await websocket.send(message)


def refuse(connection, request):
    if request.path == "/refused":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not you\n")


async def serve():
    limits = {"max_size": None}
    async with listen(echo, "127.0.0.1", 0, process_request=refuse, **limits) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.wait_closed()


async def ask(port):
    url = f"ws://127.0.0.1:{port}"
    async with connect(f"{url}/chat?a=b", max_size=None, proxy=None) as websocket:
        await websocket.send("grüß Gott")
        assert await websocket.recv() == "grüß Gott"
        print("text")

        await websocket.send(bytes(range(256)))
        assert await websocket.recv() == bytes(range(256))
        print("bytes")

        await websocket.send(["one ", "two ", "three"])
        assert await websocket.recv() == "one two three"
        print("fragments")

        await (await websocket.ping())
        print("ping")

        large = bytes(range(256)) * 16_000
        await websocket.send(large)
        assert await websocket.recv() == large
        print("large")

        for number in range(200):
            await websocket.send(str(number))
        got = [await websocket.recv() for _ in range(200)]
        assert got == [str(number) for number in range(200)], got
        print("many")

        await websocket.send("close")
        try:
            await websocket.recv()
            raise AssertionError("it was not closed")
        except ConnectionClosedOK:
            raise AssertionError("4000 is not 1000")
        except Exception as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4000, "as asked"), closed
        print("closed")

    try:
        async with connect(f"{url}/refused", proxy=None):
            raise AssertionError("it was not refused")
    except InvalidStatus as refused:
        assert refused.response.status_code == 403, refused
        assert refused.response.body == b"not you\n", refused.response.body
    print("refused")


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    asyncio.run(ask(sys.argv[2]))
