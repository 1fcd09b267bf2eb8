//! The modules of the library are layers: each uses only those above it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the top down. `main.rs`, `bin/` and `lib.rs` may use all of them.
const LAYERS: [&str; 12] = [
    "model", "ipam", "plan", "kernel", "cluster", "agent", "pod", "server", "cni", "lab",
    "insight", "cli",
];

#[test]
fn every_layer_uses_only_those_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(&src).expect("src is there") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("a name");
        if ["main", "lib", "bin"].contains(&stem) {
            continue;
        }
        let Some(layer) = LAYERS.iter().position(|layer| *layer == stem) else {
            faults.push(format!(
                "{}: is no layer in tests/layers.rs",
                path.display()
            ));
            continue;
        };
        for file in rust_files(&path) {
            files += 1;
            let text = fs::read_to_string(&file).expect("readable");
            for fault in below(layer, &text) {
                faults.push(format!("{}:{fault}", file.display()));
            }
        }
    }
    assert!(files > LAYERS.len(), "only {files} files were read");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What a container runtime starts for each pod has no server, no TLS and no Kubernetes client in
/// it, and so stays small.
#[test]
fn the_plugin_is_made_of_the_kernel_and_arithmetic_alone() {
    const PARTS: [&str; 5] = ["model", "ipam", "plan", "kernel", "cni"];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let own = rust_files(&src.join("cni"));
    let program = src.join("bin/podnet-cni.rs");
    for file in own.iter().chain([&program]) {
        let text = fs::read_to_string(file).expect("readable");
        let at = file.display();
        for root in ["crate::", "podnet::"] {
            for (line, name) in used(&text, root) {
                assert!(PARTS.contains(&&*name), "{at}:{line}: uses {name}");
            }
        }
        for client in ["kube", "k8s_openapi", "rustls", "tokio", "hyper"] {
            assert!(
                !text.contains(&format!("{client}::")),
                "{at}: uses {client}"
            );
        }
    }
    assert!(own.len() > 10, "only {} files were read", own.len());
}

/// Without this the test above could pass by never finding anything.
#[test]
fn a_use_of_a_lower_layer_is_found_however_it_is_written() {
    let kernel = LAYERS.iter().position(|l| *l == "kernel").expect("a layer");
    let found = |text: &str| below(kernel, text);
    for text in [
        "use crate::agent::Agent;",
        "use crate::{model::Mac, agent};",
        "use crate::{\n    model::{Mac, Slot},\n    agent::{Agent},\n};",
        "let a = crate::agent::start();",
        "pub(in crate::agent) fn f() {}",
    ] {
        assert_eq!(found(text).len(), 1, "{text}: {:?}", found(text));
    }
    assert_eq!(
        found("fn f() {}\nuse crate::cli;"),
        ["2: kernel uses cli, which stands below it"]
    );
    for text in [
        "use crate::model::Mac;",
        "use crate::kernel::Kernel;",
        "use crate::{model::{agent}, plan::lab};",
        "// crate::agent does this",
        "/// See [`crate::agent`].",
        "pub(crate) fn f() {}",
        "use othercrate::agent;",
    ] {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        return paths.flat_map(|path| rust_files(&path)).collect();
    }
    let is_rust = path.extension().is_some_and(|e| e == "rs");
    is_rust.then(|| path.to_owned()).into_iter().collect()
}

/// `LINE: what` for each use of a layer below the one with index `layer`.
fn below(layer: usize, text: &str) -> Vec<String> {
    let lower = |name: &str| LAYERS.iter().position(|l| *l == name) > Some(layer);
    let own = LAYERS[layer];
    used(text, "crate::")
        .into_iter()
        .filter(|(_, name)| lower(name))
        .map(|(line, name)| format!("{line}: {own} uses {name}, which stands below it"))
        .collect()
}

/// The line and the name of each module that is used below `root`, comments left out.
fn used(text: &str, root: &str) -> Vec<(usize, String)> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n")
        .collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..at].lines().count().max(1);
        let names = first_segments(&code[at + root.len()..]);
        found.extend(names.into_iter().map(|name| (line, name.to_owned())));
    }
    found
}

/// `a` of `a::b`, and `a`, `c` of `{a::b, c}`.
fn first_segments(path: &str) -> Vec<&str> {
    let word = |text: &'_ str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        end.unwrap_or(text.len())
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![&path[..word(path)]];
    };
    let mut segments = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let item = group[start..at].trim_start();
                segments.push(&item[..word(item)]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    segments
}
