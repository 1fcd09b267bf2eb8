//! podnet: a Kubernetes-style pod network for one Linux box and for real nodes.
//!
//! The modules are layers; each may use only those above it in this list, and
//! `tests/layers.rs` holds that.

pub mod model;

pub mod ipam;

pub mod plan;

pub mod kernel;

pub mod cluster;

pub mod agent;

pub mod pod;

pub mod server;

pub mod cni;

pub mod lab;

pub mod insight;

pub mod cli;

/// What `fuzz/` calls, and the unit tests with its seeds: each takes any input at all, and panics where a
/// property does not hold. No part of the library: it is there only for those two.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::cni::fuzzing::{cni_arguments, cni_configuration};
    pub use crate::pod::fuzzing::{image, logs, spdy, websocket};
    pub use crate::server::fuzzing::{apply, decoder, patch, protobuf, selector};

    pub type Target = fn(&[u8]);

    /// By the names of the targets and of the directories of their seeds.
    pub const TARGETS: [(&str, Target); 11] = [
        ("apply", apply),
        ("cni_arguments", cni_arguments),
        ("cni_configuration", cni_configuration),
        ("decoder", decoder),
        ("image", image),
        ("logs", logs),
        ("patch", patch),
        ("protobuf", protobuf),
        ("selector", selector),
        ("spdy", spdy),
        ("websocket", websocket),
    ];

    #[cfg(test)]
    mod tests {
        use std::fs;
        use std::path::Path;

        use super::TARGETS;

        /// What fuzzing found once is among them.
        #[test]
        fn every_seed_keeps_its_targets_properties() {
            let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
            for (name, target) in TARGETS {
                let entries = fs::read_dir(seeds.join(name)).expect("a directory of seeds");
                let mut count = 0;
                for entry in entries {
                    let path = entry.expect("an entry").path();
                    println!("{}", path.display());
                    target(&fs::read(&path).expect("a seed"));
                    count += 1;
                }
                assert!(count > 0, "{name} has no seeds");
            }
        }
    }
}
