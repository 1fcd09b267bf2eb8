//! What the containers of one pod share, and what they do not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use podnet::pod::bundle::Mount;

use crate::container::shell;
use crate::place::{Place, with_pod, with_pod_of_root};

/// Answers each who connects to 127.0.0.1:8080.
const SERVER: &str = r#"exec perl -MIO::Socket::INET -e '
$| = 1;
$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:8080", Listen => 9) or die "bind: $!\n";
print "listening\n";
while ($c = $s->accept) { print $c "hello\n"; close $c; }'"#;
const CLIENT: &str = r#"perl -MIO::Socket::INET -e '
$c = IO::Socket::INET->new("127.0.0.1:8080") or die "connect: $!\n"; print <$c>;'"#;

fn mount(source: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        source: PathBuf::from(source),
        below: Default::default(),
        target: PathBuf::from(target),
        read_only,
    }
}

#[test]
fn name_network_and_memory_are_one_and_roots_are_not() {
    with_pod_of_root(async |pod| {
        let namespaces = "readlink /proc/self/ns/net /proc/self/ns/uts /proc/self/ns/ipc";
        let script = format!("hostname; {namespaces}; echo a > /etc/mark; echo a > /dev/shm/mark");
        let (code, first) = pod.run(&shell("a", &script)).await;
        assert_eq!(code, 0, "{first}");
        let script = format!("hostname; {namespaces}; ls /etc/mark; cat /dev/shm/mark");
        let (_, second) = pod.run(&shell("b", &script)).await;
        assert!(first.starts_with("web-0\nnet:["), "{first}");
        assert!(second.starts_with(&first), "{first}{second}");
        assert!(second.contains("'/etc/mark': No such file"), "{second}");
        assert!(second.contains("\na\n"), "{second}");
        assert!(!PathBuf::from("/etc/mark").exists());
    });
}

#[test]
fn a_port_on_localhost_is_everybodys_and_taken_once() {
    with_pod(async |pod| {
        pod.start(&shell("server", SERVER)).await;
        pod.says("server", "listening").await;
        let hello = (0, "hello\n".to_owned());
        assert_eq!(pod.run(&shell("client", CLIENT)).await, hello);
        let (code, said) = pod.run(&shell("second", SERVER)).await;
        assert_ne!(code, 0);
        assert_eq!(said, "bind: Address already in use\n");
    });
}

#[test]
fn volumes_are_shared_and_read_only_ones_are_not_written() {
    with_pod_of_root(async |pod| {
        fs::create_dir_all(pod.dir().join("volumes/data")).expect("a volume");
        let memory = PathBuf::from("volumes/memory");
        for _ in 0..2 {
            let made = pod.pause.tmpfs(&memory, Some(1 << 20)).await;
            made.expect("memory, however often asked for");
        }
        let mut writer = shell("writer", "echo new > /data/file; echo m > /new/dir/file");
        writer.mounts = vec![
            mount("volumes/data", "/data", false),
            mount("volumes/memory", "/new/dir", false),
        ];
        assert_eq!(pod.run(&writer).await, (0, String::new()));
        assert!(!pod.dir().join("volumes/memory/file").exists());

        let script = "cat /data/file /m/file; echo x > /data/file; echo x > /one; \
                      dd if=/dev/zero of=/m/big bs=1M count=2 2>&1; true";
        let mut reader = shell("reader", script);
        reader.mounts = vec![
            mount("volumes/data", "/data", true),
            mount("volumes/memory", "/m", false),
            mount("volumes/data/file", "/one", true),
        ];
        let (_, said) = pod.run(&reader).await;
        assert!(said.starts_with("new\nm\n"), "{said}");
        for complaint in [
            "create /data/file: Read-only file system",
            "create /one: Read-only file system",
            "No space left on device",
        ] {
            assert!(said.contains(complaint), "{complaint}: {said}");
        }
    });
}

async fn read_only_root(pod: &Place) {
    fs::create_dir_all(pod.dir().join("volumes/data")).expect("a volume");
    let script = "for file in /x /etc/x /usr/x /tmp/x /data/x /dev/shm/x; do
        (echo x > $file) 2>/dev/null && echo $file; done";
    let mut bundle = shell("a", script);
    bundle.root.read_only = true;
    bundle.mounts = vec![mount("volumes/data", "/data", false)];
    assert_eq!(pod.run(&bundle).await.1, "/data/x\n/dev/shm/x\n");
}

#[test]
fn a_read_only_root_takes_nothing_but_in_volumes() {
    with_pod(read_only_root);
}

#[test]
fn nor_does_roots() {
    with_pod_of_root(read_only_root);
}

#[test]
fn no_link_in_an_image_or_volume_leads_a_mount_out() {
    with_pod_of_root(async |pod| {
        let outside = tempfile::tempdir().expect("a directory");
        let volume = pod.dir().join("volumes/data");
        fs::create_dir_all(&volume).expect("a directory");
        symlink(outside.path(), volume.join("out")).expect("a link");
        symlink("/missing/place", volume.join("dangling")).expect("a link");
        symlink("../../../..", volume.join("up")).expect("a link");
        fs::write(pod.dir().join("secret"), "secret").expect("a file");
        symlink("../../secret", volume.join("secret")).expect("a link");

        let inside = format!("{}/in", outside.path().display());
        let script = format!("ls -d {inside} /missing/place/in /up/in; echo x > {inside}/x");
        let mut bundle = shell("a", &script);
        bundle.mounts = vec![
            mount("volumes/data", "/vol", false),
            mount("volumes/data", "/vol/out/in", false),
            mount("volumes/data", "/vol/dangling/in", false),
            mount("volumes/data", "/vol/up/up/in", false),
        ];
        let (_, said) = pod.run(&bundle).await;
        let made = format!("/missing/place/in\n{inside}\n/up/in\n");
        assert_eq!(said, made);
        assert!(volume.join("x").exists());
        let left: Vec<_> = fs::read_dir(outside.path()).expect("readable").collect();
        assert!(left.is_empty(), "{left:?}");

        bundle.name = "b".to_owned();
        bundle.mounts = vec![mount("volumes/data/secret", "/stolen", false)];
        let error = pod.pause.start(&bundle).await.expect_err("it leads out");
        assert!(error.to_string().contains("volumes/data/secret"), "{error}");
    });
}
