//! `--overrides`: what the flags say, patched.

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::server;

const UNREADABLE: &str = "cannot read --overrides";

#[derive(Debug, clap::Args)]
pub struct OverrideArg {
    /// A patch, as JSON, for the pod that the other flags describe
    #[arg(long, value_name = "JSON")]
    overrides: Option<String>,
    /// What kind of patch that is
    #[arg(long, value_enum, default_value = "merge", value_name = "TYPE")]
    override_type: OverrideType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OverrideType {
    /// RFC 7386
    Merge,
    /// With lists merged by their elements' names
    Strategic,
    /// RFC 6902
    Json,
}

impl OverrideArg {
    pub fn apply(&self, pod: &mut Value) -> anyhow::Result<()> {
        let Some(text) = self.overrides.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        match self.override_type {
            OverrideType::Merge => {
                let patch: Map<String, Value> =
                    serde_json::from_str(text).map_err(|_| anyhow!("Invalid JSON Patch"))?;
                json_patch::merge(pod, &patch.into());
            }
            OverrideType::Strategic => {
                let patch = serde_json::from_str(text).context(UNREADABLE)?;
                server::strategic_merge(pod, patch, "Pod").map_err(|why| anyhow!(why))?;
            }
            OverrideType::Json => {
                let patch: json_patch::Patch = serde_json::from_str(text).context(UNREADABLE)?;
                json_patch::patch(pod, &patch)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_patched_in_three_ways() {
        let patched = |override_type, text: &str| {
            let overrides = Some(text.to_owned());
            let mut pod = json!({"spec": {"containers": [{"name": "a", "image": "pause"}]}});
            let arg = OverrideArg {
                overrides,
                override_type,
            };
            arg.apply(&mut pod).map(|()| pod["spec"].take())
        };
        let containers =
            r#"{"spec": {"nodeName": "x", "containers": [{"name": "a", "tty": true}]}}"#;
        assert_eq!(
            patched(OverrideType::Merge, containers).expect("merged"),
            json!({"containers": [{"name": "a", "tty": true}], "nodeName": "x"})
        );
        let both = json!([{"name": "a", "image": "pause", "tty": true}]);
        assert_eq!(
            patched(OverrideType::Strategic, containers).expect("merged")["containers"],
            both
        );
        let add = r#"[{"op": "add", "path": "/spec/containers/0/tty", "value": true}]"#;
        assert_eq!(
            patched(OverrideType::Json, add).expect("patched")["containers"],
            both
        );
        for kind in [
            OverrideType::Merge,
            OverrideType::Strategic,
            OverrideType::Json,
        ] {
            assert!(patched(kind, "{").is_err());
            assert!(patched(kind, "").is_ok());
        }
    }
}
