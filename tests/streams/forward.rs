//! Connections to a pod's ports.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::container::within;
use crate::forwarded::bytes;
use crate::place::{POD, with_pod};

/// Answers each connection with what it is sent, from its loopback only.
pub const ECHO: &str = "exec python3 -c '
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while block := self.request.recv(65536):
            self.request.sendall(block)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((\"127.0.0.1\", 7007), Echo).serve_forever()
'";

#[test]
fn a_port_of_the_pods_loopback_is_reached_and_a_closed_one_is_said() {
    with_pod(async |place| {
        place.start(ECHO).await;
        within("the server listens", async {
            while place.pause.tcp(7007).await.is_err() {}
        })
        .await;
        let mut forward = place.pods.portforward(POD, &[7007, 7008]).await.unwrap();
        let refused = forward.take_error(7008).unwrap();
        let refused = within("an error", refused).await.expect("an error");
        let said = "nothing listens on 127.0.0.1:7008 or [::1]:7008 in the pod: connection refused";
        assert!(refused.contains(said), "{refused}");
        let (mut read, mut write) = tokio::io::split(forward.take_stream(7007).unwrap());
        let sent = bytes(3 << 20);
        let mut received = vec![0; sent.len()];
        within("it comes back", async {
            let (written, read) =
                tokio::join!(write.write_all(&sent), read.read_exact(&mut received));
            written.unwrap();
            read.unwrap();
        })
        .await;
        assert!(received == sent);
    });
}
