//! What a container does not see of the machine's root file system.
//!
//! Programs, libraries and settings stay; whatever else the machine has, under
//! whatever name, is replaced by empty directories. Of the settings, what not
//! everybody on the machine may read is hidden too, since a container's root can.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

const KEPT: [&str; 10] = [
    "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "usr", "etc", "opt",
];
/// Mounted in every container.
const KERNEL: [&str; 3] = ["dev", "proc", "sys"];
/// Below /etc, whatever their modes say.
const SECRETS: [&str; 14] = [
    "NetworkManager/system-connections",
    "docker",
    "gshadow",
    "gshadow-",
    "ipsec.secrets",
    "krb5.keytab",
    "kubernetes",
    "letsencrypt",
    "shadow",
    "shadow-",
    "ssh",
    "ssl/private",
    "sudoers",
    "sudoers.d",
];
const OTHERS_READ: u32 = 0o004;
/// Directories below /etc are no deeper than this; what is, is hidden.
const DEPTH: usize = 16;

/// Absolute paths in the container whose root is `root`, and `always`. What cannot
/// be looked at is hidden.
pub fn hidden(root: &Path, always: &[PathBuf]) -> Vec<PathBuf> {
    let mut hidden: Vec<PathBuf> = always.iter().flat_map(|path| path.canonicalize()).collect();
    hidden.extend(always.iter().filter(|path| path.is_absolute()).cloned());
    for name in names(root) {
        let visible = |known: &[&str]| known.contains(&name.as_str());
        if name == "var" {
            // Programs expect /var/tmp, /var/log and others to be there.
            let inside = names(&root.join("var"));
            hidden.extend(inside.iter().map(|name| Path::new("/var").join(name)));
        } else if !visible(&KEPT) && !visible(&KERNEL) {
            hidden.push(Path::new("/").join(&name));
        }
    }
    hidden.extend(SECRETS.iter().map(|name| Path::new("/etc").join(name)));
    private(&root.join("etc"), Path::new("/etc"), DEPTH, &mut hidden);
    hidden.sort();
    hidden.dedup();
    hidden
}

/// What is in a directory and no link: what a link leads to is hidden, or not, by itself.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let solid = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    solid
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// What in `dir` others may not read. Sockets and devices too: they are no settings.
fn private(dir: &Path, shown: &Path, depth: usize, hidden: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        hidden.push(shown.to_owned());
        return;
    };
    for entry in entries.flatten() {
        let path = shown.join(entry.file_name());
        let Ok(found) = entry.metadata() else {
            hidden.push(path);
            continue;
        };
        let kind = found.file_type();
        let odd =
            kind.is_socket() || kind.is_fifo() || kind.is_char_device() || kind.is_block_device();
        if kind.is_symlink() {
            continue;
        }
        if odd || found.mode() & OTHERS_READ == 0 || (kind.is_dir() && depth == 0) {
            hidden.push(path);
        } else if kind.is_dir() {
            private(&entry.path(), &path, depth - 1, hidden);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn programs_stay_and_whatever_else_there_is_goes() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |path: &str| root.path().join(path);
        for dir in [
            "usr/bin",
            "home/me",
            "srv",
            "unheard-of",
            "var/log",
            "etc/ssl/private",
            "etc/app",
        ] {
            fs::create_dir_all(at(dir)).expect("made");
        }
        symlink("usr/bin", at("bin")).expect("made");
        symlink("/run", at("var/run")).expect("made");
        for (file, mode) in [
            ("etc/hosts", 0o644),
            ("etc/app/key", 0o640),
            ("top-secret", 0o644),
        ] {
            fs::write(at(file), "x").expect("written");
            fs::set_permissions(at(file), fs::Permissions::from_mode(mode)).expect("set");
        }
        let hidden = hidden(root.path(), &["/opt/labs".into()]);
        let is_hidden = |path: &str| {
            hidden
                .iter()
                .any(|hidden| Path::new(path).starts_with(hidden))
        };
        for path in [
            "/home/me",
            "/srv",
            "/unheard-of",
            "/top-secret",
            "/var/log",
            "/etc/ssl/private",
            "/etc/app/key",
            "/etc/shadow",
            "/opt/labs/default",
        ] {
            assert!(is_hidden(path), "{path} is seen");
        }
        for path in [
            "/usr/bin",
            "/bin",
            "/etc/hosts",
            "/etc/app",
            "/opt",
            "/var",
            "/var/run",
            "/proc",
        ] {
            assert!(!is_hidden(path), "{path} is hidden");
        }
    }
}
