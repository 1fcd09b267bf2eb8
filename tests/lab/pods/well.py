# A server that is well while /v/well is there. Its words: how it is asked, and its port.
import os, socket, socketserver, ssl, sys, threading, time

kind, port = sys.argv[1], int(sys.argv[2])


def well():
    return os.path.exists("/v/well")


class Http(socketserver.StreamRequestHandler):
    def handle(self):
        stream = self.request
        if kind == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain("/tls/both.pem")
            stream = context.wrap_socket(stream, server_side=True)
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += stream.recv(4096) or b"\r\n\r\n"
        status = "200 OK" if well() else "500 Unwell"
        stream.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


# RFC 9113, as much of it as one call takes.
class Grpc(socketserver.StreamRequestHandler):
    def frame(self, kind, flags, stream, payload=b""):
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        self.request.sendall(head + payload)

    def handle(self):
        self.rfile.read(24)
        self.frame(4, 0, 0)
        while len(head := self.rfile.read(9)) == 9:
            payload = self.rfile.read(int.from_bytes(head[:3], "big"))
            if head[3] == 4 and not head[4] & 1:
                self.frame(4, 1, 0)
            if head[3] == 0 and head[4] & 1:
                self.answer(int.from_bytes(head[5:], "big"), payload)

    def answer(self, stream, asked):
        serving = b"door" in asked and well()
        field = lambda name, value: bytes([0, len(name)]) + name + bytes([len(value)]) + value
        self.frame(1, 4, stream, b"\x88" + field(b"content-type", b"application/grpc"))
        self.frame(0, 0, stream, b"\0\0\0\0\2\x08" + bytes([1 if serving else 2]))
        self.frame(1, 5, stream, field(b"grpc-status", b"0"))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


# Listens only while it is well.
def tcp():
    listener = None
    while True:
        if well() and listener is None:
            listener = Server(("", port), socketserver.BaseRequestHandler)
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        elif not well() and listener is not None:
            listener.shutdown()
            listener.server_close()
            listener = None
        time.sleep(0.05)


if kind == "tcp":
    tcp()
Server(("", port), Grpc if kind == "grpc" else Http).serve_forever()
