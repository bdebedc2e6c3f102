"""A gRPC server (`serve`) that prints its port, and a client (`ask PORT`) that tries it all
through a proxy and prints what has worked. Messages are bytes: no .proto is needed."""

import sys
import threading
import time
from concurrent import futures

import grpc

CANCELLED = threading.Event()


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    if "x-ask" in metadata:
        context.send_initial_metadata((("x-first", metadata["x-ask"]),))
        context.set_trailing_metadata((("x-last", metadata["x-ask"]),))
    return request[::-1]


def refuse(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ä")


def slow(request, context):
    # Until the client's deadline has come here, too.
    done = threading.Event()
    context.add_callback(done.set)
    done.wait(60)
    return b"late"


def collect(requests, context):
    return b",".join(requests)


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def echo(requests, context):
    for request in requests:
        yield request


def forever(request, context):
    context.add_callback(CANCELLED.set)
    number = 0
    while context.is_active():
        yield b"%d" % number
        number += 1
        time.sleep(0.01)


def was_cancelled(request, context):
    return b"yes" if CANCELLED.wait(60) else b"no"


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Forever": grpc.unary_stream_rpc_method_handler(forever),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }
    service = grpc.method_handlers_generic_handler("mesh.Peer", handlers)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def ask(port):
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
    path = "/mesh.Peer/".__add__
    call = channel.unary_unary(path("Unary"))
    assert call(b"hello", timeout=60) == b"olleh"
    print("unary")

    answer, info = call.with_call(b"x", metadata=(("x-ask", "this"),), timeout=60)
    assert ("x-first", "this") in info.initial_metadata(), info.initial_metadata()
    assert ("x-last", "this") in info.trailing_metadata(), info.trailing_metadata()
    print("metadata")

    assert channel.stream_unary(path("Collect"))(iter([b"a", b"b", b"c"]), timeout=60) == b"a,b,c"
    print("client stream")

    stream = channel.unary_stream(path("Count"))
    assert list(stream(b"100", timeout=60)) == [b"%d" % number for number in range(100)]
    print("server stream")

    # Each message goes out when the one before has come back.
    turn = threading.Semaphore(1)

    def messages():
        for number in range(20):
            turn.acquire()
            yield b"%d" % number

    got = []
    for message in channel.stream_stream(path("Echo"))(messages(), timeout=60):
        got.append(message)
        turn.release()
    assert got == [b"%d" % number for number in range(20)], got
    print("both streams")

    large = bytes(range(256)) * 12_000
    assert call(large, timeout=60) == large[::-1]
    print("large")

    try:
        channel.unary_unary(path("Refuse"))(b"", timeout=60)
        raise AssertionError("it was not refused")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        assert error.details() == "no such thing: ä", error
    print("trailers only")

    try:
        channel.unary_unary(path("Slow"))(b"", timeout=0.3)
        raise AssertionError("there was no deadline")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    print("deadline")

    endless = channel.unary_stream(path("Forever"))(b"")
    assert next(endless) == b"0"
    endless.cancel()
    try:
        for _ in endless:
            pass
        raise AssertionError("it was not cancelled")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.CANCELLED, error
    print("cancelled")

    assert channel.unary_unary(path("WasCancelled"))(b"", timeout=60) == b"yes"
    print("cancelled at the server")

    calls = [call.future(b"%d" % number, timeout=60) for number in range(300)]
    assert [one.result() for one in calls] == [(b"%d" % number)[::-1] for number in range(300)]
    print("many at once")


if sys.argv[1] == "serve":
    serve()
else:
    ask(sys.argv[2])
