use std::collections::VecDeque;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A connection whose bytes arrive in pieces of these sizes, in turn.
struct Pieces {
    bytes: VecDeque<u8>,
    sizes: Vec<usize>,
    turn: usize,
}

impl Pieces {
    fn reader(bytes: &[u8], sizes: Vec<usize>) -> Reader<Pieces> {
        Reader::new(Pieces {
            bytes: bytes.iter().copied().collect(),
            sizes,
            turn: 0,
        })
    }
}

impl Read for Pieces {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.turn % self.sizes.len()];
        self.turn += 1;
        let count = size.min(to.len()).min(self.bytes.len());
        for (slot, byte) in to.iter_mut().zip(self.bytes.drain(..count)) {
            *slot = byte;
        }
        Ok(count)
    }
}

#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Sizes of its chunks; empty for a Content-Length.
    chunks: Vec<usize>,
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: pod\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            bytes += &format!("{name}: {value}\r\n");
        }
        if self.chunks.is_empty() {
            bytes += &format!("Content-Length: {}\r\n\r\n", self.body.len());
            return [bytes.into_bytes(), self.body.clone()].concat();
        }
        bytes += "Transfer-Encoding: chunked\r\n\r\n";
        let mut bytes = bytes.into_bytes();
        let mut rest = self.body.as_slice();
        for size in self.chunks.iter().cycle() {
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            bytes.extend(format!("{:x};x=y\r\n", chunk.len()).bytes());
            if chunk.is_empty() {
                bytes.extend(b"Trailer: t\r\n\r\n");
                return bytes;
            }
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
            rest = after;
        }
        unreachable!("the last chunk is empty");
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let header = ("X-[a-z]{1,8}", "[ -~]{0,20}");
    (
        prop::sample::select(vec!["GET", "HEAD", "POST"]),
        "/[a-z]{0,8}",
        prop::collection::vec(header, 0..6),
        prop::collection::vec(any::<u8>(), 0..6000),
        prop::collection::vec(1..900_usize, 0..4),
    )
        .prop_map(|(method, path, headers, body, chunks)| Sent {
            method,
            path,
            headers,
            body,
            chunks,
        })
}

proptest! {
    /// Where one request ends and the next begins does not depend on how they arrive.
    #[test]
    fn requests_are_read_as_they_were_sent(
        requests in prop::collection::vec(sent(), 0..5),
        sizes in prop::collection::vec(1..5000_usize, 1..5),
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(Sent::bytes).collect();
        let mut reader = Pieces::reader(&bytes, sizes);
        for sent in &requests {
            let head = reader.head(PEER).expect("a request").expect("not the end");
            prop_assert_eq!(&head.request.method, sent.method);
            prop_assert_eq!(&head.request.path, &sent.path);
            for (name, value) in &sent.headers {
                let first = sent.headers.iter().find(|(other, _)| other == name);
                prop_assert_eq!(first.map(|(_, value)| value.trim()), head.request.header(name));
                let same = head.request.headers.iter().any(|(n, v)| n == name && v == value.trim());
                prop_assert!(same);
            }
            reader.drop_body(head.body).expect("its body");
        }
        prop_assert!(reader.head(PEER).expect("the end").is_none());
    }

    /// Nonsense ends a connection and nothing else.
    #[test]
    fn whatever_is_sent_is_read_or_refused(
        start in prop::sample::select(vec![
            "", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        ]),
        noise in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(b"\r\n:;0Ff ".to_vec())], 0..200),
        size in 1..64_usize,
    ) {
        let bytes = [start.as_bytes(), &noise].concat();
        let mut reader = Pieces::reader(&bytes, vec![size]);
        while let Ok(Some(head)) = reader.head(PEER) {
            if reader.drop_body(head.body).is_err() {
                break;
            }
        }
    }
}

fn read(text: &str) -> Result<Option<Head>, ReadError> {
    let mut reader = Pieces::reader(text.as_bytes(), vec![7]);
    let head = reader.head(PEER)?;
    if let Some(head) = &head {
        reader.drop_body(head.body)?;
    }
    Ok(head)
}

#[test]
fn what_could_be_understood_in_two_ways_is_refused() {
    let status = |headers: &str| {
        let refused = read(&format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n0\r\n\r\n"));
        refused.expect_err(headers).status()
    };
    for headers in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: +1",
        "Content-Length: 99999999999999999999999",
        "Content-Length:",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Content-Length : 1",
    ] {
        assert_eq!(status(headers), Some(StatusCode::BAD_REQUEST), "{headers}");
    }
    let coding = status("Transfer-Encoding: gzip, chunked");
    assert_eq!(coding, Some(StatusCode::NOT_IMPLEMENTED));
    let old = read("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(matches!(old, Err(ReadError::Malformed(_))));
    let chunk = read("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc");
    assert!(matches!(chunk, Err(ReadError::Malformed(_))));
}

#[test]
fn a_head_without_end_is_refused() {
    let endless = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(2 * HEAD_MAX));
    assert!(matches!(read(&endless), Err(ReadError::HeadTooLarge)));
    let many = format!(
        "GET / HTTP/1.1\r\n{}\r\n",
        "a: b\r\n".repeat(HEADERS_MAX + 1)
    );
    assert!(matches!(read(&many), Err(ReadError::HeadTooLarge)));
    let trailers = format!(
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: {}",
        "b".repeat(2 * HEAD_MAX)
    );
    assert!(matches!(read(&trailers), Err(ReadError::HeadTooLarge)));
    assert!(matches!(read("GET / HT"), Err(ReadError::Cut)));
}

#[test]
fn a_connection_goes_on_if_the_client_wants_it() {
    let keeps = |text: &str| read(text).expect("read").expect("a request").keep_alive;
    assert!(keeps("GET / HTTP/1.1\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.1\r\nConnection: foo, Close\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
    assert!(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

#[test]
fn a_target_is_a_path_and_a_query() {
    assert_eq!(split_target("/a?b=c?d"), ("/a", "b=c?d"));
    assert_eq!(split_target("http://pod:8080/a?b"), ("/a", "b"));
    assert_eq!(split_target("http://pod"), ("/", ""));
    assert_eq!(
        split_target("/r?location=http://a/b"),
        ("/r", "location=http://a/b")
    );
}
