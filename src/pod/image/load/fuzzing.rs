//! Layers: whatever is in them, nothing outside of the image is touched.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use tar::{Builder, EntryType, Header};

use super::super::tree::Tree;
use super::digest;
use super::layer::{Unpacking, unpack_archive};

/// Stands for a directory beside the image, in which nothing may change.
const OUTSIDE: &str = "@";
const CANARY: &str = "canary";

/// Layers, lowest first, with an empty line between them. Each line of one is an entry: a letter for
/// what it is, its path, and what a link leads to.
pub fn image(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let place = Place::new();
    let archive = place.dir.join("archive");
    fs::create_dir(&archive).expect("made");
    let root = place.dir.join("root");
    fs::create_dir(&root).expect("made");
    let mut unpacking = Unpacking::new(&root).expect("an empty directory");
    let tree = Tree::open(&archive).expect("a directory");
    for (number, layer) in text.split("\n\n").enumerate() {
        let name = PathBuf::from(number.to_string());
        let bytes = place.tar_of(layer);
        fs::write(archive.join(&name), &bytes).expect("written");
        let digest = format!("sha256:{}", digest::hex(&bytes));
        let applied = unpacking.apply(&tree, &name, &digest);
        place.is_untouched();
        let flat = place.dir.join(format!("flat-{number}"));
        fs::create_dir(&flat).expect("made");
        // The archive that an image comes in is unpacked by the same rules.
        let _ = unpack_archive(&archive.join(&name), &flat);
        place.is_untouched();
        if applied.is_err() {
            return;
        }
    }
    unpacking.finish().expect("modes are set");
    place.is_untouched();
}

struct Place {
    dir: PathBuf,
}

impl Place {
    fn new() -> Place {
        let dir = env::temp_dir().join(format!("podnet-image-{}", process::id()));
        fs::create_dir_all(dir.join("outside")).expect("made");
        fs::write(dir.join("outside").join(CANARY), CANARY).expect("written");
        Place { dir }
    }

    fn tar_of(&self, layer: &str) -> Vec<u8> {
        let outside = self.dir.join("outside");
        let mut builder = Builder::new(Vec::new());
        for line in layer.lines() {
            let line = line.replace(OUTSIDE, &outside.to_string_lossy());
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().unwrap_or("");
            let (kind, path, target) = (word(), word(), word());
            let mut header = Header::new_gnu();
            header.set_entry_type(match kind {
                "d" => EntryType::Directory,
                "s" => EntryType::Symlink,
                "h" => EntryType::Link,
                "b" => EntryType::Block,
                _ => EntryType::Regular,
            });
            header.set_mode(if kind == "d" { 0o755 } else { 0o4644 });
            header.set_size(0);
            header.set_uid(7);
            header.set_gid(8);
            // By hand: the crate refuses to write what an attacker would.
            let old = header.as_old_mut();
            put(&mut old.name, path);
            put(&mut old.linkname, target);
            header.set_cksum();
            builder.append(&header, &[][..]).expect("memory is written");
        }
        builder.into_inner().expect("memory is written")
    }

    fn is_untouched(&self) {
        let outside = self.dir.join("outside");
        let is_canary = |path: &Path| path.file_name().is_some_and(|name| name == CANARY);
        for entry in fs::read_dir(&outside).expect("it is there") {
            let path = entry.expect("an entry").path();
            assert!(is_canary(&path), "{} was not there", path.display());
            assert_eq!(fs::read_to_string(&path).expect("readable"), CANARY);
            let found = fs::symlink_metadata(&path).expect("it is there");
            assert_eq!((found.nlink(), found.mode() & 0o4000), (1, 0));
        }
        assert!(outside.join(CANARY).exists());
        let beside = fs::read_dir(&self.dir).expect("it is there").flatten();
        let names = beside.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let known = |name: &String| {
            ["outside", "archive", "root"].contains(&name.as_str()) || name.starts_with("flat-")
        };
        let strange: Vec<String> = names.filter(|name| !known(name)).collect();
        assert_eq!(strange, [""; 0]);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is in a directory for what may go.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn put(field: &mut [u8; 100], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}
