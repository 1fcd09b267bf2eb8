//! Containers that are not root.

use std::fs;

use podnet::pod::Stdio;
use podnet::pod::bundle::User;

use crate::container::shell;
use crate::place::{Place, with_pod, with_pod_of_root};

async fn is_user(pod: &Place) {
    let script = "id -u; id -g; grep CapEff /proc/self/status; echo x > /etc/mark; \
                  echo err > /dev/stderr; ip link set lo down";
    let mut bundle = shell("a", script);
    bundle.process.user = User {
        uid: 1234,
        gid: 2345,
        groups: Vec::new(),
    };
    let (_, said) = pod.run(&bundle).await;
    assert!(
        said.starts_with("1234\n2345\nCapEff:\t0000000000000000\n"),
        "{said}"
    );
    assert!(said.contains("err\n"), "{said}");
    assert!(said.contains("Operation not permitted"), "{said}");

    let mut bundle = shell("b", "exec sleep 600");
    bundle.process.user.uid = 1234;
    pod.start(&bundle).await;
    let null = fs::File::open("/dev/null").expect("/dev/null");
    let stdio = Stdio::Descriptors([(); 3].map(|()| std::os::fd::AsFd::as_fd(&null)));
    let check = [
        "/bin/sh",
        "-c",
        "test $(id -u) = 1234 && ! ip link set lo down",
    ];
    let exec = pod.pause.exec("b", &check.map(str::to_owned), stdio).await;
    let ended = exec.expect("it runs").ended().await.expect("ended");
    assert_eq!(ended.exit_code, 0);
}

#[test]
fn a_number_that_is_not_there_is_given_by_a_namespace() {
    with_pod(is_user);
}

#[test]
fn one_that_is_there_is_used() {
    with_pod_of_root(is_user);
}
