use std::io::Write;
use std::os::unix::fs::symlink;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::*;
use crate::pod::bundle::User;

/// Entries of a layer: a path, and what is there.
enum Content<'a> {
    Dir(u32),
    File(&'a str),
    Symlink(&'a str),
    Hardlink(&'a str),
    Device,
}
use Content::*;

fn tar_of(entries: &[(&str, Content)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = Header::new_gnu();
        let bytes: &[u8] = match content {
            File(text) => text.as_bytes(),
            _ => &[],
        };
        header.set_entry_type(match content {
            Dir(_) => EntryType::Directory,
            File(_) => EntryType::Regular,
            Symlink(_) => EntryType::Symlink,
            Hardlink(_) => EntryType::Link,
            Device => EntryType::Block,
        });
        header.set_mode(match content {
            Dir(mode) => *mode,
            _ => 0o644,
        });
        header.set_size(bytes.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        if let Symlink(target) | Hardlink(target) = content {
            // By hand: the crate refuses to write what an attacker would.
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, bytes).expect("appended");
    }
    builder.into_inner().expect("finished")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

fn sha(bytes: &[u8]) -> String {
    format!("sha256:{}", digest::hex(bytes))
}

fn config_of(layers: &[Vec<u8>]) -> Vec<u8> {
    let config = json!({
        "architecture": architecture(), "os": "linux",
        "config": {
            "Entrypoint": ["/bin/web"], "Cmd": ["--serve"], "Env": ["A=b"], "User": "web", "WorkingDir": "/srv",
        },
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| sha(layer)).collect::<Vec<_>>()},
    });
    serde_json::to_vec(&config).expect("written")
}

/// An OCI image layout in `dir`, its layers compressed.
fn oci_layout(dir: &Path, name: Option<&str>, layers: &[Vec<u8>]) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("made");
    let put = |kind: &str, bytes: &[u8]| -> Value {
        fs::write(blobs.join(digest::hex(bytes)), bytes).expect("written");
        json!({"mediaType": kind, "digest": sha(bytes), "size": bytes.len()})
    };
    let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
    let packed: Vec<Value> = layers.iter().map(|layer| put(kind, &gzip(layer))).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put("application/vnd.oci.image.config.v1+json", &config_of(layers)), "layers": packed,
    });
    let manifest = serde_json::to_vec(&manifest).expect("written");
    let mut descriptor = put("application/vnd.oci.image.manifest.v1+json", &manifest);
    if let Some(name) = name {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    }
    let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
    fs::write(dir.join("index.json"), index.to_string()).expect("written");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
}

/// What older versions of `docker save` write.
fn docker_archive(names: &[&str], layers: &[Vec<u8>]) -> Vec<u8> {
    let config = config_of(layers);
    let config_name = format!("{}.json", digest::hex(&config));
    let paths: Vec<String> = (0..layers.len())
        .map(|n| format!("{n}/layer.tar"))
        .collect();
    let manifest = json!([{"Config": config_name, "RepoTags": names, "Layers": paths}]).to_string();
    let mut builder = Builder::new(Vec::new());
    let mut add = |path: &str, bytes: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder
            .append_data(&mut header, path, bytes)
            .expect("appended");
    };
    add(&config_name, &config);
    for (path, layer) in paths.iter().zip(layers) {
        add(path, layer);
    }
    add("manifest.json", manifest.as_bytes());
    builder.into_inner().expect("finished")
}

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::new(dir.path().join("images"));
        Place { dir, store }
    }

    fn load(&self, archive: &[u8], name: Option<&str>) -> Result<Vec<String>, LoadError> {
        let path = self.dir.path().join("archive.tar");
        fs::write(&path, archive).expect("written");
        load(&self.store, &path, name)
    }

    fn root(&self, name: &str) -> PathBuf {
        let reference = Reference::parse(name).expect("a name");
        let image = self
            .store
            .find(&reference)
            .expect("readable")
            .expect("loaded");
        image.root.layers[0].clone()
    }

    /// A failed load leaves nothing.
    fn is_empty(&self) -> bool {
        let left = fs::read_dir(self.dir.path().join("images"))
            .into_iter()
            .flatten()
            .flatten();
        let names: Vec<String> = left
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.iter().all(|name| name == "lock")
    }
}

fn base() -> Vec<u8> {
    tar_of(&[
        ("./", Dir(0o755)),
        ("etc/", Dir(0o755)),
        ("etc/passwd", File("root:x:0:0::/root:\nweb:x:7:8::/srv:\n")),
        ("bin/", Dir(0o755)),
        ("bin/web", File("web")),
        ("sbin", Symlink("bin")),
        ("var/old", File("old")),
        ("var/kept", File("kept")),
        ("gone/a", File("a")),
        ("gone/b", File("b")),
        ("run", Symlink("/var")),
        ("locked/", Dir(0o555)),
        ("locked/in", File("in")),
        ("dev/sda", Device),
    ])
}

fn upper() -> Vec<u8> {
    tar_of(&[
        ("gone/c", File("c")),
        ("gone/.wh..wh..opq", File("")),
        ("var/.wh.old", File("")),
        ("run/pid", File("1")),
        ("sbin/httpd", File("httpd")),
        ("bin/also", Hardlink("bin/web")),
    ])
}

#[test]
fn an_image_is_its_layers_over_each_other_with_its_own_command() {
    let place = Place::new();
    let layout = place.dir.path().join("layout");
    oci_layout(&layout, Some("example.com/web:1"), &[base(), upper()]);
    let names = load(&place.store, &layout, None).expect("loads");
    assert_eq!(names, ["example.com/web:1"]);
    let reference = Reference::parse("example.com/web:1").expect("a name");
    let image = place
        .store
        .find(&reference)
        .expect("readable")
        .expect("loaded");
    assert_eq!(
        (&image.entrypoint[..], &image.cmd[..]),
        (&["/bin/web".to_owned()][..], &["--serve".to_owned()][..])
    );
    assert_eq!(
        (image.env, image.cwd),
        (vec!["A=b".to_owned()], Some("/srv".into()))
    );
    let user = image.accounts.resolve(&image.user.expect("a user"));
    assert_eq!(
        user,
        Ok(User {
            uid: 7,
            gid: 8,
            groups: vec![]
        })
    );

    let root = &image.root.layers[0];
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    for (path, expected) in [
        ("gone/a", None),
        ("gone/c", Some("c")),
        ("var/old", None),
        ("var/kept", Some("kept")),
        // Through links, inside: /run is /var and /sbin is /bin.
        ("var/pid", Some("1")),
        ("bin/httpd", Some("httpd")),
        ("bin/also", Some("web")),
        ("locked/in", Some("in")),
        ("dev/sda", None),
    ] {
        assert_eq!(read(path).as_deref(), expected, "{path}");
    }
}

#[test]
fn what_docker_saves_loads_by_all_its_names_and_shares_its_root() {
    let place = Place::new();
    let archive = docker_archive(&["web:1", "docker.io/library/web:latest"], &[base()]);
    let names = place.load(&gzip(&archive), None).expect("loads");
    assert_eq!(names, ["web:1", "web:latest"]);
    assert_eq!(place.root("web:1"), place.root("web"));
    assert_eq!(
        place.load(&archive, Some("other:2")).expect("loads"),
        ["other:2"]
    );
    assert_eq!(place.root("other:2"), place.root("web"));

    let remove = |name: &str| place.store.remove(&Reference::parse(name).expect("a name"));
    let root = place.root("web");
    for name in ["web:1", "web", "other:2"] {
        assert!(root.exists());
        remove(name).expect("removed");
    }
    assert!(!root.exists(), "the last name takes the root with it");
    assert!(matches!(remove("web"), Err(StoreError::NotThere(_))));
}

#[test]
fn what_would_be_written_elsewhere_is_refused_and_leaves_nothing() {
    let outside = tempfile::tempdir().expect("a directory");
    let target = outside.path().to_str().expect("a path").to_owned();
    let cases: Vec<Vec<(&str, Content)>> = vec![
        vec![("../evil", File("x"))],
        vec![("a/../../evil", File("x"))],
        vec![("a/.wh...", File(""))],
        vec![("a", Hardlink("../../etc/passwd"))],
        vec![("a", Hardlink("/no/such/file"))],
    ];
    for entries in cases {
        let place = Place::new();
        let (path, _) = &entries[0];
        let error = place.load(&docker_archive(&["web:1"], &[tar_of(&entries)]), None);
        assert!(error.is_err(), "{path}");
        assert!(place.is_empty(), "{path}");
        // The archive itself is no safer.
        assert!(place.load(&tar_of(&entries), None).is_err(), "{path}");
        assert!(place.is_empty(), "{path}");
    }
    // Links may lead anywhere; nothing is written through them to the outside.
    let place = Place::new();
    let inside = target.trim_start_matches('/');
    let layers = [
        tar_of(&[
            (inside, Dir(0o755)),
            ("link", Symlink(&target)),
            ("up", Symlink("../../../..")),
        ]),
        tar_of(&[("link/evil", File("x")), ("up/evil", File("x"))]),
    ];
    place
        .load(&docker_archive(&["web:1"], &layers), None)
        .expect("loads");
    assert_eq!(fs::read_dir(outside.path()).expect("listed").count(), 0);
    assert!(place.root("web:1").join("evil").exists());
    assert!(place.root("web:1").join(inside).join("evil").exists());
}

#[test]
fn what_is_damaged_is_refused_by_what_is_wrong() {
    let place = Place::new();
    let layout = place.dir.path().join("layout");
    let refusal = |path: &Path, name| {
        let error = load(&place.store, path, name)
            .expect_err("refused")
            .to_string();
        assert!(place.is_empty(), "{error}");
        error
    };
    oci_layout(&layout, None, &[base()]);
    assert!(refusal(&layout, None).contains("--name"));
    assert!(refusal(&layout, Some("Web")).contains("is not a name"));

    // One byte of a layer is another one.
    let blobs = layout.join("blobs/sha256");
    let layer = blobs.join(digest::hex(&gzip(&base())));
    fs::write(&layer, gzip(&upper())).expect("written");
    assert!(refusal(&layout, Some("web")).contains("was changed or cut off"));
    fs::remove_file(&layer).expect("removed");
    assert!(refusal(&layout, Some("web")).contains("is damaged"));
    // A blob that is a link to something outside.
    symlink("/etc/passwd", &layer).expect("linked");
    assert!(refusal(&layout, Some("web")).contains("is damaged"));
    fs::write(layout.join("index.json"), "{").expect("written");
    assert!(refusal(&layout, Some("web")).contains("index.json"));

    let whole = docker_archive(&["web:1"], &[base()]);
    let file = place.dir.path().join("cut.tar");
    fs::write(&file, &whole[..whole.len() / 3]).expect("written");
    refusal(&file, None);
    fs::write(&file, "no archive at all").expect("written");
    assert!(refusal(&file, None).contains("is no image"));
    assert!(refusal(Path::new("/no/such/file"), None).contains("cannot open"));
}
