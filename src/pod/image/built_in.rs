//! Images that are always there: the machine's root file system under the names of
//! images that have a shell and little else, and podnet's own programs.

use std::path::PathBuf;

use super::{Accounts, Image, ImageRoot, Reference};

/// Names of the machine's root file system, with the command each has.
const MACHINE: [(&str, &str); 5] = [
    ("busybox", "sh"),
    ("alpine", "sh"),
    ("debian", "bash"),
    ("ubuntu", "bash"),
    ("host", "sh"),
];

struct Program {
    /// The first is what an error calls it.
    names: &'static [&'static str],
    /// By its file name podnet's binary knows what to be.
    path: &'static str,
    cmd: &'static [&'static str],
}

const PROGRAMS: [Program; 4] = [
    Program {
        names: &["luksa/kubia", "kubia"],
        path: "/kubia",
        cmd: &[],
    },
    Program {
        names: &["luksa/kubia-unhealthy", "kubia-unhealthy"],
        path: "/kubia-unhealthy",
        cmd: &[],
    },
    Program {
        names: &["registry.k8s.io/pause", "k8s.gcr.io/pause", "pause"],
        path: "/pause",
        cmd: &[],
    },
    Program {
        names: &[
            "registry.k8s.io/e2e-test-images/agnhost",
            "k8s.gcr.io/e2e-test-images/agnhost",
            "agnhost",
        ],
        path: "/agnhost",
        cmd: &["pause"],
    },
];

/// By name, whatever the tag.
pub fn find(name: &Reference, hidden: &[PathBuf]) -> Option<Image> {
    if let Some(program) = PROGRAMS
        .iter()
        .find(|p| p.names.contains(&name.name.as_str()))
    {
        return Some(Image {
            id: format!("built-in:{}", program.names[0]),
            entrypoint: vec![program.path.to_owned()],
            cmd: program.cmd.iter().map(|&word| word.to_owned()).collect(),
            program: Some(program.path.into()),
            ..machine(name, hidden, "")
        });
    }
    let (_, shell) = MACHINE.iter().find(|(known, _)| *known == name.name)?;
    Some(machine(name, hidden, shell))
}

pub fn machine(name: &Reference, hidden: &[PathBuf], shell: &str) -> Image {
    Image {
        reference: name.to_string(),
        id: "machine:/".to_owned(),
        root: ImageRoot {
            layers: vec![PathBuf::from("/")],
            hidden: hidden.to_vec(),
        },
        entrypoint: Vec::new(),
        cmd: vec![shell.to_owned()],
        env: Vec::new(),
        cwd: None,
        user: None,
        // The machine's people have no business in a container.
        accounts: Accounts::only_root(),
        program: None,
    }
}

/// Some names, for errors.
pub fn known() -> String {
    let machine = MACHINE.iter().map(|(name, _)| *name);
    let programs = PROGRAMS.iter().map(|program| program.names[0]);
    machine.chain(programs).collect::<Vec<_>>().join(", ")
}
