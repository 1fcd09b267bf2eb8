use super::*;

fn projected(files: &[(&str, &str)]) -> Vec<Preparation> {
    let file = |(path, contents): &(&str, &str)| ProjectedFile {
        path: path.into(),
        contents: contents.as_bytes().to_vec(),
        mode: 0o440,
    };
    vec![Preparation::Projected {
        path: "volumes/cfg".into(),
        files: files.iter().map(file).collect(),
    }]
}

fn host(base: &Path, below: &str, kind: HostPathKind) -> Result<(), String> {
    let preparation = Preparation::Host {
        volume: "v".to_owned(),
        base: base.to_owned(),
        below: below.into(),
        kind,
        own_tree: false,
    };
    prepare(base, &[preparation]).map_err(|error| error.to_string())
}

#[test]
fn a_projected_volume_changes_through_one_link_and_forgets_what_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &str| dir.path().join("volumes/cfg").join(path);
    prepare(dir.path(), &projected(&[("a", "1"), ("deep/b", "2")])).expect("prepared");
    assert_eq!(fs::read_to_string(at("a")).expect("there"), "1");
    assert_eq!(fs::read_to_string(at("deep/b")).expect("there"), "2");
    assert_eq!(
        fs::read_link(at("a")).expect("a link"),
        Path::new("..data/a")
    );
    let mode = fs::metadata(at("a")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o440);
    let version = fs::read_link(at("..data")).expect("a link");

    prepare(dir.path(), &projected(&[("a", "1"), ("deep/b", "2")])).expect("prepared");
    assert_eq!(
        fs::read_link(at("..data")).expect("a link"),
        version,
        "nothing changed"
    );

    prepare(dir.path(), &projected(&[("a", "3")])).expect("prepared");
    assert_eq!(fs::read_to_string(at("a")).expect("there"), "3");
    assert!(fs::symlink_metadata(at("deep")).is_err());
    assert!(!at("").join(version).exists());
}

#[test]
fn a_file_keeps_its_inode_and_a_directory_the_mode_it_was_given() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().expect("a directory");
    let preparations = |contents: &str| {
        [
            Preparation::Directory {
                path: "volumes/a".into(),
                mode: 0o777,
                group: None,
            },
            Preparation::Directory {
                path: "etc".into(),
                mode: 0o755,
                group: None,
            },
            Preparation::File {
                path: "etc/hosts".into(),
                contents: contents.to_owned(),
                mode: 0o644,
            },
        ]
    };
    prepare(dir.path(), &preparations("one")).expect("prepared");
    let inode = || {
        fs::metadata(dir.path().join("etc/hosts"))
            .expect("there")
            .ino()
    };
    let volume = dir.path().join("volumes/a");
    let mode = || fs::metadata(&volume).expect("there").permissions().mode() & 0o7777;
    let before = inode();
    assert_eq!(mode(), 0o777);
    fs::set_permissions(&volume, Permissions::from_mode(0o700)).expect("set");
    prepare(dir.path(), &preparations("two")).expect("prepared");
    assert_eq!((inode(), mode()), (before, 0o700));
    assert_eq!(
        fs::read_to_string(dir.path().join("etc/hosts")).expect("there"),
        "two"
    );
}

#[test]
fn host_paths_are_checked_and_made_and_never_lead_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let base = dir.path().join("tree");
    fs::create_dir(&base).expect("made");
    fs::write(base.join("file"), "").expect("written");
    symlink("/etc", base.join("out")).expect("linked");
    symlink("..", base.join("up")).expect("linked");
    assert_eq!(host(&base, "a/b", HostPathKind::DirectoryOrCreate), Ok(()));
    assert_eq!(host(&base, "a/b", HostPathKind::Directory), Ok(()));
    assert_eq!(host(&base, "a/f", HostPathKind::FileOrCreate), Ok(()));
    assert_eq!(host(&base, "a/f", HostPathKind::File), Ok(()));
    assert_eq!(host(&base, "none", HostPathKind::Unchecked), Ok(()));
    for (below, kind, expected) in [
        ("file", HostPathKind::Directory, "is not a directory"),
        (
            "none",
            HostPathKind::Directory,
            "hostPath type check failed",
        ),
        ("none", HostPathKind::File, "is not a file"),
        ("a", HostPathKind::Socket, "is not a socket"),
        ("none/f", HostPathKind::FileOrCreate, "does not exist"),
        ("out", HostPathKind::Unchecked, "leads out of the tree"),
        ("out/passwd", HostPathKind::File, "leads out of the tree"),
        (
            "up/x",
            HostPathKind::DirectoryOrCreate,
            "leads out of the tree",
        ),
    ] {
        let error = host(&base, below, kind).expect_err(below);
        assert!(error.contains(expected), "{below}: {error}");
    }
    assert!(!dir.path().join("x").exists());
}
