//! How the CNI plugin is linked.
//!
//! A runtime starts the plugin for every pod and waits for it, and a third of the time
//! that a process takes to start is the dynamic linker's. `-C target-feature=+crt-static`
//! would hold for all programs of the package, also those that look up names in the
//! DNS, for which glibc loads libraries. So this one is told to be static, and its
//! linker finds archives under the names that the standard library asks for. Where glibc has no
//! archives it is linked like the others.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const PROGRAM: &str = "podnet-cni";
/// What the standard library asks for (`library/unwind` and the crate libc), and the
/// archives it is to get.
const LIBRARIES: [(&str, &[&str]); 3] = [
    ("libc.so", &["libc.a", "libgcc_eh.a", "libgcc.a"]),
    ("libm.so", &["libm.a"]),
    ("libgcc_s.so", &["libgcc_eh.a", "libgcc.a"]),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let set = |name: &str| env::var(name).unwrap_or_default();
    if set("CARGO_CFG_TARGET_ENV") != "gnu" || set("TARGET") != set("HOST") {
        return Ok(());
    }
    let out = PathBuf::from(set("OUT_DIR"));
    for (asked, archives) in LIBRARIES {
        let found: Option<Vec<String>> = archives.iter().map(|name| find(name)).collect();
        let Some(found) = found else {
            return Ok(());
        };
        // A linker script stands for the files that it names (ld(1), "GROUP").
        fs::write(out.join(asked), format!("GROUP({})\n", found.join(" ")))?;
    }
    println!("cargo::rustc-link-arg-bin={PROGRAM}=-L{}", out.display());
    println!("cargo::rustc-link-arg-bin={PROGRAM}=-static-pie");
    Ok(())
}

/// Where the C compiler has a library, in quotation marks; `None`: it has none.
fn find(archive: &str) -> Option<String> {
    let mut compiler = Command::new("cc");
    let asked = compiler.arg(format!("-print-file-name={archive}")).output();
    let path = String::from_utf8(asked.ok()?.stdout).ok()?;
    let path = path.trim_end();
    Path::new(path).is_absolute().then(|| format!("\"{path}\""))
}
