//! What a person can get wrong, and what he is told. None of it starts a lab.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use crate::place::{Place, eventually, text};

#[test]
fn wrong_flags_are_wrong_usage_and_say_what_would_be_right() {
    let place = Place::new();
    let cases: [(&[&str], &str); 10] = [
        (
            &["--node-mask", "8"],
            "node mask /8 does not fit cluster range 10.244.0.0/16: use /16 to /30",
        ),
        (
            &["--cluster-cidr", "10.244.1.0/16"],
            "did you mean 10.244.0.0/16?",
        ),
        (
            &["--cluster-cidr", "10.1.0.0/16,10.2.0.0/16"],
            "two IPv4 networks",
        ),
        (
            &["--cluster-cidr", "172.30.0.0/16"],
            "overlaps underlay 172.30.0.0/16",
        ),
        (
            &[
                "--cluster-cidr",
                "10.1.0.0/16",
                "--node-mask",
                "17",
                "--nodes",
                "3",
            ],
            "3 nodes do not fit cluster range 10.1.0.0/16, which holds 2",
        ),
        (&["--nodes", "1024"], "1024 nodes do not fit one underlay"),
        (&["--backend", "vxlan"], "host-gw is the only one there is"),
        (
            &["--lab", "My_Lab"],
            "lab name \"My_Lab\" is not a DNS label",
        ),
        (&["--cluster-cidr", "ten"], "invalid value 'ten'"),
        (
            &["--wait-timeout", "18446744073709551615"],
            "invalid value '18446744073709551615'",
        ),
    ];
    for (flags, expected) in cases {
        let args = [&["up"], flags].concat();
        let (code, said) = place.refused(&args);
        assert!(said.contains(expected), "{flags:?}: {said}");
        assert_eq!(code, 2, "{flags:?}");
    }
}

#[test]
fn an_error_that_cannot_be_written_is_still_an_exit_code() {
    let place = Place::new();
    let full = fs::File::options().write(true).open("/dev/full");
    let mut up = place.command(&["up", "--lab", "My_Lab"]);
    let ended = up.stderr(full.expect("a full disk")).status();
    assert_eq!(ended.expect("an end").code(), Some(2));
}

#[test]
fn a_wrong_lab_file_is_refused_where_it_is_wrong() {
    let place = Place::new();
    let file = place.root().join("lab.yaml");
    let path = file.to_str().expect("text");
    let head = "apiVersion: podnet.dev/v1alpha1\nkind: Lab\nspec:\n";
    let cases = [
        ("  nodez: []\n", "lab.yaml:4:3: "),
        ("  nodes:\n  - name: a\n    gpu: true\n", "lab.yaml:6:5: "),
        (
            "  nodes: [{name: Node_1}]\n",
            "node name \"Node_1\" is not a DNS label",
        ),
        (
            "  nodes: [{name: a}, {name: a}]\n",
            "two nodes of the name a",
        ),
        (
            "  nodes: [{name: a, labels: {gpu: 'x y'}}]\n",
            "label \"gpu=x y\" is not usable",
        ),
        (
            "  underlayCIDRs: [172.30.0.0/16, 172.31.0.0/16]\n",
            "two IPv4 networks",
        ),
        ("  mtu: 100\n", "an MTU of 100 bytes is out of range"),
        ("  nodes: [\n", "lab.yaml:"),
    ];
    for (body, expected) in cases {
        fs::write(&file, format!("{head}{body}")).expect("written");
        let (code, said) = place.refused(&["up", "-f", path]);
        assert!(said.contains(expected), "{body}: {said}");
        assert_eq!(code, 2, "{body}");
    }
    fs::write(&file, "apiVersion: v1\nkind: Pod\n").expect("written");
    let (_, said) = place.refused(&["up", "-f", path]);
    assert!(said.contains("kind: Lab"), "{said}");
    let (_, said) = place.refused(&["up", "-f", "/nowhere/lab.yaml"]);
    assert!(said.contains("cannot read /nowhere/lab.yaml"), "{said}");
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (code, said) = place.refused(&["up", "--api-port", &port]);
    assert_eq!(code, 1);
    assert!(
        said.contains(&format!("port {port} on 127.0.0.1 is in use")),
        "{said}"
    );
    assert!(said.contains("--api-port"), "{said}");
}

#[test]
fn a_lab_that_is_not_up_is_said_so() {
    let place = Place::new();
    for args in [
        &["kubeconfig"][..],
        &["shell", "node-1"],
        &["node", "add", "x"],
    ] {
        let (code, said) = place.refused(args);
        assert_eq!(code, 1, "{args:?}");
        assert!(said.contains("lab default is not up"), "{args:?}: {said}");
    }
    let (code, said) = place.refused(&["status"]);
    assert_eq!(code, 1);
    assert!(said.contains("is not there"), "{said}");
}

#[test]
fn a_state_directory_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    fs::set_permissions(place.root(), fs::Permissions::from_mode(0o777)).expect("opened");
    let (code, said) = place.refused(&["up"]);
    assert_eq!(code, 1);
    assert!(said.contains("is not a directory of ours alone"), "{said}");
}

#[test]
fn what_is_not_a_lab_is_left_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let file = place.lab("src").join("lock");
    fs::create_dir(place.lab("src")).expect("a directory");
    fs::write(&file, "work of years").expect("written");
    std::os::unix::fs::symlink(place.lab("src"), place.lab("link")).expect("a link");
    place.ok(&["down", "--all"]);
    for (command, lab) in [("down", "src"), ("up", "src"), ("down", "link")] {
        let (code, said) = place.refused(&[command, "--lab", lab]);
        assert_eq!(code, 1, "{command} {lab}: {said}");
        assert!(said.contains("is not a lab's directory"), "{said}");
    }
    assert!(file.exists());

    // What looks like a lab in a root that others may write to is not ours either.
    fs::write(place.lab("src").join("lab.json"), "{}").expect("written");
    fs::set_permissions(place.root(), fs::Permissions::from_mode(0o777)).expect("opened");
    for args in [&["down", "--lab", "src"][..], &["down", "--all"]] {
        let (_, said) = place.refused(args);
        assert!(said.contains("is not a directory of ours alone"), "{said}");
    }
    assert!(file.exists());
}

/// In a user namespace of the test's own that allows no further one.
#[test]
fn forbidden_user_namespaces_are_said_with_the_setting() {
    let place = Place::ordinary();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped, only root can map a whole user namespace");
        return;
    }
    let mend = "sysctl -w user.max_user_namespaces=";
    let up = where_forbidden(&place.command(&["up"]));
    let said = text(&up.stderr);
    assert_eq!(up.status.code(), Some(1), "{said}");
    assert!(said.contains("no namespaces for a lab"), "{said}");
    assert!(said.contains(mend), "{said}");
    let doctor = where_forbidden(&place.command(&["doctor"]));
    let found = text(&doctor.stdout);
    assert_eq!(doctor.status.code(), Some(1), "{found}");
    assert!(found.contains(mend), "{found}");
}

fn where_forbidden(command: &Command) -> Output {
    // The shell waits for its user ids, then becomes the root of its namespace
    // by another exec, and forbids.
    let script = "read mapped; \
                  exec sh -c 'echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"' sh \"$@\"";
    let mut shell = Command::new("unshare");
    shell.args(["--user", "sh", "-c", script, "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        value.map(|value| shell.env(name, value));
    }
    shell
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = shell.spawn().expect("unshare runs");
    let ids = eventually("the child left our user namespace", || {
        let own = fs::read_link("/proc/self/ns/user").ok()?;
        let its = fs::read_link(format!("/proc/{}/ns/user", child.id())).ok()?;
        (own != its).then(|| format!("/proc/{}", child.id()))
    });
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("{ids}/{map}"), "0 0 65536").expect("mapped");
    }
    let mut input = child.stdin.take().expect("its input");
    input.write_all(b"go\n").expect("told");
    child.wait_with_output().expect("its end")
}
