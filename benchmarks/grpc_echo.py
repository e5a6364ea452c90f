"""The least that a gRPC server in Python can cost: it gives every request back as it came.

python benchmarks/grpc_echo.py PORT
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc


class Echo(grpc.GenericRpcHandler):
    """Takes bytes of any method."""

    def service(self, _: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


def main(port: int) -> None:
    server = grpc.server(ThreadPoolExecutor(8), [Echo()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(int(sys.argv[1]))
