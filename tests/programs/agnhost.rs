//! agnhost's subcommands: the answers that Kubernetes' tests look for.

use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{
    Answer, PROGRAM, Program, eventually, exchange, get, get_from, hostname, run, terminate,
};
use crate::support::{isolated, sh};

const HTTP: u16 = 8080;
const UDP: u16 = 8081;

fn text(answer: Answer) -> (u16, String) {
    (answer.code, answer.body)
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.code, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

fn ask_udp(address: &str, data: &str) -> String {
    let socket = UdpSocket::bind(if address.starts_with('[') {
        "[::1]:0"
    } else {
        "127.0.0.1:0"
    });
    let socket = socket.expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("set");
    socket.connect(address).expect("connected");
    socket.send(data.as_bytes()).expect("sent");
    let mut buffer = [0; 100];
    let length = socket.recv(&mut buffer).expect("answered");
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    answer.replace(&socket.local_addr().expect("its address").to_string(), "ME")
}

#[test]
fn netexec_answers_at_its_endpoints() {
    isolated(|| {
        sh("ip link set lo up");
        let _netexec = Program::serving("agnhost netexec", HTTP);
        let ok = |target: &str, body: &str| {
            assert_eq!(text(get(HTTP, target)), (200, body.to_owned()), "{target}");
        };
        ok("/hostname", &hostname());
        ok("/hostName", &hostname());
        ok("/healthz", "");
        ok("/readyz", "ok");
        ok("/echo?msg=a%20b+c", "a b c");
        ok(
            "/echo?code=x",
            "argument 'code' must be an integer or empty, got \"x\"\n",
        );
        ok(
            "/exit?timeout=x",
            "argument 'timeout' must be a valid golang duration or empty, got \"x\"\n",
        );
        ok(
            "/exit?code=128",
            "argument 'code' must be an integer [0-127] or empty, got \"128\"\n",
        );
        ok("/header?key=x-forwarded-for", "me");
        let headers = json_of(&get(HTTP, "/header"));
        assert_eq!(
            headers,
            json!({"Connection": ["close"], "X-Forwarded-For": ["me"]})
        );
        assert_eq!(
            text(get(HTTP, "/echo?msg=no&code=404")),
            (404, "no".to_owned())
        );
        assert_eq!(get(HTTP, "/upload").code, 501);
        assert!(get(HTTP, "/").body.starts_with("NOW: 2"));
        assert!(get(HTTP, "/clientip").body.starts_with("127.0.0.1:"));
        assert!(
            get_from("[::1]:8080", "/clientip")
                .body
                .starts_with("[::1]:")
        );
        let redirect = get(HTTP, "/redirect?location=/echo%3Fmsg=x&code=307");
        assert_eq!(redirect.code, 307);
        assert!(
            redirect.head.contains("\r\nLocation: /echo?msg=x\r\n"),
            "{}",
            redirect.head
        );
        assert_eq!(get(HTTP, "/redirect?location=/a").code, 302);
    });
}

#[test]
fn netexec_runs_commands_in_its_container() {
    isolated(|| {
        sh("ip link set lo up");
        let _netexec = Program::serving("agnhost netexec", HTTP);
        let shell = |command: &str| json_of(&get(HTTP, &format!("/shell?cmd={command}")));
        assert_eq!(
            shell("echo%20out;echo%20err%201%3E%262;exit%203"),
            json!({"output": "out\nerr\n", "error": "exit status 3"})
        );
        assert_eq!(shell("true"), json!({}));
        let killed = json_of(&get(HTTP, "/shell?shellCommand=kill%20-TERM%20%24%24"));
        assert_eq!(killed, json!({"error": "signal: 15"}));
        // More than a pipe holds.
        let much = shell("head%20-c%20200000%20/dev/zero%20%7C%20tr%20'%5C0'%20x");
        assert_eq!(much["output"].as_str().map(str::len), Some(200_000));
    });
}

#[test]
fn netexec_answers_over_udp() {
    isolated(|| {
        sh("ip link set lo up");
        let line =
            "agnhost netexec --http-port 80 --udp-port=81 --udp-listen-addresses ::1,127.0.0.1";
        let _netexec = Program::serving(line, 80);
        for address in ["127.0.0.1:81", "[::1]:81"] {
            assert_eq!(ask_udp(address, "hostname\n"), hostname());
            assert_eq!(ask_udp(address, "echo Some words"), "some words");
            assert_eq!(ask_udp(address, "clientip"), "ME");
        }
    });
}

#[test]
fn netexec_asks_others() {
    isolated(|| {
        sh("ip link set lo up");
        let _netexec = Program::serving("agnhost netexec", HTTP);
        let dial = |query: &str| get(HTTP, &format!("/dial?host=127.0.0.1&{query}"));
        let asked = json_of(&dial(&format!("port={HTTP}&request=echo?msg=hi&tries=2")));
        assert_eq!(asked, json!({"responses": ["hi", "hi"]}));
        let asked = json_of(&dial(&format!("port={UDP}&protocol=udp&request=hostname")));
        assert_eq!(asked, json!({"responses": [hostname()]}));
        let refused = json_of(&dial("port=1&request=hostname"));
        let error = refused["errors"][0].as_str().expect("an error");
        assert!(
            error.starts_with("http://127.0.0.1:1: Connection refused"),
            "{error}"
        );
        assert_eq!(refused.get("responses"), None);
        for wrong in [
            "port=1",
            "port=x&request=a",
            "port=1&request=a&tries=x",
            "port=1&request=a&protocol=sctp",
        ] {
            assert_eq!(dial(wrong).code, 400, "{wrong}");
        }
    });
}

#[test]
fn netexec_ends_as_it_is_asked_to() {
    isolated(|| {
        sh("ip link set lo up");
        let mut netexec = Program::serving("agnhost netexec --udp-port=-1", HTTP);
        // It ends before it can answer.
        assert_eq!(exchange_or_cut("/exit?code=7"), "");
        assert_eq!(netexec.wait().code(), Some(7));
        let mut netexec = Program::serving("agnhost netexec --udp-port=-1", HTTP);
        assert_eq!(
            text(get(HTTP, "/exit?code=3&timeout=60s&wait=1ms")),
            (200, String::new())
        );
        assert_eq!(netexec.wait().code(), Some(3));
        let mut netexec = Program::serving("agnhost netexec --udp-port -1", HTTP);
        assert_eq!(exchange_or_cut("/shutdown"), "");
        assert_eq!(netexec.wait().code(), Some(0));
    });
}

fn exchange_or_cut(target: &str) -> String {
    use std::io::Write;
    let mut stream = TcpStream::connect(("127.0.0.1", HTTP)).expect("connected");
    stream
        .write_all(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes())
        .expect("sent");
    let mut answer = String::new();
    // The end of the process may reset it.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn netexec_that_is_about_to_end_serves_but_is_not_ready() {
    isolated(|| {
        sh("ip link set lo up");
        let netexec = Program::serving("agnhost netexec --delay-shutdown=600", HTTP);
        assert_eq!(get(HTTP, "/readyz").code, 200);
        terminate(netexec.pid());
        eventually("it is not ready", || {
            (get(HTTP, "/readyz").code == 503).then_some(())
        });
        assert_eq!(get(HTTP, "/healthz").code, 200);
    });
}

#[test]
fn netexec_can_answer_one_thing_only() {
    isolated(|| {
        sh("ip link set lo up");
        let _netexec =
            Program::serving("agnhost netexec --http-override /echo?msg=x&code=201", HTTP);
        assert_eq!(text(get(HTTP, "/hostname")), (201, "x".to_owned()));
    });
}

#[test]
fn serve_hostname_serves_it_in_each_way() {
    isolated(|| {
        sh("ip link set lo up");
        let http = Program::serving("agnhost serve-hostname", 9376);
        let twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2)
            + "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answers = exchange("127.0.0.1:9376", twice.as_bytes());
        assert_eq!(
            answers.matches(&format!("\r\n\r\n{}", hostname())).count(),
            3
        );
        drop(http);
        let closing = Program::serving("agnhost serve-hostname --close --port 80", 80);
        let answers = exchange("127.0.0.1:80", twice.as_bytes());
        assert_eq!(answers.matches("200 OK").count(), 1, "{answers}");
        drop(closing);
        let _bare = Program::serving(
            "agnhost serve-hostname --http=false --tcp --udp --port=99",
            99,
        );
        assert_eq!(exchange("127.0.0.1:99", b""), hostname());
        eventually("UDP is served", || {
            let table = std::fs::read_to_string("/proc/net/udp6").expect("read");
            table.contains(":0063 ").then_some(())
        });
        assert_eq!(ask_udp("127.0.0.1:99", "anything"), hostname());
    });
}

#[test]
fn porter_answers_on_the_ports_of_its_environment() {
    isolated(|| {
        sh("ip link set lo up");
        let mut command = Command::new(PROGRAM);
        command.args(["agnhost", "porter"]);
        command.envs([("SERVE_PORT_80", "foo"), ("SERVE_PORT_81", "bar")]);
        let mut porter = Program::spawn(&mut command);
        for (port, body) in [(80, "foo"), (81, "bar")] {
            porter.wait_serving(port);
            assert_eq!(text(get(port, "/any")), (200, body.to_owned()));
        }
    });
}

#[test]
fn connect_says_how_it_went() {
    isolated(|| {
        // Frames to 10.9.9.9 go nowhere.
        sh("ip link set lo up
            ip link add left type veth peer name right
            ip link set left up
            ip link set right up
            ip address add 10.9.9.1/24 dev left
            ip neighbour add 10.9.9.9 lladdr 02:00:00:00:00:09 dev left");
        let _netexec = Program::serving("agnhost netexec", HTTP);
        let connect = |arguments: &str| {
            let output = run(&format!("agnhost connect {arguments}"));
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.stdout.is_empty());
            (output.status.code(), errors)
        };
        for target in [
            "127.0.0.1:8080",
            "[::1]:8080",
            ":8080",
            "--protocol=udp 127.0.0.1:8081",
        ] {
            assert_eq!(connect(target), (Some(0), String::new()), "{target}");
        }
        assert_eq!(connect("127.0.0.1:1"), (Some(1), "REFUSED\n".to_owned()));
        let silent = connect("10.9.9.9:80 --timeout=200ms");
        assert_eq!(silent, (Some(1), "TIMEOUT\n".to_owned()));
        for (arguments, prefix) in [
            ("no-such-host.invalid:80", "DNS: "),
            ("127.0.0.1:http-alt-alt", "DNS: "),
            ("198.51.100.1:80", "OTHER: "),
            ("127.0.0.1", "UNKNOWN: "),
            ("--protocol udp 127.0.0.1:1", "REFUSED"),
            ("--protocol udp --timeout 200ms 10.9.9.9:1", "TIMEOUT"),
            ("--protocol sctp 127.0.0.1:1", "OTHER: "),
        ] {
            let (code, errors) = connect(arguments);
            assert_eq!(code, Some(1), "{arguments}");
            assert!(errors.starts_with(prefix), "{arguments}: {errors}");
        }
    });
}

#[test]
fn what_is_not_here_is_refused_with_a_reason() {
    for (line, reason) in [
        (
            "agnhost netexec --tls-cert-file=/a",
            "Error: podnet's agnhost has no TLS (--tls-cert-file); load the image itself for that\n",
        ),
        (
            "agnhost netexec --sctp-port 1",
            "Error: podnet's agnhost has no SCTP (--sctp-port); load the image itself for that\n",
        ),
        ("agnhost netexec --prot=1", "Error: unknown flag: --prot\n"),
        (
            "agnhost netexec x",
            "Error: agnhost netexec takes no arguments, and was given \"x\"\n",
        ),
        (
            "agnhost serve-hostname --tcp",
            "Error: agnhost serve-hostname cannot serve HTTP and bare TCP or UDP at once: add --http=false\n",
        ),
        (
            "agnhost connect",
            "Error: agnhost connect takes one HOST:PORT, and was given 0 arguments\n",
        ),
        (
            "agnhost guestbook",
            "Error: unknown command \"guestbook\" for \"agnhost\"; `agnhost help` lists those that podnet has, and the image itself has the others\n",
        ),
    ] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), reason);
    }
}
