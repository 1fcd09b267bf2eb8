//! kubia as the book shows it, and that no client can take it down.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use crate::process::{PROGRAM, Program, exchange, get, get_from, hostname, run, terminate};
use crate::support::{isolated, sh};

const PORT: u16 = 8080;

#[test]
fn kubia_says_which_pod_was_hit() {
    isolated(|| {
        sh("ip link set lo up");
        let mut kubia = Program::serving("kubia", PORT);
        let hit = format!("You've hit {}\n", hostname());
        for address in ["127.0.0.1:8080", "[::1]:8080"] {
            let answer = get_from(address, "/any?thing");
            assert_eq!((answer.code, &answer.body), (200, &hit));
        }
        let head = exchange("127.0.0.1:8080", b"HEAD / HTTP/1.0\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"));
        terminate(kubia.pid());
        assert_eq!(kubia.wait().code(), Some(128 + 15));
        assert_eq!(
            kubia.output(),
            "Kubia server starting...\nReceived request from ::ffff:127.0.0.1\n\
             Received request from ::1\nReceived request from ::ffff:127.0.0.1\n"
        );
    });
}

#[test]
fn a_pod_without_ipv6_is_served_too() {
    isolated(|| {
        sh("ip link set lo up; echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
        let _kubia = Program::serving("kubia", PORT);
        assert_eq!(get(PORT, "/").code, 200);
    });
}

#[test]
fn several_requests_go_over_one_connection_with_bodies_of_either_kind() {
    isolated(|| {
        sh("ip link set lo up");
        let _kubia = Program::serving("kubia", PORT);
        let answers = exchange(
            "127.0.0.1:8080",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
              POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
              3\r\nGET\r\n0\r\n\r\n\
              PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\
              Connection: close\r\n\r\nx",
        );
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 100 Continue").count(), 1);
    });
}

#[test]
fn from_the_sixth_request_on_the_other_kubia_is_not_well() {
    isolated(|| {
        sh("ip link set lo up");
        let _kubia = Program::serving("kubia-unhealthy", PORT);
        for _ in 0..5 {
            let answer = get(PORT, "/");
            assert_eq!(
                (answer.code, answer.body),
                (200, format!("You've hit {}\n", hostname()))
            );
        }
        for _ in 0..2 {
            let answer = get(PORT, "/");
            assert_eq!(answer.code, 500);
            assert_eq!(answer.body, "I'm not well. Please restart me!");
        }
    });
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    isolated(|| {
        sh("ip link set lo up");
        let _first = Program::serving("kubia", PORT);
        let second = run("kubia");
        assert_eq!(second.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&second.stderr),
            "Error: listen on [::]:8080 (TCP): Address already in use (os error 98)\n"
        );
    });
}

#[test]
fn malformed_requests_are_refused_and_harm_nobody() {
    isolated(|| {
        sh("ip link set lo up");
        let _kubia = Program::serving("kubia", PORT);
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(200_000));
        let requests: [(&[u8], &str); 7] = [
            (b"\0\0\0\0\r\n\r\n", "400"),
            (b"GET / HTTP/9.9\r\n\r\n", "400"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
            (b"POST / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n", "400"),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "501"),
            (long.as_bytes(), "431"),
        ];
        for (request, code) in requests {
            let answer = exchange("127.0.0.1:8080", request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        }
        // One that leaves in the middle.
        let mut stream = TcpStream::connect(("127.0.0.1", PORT)).expect("connected");
        stream
            .write_all(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
            .expect("sent");
        drop(stream);
        assert_eq!(get(PORT, "/").code, 200);
    });
}

#[test]
fn clients_that_only_wait_keep_nobody_else_out_for_good() {
    isolated(|| {
        sh("ip link set lo up");
        let kubia = Program::serving("kubia", PORT);
        let descriptors = || {
            let path = format!("/proc/{}/fd", kubia.pid());
            fs::read_dir(path).expect("listed").count()
        };
        let before = descriptors();
        let _idle: Vec<TcpStream> = (0..400)
            .map(|_| TcpStream::connect(("127.0.0.1", PORT)).expect("connected"))
            .collect();
        assert_eq!(get(PORT, "/").code, 200);
        let open = descriptors() - before;
        assert!(open <= 256, "{open} connections at once");
    });
}

#[test]
fn an_idle_kubia_takes_less_than_a_megabyte_for_itself() {
    isolated(|| {
        sh("ip link set lo up");
        let kubia = Program::serving("kubia", PORT);
        for _ in 0..100 {
            assert_eq!(get(PORT, "/").code, 200);
        }
        let path = format!("/proc/{}/smaps_rollup", kubia.pid());
        let rollup = fs::read_to_string(path).expect("read");
        // What is not a file's is private to the process.
        let kib = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Anonymous:"));
        let kib = kib
            .and_then(|text| text.trim().strip_suffix(" kB"))
            .expect("a line");
        let kib: u32 = kib.parse().expect("a number");
        assert!(kib < 1024, "{kib} KiB");
    });
}

#[test]
fn podnet_itself_runs_the_programs_too() {
    let version = |command: &mut Command| {
        let output = command
            .args(["agnhost", "--version"])
            .output()
            .expect("runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let small = version(&mut Command::new(PROGRAM));
    let whole = version(Command::new(env!("CARGO_BIN_EXE_podnet")).arg("program"));
    assert!(small.starts_with("agnhost version 2."), "{small}");
    assert_eq!(small, whole);
    let unknown = Command::new(env!("CARGO_BIN_EXE_podnet"))
        .args(["program", "nginx"])
        .output();
    let unknown = unknown.expect("runs");
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&unknown.stderr),
        "Error: there is no program \"nginx\"; there are kubia, kubia-unhealthy, agnhost, pause\n"
    );
}
